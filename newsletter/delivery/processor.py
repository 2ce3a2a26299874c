"""How the system's scheduler treats a dispatch: on which core, and before whom.

In: nothing. Out: the calling thread, and every thread it starts meanwhile, on one core, or giving
way. Never: a core outside those the process was given (taskset, cpuset); another policy than the
usual one changed (chrt); an error where the system says no.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_STAT = Path("/proc/thread-self/stat")
_PROCESSOR = 39 - 3  # proc(5) counts from 1, and the name's bracket closes the second field


@contextmanager
def one_core() -> Iterator[Collection[int]]:
    """Stay on the core that the system has put us on; yield those that were allowed.

    The threads of a dispatch take turns at the interpreter's lock: one core is all they can use.
    Each turn handed to another core wakes it first; on one core a message takes a tenth less time.
    Threads that do not share the interpreter's lock go back to those: ``allow``.
    """
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else frozenset[int]()
    allow(allowed & _find_current_core())
    try:
        yield allowed
    finally:
        allow(allowed)


@contextmanager
def giving_way() -> Iterator[None]:
    """Wait for whoever is at work when we wake (SCHED_BATCH, sched(7)).

    Several workers, a database and a relay on few cores interrupt each other for every answer, and
    the interrupted waits beside an idle core: without that, two workers send a twentieth more.
    """
    if not _follows_usual_policy():
        yield
        return
    _follow(os.SCHED_BATCH)
    try:
        yield
    finally:
        _follow(os.SCHED_OTHER)


def _follows_usual_policy() -> bool:
    try:
        return os.sched_getscheduler(0) == os.SCHED_OTHER
    except (AttributeError, OSError):  # a system that has none, a sandbox that hides it
        return False


def _follow(policy: int) -> None:
    with suppress(OSError):  # a sandbox may forbid it: slower, nothing else
        os.sched_setscheduler(0, policy, os.sched_param(0))


def allow(cores: Collection[int]) -> None:
    """Let the calling thread run on *cores*; on any when there are none to choose from."""
    if cores:
        with suppress(OSError):  # a sandbox may forbid it: slower, nothing else
            os.sched_setaffinity(0, cores)


def _find_current_core() -> set[int]:
    try:
        return {int(_STAT.read_text().rpartition(")")[2].split()[_PROCESSOR])}
    except (OSError, ValueError, IndexError):
        return set()
