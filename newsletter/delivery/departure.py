"""What to do with one slot now: wait, judge, miss, go on, end.

In: a slot's instant, its run when there is one, `now`. Out: a ``Step``. Never: whether the issue is
approved or unchanged (``publishing`` judges that), nor a clock.

A slot that has not begun is judged again at every tick until slot + ``max_lateness_h``; a run that
has begun goes on until start + 24 h, whoever asks (DESIGN 5.4, 5.5).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from newsletter.delivery.states import RUN_DEADLINE
from newsletter.model import Run, RunState

#: What a live dispatcher renews every few seconds.
LEASE = timedelta(seconds=60)


class Step(StrEnum):
    """What is to be done with a slot."""

    WAIT = "wait"  # its time has not come
    SKIP = "skip"  # a holiday or a pause: planned, no alarm
    JUDGE = "judge"  # it may start if it is approved, unchanged, sound and public
    MISS = "miss"  # too late to start: a person decides
    RESUME = "resume"  # begun, unfinished, nobody alive at it
    EXPIRE = "expire"  # begun, and out of time
    STOPPED = "stopped"  # begun, and waits for a person: nothing to do, something to say
    REST = "rest"  # settled, or somebody alive is at it


def next_step(
    run: Run | None,
    now: datetime,
    *,
    slot_at: datetime,
    max_lateness: timedelta,
    skipped: bool = False,
) -> Step:
    """Return what is to be done at *now*; ``skipped`` says that the calendar plans no issue."""
    if run is not None and run.started_at is not None:
        return _next_step_of_begun(run, run.reopened_at or run.started_at, now)
    if run is not None and run.state in {RunState.MISSED, RunState.SKIPPED, RunState.DONE}:
        return Step.REST
    if now < slot_at:
        return Step.WAIT
    if skipped:
        return Step.SKIP
    return Step.JUDGE if now <= slot_at + max_lateness else Step.MISS


def _next_step_of_begun(run: Run, started_at: datetime, now: datetime) -> Step:
    if run.state is not RunState.DISPATCHING:
        return Step.REST
    # One that ends later than any given now was given by a clock that went back since: whether its
    # holder lives is asked where the run is taken.
    if run.lease_until is not None and now < run.lease_until <= now + LEASE:
        return Step.STOPPED if run.stopped else Step.REST
    if now >= started_at + RUN_DEADLINE:
        return Step.EXPIRE
    return Step.STOPPED if run.stopped else Step.RESUME
