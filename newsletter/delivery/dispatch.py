"""One run, every reader once: takes the run, dispatches it, says what came of it.

In: settings, an engine, keys, the id of a run in ``dispatching``, a clock. Out: a
``DispatchResult``. Never: rendering, feeds or web code; a dot before its intent is committed
(DESIGN 6); two live dispatchers on one run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection, Engine

from newsletter.audience.suppression import Reason
from newsletter.config import Keys, Settings
from newsletter.delivery import canary, commits, crash_points, event_loop, processor, queue, states
from newsletter.delivery.departure import LEASE
from newsletter.delivery.desk import Desk, Ending
from newsletter.delivery.endpoints import Deadlines, Endpoint, open_endpoints
from newsletter.delivery.pacing import choose_window, domain_of
from newsletter.delivery.pages import Job, StopFlag, is_told_to_end
from newsletter.delivery.signing import load_signer
from newsletter.errors import NotFound, StoreError
from newsletter.mail.compose import Compiled, compile_message
from newsletter.model import Run, RunId, RunState, SubscriberId, Tally
from newsletter.store import (
    breakdown,
    database,
    identity,
    leaving,
    ledger,
    owners,
    runs,
    settling,
    waiting,
    windows,
)
from newsletter.store.ledger import Lease
from newsletter.store.trouble import RELAY, find_trouble, keep_trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchResult:
    """What came of one dispatch of a run.

    ``reason`` is '' when all that could be done was done, else one word: ``queued`` (workers have
    it), ``elsewhere`` (another live dispatcher holds the run), ``stopped`` (by a person),
    ``terminated`` (the stop flag), ``relay`` (it cannot be used now; ``problem`` says why),
    ``expired`` (the run's 24 h are over), ``lease_lost``; and when the run was stopped and a person
    must look: ``policy``, ``configuration``, ``canary``, ``unknown``. ``finished``: nothing is
    pending, sending or deferred, and the run is done. ``due_at``: when the next deferred reader is
    due. ``failing_since``: when the relay that the run waits for first failed.
    """

    run_id: int
    tally: Tally
    finished: bool
    reason: str = ""
    problem: str = ""
    due_at: datetime | None = None
    failing_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What every dispatch of a process works with, whatever the run."""

    settings: Settings
    engine: Engine
    keys: Keys
    clock: Callable[[], datetime]
    progress: Callable[[Tally], None] | None = None
    stop: StopFlag | None = None
    deadlines: Deadlines = field(default_factory=Deadlines)
    # The edition last compiled, by run: a worker's next batch is nearly always of the same.
    compiled: dict[RunId, Compiled] = field(default_factory=dict)


def dispatch(
    settings: Settings,
    engine: Engine,
    keys: Keys,
    run_id: int,
    *,
    clock: Callable[[], datetime],
    progress: Callable[[Tally], None] | None = None,
    stop: StopFlag | None = None,
    deadlines: Deadlines | None = None,
) -> DispatchResult:
    """Go on with a run until nothing is left to do now; safe to call again at any time.

    A run that is done answers so. Where workers live, they are handed the run (``queued``). Raise
    NotFound for a run that has not started, StoreError when the ledger cannot be written.
    """
    errand = Errand(
        settings=settings,
        engine=engine,
        keys=keys,
        clock=clock,
        progress=progress,
        stop=stop,
        deadlines=deadlines or Deadlines(),
    )
    run = _read_begun(engine, run_id)
    if run.state is not RunState.DISPATCHING:
        return _report(engine, run_id, Ending())
    if run.stopped:
        settle_dead(engine, run, clock())
        return _report(engine, run_id, Ending("stopped"))
    if queue.hand_over(engine, run, now=clock()):
        return _report(engine, run_id, Ending("queued"))
    with owners.open_owner(engine) as owner:
        ending = _dispatch_as(owner, errand, run)
    return _report(engine, run_id, ending)


def _dispatch_as(owner: str, errand: Errand, run: Run) -> Ending:
    """Take the run, send, and let it go, whatever happens meanwhile."""
    try:
        lease = _take(errand.engine, run, owner, errand.clock())
    except NotFound:  # another dispatcher finished it since we looked
        return Ending()
    if lease is None:
        return Ending("elsewhere")
    crash_points.reach("run.started")
    try:
        return _send_to_the_end(errand, run, lease)
    except StoreError as error:
        if not is_told_to_end(errand.stop):
            _release(errand.engine, lease)
            raise
        # The lease and whoever is still being sent to are settled by the proof of our death.
        return Ending("terminated", str(error))
    except BaseException:
        _release(errand.engine, lease)
        raise


def _read_begun(engine: Engine, run_id: int) -> Run:
    with database.read(engine) as connection:
        run = runs.read_run_by_id(connection, RunId(run_id))
    if run is None or run.started_at is None:
        raise NotFound(f"run {run_id} has not started")
    return run


def _take(engine: Engine, run: Run, owner: str, now: datetime) -> Lease | None:
    """Take the run, and settle what the dead left: all in one transaction."""
    with database.write(engine) as connection:
        is_dead = owners.death_prover(engine, connection)
        lease = ledger.claim_lease(
            connection, run.id, owner, now=now, until=now + LEASE, is_dead=is_dead
        )
        if lease is not None:
            owners.bury_dead(connection, run.id, is_dead=is_dead, now=now)
            if lease.fence > 1:  # else the audience was frozen just now; the end looks again
                waiting.cancel_gone(connection, run.id)
            waiting.wake_due(connection, run.id, now=now)
        return lease


def settle_dead(engine: Engine, run: Run, now: datetime) -> None:
    """Make unknown what the dead were sending."""
    with database.write(engine) as connection:
        is_dead = owners.death_prover(engine, connection)
        owners.bury_dead(connection, run.id, is_dead=is_dead, now=now)


def conclude(errand: Errand, run: Run) -> None:
    """Expire a run whose time is over, finish one with nothing left."""
    over = errand.clock() >= _deadline_of(run)
    _write_end(errand, run, Ending("expired" if over else ""))


def _send_to_the_end(errand: Errand, run: Run, lease: Lease) -> Ending:
    """Dispatch, and again whenever the stop that ended it was lifted before its end was written."""
    while True:
        ending = _send(errand, run, lease)
        crash_points.reach("run.finishing")
        ending = close(errand, run, ending, lease)
        if not ending.goes_on:
            return ending
        run = _read_begun(errand.engine, run.id)  # a person was at it


def _send(errand: Errand, run: Run, lease: Lease) -> Ending:
    with database.read(errand.engine) as connection:
        tally = breakdown.tally(connection, run.id)
        first = _count_canary(connection, run, tally)
    if errand.clock() >= _deadline_of(run):
        return Ending("expired")
    if not tally.pending:
        return Ending()
    if (stop := look_for_doubt(errand, run)) is not None:
        return stop
    with processor.one_core() as cores, open_endpoints(errand.settings) as endpoints:
        begin(errand, lease, endpoints)
        job = make_job(errand, run, lease, endpoints)
        job = replace(job, tally=tally, cores=cores, canary=first)
        return event_loop.run(_run(job))


def _count_canary(connection: Connection, run: Run, tally: Tally) -> int:
    """Return how many go first: nobody once the canary died, for a person let the others go."""
    left = canary.count_missing(tally)
    return 0 if left and ledger.was_stopped(connection, run.id, "canary") else left


def look_for_doubt(errand: Errand, run: Run) -> Ending | None:
    """Return the end of a run whose last dispatches all lost an answer and reached nobody.

    Each of them left a few readers unknown: in a day that would be everybody. A person who lets it
    go on has it stopped after as many more.
    """
    with database.read(errand.engine) as connection:
        count = settling.count_doubtful_dispatches(connection, run.id)
        if count < states.DOUBTS_MAX:
            return None
        stops = ledger.count_stops(connection, run.id, "unknown")
    if count < states.DOUBTS_MAX * (stops + 1):
        return None
    # A relay that broke off, or a dispatcher that was killed: which of them, nobody can tell.
    said = f"{count} dispatches in a row got no answer at the end of a message, and reached nobody"
    return Ending("unknown", said, stops_run=True)


def begin(errand: Errand, lease: Lease, endpoints: tuple[Endpoint, ...]) -> None:
    """Write down which relays this dispatch may offer readers to, before it claims one."""
    relays = dict.fromkeys(map(_name_relay, endpoints))
    with identity.advancing(errand.settings, errand.engine) as connection:
        ledger.begin_dispatch(connection, lease, relays, now=errand.clock())


def _name_relay(endpoint: Endpoint) -> str:
    """Name a relay without its account: on loopback each machine has another one."""
    place = f"{endpoint.host}:{endpoint.port}"
    return f"{place}@{owners.machine_id()}" if endpoint.relay.is_loopback else place


def make_job(errand: Errand, run: Run, lease: Lease, endpoints: tuple[Endpoint, ...]) -> Job:
    """Return the job of a whole run, its edition compiled."""
    with database.read(errand.engine) as connection:
        compiled = _compile(connection, errand, run)
        is_doubted = settling.count_doubtful_dispatches(connection, run.id) > 0
    return Job(
        engine=errand.engine,
        lease=lease,
        compiled=compiled,
        endpoints=endpoints,
        window=choose_window(errand.settings.relay),
        clock=errand.clock,
        deadline_at=_deadline_of(run),
        deadlines=errand.deadlines,
        is_doubted=is_doubted,
        is_older=partial(identity.is_older, errand.settings, errand.engine),
        outdate_backups=partial(identity.outdate_backups, errand.settings, errand.engine),
        signs=bool(errand.settings.relay.dkim.selector),
        progress=errand.progress,
        stop=errand.stop,
    )


def _deadline_of(run: Run) -> datetime:
    begun_at = run.reopened_at or run.started_at
    assert begun_at is not None  # ``_read_begun`` looked
    return begun_at + states.RUN_DEADLINE


async def _run(job: Job) -> Ending:
    return await Desk(job).run()


def _compile(connection: Connection, errand: Errand, run: Run) -> Compiled:
    if run.id not in errand.compiled:
        errand.compiled.clear()
        errand.compiled[run.id] = _compile_edition(connection, errand.settings, errand.keys, run)
    return errand.compiled[run.id]


def _compile_edition(connection: Connection, settings: Settings, keys: Keys, run: Run) -> Compiled:
    edition = windows.read_edition(connection, run.digest or "")
    if edition is None:
        raise NotFound(f"the edition of run {run.id} is gone", remedy="restore the database")
    assert run.started_at is not None
    # Date is the start of the run: a repeat in a later dispatch has the same bytes.
    return compile_message(
        edition,
        settings=settings,
        keys=keys,
        run_id=run.id,
        key_version=run.key_version,
        date=run.started_at,
        signer=load_signer(settings),
    )


# --- the end -------------------------------------------------------------------------------------


def close(errand: Errand, run: Run, ending: Ending, lease: Lease | None = None) -> Ending:
    """Write the end of a dispatch: expire, stop, let go, finish; return the end it came to.

    Borne as long as a window is: a stop that is lost has the next dispatch do the same again.
    Nothing is written when it stopped for a person who let the run go on since: it ``goes_on``, for
    whoever sends meanwhile was told that the holder of the *lease* does so.
    """
    patience = commits.Patience()
    while True:
        try:
            return _write_end(errand, run, ending, lease)
        except StoreError as error:
            if is_told_to_end(errand.stop):
                patience.end()
            if patience.is_over(error, time.monotonic()):
                raise
        time.sleep(commits.RETRY_S)


def _write_end(errand: Errand, run: Run, ending: Ending, lease: Lease | None = None) -> Ending:
    now, hurries = errand.clock(), is_told_to_end(errand.stop)
    with identity.advancing(errand.settings, errand.engine, hurries=hurries) as connection:
        if lease is not None and ending.reason == "stopped" and _goes_on(connection, run):
            return Ending(goes_on=True)
        if ending.reason == "expired" and not _expire(connection, errand, run, now):
            ending = Ending()
        if ending.problem and (ending.stops_run or ending.reason == RELAY):
            said = states.hide_addresses(ending.problem)
            keep_trouble(connection, run.id, reason=ending.reason, said=said, now=now)
        if ending.stops_run:
            ledger.stop_run(connection, run.id, reason=ending.reason, now=now)
        if lease is not None:
            ledger.release_lease(connection, lease)
        is_done = ledger.finish(connection, run.id, now=now)
        if is_done:
            _suppress_vanished(connection, errand.keys, run.id, now)
        if is_done or lease is not None:  # a worker's batch leaves it to the end of the run
            # Relays quote addresses, also of a reader who was erased while we wrote to them.
            leaving.sweep_erased(connection)
    return ending


def _goes_on(connection: Connection, run: Run) -> bool:
    ledger.lock_run(connection, run.id)  # whoever sends after us finds the run free
    known = runs.read_run_by_id(connection, run.id)
    return known is not None and known.state is RunState.DISPATCHING and not known.stopped


def _expire(connection: Connection, errand: Errand, run: Run, now: datetime) -> bool:
    """End a run whose time is over; False when it was reopened since it was read."""
    ledger.lock_run(connection, run.id)
    deadline_at = _deadline_of(runs.read_run_by_id(connection, run.id) or run)
    if now < deadline_at:
        return False
    waiting.expire(connection, run.id, now=now)
    # Nobody claims after a run's time, nor waits for an answer longer than this.
    if now >= deadline_at + timedelta(seconds=errand.deadlines.dot_s) + LEASE:
        owners.bury_strangers(connection, run_id=run.id, now=now)
    return True


def _release(engine: Engine, lease: Lease) -> None:
    try:
        with database.write(engine) as connection:
            ledger.release_lease(connection, lease)
    except StoreError:
        pass  # the lease runs out, and this owner is provably dead


def _report(engine: Engine, run_id: int, ending: Ending) -> DispatchResult:
    with database.read(engine) as connection:
        run = runs.read_run_by_id(connection, RunId(run_id))
        if run is None:
            raise NotFound(f"run {run_id} is gone", remedy="was another database put in its place?")
        trouble = find_trouble(connection, run) if ending.reason == RELAY else None
        return DispatchResult(
            run_id=run_id,
            tally=breakdown.tally(connection, run_id),
            finished=run.state is RunState.DONE,
            reason=ending.reason,
            problem=ending.problem,
            due_at=waiting.next_due_at(connection, run_id),
            failing_since=trouble.since if trouble else None,
        )


def _suppress_vanished(connection: Connection, keys: Keys, run_id: int, now: datetime) -> None:
    """Suppress the addresses that do not exist, domain by domain, once the run is done.

    Not as they come: only the whole run shows whether a domain, or all together, lost so many that
    it, or the relay, is to be doubted instead.
    """
    by_domain: dict[str, list[int]] = {}
    vanished = settling.vanished_readers(connection, run_id)
    for subscriber_id, address in vanished:
        by_domain.setdefault(domain_of(address), []).append(subscriber_id)
    audience = breakdown.tally(connection, run_id).audience
    is_run_in_doubt = states.doubts_run(len(vanished), audience)
    if is_run_in_doubt:
        ledger.add_event(
            connection,
            "run_in_doubt",
            run_id=run_id,
            now=now,
            detail=f"{len(vanished)} addresses of {len(by_domain)} domains refused at once; "
            "nobody suppressed",
        )
    for domain, gone in by_domain.items():
        if states.doubts_domain(len(gone), settling.count_domain(connection, run_id, domain)):
            ledger.add_event(
                connection,
                "domain_in_doubt",
                run_id=run_id,
                now=now,
                detail=f"{domain}: {len(gone)} addresses refused at once; nobody suppressed",
            )
        elif not is_run_in_doubt:
            for subscriber_id in gone:
                leaving.suppress(
                    connection,
                    keys,
                    SubscriberId(subscriber_id),
                    reason=Reason.BOUNCE,
                    detail={"run": run_id},
                    now=now,
                )
