"""The processor core that a dispatch runs on.

In: nothing. Out: the calling thread, and every thread it starts meanwhile, on one core. Never: a
core outside those the process was given (taskset, cpuset); an error where the system says no.

The threads of a dispatch take turns at the interpreter's lock: one core is all they can use. Each
turn handed to another core wakes it first; on one core a message takes a tenth less time.
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

    Threads that do not share the interpreter's lock go back to those: ``allow``.
    """
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else frozenset[int]()
    allow(allowed & _find_current_core())
    try:
        yield allowed
    finally:
        allow(allowed)


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
