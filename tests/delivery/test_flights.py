"""The readers that wait: those of limited domains apart, a few in memory, nobody left out."""

from __future__ import annotations

from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.config import DomainPace
from newsletter.delivery import flights
from newsletter.delivery.dispatch import dispatch
from newsletter.delivery.flights import DOMAIN_MAX, LIMITED_MAX, PAGE, Flight, Supply
from newsletter.delivery.pacing import domain_of
from newsletter.store.waiting import Picked
from tests.delivery.scenery import start_run, with_relay
from tests.delivery.sink import Manners, Rule
from tests.waiting import wait_until

LIMITED = {"lent.example", "vif.example"}


class Ledger:
    """The pending rows of a run, and what is read of them; a reader's id is their place."""

    def __init__(self, domains, *, page=PAGE):
        self.pending = dict(enumerate(domains))
        self.pages, self.most = 0, 0
        self._page = page
        self._asked = deque()
        self.supply = Supply(self._asked.append, find_limited=self._find_limited)

    def _find_limited(self, address):
        domain = domain_of(address)
        return domain if domain in LIMITED else None

    def read(self):
        """Answer whatever the supply asks for."""
        self.supply.refill()
        while self._asked:
            after = self._asked.popleft()
            self.pages += 1
            rows = [(token, domain) for token, domain in self.pending.items() if token > after]
            page = [
                Flight(Picked(token, 0, 0, f"x@{domain}", "", "", ""))
                for token, domain in rows[: self._page]
            ]
            self.supply.add_page(page, is_last=len(page) < self._page)
            self.supply.refill()

    def take(self, domain=None):
        """Send to the next one, and return their id."""
        flight = self.supply.take(domain)
        del self.pending[flight.token]
        self.supply.forget(flight)
        return flight.token

    def take_turns(self, pace):
        """Take all free ones and, each turn, so many of each domain; yield who was taken."""
        self.read()
        while not self.supply.is_dry:
            taken = [self.take() for _ in range(PAGE) if self.supply.has_free]
            for domain, count in pace.items():
                for _ in range(count):
                    if domain in self.supply.waiting_domains():
                        taken.append(self.take(domain))  # noqa: PERF401 - asked anew each time
            yield taken
            self.read()


@given(st.lists(st.sampled_from([*LIMITED, "x.example"]), max_size=80), st.integers(1, 9))
def test_everybody_is_taken_once(domains, page):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flights, "DOMAIN_MAX", 4)
        patch.setattr(flights, "LIMITED_MAX", 7)
        ledger = Ledger(domains, page=page)
        taken = [token for turn in ledger.take_turns(dict.fromkeys(LIMITED, 1)) for token in turn]
    assert Counter(taken) == Counter(range(len(domains)))


def test_few_readers_of_limited_domains_are_held():
    ledger = Ledger(["lent.example", "vif.example"] * 3_000)
    ledger.read()
    held = 0
    while domains := ledger.supply.waiting_domains():
        ledger.supply.take(domains[0])
        held += 1
    assert held == 2 * DOMAIN_MAX <= LIMITED_MAX


def test_the_rest_of_a_run_is_not_read_again_for_each_few_of_a_domain():
    ledger = Ledger(["lent.example"] * 8_000)
    for _ in ledger.take_turns({"lent.example": 32}):
        pass
    assert ledger.pages <= 3 * 8_000 / PAGE


def test_a_slow_domain_leaves_room_for_a_quick_one():
    ledger, turns = Ledger(["lent.example", "vif.example"] * 2_000), 0
    for _ in ledger.take_turns({"lent.example": 1, "vif.example": 32}):
        turns += "vif.example" in ledger.pending.values()
    assert turns <= 2_000 / 32


def test_a_domain_that_stands_still_keeps_no_other_one_waiting(
    sqlite_engine, settings, keys, now, start_sink, monkeypatch
):
    monkeypatch.setattr(flights, "DOMAIN_MAX", 4)
    monkeypatch.setattr(flights, "LIMITED_MAX", 16)
    # One message at a time on a connection: nobody waits behind one who is held.
    sink = start_sink(Manners(pipelining=False, rules=[Rule("accepted", "hold", "@lent.example")]))
    run_id = start_run(sqlite_engine, now, domains={"lent.example": 40, "vif.example": 60})
    pace = {"lent.example": DomainPace(connections=1), "vif.example": DomainPace(connections=3)}
    relay = with_relay(settings, sink.url, connections=4, window=0, domains=pace)
    with ThreadPoolExecutor(1) as pool:
        try:
            run = pool.submit(dispatch, relay, sqlite_engine, keys, run_id, clock=lambda: now)
            wait_until(lambda: sum("@vif" in a.recipient for a in sink.accepted()) == 60)
        finally:
            sink.manners.release.set()
        assert run.result().tally.sent == 100
