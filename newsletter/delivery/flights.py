"""One reader's message on its way, and the readers that wait for theirs.

In: pages of pending readers, as the ledger gives them. Out: the next flight that a connection may
take. Never: a socket, a transaction; more in memory than a few pages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from newsletter.mail.compose import Outgoing
from newsletter.store.waiting import Picked

if TYPE_CHECKING:
    from newsletter.delivery.lanes import Lane

PAGE = 256
#: Rows of limited domains kept in memory, of one and of all: a slow one leaves room for the others.
#: Who is beyond is met again on a later pass.
DOMAIN_MAX = 256
LIMITED_MAX = 4_096


class Flight:
    """One attempt at one reader.

    ``wanted``: its intent waits for a commit; ``granted``: the intent is committed, the dot may
    leave; ``denied``: the ledger says no; ``at_dot``: the body has left and waits; ``dotted``: the
    dot may have left.
    """

    __slots__ = (
        "at_dot", "denied", "dotted", "granted", "lane", "outgoing", "over", "row", "token",
        "wanted",
    )  # fmt: skip

    def __init__(self, row: Picked, outgoing: Outgoing | Exception | None = None) -> None:
        self.row = row
        self.token = row.subscriber_id
        self.outgoing = outgoing
        self.lane: Lane | None = None
        self.wanted = False
        self.granted = False
        self.denied = False
        self.at_dot = False
        self.dotted = False
        self.over = False


class Supply:
    """The readers still to be reached: a window over the ledger, limited domains set apart."""

    def __init__(
        self, ask: Callable[[int], None], *, find_limited: Callable[[str], str | None]
    ) -> None:
        self.budget: int | None = None  # how many more may be taken; None: all
        self._ask = ask  # for the page after this id; answered by ``add_page``
        self._find_limited = find_limited  # an address's domain, when that has limits
        self._free: deque[Flight] = deque()
        self._limited: dict[str, deque[Flight]] = {}
        self._limited_count = 0
        self._held: set[int] = set()  # in memory, whatever they are doing
        self._cursor = -1
        self._is_reading = False
        self._is_at_end = False
        self._skipped: dict[str, int] = {}  # the first, by domain
        self._missing: str | None = None  # the domain that this pass is for; None: everybody

    @property
    def is_dry(self) -> bool:
        """True when nobody is left to be taken, here or in the ledger."""
        return (
            self._is_at_end
            and not self._is_reading
            and not self._free
            and not self._limited_count
            and not self._skipped
        )

    @property
    def has_free(self) -> bool:
        return bool(self._free) and self.budget != 0

    # --- pages

    def refill(self) -> None:
        """Ask for the next page when little is left."""
        if self._is_reading or len(self._free) > PAGE // 2:
            return
        if self._is_at_end:
            self._missing = self._find_short()
            if self._missing is None:
                return
            self._cursor = self._skipped.pop(self._missing) - 1
        self._is_reading, self._is_at_end = True, False
        self._ask(self._cursor)

    def _find_short(self) -> str | None:
        """Return a domain that has few here and more in the ledger, when there is room."""
        if self._limited_count > LIMITED_MAX - DOMAIN_MAX:
            return None
        for domain in self._skipped:
            if len(self._limited.get(domain, ())) <= DOMAIN_MAX // 2:
                return domain
        return None

    def add_page(self, flights: Iterable[Flight], *, is_last: bool) -> None:
        self._is_reading = False
        for flight in flights:
            self._cursor = flight.token
            if flight.token not in self._held:
                self._add(flight)
        # A pass for one domain ends where that is skipped again: not at the end, for each few.
        self._is_at_end = is_last or self._missing in self._skipped

    def read_again(self) -> None:
        """Begin at the first reader again: some have become pending meanwhile."""
        self._cursor, self._is_at_end, self._missing = -1, False, None
        self._skipped.clear()

    def add_due(self, flights: Iterable[Flight]) -> None:
        """Put readers who are due again before all others: they have waited long enough."""
        for flight in flights:
            if flight.token not in self._held:
                self._add(flight, is_first=True)

    def _add(self, flight: Flight, *, is_first: bool = False) -> None:
        domain = self._find_limited(flight.row.address)
        if domain is None or self._has_room(domain):
            self._held.add(flight.token)
            self._line_up(flight, domain, is_first=is_first)
        else:
            self._skipped[domain] = min(flight.token, self._skipped.get(domain, flight.token))

    def _has_room(self, domain: str) -> bool:
        line = self._limited.get(domain, ())
        return len(line) < DOMAIN_MAX and self._limited_count < LIMITED_MAX

    def _line_up(self, flight: Flight, domain: str | None, *, is_first: bool) -> None:
        line = self._free
        if domain is not None:
            line = self._limited.setdefault(domain, deque())
            self._limited_count += 1
        if is_first:
            line.appendleft(flight)
        else:
            line.append(flight)

    # --- taking

    def waiting_domains(self) -> list[str]:
        """Return the limited domains that have somebody waiting."""
        if not self._limited_count or self.budget == 0:
            return []
        return [domain for domain, flights in self._limited.items() if flights]

    def take(self, domain: str | None = None) -> Flight:
        """Take the next flight: of a limited domain, or of all the others."""
        if self.budget is not None:
            self.budget -= 1
        if domain is None:
            return self._free.popleft()
        self._limited_count -= 1
        return self._limited[domain].popleft()

    def put_back(self, flight: Flight) -> None:
        """Let another connection take this reader: before all others, or after a fault behind them.

        Else somebody at whom the relay always hangs up would keep everybody from their mail.
        """
        if self.budget is not None:
            self.budget += 1
        domain = self._find_limited(flight.row.address)
        self._line_up(flight, domain, is_first=not flight.row.drops)

    def forget(self, flight: Flight) -> None:
        """Let go of a reader who is settled, or no longer ours."""
        self._held.discard(flight.token)
