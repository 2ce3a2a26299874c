"""How fast: tokens by the second and the hour, one domain's share, slower on 4xx.

In: the settings of a relay, monotonic seconds of the caller. Out: "now", "in so many seconds", how
many connections. Never: a clock, a sleep, a random number.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from newsletter.config import DomainPace, Relay


@dataclass(slots=True)
class TokenBucket:
    """Lets *rate* messages through each second, at most *burst* at once; for any thread."""

    rate: float
    burst: float
    _tokens: float = field(init=False)
    _at_s: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Not full: each process begins anew, and the relay counts on.
        self._tokens = min(1.0, self.burst)

    def take(self, now: float) -> float:
        """Take a token and return 0, or return how many seconds to wait for one."""
        with self._lock:
            if self._at_s is None:
                self._at_s = now
            if now > self._at_s:  # else another thread looked at the clock after us, and came first
                self._tokens = min(self.burst, self._tokens + (now - self._at_s) * self.rate)
                self._at_s = now
            if self._tokens >= 1:
                self._tokens -= 1
                return 0.0
            return (1 - self._tokens) / self.rate

    def give_back(self) -> None:
        with self._lock:
            self._tokens = min(self.burst, self._tokens + 1)


Destination = tuple[str, ...]  # a relay's URL; for a domain behind it, the domain as well
#: By destination, rate and the seconds it is of: a relay counts what comes, whichever run's it is.
#: Few and small, and kept: the next dispatch goes on where the last one left off.
BUCKETS: dict[tuple[Destination, float, int], TokenBucket] = {}


def open_buckets(
    to: Destination, rate_per_s: float | None, rate_per_hour: float | None
) -> tuple[TokenBucket, ...]:
    """Return the buckets of a destination, which all dispatches of the process share.

    The hourly one never lets more than a minute's worth burst.
    """
    buckets = []
    if rate_per_s:
        buckets.append(_open_bucket(to, rate_per_s, 1, rate_per_s))
    if rate_per_hour:
        buckets.append(_open_bucket(to, rate_per_hour, 3600, rate_per_hour / 60))
    return tuple(buckets)


def _open_bucket(to: Destination, rate: float, seconds: int, burst: float) -> TokenBucket:
    # One step, so that two dispatches that begin together get the same.
    return BUCKETS.setdefault((to, rate, seconds), TokenBucket(rate / seconds, max(1.0, burst)))


def take_from_all(buckets: tuple[TokenBucket, ...], now: float) -> float:
    """Take a token of each bucket, or none at all and return the longest wait."""
    taken: list[TokenBucket] = []
    for bucket in buckets:
        wait = bucket.take(now)
        if wait > 0:
            for other in taken:
                other.give_back()
            return wait
        taken.append(bucket)
    return 0.0


#: Additive increase: one connection more after so many messages without a 4xx.
RAISE_AFTER = 50
#: A throttle heard again within this time is the same one: halve only once.
SAME_FAULT_S = 1.0


@dataclass(slots=True)
class Adaptive:
    """How many connections may work: halved on a throttle, one more after a quiet stretch."""

    ceiling: int
    allowed: int = field(init=False)
    _quiet: int = 0
    _faulted_at_s: float | None = None

    def __post_init__(self) -> None:
        self.allowed = self.ceiling

    def limit(self, ceiling: int) -> None:
        """Let at most *ceiling* connections work from now on."""
        is_slowed = self.allowed < self.ceiling
        self.ceiling = ceiling
        self.allowed = min(self.allowed, ceiling) if is_slowed else ceiling

    def crowd(self, held: int) -> None:
        """One connection more was refused while *held* were open: so many may work."""
        self._quiet = 0
        self.allowed = max(1, min(self.allowed, held))

    def praise(self) -> None:
        if self.allowed < self.ceiling:
            self._quiet += 1
            if self._quiet >= RAISE_AFTER:
                self._quiet = 0
                self.allowed += 1

    def blame(self, now: float) -> None:
        self._quiet = 0
        if self._faulted_at_s is not None and now - self._faulted_at_s < SAME_FAULT_S:
            return
        self._faulted_at_s = now
        self.allowed = max(1, self.allowed // 2)


@dataclass(slots=True)
class Trust:
    """What became of a lane's connections: how long the next one waits, how much it may risk."""

    has_served: bool = False  # the one in hand gave a reader's last word
    _in_vain: int = 0  # in a row that were asked, and gave none
    _in_doubt: int = 0  # that lost an answer, without a quiet stretch in between
    _answered: int = 0  # last words since such a one

    @property
    def is_lost(self) -> bool:
        """True until somebody is answered: one message at a time is enough to see."""
        return self._in_vain > 0

    def begin(self) -> None:
        """Another connection was opened."""
        self.has_served = False

    def praise(self) -> None:
        """It gave somebody's last word."""
        self.has_served, self._in_vain = True, 0
        self._answered += 1
        if self._answered >= RAISE_AFTER:
            self._in_doubt = 0

    def lose(self, *, in_vain: bool, was_asked: bool, doubted: bool) -> int:
        """Return for how many failures in a row to wait, now that it ended; 0: not at all.

        *in_vain*: it broke off and had served nobody; *doubted*: an answer was lost with it.
        """
        if doubted:
            self._in_doubt, self._answered = self._in_doubt + 1, 0
        if in_vain:
            self._in_vain += was_asked
        return max(1, self._in_vain, self._in_doubt) if in_vain or doubted else 0


# --- domains -------------------------------------------------------------------------------------


@dataclass(slots=True)
class DomainLimits:
    """What one receiving domain bears, and what it bears just now."""

    connections: int
    max_messages: int | None
    buckets: tuple[TokenBucket, ...]
    adaptive: Adaptive


class Domains:
    """The table of domains that have a limit: those of the settings, and those that said 4xx."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._limits = {
            name.lower(): _open_limits(relay, name.lower(), pace)
            for name, pace in relay.domains.items()
        }

    @property
    def is_limiting(self) -> bool:
        return bool(self._limits)

    def find(self, domain: str) -> DomainLimits | None:
        """Return the limits of a domain, None when it has none."""
        return self._limits.get(domain) if self._limits else None

    def blame(self, domain: str, now: float) -> None:
        """A domain said 4xx: half its connections, no other domain's."""
        limits = self._limits.get(domain)
        if limits is None:
            limits = self._limits[domain] = _open_limits(self._relay, domain, DomainPace())
        limits.adaptive.blame(now)

    def praise(self, domain: str) -> None:
        if limits := self._limits.get(domain):
            limits.adaptive.praise()


def _open_limits(relay: Relay, domain: str, pace: DomainPace) -> DomainLimits:
    ceiling = min(pace.connections or relay.connections, relay.connections)
    return DomainLimits(
        connections=ceiling,
        max_messages=pace.max_messages_per_connection,
        buckets=open_buckets((relay.url, domain), pace.rate_per_s, None),
        adaptive=Adaptive(ceiling),
    )


def domain_of(address: str) -> str:
    return address.rpartition("@")[2].lower()


# --- reconnecting --------------------------------------------------------------------------------

BACKOFF_FIRST_S = 5.0
BACKOFF_MAX_S = 300.0


def backoff_s(failures: int, jitter: float) -> float:
    """Return how long to wait after the n-th failure in a row: 5 s doubling to 5 min.

    *jitter* in [0, 1) spreads it over the upper half, so that many do not come back at once.
    """
    full = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** (failures - 1))
    return full / 2 + full / 2 * jitter


# --- windows -------------------------------------------------------------------------------------

FAST_WINDOW = 32
FAST_RATE = 300


def choose_window(relay: Relay) -> int:
    """Return how many readers to claim ahead; 0: the connections at their dot share one commit.

    The default claims ahead only where speed needs it (DESIGN 6): above 300 messages a second, or
    unlimited towards a relay on this machine.
    """
    if relay.window is not None:
        return relay.window
    fast = relay.rate_per_s > FAST_RATE if relay.rate_per_s else relay.is_loopback
    return FAST_WINDOW if fast else 0
