"""A desk that a worker keeps open from one batch of a run to the next.

In: an errand, a run, its batches one after another. Out: how each of them ended. Never: two batches
at once; a batch begun under an owner whose death could be proved a second ago.

What each batch would open and close again stays: connections and what their relay taught us (pace,
throttles, back-off), the owner, the ledger's connection, a loop and its threads. It ends by itself
when no batch has come for a second.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

from sqlalchemy import Connection

from newsletter.config import DomainPace, Relay, Settings
from newsletter.delivery import event_loop
from newsletter.delivery.desk import RESTED, Desk, Ending
from newsletter.delivery.dispatch import Errand, begin, close, look_for_doubt, make_job, settle_dead
from newsletter.delivery.endpoints import open_endpoints
from newsletter.delivery.pages import Job
from newsletter.delivery.queue import count_workers
from newsletter.model import Run, RunId, RunState
from newsletter.store import database, identity, owners, runs
from newsletter.store.ledger import Lease, free_run
from newsletter.store.waiting import Waiting

#: Between two looks at the run: a window of the ledger sees at once that it is stopped or lost.
LOOK_EVERY_S = 1.0


class Shift:
    """One owner's work on one run, with its share of *workers* in what the relays allow.

    ``owner`` is '' until its first batch began.
    """

    def __init__(self, errand: Errand, run: Run, workers: int) -> None:
        self.run = run
        self.workers = workers
        self.owner = ""
        self.is_over = False
        self._errand = errand
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._desk: Desk | None = None
        self._endings: SimpleQueue[Ending | BaseException] = SimpleQueue()

    def dispatch(self, after: int, until: int) -> Ending:
        """Dispatch the readers of the run whose ids are in (*after*, *until*].

        RESTED: the desk had closed before it began, so another shift must. Raise StoreError when
        the ledger cannot be written, and what else ended the desk.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, args=(after, until), name="shift")
            self._thread.start()
        else:
            self._tell(Desk.go_on, after, until)
        ending = self._endings.get()
        if isinstance(ending, BaseException):
            raise ending
        return ending

    def leave(self) -> None:
        """End now, between two batches, and wait for it."""
        if self._thread is not None:
            self._tell(Desk.end, RESTED)
            self._thread.join()

    def _tell(self, act: Callable[..., None], *values: Any) -> None:
        """Do this to the desk in its own thread, which says by itself when it has closed."""
        if self._loop is not None and self._desk is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(act, self._desk, *values)

    def _work(self, after: int, until: int) -> None:
        try:
            ending: Ending | BaseException = self._open(after, until)
        except BaseException as error:  # noqa: BLE001 - raised where the batch is waited for
            ending = error
        self.is_over = True
        self._endings.put(ending)

    def _open(self, after: int, until: int) -> Ending:
        errand, run = self._errand, self.run
        with owners.open_owner(errand.engine) as self.owner, open_endpoints(errand.settings) as to:
            settle_dead(errand.engine, run, errand.clock())
            if (stop := look_for_doubt(errand, run)) is not None:
                return stop
            lease = Lease(run.id, self.owner, run.fence)
            begin(errand, lease, to)
            job = make_job(errand, run, lease, to)
            return event_loop.run(self._run(replace(job, batch=(after, until), on_rest=self._rest)))

    async def _run(self, job: Job) -> Ending:
        self._loop, self._desk = asyncio.get_running_loop(), Desk(job)
        return await self._desk.run()

    def _rest(self, waiting: Waiting) -> None:
        self._endings.put(Ending(goes_on=waiting.later))


class Shifts:
    """The shifts of one worker, one after another; *stale_s*: how long a worker counts as alive."""

    def __init__(self, errand: Errand, stale_s: float) -> None:
        self._errand = errand
        self._stale_s = stale_s
        self._shift: Shift | None = None
        self._looked_at_s = 0.0
        self._at_work = threading.Lock()

    def dispatch(self, run_id: RunId, after: int, until: int) -> None:
        """Dispatch the readers of a run whose ids are in (*after*, *until*]: a worker's job.

        Under the fence of the run, which no worker moves while others may share it: rows claimed by
        one are locked for the others, and what a dead one was sending becomes unknown by the same
        proof. A job that comes while a dispatcher has the run reaches nobody; what is left then is
        handed out anew.
        """
        with self._at_work:
            while (shift := self._find_shift(run_id)) is not None:
                ending = shift.dispatch(after, until)
                if ending == RESTED:
                    continue
                if not ending.goes_on:  # else the run is not over
                    close(self._errand, shift.run, ending)
                return

    def leave(self) -> None:
        """End the one in hand."""
        if self._shift is not None:
            self._shift.leave()

    def _find_shift(self, run_id: RunId) -> Shift | None:
        """Return the shift for a batch of this run; None when nothing of it may leave now."""
        now_s = time.monotonic()
        if self._is_at_work_on(run_id) and now_s < self._looked_at_s + LOOK_EVERY_S:
            return self._shift
        self._looked_at_s = now_s
        if identity.is_older(self._errand.settings, self._errand.engine):
            self.leave()
            return None
        with database.write(self._errand.engine) as connection:
            run = self._read_free_run(connection, run_id)
            if run is None or run.state is not RunState.DISPATCHING or run.stopped:
                return None
            workers = max(1, count_workers(connection, self._stale_s))
            if self._may_go_on(connection, run, workers):
                return self._shift
        self.leave()
        settings = share_settings(self._errand.settings, workers)
        self._shift = Shift(replace(self._errand, settings=settings), run, workers)
        return self._shift

    def _read_free_run(self, connection: Connection, run_id: RunId) -> Run | None:
        """Return the run; None while a dispatcher has it, whose pace and fence are its own."""
        run = runs.read_run_by_id(connection, run_id)
        if run is None or run.owner is None:
            return run
        now, is_dead = self._errand.clock(), owners.death_prover(self._errand.engine, connection)
        if not free_run(connection, run_id, now=now, is_dead=is_dead):
            return None
        return runs.read_run_by_id(connection, run_id)

    def _is_at_work_on(self, run_id: RunId) -> bool:
        return self._shift is not None and not self._shift.is_over and self._shift.run.id == run_id

    def _may_go_on(self, connection: Connection, run: Run, workers: int) -> bool:
        shift = self._shift
        if shift is None or shift.is_over or (shift.run, shift.workers) != (run, workers):
            return False
        # A server that crashed let go of the lock that proves us alive.
        return not owners.death_prover(self._errand.engine, connection)(shift.owner)


def share_settings(settings: Settings, workers: int) -> Settings:
    """Divide the rates of every relay, and what its domains bear, among *workers*."""
    return settings.model_copy(
        update={
            "relay": _share_relay(settings.relay, workers),
            "relays": tuple(_share_relay(relay, workers) for relay in settings.relays),
        }
    )


def _share_relay(relay: Relay, workers: int) -> Relay:
    domains = {name: _share_pace(pace, workers) for name, pace in relay.domains.items()}
    return relay.model_copy(
        update={
            "rate_per_s": _share_rate(relay.rate_per_s, workers),
            "rate_per_hour": _share_rate(relay.rate_per_hour, workers),
            "domains": domains,
        }
    )


def _share_pace(pace: DomainPace, workers: int) -> DomainPace:
    # One at least: the readers of a batch are its worker's alone, and would wait for ever.
    connections = None if pace.connections is None else max(1, pace.connections // workers)
    return pace.model_copy(
        update={
            "connections": connections,
            "rate_per_s": _share_rate(pace.rate_per_s, workers),
        }
    )


def _share_rate(rate: float | None, workers: int) -> float | None:
    return None if rate is None else rate / workers
