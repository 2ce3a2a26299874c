"""One connection slot: takes readers, writes envelopes and bodies, hears the answers.

In: the events of a connection; flights from the desk. Out: bytes at the right moment; each flight
handed back with its verdict. Never: a dot before its intent is granted; a decision about a run.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Sequence
from typing import Protocol

from newsletter.delivery import states
from newsletter.delivery.crash_points import reach
from newsletter.delivery.flights import Flight
from newsletter.delivery.pacing import (
    DomainLimits,
    Trust,
    backoff_s,
    domain_of,
    take_from_all,
)
from newsletter.delivery.routes import Route, Routes
from newsletter.delivery.smtp import Connection, connect
from newsletter.delivery.smtp_protocol import (
    BadAddress,
    Closing,
    Event,
    Proceed,
    Settled,
    Unsettled,
)
from newsletter.delivery.states import Blame, Reply, Stage, Verdict
from newsletter.errors import NewsletterError, RelayError
from newsletter.mail.compose import Outgoing
from newsletter.model import DeliveryState

#: How a connection ends that we did not close.
_LOST = frozenset({"drop", "timeout", "desync", "busy"})


class Desk(Protocol):
    """What a lane asks of the dispatch it belongs to."""

    is_closing: bool

    def take(self, domain: str | None = None) -> Flight | None: ...

    def waiting_domains(self) -> list[str]: ...

    def has_work(self) -> bool: ...

    def put_back(self, flight: Flight) -> None: ...

    def compose(self, flight: Flight) -> Outgoing: ...

    def compose_ahead(self) -> None: ...

    def want(self, flight: Flight) -> None: ...

    def settle(
        self, flight: Flight, verdict: Verdict, reply: Reply | None, route: Route
    ) -> None: ...

    def release(self, flight: Flight) -> None: ...


class Lane:
    """One of the connections a relay allows, opened again whenever there is work."""

    def __init__(self, desk: Desk, routes: Routes, route: Route, rank: int) -> None:
        self.route = route
        self.flights: dict[int, Flight] = {}
        self._desk = desk
        self._routes = routes
        self._rank = rank
        self._connection: Connection | None = None
        self._by_domain: dict[str, int] = {}  # messages on this connection
        self._connecting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._retry_at_s = 0.0  # no attempt to connect before
        self._trust = Trust()
        self._loop = asyncio.get_running_loop()

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    # --- going on

    def advance(self) -> None:
        """Do whatever may be done now; safe to call at any time."""
        if self._desk.is_closing:
            self.wind_down()
        elif self._connection is None:
            self._reopen()
        else:
            connection = self._connection
            self._submit_all(connection)
            self._recycle(connection)

    def _submit_all(self, connection: Connection) -> None:
        """Write all that there is room for, at once: a write costs more than what it carries."""
        parts: list[bytes] = []
        while self._has_room(connection):
            flight = self._next(connection)
            if flight is None:
                break
            parts += self._begin(connection, flight)
        if parts:
            self._write(connection, parts)

    def _write(self, connection: Connection, parts: Sequence[bytes]) -> None:
        dots = connection.session.uses_bdat  # each envelope has its last chunk with it
        reach("envelope.before")
        if dots:
            reach("dot.before")
        connection.write(parts[0] if len(parts) == 1 else b"".join(parts))
        reach("envelope.after")
        if dots:
            reach("dot.after")

    def _has_room(self, connection: Connection) -> bool:
        session = connection.session
        if self._connection is not connection or self._is_spent(connection):
            return False
        if self.flights and self._is_in_question():
            return False  # one message is enough to see whether a relay takes any
        if session.uses_bdat:
            return len(self.flights) < session.terms.in_flight
        return session.can_submit()

    def _is_in_question(self) -> bool:
        route = self.route
        return not route.has_served or route.dead is not None or self._trust.is_lost

    def _is_spent(self, connection: Connection) -> bool:
        session = connection.session
        most = self.route.max_messages
        if session.offer.mail_max is not None:
            most = min(most, session.offer.mail_max)
        waiting = len(self.flights) - session.in_flight  # of BDAT, not yet written
        return session.is_over or session.submitted + waiting >= most

    def _recycle(self, connection: Connection) -> None:
        """Close a connection that carried all it may, and open the next if there is work."""
        if self._connection is not connection:
            return
        if not self.flights and (self._is_spent(connection) or not self._may_work()):
            # One that may not be used is not ours to hold: a relay may bear few of them.
            self._connection = None
            connection.end()
            self._reopen()

    def _next(self, connection: Connection) -> Flight | None:
        """Take a flight that may leave now, composed and small enough for this relay."""
        while True:
            flight = self._pick()
            if flight is None or self._is_sound(connection, flight):
                return flight

    def _is_sound(self, connection: Connection, flight: Flight) -> bool:
        try:
            size = self._desk.compose(flight).size
        except NewsletterError as error:
            self._refuse(flight, "address", str(error))
            return False
        too_large = connection.session.check_size(size)
        if too_large is None:
            return True
        # All messages of a run are about as large: this relay is of no use to it.
        useless = RelayError(f"too large: {too_large}", host=connection.endpoint.host)
        if self._routes.leave_to_others(self.route, useless):
            self._desk.put_back(flight)
        else:
            self._conclude(flight, Stage.MAIL, too_large)
        return False

    def _may_work(self) -> bool:
        route = self.route
        if route.dead is None:
            return self._rank < route.open_lanes
        # Given up: the first lane tries now and then whether it is back.
        return self._rank == 0 and self._loop.time() >= route.retry_at_s

    def _pick(self) -> Flight | None:
        if self._desk.is_closing or not self._may_work():
            return None
        if (
            self.route.quiet_until_s
            and (wait_s := self.route.quiet_until_s - self._loop.time()) > 0
        ):
            self._wake_in(wait_s)
            return None
        for domain in self._desk.waiting_domains():
            limits = self.route.domains.find(domain)
            if limits is None:
                return self._take(domain)
            if self._may_carry(domain, limits):
                wait_s = take_from_all(limits.buckets + self.route.buckets, self._loop.time())
                if wait_s == 0:
                    return self._desk.take(domain)
                self._wake_in(wait_s)
            elif self._connection is None:
                return None  # closed for this domain's sake: nobody may board it any more
        return self._take()

    def _take(self, domain: str | None = None) -> Flight | None:
        """Take a flight and, for it, a token of each of the relay's buckets; or neither."""
        flight, buckets = self._desk.take(domain), self.route.buckets
        wait_s = take_from_all(buckets, self._loop.time()) if buckets and flight else 0.0
        if flight is None or wait_s == 0:
            return flight
        self._desk.put_back(flight)
        self._wake_in(wait_s)
        return None

    def _may_carry(self, domain: str, limits: DomainLimits) -> bool:
        """True when this lane is one of those that a limited domain may use now."""
        # The domain's own few lanes, so that its connections need no counting: of those that the
        # relay bears now, for a throttle or a doubt may close any other.
        place = (self._rank + sum(domain.encode())) % self.route.open_lanes
        if place >= min(limits.connections, limits.adaptive.allowed):
            return False
        carried = self._by_domain.get(domain, 0)
        if limits.max_messages is not None and carried >= limits.max_messages:
            connection = self._connection
            if connection is not None and not self.flights:
                self._connection = None
                connection.end()
                self._reopen()
            return False
        return True

    def _begin(self, connection: Connection, flight: Flight) -> Sequence[bytes]:
        """Return what to write: nothing when the flight waits for its intent, or is refused."""
        message = flight.outgoing
        assert isinstance(message, Outgoing)
        session = connection.session
        self.flights[flight.token] = flight
        flight.lane = self
        if self.route.domains.is_limiting:
            domain = domain_of(flight.row.address)
            self._by_domain[domain] = self._by_domain.get(domain, 0) + 1
        try:
            if not session.uses_bdat:
                size = message.size
                return (session.open(flight.token, message.sender, message.recipient, size),)
            if flight.granted:
                return self._chunk(connection, flight)
            if not flight.wanted:
                self._desk.want(flight)
        except BadAddress as error:
            del self.flights[flight.token]
            self._refuse(flight, "address", str(error))
        return ()

    def _chunk(self, connection: Connection, flight: Flight) -> list[bytes]:
        message = flight.outgoing
        assert isinstance(message, Outgoing)
        assert flight.granted  # the one line that keeps the promise
        assert not flight.dotted
        envelope = connection.session.chunk(
            flight.token, message.sender, message.recipient, message.size
        )
        flight.dotted = True
        return [envelope, *message.pieces]

    # --- events of the connection

    def on_events(self, events: Sequence[Event]) -> None:
        connection = self._connection
        if connection is None:
            return
        closing = ""
        for event in events:
            match event:
                case Settled(token=token, stage=stage, reply=reply):
                    closing = self._on_settled(connection, token, stage, reply) or closing
                case Proceed(token=token) if not closing:
                    self._on_proceed(connection, self.flights[token])
                case Closing(reason=reason):
                    closing = reason
            if self._connection is not connection:
                return
        session = connection.session
        closing = closing or ("busy" if session.is_over else "")
        if closing == "busy" and session.may_be_answered:
            connection.linger()
            return
        if closing:  # only now: what came in the same breath are answers as well
            connection.abort(closing)
            return
        # One at its dot, one behind it: all that a connection with DATA may carry.
        if len(self.flights) < 2 or connection.session.uses_bdat:
            self.advance()

    def _on_proceed(self, connection: Connection, flight: Flight) -> None:
        assert not flight.dotted  # a message ends once
        if flight.denied or self._desk.is_closing:
            connection.abort("withdrawn")  # the relay waits for a body it shall not have
            return
        reach("body.before")
        if flight.granted:
            self._finish(connection, flight, with_body=True)
            return
        message = flight.outgoing
        assert isinstance(message, Outgoing)
        connection.write(message.content)
        reach("body.after")
        flight.at_dot = True
        if not flight.wanted:
            self._desk.want(flight)

    def _finish(self, connection: Connection, flight: Flight, *, with_body: bool) -> None:
        """Write the dot, and the next envelope behind it: one write, one round trip."""
        message = flight.outgoing
        assert isinstance(message, Outgoing)
        assert flight.granted  # the one line that keeps the promise
        assert not flight.dotted
        parts = [*message.pieces] if with_body else []
        before = len(parts)
        flight.at_dot, flight.dotted = False, True
        parts.append(connection.session.finish(flight.token))
        if connection.session.offer.pipelining and self._has_room(connection):
            following = self._next(connection)
            if following is not None:
                parts += self._begin(connection, following)
                reach("envelope.before")
        reach("dot.before")
        connection.write(b"".join(parts))
        reach("dot.after")
        self._desk.compose_ahead()
        if with_body:
            reach("body.after")
        if len(parts) > before + 1:
            reach("envelope.after")

    def _on_settled(self, connection: Connection, token: int, stage: Stage, reply: Reply) -> str:
        """Hand the verdict on; return why the connection must close, '' when it goes on."""
        reach("reply.before")
        flight = self.flights.pop(token)
        verdict = self._conclude(flight, stage, reply)
        if reply.code == 421 and stage is Stage.MAIL:
            self.route.learn(connection.session.submitted - 1, reply)
        reach("reply.after")
        if not verdict.close:
            return ""
        return "desync" if verdict.reason == "desync" else "busy"

    def on_lost(self, connection: Connection, reason: str) -> None:
        if connection is not self._connection:
            return
        self._connection = None
        parted = reason == "busy"
        left = {one.token: one for one in connection.session.unsettled(parted=parted)}
        flights, self.flights = self.flights, {}
        unanswered = doubted = False
        for token, flight in flights.items():
            one = left.get(token) or Unsettled(token, Stage.MAIL)
            if one.no is not None:
                self._conclude(flight, one.stage, one.no)
                continue
            unanswered = True
            doubted |= one.stage is Stage.DOT
            self._lose(flight, one.stage, reason, written=token in left)
        was_asked = connection.session.submitted > 0
        in_vain = reason in _LOST and not self._trust.has_served
        # However well the others are served: behind one name there may be a machine that fails.
        if failures := self._trust.lose(in_vain=in_vain, was_asked=was_asked, doubted=doubted):
            self._wait_to_connect(failures)
        # A 421 after some messages only asks for another connection; before any, for patience. One
        # that idled since it was opened was not asked for anything.
        if (in_vain and was_asked) or doubted or (unanswered and reason in _LOST - {"busy"}):
            where = " after a whole message" if doubted else ""
            host = connection.endpoint.host
            self._note_failure(_Lost(f"{host}: connection lost{where} ({reason})", host=host))
        self.advance()

    def _lose(self, flight: Flight, stage: Stage, reason: str, *, written: bool) -> None:
        if flight.denied:
            self._desk.release(flight)
        elif stage is not Stage.DOT and (reason in {"withdrawn", "busy"} or not written):
            # Ours to close, behind the one who met the 421, or never offered: nobody is charged.
            verdict = Verdict(DeliveryState.PENDING, "", Blame.NOBODY)
            self._desk.settle(flight, verdict, None, self.route)
        else:
            self._desk.settle(flight, states.lost(stage, reason), None, self.route)

    # --- what the desk calls

    def on_answer(self, flight: Flight) -> None:
        """The ledger granted or denied the intent of one of our flights."""
        connection = self._connection
        if connection is None or self.flights.get(flight.token) is not flight or flight.dotted:
            return
        if connection.session.is_over:
            return  # it lingers: nothing more leaves, and its end settles this flight
        if flight.denied:
            self._give_up(connection, flight)
        elif connection.session.uses_bdat:
            self._write(connection, self._chunk(connection, flight))
        elif flight.at_dot:
            self._finish(connection, flight, with_body=False)

    def _give_up(self, connection: Connection, flight: Flight) -> None:
        """The ledger refused an intent: the relay must never get the end of this message."""
        if connection.session.uses_bdat:  # nothing of it was written
            del self.flights[flight.token]
            self._desk.release(flight)
            self.advance()
        elif flight.at_dot:
            connection.abort("withdrawn")

    def wind_down(self) -> None:
        """Let what may have reached the relay be answered, take everything else back."""
        self._cancel_timer()
        if self._connecting is not None:
            self._connecting.cancel()
        connection = self._connection
        if connection is None or any(flight.dotted for flight in self.flights.values()):
            return
        if self.flights:
            connection.abort("withdrawn")
        else:
            self._connection = None
            connection.end()

    def cut(self, reason: str) -> None:
        """Close at once; what has no answer is unknown."""
        if self._connection is not None:
            self._connection.abort(reason)

    # --- verdicts

    def _conclude(self, flight: Flight, stage: Stage, reply: Reply) -> Verdict:
        verdict = states.classify(stage, reply)
        if verdict.blame is not Blame.CONNECTION:
            self._trust.praise()
        self._desk.settle(flight, verdict, reply, self.route)
        return verdict

    def _refuse(self, flight: Flight, reason: str, said: str) -> None:
        verdict = Verdict(DeliveryState.REFUSED, reason, Blame.READER)
        self._desk.settle(flight, verdict, Reply(0, "", said), self.route)

    # --- connecting

    def _reopen(self) -> None:
        route = self.route
        if self._connecting is not None or not self._desk.has_work():
            return
        now = self._loop.time()
        if not self._may_work():
            if self._rank == 0 and route.dead is not None and route.retry_at_s < math.inf:
                self._wake_in(max(route.retry_at_s - now, 0.0))
            return
        if now < self._retry_at_s:
            self._wake_in(self._retry_at_s - now)
            return
        if not route.is_known and (route.is_trying or now < route.retry_at_s):
            # One lane tries; the others come when it got through: a wrong password is said once.
            self._wake_in(max(route.retry_at_s - now, 0.05))
            return
        route.is_trying = not route.is_known
        self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        route = self.route
        try:
            connection = await connect(route.endpoint, route.deadlines, self)
        except RelayError as error:
            self._connecting = None
            route.is_trying = False
            # This lane waits, whatever the others have to say of the relay meanwhile.
            self._wait_to_connect(1)
            self._routes.on_not_connected(route, error)
            self.advance()
        except BaseException:  # the loop hears of it once nobody holds the task
            self._connecting = None
            route.is_trying = False
            raise
        else:
            self._connecting = None
            self._by_domain.clear()
            self._trust.begin()
            self._connection = connection
            self._routes.on_connected(route)

    def _wait_to_connect(self, failures: int) -> None:
        wait_s = backoff_s(failures, self._routes.jitter()) * self.route.deadlines.backoff
        self._retry_at_s = self._loop.time() + wait_s

    def _note_failure(self, error: RelayError) -> None:
        self._routes.fail(self.route, error)
        if self.route.dead is None:
            self._wake_in(max(self.route.retry_at_s - self._loop.time(), 0.0))

    def _wake_in(self, wait_s: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= self._loop.time() + wait_s:
                return
            self._timer.cancel()
        self._timer = self._loop.call_later(wait_s, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.advance()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def pending_tasks(self) -> Iterator[asyncio.Task[None]]:
        if self._connecting is not None:
            yield self._connecting


class _Lost(RelayError):
    """A connection ended in the middle of a message."""
