"""The relays of one dispatch: their pace, their health, what they taught us.

In: failures and successes of their lanes. Out: when to try one again, whether to leave it to the
others. Never: a socket.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from newsletter.delivery.endpoints import Deadlines, Endpoint
from newsletter.delivery.pacing import (
    BACKOFF_MAX_S,
    Adaptive,
    Domains,
    TokenBucket,
    backoff_s,
    domain_of,
    open_buckets,
)
from newsletter.delivery.smtp import Unwelcome
from newsletter.delivery.states import ONE_MAILBOX, Blame, Reply, Verdict
from newsletter.errors import AuthFailed, RelayError, TlsFailed
from newsletter.model import DeliveryState

log = logging.getLogger(__name__)

_SESSION_LIMIT = re.compile(
    r"(max|limit|too many).*(message|mail).*(session|connection)|"
    r"(message|mail)s?.*(per|in this) (session|connection)",
    re.IGNORECASE,
)
MAX_FAILURES = 3  # in a row, before a relay is left to the others


@dataclass(slots=True)
class Route:
    """One relay during one dispatch: its pace, its health."""

    endpoint: Endpoint
    deadlines: Deadlines
    buckets: tuple[TokenBucket, ...] = field(init=False)
    domains: Domains = field(init=False)
    adaptive: Adaptive = field(init=False)
    failures: int = 0
    retry_at_s: float = 0.0  # infinite: never again in this dispatch
    quiet_until_s: float = 0.0  # throttled, and nothing taken since
    has_greeted: bool = False
    has_served: bool = False  # somebody was taken, or put off
    is_trying: bool = False
    is_doubted: bool = False  # it has served nobody yet, and the last dispatch lost an answer
    dead: RelayError | None = None  # given up: the others do its work
    max_messages: int = field(init=False)

    def __post_init__(self) -> None:
        relay = self.endpoint.relay
        self.buckets = open_buckets((relay.url,), relay.rate_per_s, relay.rate_per_hour)
        self.domains = Domains(relay)
        self.adaptive = Adaptive(relay.connections)
        self.max_messages = relay.max_messages_per_connection

    @property
    def is_hopeless(self) -> bool:
        """True when trying again does not help: a person must look."""
        return is_hopeless(self.dead)

    @property
    def is_abandoned(self) -> bool:
        """True when it is never tried again in this dispatch."""
        return self.dead is not None and self.retry_at_s == math.inf

    @property
    def open_lanes(self) -> int:
        """How many of its lanes may work: the first alone while it is in doubt, or given up."""
        return 1 if self.is_doubted or self.dead is not None else self.adaptive.allowed

    @property
    def is_known(self) -> bool:
        """True when it has let somebody in, and has not failed since."""
        return self.has_greeted and not self.failures

    def fail(self, error: RelayError, *, now: float, wait_s: float) -> None:
        hopeless = is_hopeless(error)
        if now < self.retry_at_s and not hopeless:
            return  # the same failure, met by another lane
        self.failures += 1
        self.retry_at_s = now + wait_s
        if hopeless:
            self.abandon(error)
        elif self.failures >= MAX_FAILURES:
            self.dead = error
            self.retry_at_s = now + BACKOFF_MAX_S * self.deadlines.backoff

    def abandon(self, error: RelayError) -> None:
        """Never try it again in this dispatch."""
        self.dead, self.retry_at_s = error, math.inf

    def succeed(self) -> None:
        self.has_served = True
        self.is_doubted = False
        self.failures = 0
        self.quiet_until_s = 0.0
        if self.dead is not None and self.retry_at_s < math.inf:
            self.dead, self.retry_at_s = None, 0.0

    def learn(self, carried: int, reply: Reply) -> None:
        """A 421 at MAIL that names a limit per session says how much a session carries."""
        if carried >= 1 and _SESSION_LIMIT.search(reply.text):
            self.max_messages = min(self.max_messages, carried)


def is_hopeless(error: RelayError | None) -> bool:
    """True for what trying again does not mend."""
    return isinstance(error, (AuthFailed, TlsFailed, Unwelcome))


def share(routes: Sequence[Route]) -> None:
    """Let the heaviest live relay open all its connections, the others by their weight.

    A share of the connections and not of the messages: a slow relay then holds nobody up, and the
    others take the connections of one that died.
    """
    live = [route for route in routes if route.dead is None]
    heaviest = max((route.endpoint.relay.weight for route in live), default=1)
    for route in live:
        relay = route.endpoint.relay
        route.adaptive.limit(max(1, round(relay.connections * relay.weight / heaviest)))


class Desk(Protocol):
    """What the relays ask of the dispatch that they work for."""

    def count_connected(self, route: Route) -> int: ...

    def wake(self) -> None: ...

    def wake_soon(self) -> None: ...

    def give_up(self, error: RelayError, *, hopeless: bool) -> None: ...


class Routes:
    """All relays of one dispatch: one may do the work of another, until all are given up."""

    def __init__(self, desk: Desk, routes: Sequence[Route]) -> None:
        self._desk = desk
        self._routes = routes
        self._loop = asyncio.get_running_loop()
        share(routes)

    def places(self) -> Iterator[tuple[Route, int]]:
        """Yield the connections that the relays allow: the first of each before any second."""
        for rank in range(max(route.endpoint.relay.connections for route in self._routes)):
            for route in self._routes:
                if rank < route.endpoint.relay.connections:
                    yield route, rank

    def find_limited(self, address: str) -> str | None:
        """Return the domain of an address when some relay limits it."""
        for route in self._routes:
            if route.domains.is_limiting:
                domain = domain_of(address)
                if route.domains.find(domain) is not None:
                    return domain
        return None

    def jitter(self) -> float:
        return random.random()  # noqa: S311 - spreads reconnections, protects nothing

    def pace(self, route: Route, address: str, verdict: Verdict, reply: Reply | None) -> None:
        """Take from a verdict what it says of the relay and of the domain."""
        if verdict.state is DeliveryState.SENT:
            self._note_success(route)
            route.adaptive.praise()
            if route.domains.is_limiting:
                route.domains.praise(domain_of(address))
        elif verdict.state is DeliveryState.DEFERRED:
            self._note_success(route)
            if verdict.blame is Blame.READER and verdict.reason not in ONE_MAILBOX:
                route.domains.blame(domain_of(address), self._loop.time())
            elif verdict.throttled:
                route.adaptive.blame(self._loop.time())
        elif verdict.throttled:
            route.adaptive.blame(self._loop.time())
            if not verdict.close:  # a 421 is judged by what its connection has carried
                self.fail(route, RelayError(str(reply), host=route.endpoint.host))
                route.quiet_until_s = route.retry_at_s

    def on_connected(self, route: Route) -> None:
        """A lane got through: the others of its relay, who waited for that, may follow."""
        route.is_trying, route.has_greeted = False, True
        self._desk.wake()

    def on_not_connected(self, route: Route, error: RelayError) -> None:
        """A relay let nobody in; while it has some of us it is asked for no more than these."""
        held = self._desk.count_connected(route)
        # Its 554 to one more says no more than a 421; a password or a certificate that fails does.
        is_final = isinstance(error, (AuthFailed, TlsFailed))
        if held and route.dead is None and not is_final:
            route.adaptive.crowd(held)
        else:
            self.fail(route, error)

    def fail(self, route: Route, error: RelayError) -> None:
        """A relay failed: wait, then leave it to the others and look after it, then give up."""
        wait_s = backoff_s(route.failures + 1, self.jitter()) * route.deadlines.backoff
        was_alive = route.dead is None
        route.fail(error, now=self._loop.time(), wait_s=wait_s)
        if all(other.dead is not None for other in self._routes):
            self._desk.give_up(error, hopeless=all(other.is_hopeless for other in self._routes))
        elif route.dead is not None:
            if was_alive:
                log.warning("relay %s is left to the others (%s)", route.endpoint.host, error.code)
            self._share_again()

    def leave_to_others(self, route: Route, error: RelayError) -> bool:
        """Do without a relay for good; False when no other will ever do its work."""
        others = [other for other in self._routes if other is not route]
        if all(other.is_abandoned for other in others):
            return False
        route.abandon(error)
        if all(other.dead is not None for other in others):  # away for the moment
            # Later: the reader in hand is put back first.
            self._loop.call_soon(partial(self._desk.give_up, error, hopeless=False))
        else:
            self._share_again()
        return True

    def _note_success(self, route: Route) -> None:
        was_alive, was_doubted = route.dead is None, route.is_doubted
        route.succeed()
        if was_doubted:
            self._desk.wake_soon()
        if not was_alive and route.dead is None:
            log.warning("relay %s works again", route.endpoint.host)
            self._share_again()

    def _share_again(self) -> None:
        share(self._routes)
        self._desk.wake_soon()
