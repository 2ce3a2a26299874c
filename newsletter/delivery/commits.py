"""The one transaction at a time: results of the last window, intents of the next.

In: flights that want to be sent, flights that came to an end. Out: which may send their dot.
Never: two transactions at once, a result forgotten because the database was busy, a statement on
the event loop's thread; an intent granted while somebody could prove our death.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from newsletter.delivery import crash_points
from newsletter.delivery.departure import LEASE
from newsletter.delivery.flights import Flight
from newsletter.delivery.pages import StopFlag, is_told_to_end
from newsletter.delivery.states import Sequel
from newsletter.errors import Busy, StoreError
from newsletter.store import database, owners
from newsletter.store.ledger import Lease
from newsletter.store.windows import Answer, Result, are_being_sent, commit_window

# The lease is renewed, a person's stop and the loss of our own session are seen at least so often:
# sooner than a relay's log is believed that somebody given up is absent (``resolving.MARGIN``).
BEAT_S = 3.0
FLUSH_S = 0.1  # results wait so long for intents to travel with
FLUSH_COUNT = 128  # no fewer: the last two windows of a batch are written as one
RETRY_S = 0.5
#: How long a database may refuse before the dispatch gives up.
PATIENCE_BUSY_S = 120.0
PATIENCE_S = 10.0


class Patience:
    """How long a database has been refusing, and whether that is too long."""

    def __init__(self) -> None:
        self._failing_since_s: float | None = None
        self._is_at_end = False

    def is_over(self, error: StoreError, now_s: float) -> bool:
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        patience_s = PATIENCE_BUSY_S if isinstance(error, Busy) else PATIENCE_S
        return self._is_at_end or now_s - self._failing_since_s >= patience_s

    def reset(self) -> None:
        self._failing_since_s = None

    def end(self) -> None:
        """Bear nothing more: the dispatch was told to end, and its time is over."""
        self._is_at_end = True


class Outcome(NamedTuple):
    """How one flight ended."""

    flight: Flight
    sequel: Sequel
    reply: str


class _Batch(NamedTuple):
    outcomes: list[Outcome]
    intents: list[Flight]


class Commits:
    """Collects what is to be written, writes it in a thread, tells what was granted."""

    def __init__(
        self,
        engine: Engine,
        lease: Lease,
        *,
        clock: Callable[[], datetime],
        pool: ThreadPoolExecutor,
        on_answer: Callable[[Answer, list[Outcome], list[Flight]], None],
        on_failure: Callable[[StoreError], None],
        renews: bool = True,
        stop: StopFlag | None = None,
    ) -> None:
        self._engine, self._lease, self._clock, self._pool = engine, lease, clock, pool
        self._on_answer, self._on_failure = on_answer, on_failure
        self._loop = asyncio.get_running_loop()
        # Opened once: a pool's checkout and return cost a fifth of a window of 32.
        self._connection: Connection | None = None  # of the ledger's thread, as the next
        self._is_given_up = False  # somebody took us for dead, and settled what we were sending
        self._granted: set[int] = set()  # readers whose dot may leave, or has no answer yet
        self._outcomes: list[Outcome] = []
        self._wanted: list[Flight] = []
        self._is_busy = False
        self._is_due = False
        self._is_closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._beat: asyncio.TimerHandle | None = None
        self.patience = Patience()
        self._stop = stop
        self._renews = renews
        self._renew_at = 0.0

    @property
    def is_idle(self) -> bool:
        return not (self._is_busy or self._outcomes or self._wanted)

    @property
    def has_wanted(self) -> bool:
        """True when intents wait for the next transaction."""
        return bool(self._wanted)

    def start(self) -> None:
        self._beat = self._loop.call_later(BEAT_S, self._renew)

    def close(self) -> None:
        self._is_closed = True
        for timer in (self._timer, self._beat):
            if timer is not None:
                timer.cancel()
        self._pool.submit(self._disconnect)

    def want(self, flights: Iterable[Flight]) -> None:
        """Ask for the intents of these flights."""
        for flight in flights:
            # One intent a flight: a second one would be a second dot.
            assert not flight.wanted
            assert not flight.granted
            flight.wanted = True
            self._wanted.append(flight)
        self._plan()

    def record(self, flight: Flight, sequel: Sequel, reply: str) -> None:
        """Note how a flight ended; written with the next intents, or shortly."""
        flight.over = True
        self._granted.discard(flight.token)
        self._outcomes.append(Outcome(flight, sequel, reply))
        self._plan()

    def hurry(self) -> None:
        """Write at once what waits: nothing is coming that could travel with it."""
        if self._outcomes and not (self._is_busy or self._is_due or self._is_closed):
            self._is_due = True
            self._loop.call_soon(self._begin)

    def withdraw(self) -> list[Flight]:
        """Take back the intents that no transaction has begun to claim."""
        withdrawn, self._wanted = self._wanted, []
        for flight in withdrawn:
            flight.wanted = False
        return withdrawn

    # --- when

    def _plan(self) -> None:
        if self._is_busy or self._is_due or self._is_closed:
            return
        if self._wanted or len(self._outcomes) >= FLUSH_COUNT:
            # Not at once: what the same turn of the loop brings shares the commit.
            self._is_due = True
            self._loop.call_soon(self._begin)
        elif self._outcomes and self._timer is None:
            self._timer = self._loop.call_later(FLUSH_S, self._begin)

    def _renew(self) -> None:
        self._beat = self._loop.call_later(BEAT_S, self._renew)
        if not self._is_busy and not self._is_due:
            self._begin()

    # --- one transaction

    def _begin(self) -> None:
        self._is_due = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_busy:
            return
        self._is_busy = True
        # A flight that ended while its intent was waiting needs none any more.
        intents = [flight for flight in self._wanted if not flight.over]
        batch = _Batch(self._outcomes, intents)
        self._outcomes, self._wanted = [], []
        self._run(batch)

    def _run(self, batch: _Batch) -> None:
        # Decided now, not when the answer came: the intent may have been granted in between.
        results = [
            Result(
                flight.token,
                flight.granted,
                sequel.state,
                sequel.reason,
                reply,
                sequel.tries,
                sequel.drops,
                sequel.not_before,
            )
            for flight, sequel, reply in batch.outcomes
        ]
        intents = {flight.token: flight.row.address for flight in batch.intents}
        renews = self._renews and self._loop.time() >= self._renew_at
        if renews:
            self._renew_at = self._loop.time() + BEAT_S
        future = self._loop.run_in_executor(
            self._pool, self._write, results, intents, frozenset(self._granted), renews
        )
        future.add_done_callback(lambda done: self._finish(batch, done))

    def _write(
        self,
        results: list[Result],
        intents: dict[int, str],
        granted: Collection[int],
        renews: bool,  # noqa: FBT001 - run_in_executor passes positions
    ) -> Answer:
        now = self._clock()
        is_new = self._connection is None
        connection = self._connection = self._connection or database.connect(self._engine)
        try:
            with database.write_on(connection, hurries=is_told_to_end(self._stop)):
                if is_new and not owners.stand_for(connection, self._lease.owner):
                    # A moment ago our death could be proved. Whoever did so left its mark.
                    self._is_given_up |= not are_being_sent(connection, self._lease, granted)
                answer = commit_window(
                    connection,
                    self._lease,
                    results=results,
                    intents={} if self._is_given_up else intents,
                    now=now,
                    renew_until=now + LEASE if renews else None,
                )
                crash_points.reach("commit.before")
        except BaseException:
            self._disconnect()
            raise
        crash_points.reach("commit.after")
        return replace(answer, lost=True) if self._is_given_up else answer

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _finish(self, batch: _Batch, done: asyncio.Future[Answer]) -> None:
        if done.cancelled():
            return
        error = done.exception()
        if isinstance(error, StoreError):
            self._retry(batch, error)
            return
        if error is not None:
            raise error
        self.patience.reset()
        answer = done.result()
        granted = answer.granted
        for flight in batch.intents:
            flight.wanted = False
            flight.granted = flight.token in granted
            flight.denied = not flight.granted
            if flight.granted and not flight.over:
                self._granted.add(flight.token)
        self._is_busy = False
        self._on_answer(answer, batch.outcomes, batch.intents)
        self._plan()

    def _retry(self, batch: _Batch, error: StoreError) -> None:
        """Try the same batch again: no result may be lost, no dot leaves meanwhile."""
        if self.patience.is_over(error, self._loop.time()):
            self._on_failure(error)
        else:
            self._loop.call_later(RETRY_S, self._run, batch)
