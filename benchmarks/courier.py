"""The SMTP client alone: ``smtp_protocol``, ``smtp`` and ``lanes`` on prebuilt bytes.

In: a port, prebuilt messages. Out: wall and CPU seconds. No ledger, no composing: every flight is
granted beforehand, so that what is left is what smtplib does.
"""

from __future__ import annotations

import asyncio

from benchmarks.messages import address
from benchmarks.rivals import HOST, SENDER, measured
from newsletter.config import Relay
from newsletter.delivery.endpoints import Deadlines, Endpoint
from newsletter.delivery.flights import Flight
from newsletter.delivery.lanes import Lane
from newsletter.delivery.routes import Route, Routes
from newsletter.delivery.smtp_greeting import Terms
from newsletter.mail.compose import Outgoing
from newsletter.model import DeliveryState
from newsletter.store.waiting import Picked


class _Dealer:
    """Deals prebuilt flights and counts what became of them: a desk to lanes and to routes."""

    def __init__(self, endpoint: Endpoint, count: int, content: bytes) -> None:
        self.is_closing = False
        self.closed = asyncio.get_running_loop().create_future()
        self.sent = 0
        self._count, self._content, self._dealt = count, content, 0
        self._routes = Routes(self, [Route(endpoint, Deadlines())])
        self.lanes = [Lane(self, self._routes, *place) for place in self._routes.places()]

    def take(self, _domain: str | None = None) -> Flight | None:
        if self._dealt == self._count:
            return None
        number = self._dealt
        self._dealt += 1
        recipient = address(number)
        row = Picked(number, 0, 0, recipient, "", "", "")
        flight = Flight(
            row,
            Outgoing(
                sender=SENDER,
                recipient=recipient,
                size=len(self._content),
                pieces=(self._content,),
            ),
        )
        flight.granted = True
        return flight

    def waiting_domains(self) -> list[str]:
        return []

    def has_work(self) -> bool:
        return self._dealt < self._count

    def put_back(self, _flight: Flight) -> None:
        raise AssertionError("there is no limit to wait for")

    def compose(self, flight: Flight) -> Outgoing:
        return flight.outgoing

    def compose_ahead(self) -> None:
        """Everything is composed."""

    def want(self, _flight: Flight) -> None:
        raise AssertionError("granted already")

    def settle(self, flight, verdict, reply, route) -> None:
        assert verdict.state is DeliveryState.SENT, reply
        self._routes.pace(route, flight.row.address, verdict, reply)
        self.sent += 1
        if self.sent == self._count:
            self.closed.set_result(None)

    def release(self, _flight: Flight) -> None:
        raise AssertionError("nobody is denied")

    def count_connected(self, _route: Route) -> int:
        return sum(lane.is_connected for lane in self.lanes)

    def wake(self) -> None:
        for lane in self.lanes:
            lane.advance()

    def wake_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self.wake)

    def give_up(self, error: Exception, *, hopeless: bool) -> None:  # noqa: ARG002 - as a desk's
        self.closed.set_exception(error)


async def _send(endpoint: Endpoint, count: int, content: bytes) -> None:
    dealer = _Dealer(endpoint, count, content)
    dealer.wake()
    await dealer.closed
    dealer.is_closing = True
    for lane in dealer.lanes:
        lane.wind_down()
    await asyncio.sleep(0)


def send_prebuilt(
    port: int, count: int, content: bytes, *, connections: int = 8, chunking: bool = True
) -> tuple[float, float]:
    """Submit the same bytes *count* times and return (wall, CPU) seconds."""
    relay = Relay(
        url=f"smtp://{HOST}:{port}",
        connections=connections,
        max_messages_per_connection=10_000_000,
    )
    terms = Terms(
        name="bench.example",
        tls_active=False,
        tls_required=False,
        credentials=None,
        secrets_in_clear=True,
        chunking=chunking,
        in_flight=8,
    )
    endpoint = Endpoint(relay=relay, host=HOST, port=port, terms=terms)
    with measured() as spent:
        asyncio.run(_send(endpoint, count, content))
    return spent[0], spent[1]
