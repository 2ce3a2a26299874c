"""One relay during one dispatch: its pace, its health, what it taught us.

In: failures and successes of its lanes. Out: when to try again, whether to leave it to the others.
Never: a socket.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from newsletter.delivery.endpoints import Deadlines, Endpoint
from newsletter.delivery.pacing import (
    BACKOFF_MAX_S,
    Adaptive,
    Domains,
    TokenBucket,
    open_buckets,
)
from newsletter.delivery.smtp import Unwelcome
from newsletter.delivery.states import Reply
from newsletter.errors import AuthFailed, RelayError, TlsFailed

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
    retry_at: float = 0.0  # infinite: never again in this dispatch
    quiet_until: float = 0.0  # throttled, and nothing taken since
    has_greeted: bool = False
    is_trying: bool = False
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
    def is_known(self) -> bool:
        """True when it has let somebody in, and has not failed since."""
        return self.has_greeted and not self.failures

    def fail(self, error: RelayError, *, now: float, wait_s: float) -> None:
        hopeless = is_hopeless(error)
        if now < self.retry_at and not hopeless:
            return  # the same failure, met by another lane
        self.failures += 1
        self.retry_at = now + wait_s
        if hopeless:
            self.abandon(error)
        elif self.failures >= MAX_FAILURES:
            self.dead = error
            self.retry_at = now + BACKOFF_MAX_S * self.deadlines.backoff

    def abandon(self, error: RelayError) -> None:
        """Never try it again in this dispatch."""
        self.dead, self.retry_at = error, math.inf

    def succeed(self) -> None:
        self.failures = 0
        self.quiet_until = 0.0
        if self.dead is not None and self.retry_at < math.inf:
            self.dead, self.retry_at = None, 0.0

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
