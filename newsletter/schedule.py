"""When: the tick, which decides what every slot and run needs now, and has it done.

In: settings, the engine, keys, `now`, and ``launch``, which dispatches a run (on a thread of its
own, or inline). Out: ``TickReport``; rows and queued letters. Never: a wait, a clock of its own
(the demo and the tests hand it `now`), an exception that ends the scheduler (S7).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import Engine

from newsletter import chores, notifying, running
from newsletter.config import Keys, Settings
from newsletter.content.calendar import local_day, next_free_slot, slots_between
from newsletter.delivery.departure import Step, next_step
from newsletter.errors import Conflict, Held, NewsletterError
from newsletter.model import Edition, HeldReason, IssueId, Run, RunId, RunState
from newsletter.running import Probe
from newsletter.store import breakdown, content, database, identity, ledger, runs, waiting

log = logging.getLogger(__name__)

Launch = Callable[[RunId], None]
# Does a named chore now, or hands it to a thread that is not the tick's.
Aside = Callable[[str, chores.Chore], None]

# Slots older than this concern nobody any more, however long the machine was down.
HORIZON = timedelta(days=60)
# A run's slot may have been moved by a change of settings since its row was written.
MARGIN = timedelta(days=8)
# Why a slot was missed that nobody ever judged: the machine was down.
LATE = "late"
# Why nothing is done for a run that has begun: somebody alive is at it.
ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of one slot or run; ``state`` is a run state, ``due`` before its time.

    ``stopped``: it has begun, and waits for a person. ``deferred``: so many readers are all that is
    left, the first of them not before ``due_at``. ``doubted``: of a run that is done, who may or
    may not have received it, unsettled.
    """

    issue_id: IssueId
    slot_at: datetime
    state: RunState
    reason: str = ""
    run_id: RunId | None = None
    stopped: bool = False
    deferred: int = 0
    due_at: datetime | None = None
    doubted: int = 0


@dataclass(slots=True, kw_only=True)
class TickReport:
    """What one tick did, and what went wrong in it."""

    at: datetime
    decisions: list[Decision] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a decision is made from; ``sends`` is False in a restored copy (DESIGN 5.7)."""

    settings: Settings
    engine: Engine
    now: datetime
    sends: bool
    probe: Probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A slot or a begun run, and what it needs; ``skipped`` is the calendar's reason."""

    issue_id: IssueId
    slot_at: datetime
    step: Step
    run: Run | None = None
    skipped: str = ""


def do_now(name: str, chore: chores.Chore) -> None:
    """Do a chore inside the tick: for commands, demo and tests."""
    log.debug("chore name=%s", name)
    chore()


# --- the tick ------------------------------------------------------------------------------------


def tick(
    settings: Settings,
    engine: Engine,
    keys: Keys,
    now: datetime,
    *,
    launch: Launch,
    aside: Aside = do_now,
    probe: Probe = running.is_public,
) -> TickReport:
    """Look at every slot and run once, and do what is due; safe from two processes at once."""
    report = TickReport(at=now)
    with _kept(report, "schedule"):
        sends = not running.is_restored(settings, engine, now)
        scene = Scene(settings=settings, engine=engine, now=now, sends=sends, probe=probe)
        with identity.advancing(settings, engine) as connection:
            runs.beat(connection, now)
        for due in list_due(scene):
            with _kept(report, f"run {due.issue_id}"):
                report.decisions.append(carry_out(scene, due, keys, launch))
        for name, chore in chores.list_chores(settings, engine, keys, now, sends=sends):
            with _kept(report, name):
                aside(name, chore)
    return report


@contextmanager
def _kept(report: TickReport, what: str) -> Iterator[None]:
    """Keep a failure in the report and the log: the next tick must come (S7)."""
    try:
        yield
    except NewsletterError as error:
        log.error("tick %s: %s", what, error)  # noqa: TRY400 - an expected failure needs no trace
        report.errors.append(f"{what}: {error}")
    except Exception as error:
        log.exception("tick %s failed", what)
        report.errors.append(f"{what}: {type(error).__name__}: {error}")


def list_due(scene: Scene) -> tuple[Due, ...]:
    """Return what needs something now: begun runs, then the slots that concern this database."""
    since = scene.now - HORIZON
    with database.read(scene.engine) as connection:
        born = runs.born_at(connection) or _assume_born(scene)
        signed = content.approved_issues(connection)
        begun = runs.unfinished_runs(connection)
        known = {
            run.issue_id: run for run in runs.runs_since(connection, max(born, since) - MARGIN)
        }
    # What was signed before the first tick is awaited all the same.
    slots = {
        slot.issue_id: slot
        for slot in slots_between(scene.settings, since, scene.now)
        if slot.at >= born or slot.issue_id in signed
    }
    found = [_due(scene, run.issue_id, run.slot_at, run) for run in begun]
    for issue_id, slot in slots.items():
        run = known.get(issue_id)
        if run is None or run.started_at is None:
            found.append(_due(scene, issue_id, slot.at, run, skipped=slot.skipped))
    for run in known.values():
        orphan = run.started_at is None and run.issue_id not in slots
        if orphan and run.kind == "issue":  # the settings no longer plan this slot
            found.append(_due(scene, run.issue_id, run.slot_at, run))
    return tuple(due for due in found if due.step not in {Step.REST, Step.WAIT})


def _assume_born(scene: Scene) -> datetime:
    """When a database that never ran begins: now, unless it stands where another has run.

    There the other was lost, and the slot that is due must raise the alarm.
    """
    lateness = timedelta(hours=scene.settings.schedule.max_lateness_h)
    return scene.now if scene.sends else scene.now - lateness


def _due(
    scene: Scene, issue_id: IssueId, slot_at: datetime, run: Run | None, *, skipped: str = ""
) -> Due:
    step = next_step(
        run,
        scene.now,
        slot_at=slot_at,
        max_lateness=timedelta(hours=scene.settings.schedule.max_lateness_h),
        skipped=bool(skipped),
    )
    return Due(issue_id=issue_id, slot_at=slot_at, step=step, run=run, skipped=skipped)


# --- deciding ------------------------------------------------------------------------------------


def judge(scene: Scene, due: Due) -> tuple[Decision, Edition | None]:
    """Return what becomes of *due*, and the edition when it may leave. Nothing is written."""
    decision = Decision(
        issue_id=due.issue_id,
        slot_at=due.slot_at,
        state=RunState.DISPATCHING,
        run_id=due.run.id if due.run else None,
    )
    if due.step is Step.SKIP:
        return replace(decision, state=RunState.SKIPPED, reason=due.skipped), None
    if not scene.sends:
        state = RunState.MISSED if due.step is Step.MISS else RunState.HELD
        return replace(decision, state=state, reason=HeldReason.RESTORED.value), None
    if due.step is Step.MISS:
        reason = (due.run.reason if due.run else "") or LATE
        return replace(decision, state=RunState.MISSED, reason=reason), None
    if due.step in {Step.RESUME, Step.EXPIRE, Step.STOPPED}:
        stopped = due.step is Step.STOPPED
        reason = due.run.reason if due.run and stopped else ""
        return replace(decision, reason=reason, stopped=stopped), None
    try:
        edition = running.edition_to_send(
            scene.settings,
            scene.engine,
            due.issue_id,
            today=local_day(scene.now, scene.settings),
            probe=scene.probe,
        )
    except Held as held:
        return replace(decision, state=RunState.HELD, reason=held.reason), None
    return decision, edition


def carry_out(scene: Scene, due: Due, keys: Keys, launch: Launch) -> Decision:
    """Judge, write the decision, tell the editors, launch a dispatch."""
    decision, edition = judge(scene, due)
    if decision.state is not RunState.DISPATCHING:
        return _settle(scene, due, decision)
    if decision.stopped:
        return decision
    if edition is not None:
        try:
            run = running.start(
                scene.settings,
                scene.engine,
                edition,
                slot_at=due.slot_at,
                key_version=keys.current,
                now=scene.now,
            )
        except Conflict:  # another scheduler was first; its lease decides who dispatches
            log.info("run issue=%s begun elsewhere", due.issue_id)
            return decision
        decision = replace(decision, run_id=run.id)
    elif due.run is not None:
        decision = _prepare(scene, due.run, due.step, decision)
        if decision.deferred:
            return decision
    assert decision.run_id is not None  # begun now, or before
    log.info("run issue=%s step=%s run=%d", due.issue_id, due.step, decision.run_id)
    launch(decision.run_id)
    return decision


def _settle(scene: Scene, due: Due, decision: Decision) -> Decision:
    """Write a decision that starts nothing; each notice goes out once per (run, reason)."""
    before = (due.run.state, due.run.reason) if due.run else None
    with database.write(scene.engine) as connection:
        run = runs.ensure_run(connection, due.issue_id, slot_at=due.slot_at, now=scene.now)
        settled = runs.settle(connection, run.id, decision.state, decision.reason, now=scene.now)
        told = replace(run, state=decision.state, reason=decision.reason, slot_at=due.slot_at)
        if decision.reason == HeldReason.RESTORED or (settled and decision.state is RunState.HELD):
            notifying.tell_held(connection, scene.settings, told, scene.now)
        elif settled and decision.state is RunState.MISSED:
            notifying.tell_missed(connection, scene.settings, told, scene.now)
    if before != (decision.state, decision.reason):
        log.warning(
            "run issue=%s state=%s reason=%s", due.issue_id, decision.state, decision.reason
        )
    return replace(decision, run_id=run.id)


def _prepare(scene: Scene, run: Run, step: Step, decision: Decision) -> Decision:
    """Free a stopped run that is to expire; of one whose readers all wait, say until when."""
    if step is Step.EXPIRE and run.stopped:
        with database.write(scene.engine) as connection:
            ledger.go_on(connection, run.id)
    with database.read(scene.engine) as connection:
        tally = breakdown.tally(connection, run.id)
        due_at = waiting.next_due_at(connection, run.id)
    waits = tally.deferred and not tally.pending and not tally.sending
    if step is Step.EXPIRE or not waits or due_at is None or due_at <= scene.now:
        return decision
    return replace(decision, deferred=tally.deferred, due_at=due_at)


# --- asking --------------------------------------------------------------------------------------


def at(settings: Settings, engine: Engine, instant: datetime) -> tuple[Decision, ...]:
    """Return what a tick at *instant* would decide, or the next slot when there is nothing to do.

    Writes nothing and sends nothing (``run --at``).
    """
    sends = not identity.is_copy(settings, engine)
    scene = Scene(
        settings=settings, engine=engine, now=instant, sends=sends, probe=running.is_public
    )
    found = tuple(judge(scene, due)[0] for due in list_due(scene))
    return found or (next_departure(settings, engine, instant),)


def next_departure(settings: Settings, engine: Engine, instant: datetime) -> Decision:
    """Return the next slot that is neither skipped nor sent ahead of its time, as ``due``."""
    with database.read(engine) as connection:
        settled = runs.settled_since(connection, instant)
    slot = next_free_slot(settings, settled, instant)
    return Decision(issue_id=slot.issue_id, slot_at=slot.at, state=RunState.DUE)


def find_elsewhere(settings: Settings, engine: Engine, now: datetime) -> Decision | None:
    """Return the run that another process is at, or was until a moment ago; None without one."""
    max_lateness = timedelta(hours=settings.schedule.max_lateness_h)
    with database.read(engine) as connection:
        begun = runs.unfinished_runs(connection)
    for run in begun:
        step = next_step(run, now, slot_at=run.slot_at, max_lateness=max_lateness)
        if step is Step.REST:
            return Decision(
                issue_id=run.issue_id,
                slot_at=run.slot_at,
                state=run.state,
                reason=ELSEWHERE,
                run_id=run.id,
            )
    return None


def last_doubted(engine: Engine, now: datetime) -> Decision | None:
    """Return the newest run when it is done and somebody in it is unknown still, unsettled.

    An older one is asked about no more: the report of the next issue would come with it for ever.
    """
    with database.read(engine) as connection:
        begun = [run for run in runs.runs_since(connection, now - HORIZON) if run.started_at]
        if not begun or begun[-1].state is not RunState.DONE:
            return None
        run = begun[-1]
        tally = breakdown.tally(connection, run.id)
    if tally.unknown <= tally.left:
        return None
    return Decision(
        issue_id=run.issue_id,
        slot_at=run.slot_at,
        state=run.state,
        reason="unknown",
        run_id=run.id,
        doubted=tally.unknown - tally.left,
    )
