"""One run, every reader once: picks, composes, submits, records.

In: settings, an engine, keys, the id of a run in ``dispatching``, a clock. Out: what came of it.
Never: rendering, feeds or web code; a dot before its intent is committed (DESIGN 6).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import Engine

from newsletter.config import Keys, Settings
from newsletter.model import Tally


class StopFlag(Protocol):
    """Anything with ``is_set``: a ``threading.Event``."""

    def is_set(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchResult:
    """What came of one dispatch of a run.

    ``reason`` is '' when all that could be done was done, else one word: ``elsewhere`` (another
    live dispatcher holds the run), ``stopped`` (by a person), ``terminated`` (the stop flag),
    ``relay`` (it cannot be used; ``problem`` says why), ``policy``, ``configuration`` or
    ``canary`` (the run was stopped and a person must look), ``lease_lost``.
    ``finished``: nothing is pending, sending or deferred, and the run is done. ``due_at``: when
    the next deferred reader is due.
    """

    run_id: int
    tally: Tally
    finished: bool
    reason: str = ""
    problem: str = ""
    due_at: datetime | None = None


def dispatch(
    settings: Settings,
    engine: Engine,
    keys: Keys,
    run_id: int,
    *,
    clock: Callable[[], datetime],
    progress: Callable[[Tally], None] | None = None,
    stop: StopFlag | None = None,
) -> DispatchResult:
    """Go on with a run until nothing is left to do now; safe to call again at any time."""
    raise NotImplementedError
