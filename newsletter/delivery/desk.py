"""The middle of one dispatch: deals readers out to lanes, gathers verdicts, knows when to stop.

In: a job (who, what, how fast), the lanes' calls, the ledger's answers. Out: an ``Ending``. Never:
SQL, SMTP words, a wait of its own: everything happens in answer to an event or a timer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

from newsletter.delivery import states
from newsletter.delivery.canary import Canary, open_canary
from newsletter.delivery.commits import RETRY_S, Commits, Outcome, Patience
from newsletter.delivery.endpoints import Endpoint
from newsletter.delivery.flights import Flight, Supply
from newsletter.delivery.lanes import Lane
from newsletter.delivery.pages import EVERYBODY, Job, Pages, is_told_to_end
from newsletter.delivery.routes import Route, Routes
from newsletter.delivery.states import Blame, Reply, Sequel, Verdict
from newsletter.errors import RelayError, StoreError
from newsletter.mail.compose import Outgoing
from newsletter.model import DeliveryState, Tally
from newsletter.store.waiting import Waiting
from newsletter.store.windows import Answer

log = logging.getLogger(__name__)

TERMINATE_S = 8.0  # SIGTERM: so long for the answers that are owed
LAST_S = 0.5  # and so much longer for a database that refuses to write them
WATCH_S = 0.1
REST_S = 1.0  # without another batch: the relay's connections are not ours to hold
PROGRESS_EVERY = 3  # watches
LOOK_FOR_DUE_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the desk closed, or rests.

    ``stops_run``: nobody goes on until a person says so. ``goes_on``: readers of the run wait after
    this batch, or its stop was lifted meanwhile.
    """

    reason: str = ""
    problem: str = ""
    stops_run: bool = False
    goes_on: bool = False


RESTED = Ending("rested")  # no other batch came


class Desk:
    """One dispatch, from its first page of readers to its last commit."""

    def __init__(self, job: Job) -> None:
        self.is_closing = False
        self._job = job
        self._loop = asyncio.get_running_loop()
        self._pages = Pages(job)
        self._pool = ThreadPoolExecutor(1, "ledger")
        self._routes = Routes(self, list(map(self._open_route, job.endpoints)))
        self._lanes = [Lane(self, self._routes, *place) for place in self._routes.places()]
        self._supply = Supply(self._ask, find_limited=self._routes.find_limited)
        self._commits = Commits(
            job.engine,
            job.lease,
            clock=job.clock,
            pool=self._pool,
            on_answer=self._on_answer,
            on_failure=self._on_store_failure,
            renews=job.batch == EVERYBODY,  # the lease of a run is not a batch's to hold
            stop=job.stop,
        )
        self._patience = Patience()
        self._ahead: deque[Flight] = deque()
        # A lane holds two: one at its dot, one whose envelope is written. Both count as ahead, so
        # that what is unknown after a crash stays within connections + 2 windows.
        self._enough_ahead = max(0, job.window - len(self._lanes))
        self._breaker = states.Breaker()
        self._canary = self._open_canary()
        self._ending = Ending()
        self._error: StoreError | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._is_closing_pass = False
        self._rest_timer: asyncio.TimerHandle | None = None  # set: between two batches
        self._settled_since_pass = 0
        self._is_terminating = False
        self._counts = Counter({state: getattr(job.tally, state.value) for state in DeliveryState})
        self._watches = 0
        self._looked_for_due_at = job.clock()  # whoever took the run woke them

    async def run(self) -> Ending:
        """Dispatch until nothing can be done now; raise StoreError when the ledger is lost."""
        self._loop.set_exception_handler(self._on_bug)
        self._commits.start()
        self._supply.refill()
        watch = self._loop.call_later(0, self._watch)
        try:
            await self._closed
        finally:
            watch.cancel()
            self._commits.close()
            await self._hang_up()
            self._pages.shutdown()
            self._pool.shutdown(wait=True)
        if self._error is not None:
            raise self._error
        return self._ending

    def _on_bug(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """End at once on an exception in a callback: nobody would ever wake us again."""
        error = context.get("exception") or RuntimeError(context["message"])
        if not self._closed.done():
            self._closed.set_exception(error)

    async def _hang_up(self) -> None:
        self.is_closing = True
        tasks = [task for lane in self._lanes for task in lane.pending_tasks()]
        for lane in self._lanes:
            lane.wind_down()
            lane.cut("closed")
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the next turn of the loop

    def _open_route(self, endpoint: Endpoint) -> Route:
        return Route(endpoint, self._job.deadlines, is_doubted=self._job.is_doubted)

    def _open_canary(self) -> Canary | None:
        if not self._job.canary:
            return None
        self._supply.budget = self._job.canary
        return open_canary(self._job.tally)

    # --- readers

    def _ask(self, after: int) -> None:
        future = self._loop.run_in_executor(self._pages.pool, self._pages.read, after)
        future.add_done_callback(lambda done: self._on_page(after, done))

    def _on_page(self, after: int, done: asyncio.Future[tuple[list[Flight], bool]]) -> None:
        if done.cancelled() or self._closed.done():
            return
        error = done.exception()
        if isinstance(error, StoreError):
            self._read_later(error, lambda: self._ask(after))
            return
        self._patience.reset()
        flights, is_last = done.result()
        self._supply.add_page(flights, is_last=is_last)
        self.wake()

    def _wake_due(self) -> None:
        """Look for deferred readers whose time came while others are being sent to.

        Backups become older ones also while the last readers are being sent to: all of a small run
        may be claimed ahead.
        """
        look = partial(self._pages.wake_due, ends_soon=self._supply.is_dry)
        future = self._loop.run_in_executor(self._pool, look)
        future.add_done_callback(self._on_woken)

    def _on_woken(self, done: asyncio.Future[list[Flight]]) -> None:
        if done.cancelled():
            return
        # Asked in any case: of an error that nobody asks for the loop hears, as of a bug.
        error = done.exception()
        if isinstance(error, StoreError):
            return  # they are met again at the end; windows bear what the database does
        due = done.result()
        self._count_woken(len(due))
        if self.is_closing:
            return
        self._supply.add_due(due)
        self.wake()

    def _count_woken(self, count: int) -> None:
        self._counts[DeliveryState.DEFERRED] -= count
        self._counts[DeliveryState.PENDING] += count

    def wake(self) -> None:
        self._supply.refill()
        self._top_up()
        for lane in self._lanes:
            lane.advance()
        self._look_for_end()

    def _top_up(self) -> None:
        """Claim the next window ahead of the lanes, when we claim ahead at all."""
        window = self._job.window
        if not window or self.is_closing or len(self._ahead) > self._enough_ahead:
            return
        if self._commits.has_wanted:  # else a slow commit would claim window after window
            return
        batch: list[Flight] = []
        while len(batch) < window and self._supply.has_free:
            batch.append(self._supply.take())
        if batch:
            self._ahead.extend(batch)
            self._commits.want(batch)

    # --- what lanes ask (see lanes.Desk)

    def take(self, domain: str | None = None) -> Flight | None:
        if self.is_closing:
            return None
        if domain is not None:
            return self._supply.take(domain)
        if self._job.window:
            flight = self._take_ahead()
        else:
            flight = self._supply.take() if self._supply.has_free else None
        self._supply.refill()
        self._top_up()
        return flight

    def _take_ahead(self) -> Flight | None:
        while self._ahead:
            flight = self._ahead.popleft()
            if not flight.denied:
                return flight
            self.release(flight)
        return None

    def waiting_domains(self) -> list[str]:
        return self._supply.waiting_domains()

    def has_work(self) -> bool:
        return not self.is_closing and bool(
            self._ahead or self._supply.has_free or self._supply.waiting_domains()
        )

    def put_back(self, flight: Flight) -> None:
        if flight.wanted or flight.granted:
            self._ahead.appendleft(flight)
        else:
            self._supply.put_back(flight)

    def compose(self, flight: Flight) -> Outgoing:
        if flight.outgoing is None:
            flight.outgoing = self._pages.compose(flight.row)
        if isinstance(flight.outgoing, Exception):
            raise flight.outgoing
        return flight.outgoing

    def compose_ahead(self) -> None:
        """Compose for the lane after the next ones, while the relay is at work."""
        place = len(self._lanes) - 1
        if len(self._ahead) > place and self._ahead[place].outgoing is None:
            self._ahead[place].outgoing = self._pages.try_compose(self._ahead[place].row)

    def want(self, flight: Flight) -> None:
        self._commits.want((flight,))

    # --- verdicts

    def settle(self, flight: Flight, verdict: Verdict, reply: Reply | None, route: Route) -> None:
        """Note the end of a flight, and what it says about the message, the relay, the run."""
        if flight.denied:
            self.release(flight)
            return
        row = flight.row
        sequel = states.follow(verdict, tries=row.tries, drops=row.drops, now=self._job.clock())
        self._commits.record(flight, sequel, str(reply) if reply is not None else "")
        self._routes.pace(route, row.address, verdict, reply)
        if self._canary is not None:
            self._canary.count(verdict)
        self._look_for_end()
        if reply is None:
            return
        if verdict.blame is Blame.CONFIGURATION:
            self.end(Ending("configuration", str(reply), stops_run=True))
        elif self._breaker.count(verdict, reply):
            reason = "configuration" if verdict.blame is Blame.RELAY else "policy"
            self.end(Ending(reason, str(reply), stops_run=True))

    def release(self, flight: Flight) -> None:
        """The ledger refused this intent: the reader left, moved, or is somebody else's."""
        self._supply.forget(flight)
        self._look_for_end()

    # --- what the relays say (see routes.Desk)

    def count_connected(self, route: Route) -> int:
        return sum(lane.is_connected for lane in self._lanes if lane.route is route)

    def give_up(self, error: RelayError, *, hopeless: bool) -> None:
        reason = "configuration" if hopeless else "relay"
        self.end(Ending(reason, str(error), stops_run=hopeless))

    def wake_soon(self) -> None:
        self._loop.call_soon(self.wake)

    # --- the ledger's answers

    def _on_answer(self, answer: Answer, outcomes: list[Outcome], intents: list[Flight]) -> None:
        for outcome in outcomes:
            self._file(outcome)
        granted = sum(flight.granted for flight in intents)
        self._counts[DeliveryState.PENDING] -= granted
        self._counts[DeliveryState.SENDING] += granted
        for flight in intents:
            if flight.lane is not None:
                flight.lane.on_answer(flight)
        if answer.lost:
            self.end(Ending("lease_lost"))  # what is owed is still heard: an answer is a fact
        elif answer.stopped:
            self.end(Ending("stopped"))
        self.wake()

    def _file(self, outcome: Outcome) -> None:
        flight, sequel, _ = outcome
        self._counts[DeliveryState.SENDING if flight.granted else DeliveryState.PENDING] -= 1
        self._counts[sequel.state] += 1
        if sequel.state is not DeliveryState.PENDING:
            self._settled_since_pass += 1
            self._supply.forget(flight)
        elif self.is_closing:
            self._supply.forget(flight)
        else:
            again = Flight(flight.row._replace(drops=sequel.drops), flight.outgoing)
            self._supply.put_back(again)

    def _read_later(self, error: StoreError, read: Callable[[], None]) -> None:
        """Bear a failed read as long as a failed window: answers are owed meanwhile."""
        if self._patience.is_over(error, self._loop.time()):
            self._on_store_failure(error)
        else:
            self._loop.call_later(RETRY_S, lambda: None if self._closed.done() else read())

    def _on_store_failure(self, error: StoreError) -> None:
        self._error = error
        if not self._closed.done():
            self._closed.set_result(None)

    # --- the end

    def end(self, ending: Ending) -> None:
        """Take nobody more; what the relay may have is waited for, the rest is taken back."""
        if self.is_closing:
            return
        self._ending, self.is_closing = ending, True
        for flight in self._commits.withdraw():
            if flight.lane is None and not flight.over:  # over: refused before it was claimed
                self._ahead.remove(flight)
                self._supply.forget(flight)
        while self._ahead:
            self._take_back(self._ahead.popleft())
        for lane in self._lanes:
            lane.wind_down()
        self._look_for_end()

    def _take_back(self, flight: Flight) -> None:
        """Claimed ahead and never offered to a relay: provably pending."""
        sequel = Sequel(DeliveryState.PENDING, "", flight.row.tries, flight.row.drops)
        self._commits.record(flight, sequel, "")

    def _look_for_end(self) -> None:
        if self._ahead or self._closed.done() or any(lane.flights for lane in self._lanes):
            return
        if not self._commits.is_idle:
            if not self.has_work():
                self._commits.hurry()
            return
        if self.is_closing:
            self._closed.set_result(None)
        elif self._canary is not None and self._supply.budget == 0:
            self._judge_canary(self._canary)
        elif self._supply.is_dry and not (self._is_closing_pass or self._rest_timer):
            self._begin_closing_pass()

    def _judge_canary(self, canary: Canary) -> None:
        self._canary, self._supply.budget = None, None
        if canary.is_dead:
            self.end(Ending("canary", canary.said, stops_run=True))
        elif canary.sings:
            self.wake_soon()
        else:  # put off: the next dispatch asks a few more, before all the others
            self.end(Ending())

    def _begin_closing_pass(self) -> None:
        self._is_closing_pass = True
        future = self._loop.run_in_executor(self._pool, self._pages.close_pass)
        future.add_done_callback(self._on_closing_pass)

    def _on_closing_pass(self, done: asyncio.Future[tuple[Waiting, int]]) -> None:
        self._is_closing_pass = False
        if done.cancelled() or self._closed.done():
            return
        error = done.exception()
        if isinstance(error, StoreError):
            self._read_later(error, self._begin_closing_pass)
            return
        self._patience.reset()
        waiting, woken = done.result()
        self._count_woken(woken)
        if waiting.here and self._settled_since_pass:
            self._settled_since_pass = 0
            self._supply.read_again()
            self.wake()
        else:
            # Nobody, or only rows that another worker holds just now.
            self._rest(waiting)

    def _rest(self, waiting: Waiting) -> None:
        """Wait for the next batch where there may be one, else end."""
        if self._job.on_rest is None or self.is_closing:
            self.end(Ending())
            return
        self._rest_timer = self._loop.call_later(REST_S, self.end, RESTED)
        self._job.on_rest(waiting)

    def go_on(self, after: int, until: int) -> None:
        """Take up another batch; nothing when the desk is closing, which says so by itself."""
        if self.is_closing or self._rest_timer is None:
            return
        self._rest_timer.cancel()
        self._rest_timer = None
        self._settled_since_pass = 0
        self._pages.batch = (after, until)
        self._supply.read_again()
        self.wake()

    # --- from outside

    def _watch(self) -> None:
        if self._closed.done():
            return
        self._loop.call_later(WATCH_S, self._watch)
        job = self._job
        if is_told_to_end(job.stop) and not self._is_terminating:
            self._is_terminating = True
            self.end(Ending("terminated"))  # where it closes already, it has its reason
            self._loop.call_later(TERMINATE_S, self._cut_all)
            self._loop.call_later(TERMINATE_S + LAST_S, self._lose_patience)
        now = job.clock()
        if now >= job.deadline_at:
            self.end(Ending("expired"))
        if not now - LOOK_FOR_DUE_EVERY < self._looked_for_due_at <= now:  # or it was set back
            self._looked_for_due_at = now
            if not self.is_closing:  # else the end looks for them
                self._wake_due()
        self._watches += 1
        if job.progress is not None and self._watches % PROGRESS_EVERY == 0:
            job.progress(self.tally())

    def _cut_all(self) -> None:
        for lane in self._lanes:
            lane.cut("terminated")

    def _lose_patience(self) -> None:
        """End at the next refusal of the database: the proof of our death settles the rest."""
        self._patience.end()
        self._commits.patience.end()

    def tally(self) -> Tally:
        """Count as the ledger will once what is under way is written."""
        return replace(
            self._job.tally, **{state.value: self._counts[state] for state in DeliveryState}
        )
