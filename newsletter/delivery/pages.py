"""What one dispatch works with, and its readers page by page, composed ahead where they are signed.

In: a job. Out: pages of flights; whether anybody is left. Never: a claim, more than a page in hand.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from sqlalchemy import Engine

from newsletter.delivery import processor
from newsletter.delivery.endpoints import Deadlines, Endpoint
from newsletter.delivery.flights import PAGE, Flight
from newsletter.errors import StoreError
from newsletter.mail.compose import Compiled, Outgoing, Reader
from newsletter.model import Tally
from newsletter.store import database, waiting
from newsletter.store.ledger import Lease
from newsletter.store.waiting import Picked, Waiting

SIGNING_PAGE = 64  # composed ahead in memory: fewer

Batch = tuple[int, int]  # the readers whose ids are in (after, until]
EVERYBODY: Batch = (-1, waiting.LAST_ID)


class StopFlag(Protocol):
    """Anything with ``is_set``: a ``threading.Event``."""

    def is_set(self) -> bool: ...


def is_told_to_end(stop: StopFlag | None) -> bool:
    return stop is not None and stop.is_set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Everything one dispatch works with."""

    engine: Engine
    lease: Lease
    compiled: Compiled
    endpoints: tuple[Endpoint, ...]
    window: int
    clock: Callable[[], datetime]
    deadline_at: datetime
    deadlines: Deadlines
    is_older: Callable[[], bool]  # whether a backup was put in the database's place
    outdate_backups: Callable[[], None]  # those made until now
    tally: Tally = field(default_factory=Tally)  # a batch does not count ten million rows
    canary: int = 0  # so many go first, and alone
    is_doubted: bool = False  # the last dispatch lost an answer: one goes first until one comes
    signs: bool = False
    cores: Collection[int] = ()  # for the threads that sign; none: whichever the system likes
    batch: Batch = EVERYBODY
    progress: Callable[[Tally], None] | None = None
    stop: StopFlag | None = None
    # Called when nobody of the batch can be reached now: the desk waits for the next one.
    on_rest: Callable[[Waiting], None] | None = None


class Pages:
    """Reads on a thread of its own, signs on two more (RSA lets go of the interpreter's lock)."""

    def __init__(self, job: Job) -> None:
        self.pool = ThreadPoolExecutor(1, "pages")
        self.batch = job.batch
        self._job = job
        self._read_until = -1  # the highest id that was read
        self._signing = _open_signing(job.cores) if job.signs else None
        self._size = SIGNING_PAGE if job.signs else PAGE

    def shutdown(self) -> None:
        self.pool.shutdown(wait=True)
        if self._signing is not None:
            self._signing.shutdown(wait=True)

    def compose(self, row: Picked) -> Outgoing:
        return self._job.compiled.compose(Reader.of(row.subscriber_id, row))

    def read(self, after: int) -> tuple[list[Flight], bool]:
        """Return the next flights whose ids are above *after*, and whether they are the last.

        Raise StoreError rather than read again what a backup says that was put back meanwhile.
        """
        job, (first, until) = self._job, self.batch
        start, size = max(after, first), self._size
        with database.read(job.engine) as connection:
            rows = waiting.pick(
                connection,
                job.lease.run_id,
                after=start,
                size=size,
                until=until,
            )
        if start < self._read_until:
            self._refuse_backup()
        self._read_until = max(self._read_until, rows[-1].subscriber_id if rows else start)
        return self._make_flights(rows), len(rows) < size

    def _refuse_backup(self) -> None:
        if self._job.is_older():
            raise StoreError(
                "an older state of this database was put back while a run was under way",
                remedy="make sure that nobody sends, then: newsletter adopt",
            )

    def _make_flights(self, rows: list[Picked]) -> list[Flight]:
        if self._signing is None:
            return [Flight(row) for row in rows]
        composed = self._signing.map(self.try_compose, rows)
        return [Flight(row, message) for row, message in zip(rows, composed, strict=True)]

    def try_compose(self, row: Picked) -> Outgoing | Exception:
        try:
            return self.compose(row)
        except Exception as error:  # noqa: BLE001 - raised again where the flight is taken
            return error

    def wake_due(self, *, ends_soon: bool) -> list[Flight]:
        """Make pending the deferred readers whose time has come, a page at most; return them.

        A backup made until now is an older one from then on: a run by hand has no tick beside it.
        Nobody is woken where the pass *ends soon*: its end does.
        """
        job, (after, until) = self._job, self.batch
        job.outdate_backups()
        if ends_soon:
            return []
        run_id, now = job.lease.run_id, job.clock()
        with database.read(job.engine) as connection:
            due = waiting.pick_due(
                connection, run_id, now=now, after=after, size=self._size, until=until
            )
        if not due:
            return []
        self._refuse_backup()
        last = due[-1].subscriber_id
        with database.write(job.engine) as connection:
            waiting.wake_due(connection, run_id, now=now, after=after, until=last)
        return self._make_flights(due)

    def close_pass(self) -> tuple[Waiting, int]:
        """Wake the deferred that are due, cancel who left.

        Return whether somebody is pending then, and how many were woken.
        """
        job, (after, until) = self._job, self.batch
        run_id, now = job.lease.run_id, job.clock()
        with database.read(job.engine) as connection:
            found = waiting.look_for_waiting(connection, run_id, after=after, until=until)
        if not found.here:
            return found, 0
        with database.write(job.engine) as connection:
            waiting.cancel_gone(connection, run_id, after=after, until=until)
            woken = waiting.wake_due(connection, run_id, now=now, after=after, until=until)
            left = waiting.pick(connection, run_id, after=after, size=1, until=until)
        return Waiting(bool(left), found.later), woken


def _open_signing(cores: Collection[int]) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2, "sign", initializer=processor.allow, initargs=(cores,))
