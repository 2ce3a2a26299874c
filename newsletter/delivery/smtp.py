"""The asyncio edge of SMTP: sockets, TLS and deadlines around ``smtp_protocol``.

In: where the relay is, on what terms. Out: a ``Connection`` that writes bytes and hands on events;
one message submitted; what a relay offers. Never: a decision about a reader; a certificate taken
on trust where TLS is required.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from asyncio.trsock import TransportSocket
from collections.abc import Sequence
from typing import Protocol

from newsletter.config import Settings
from newsletter.delivery import event_loop
from newsletter.delivery.endpoints import Deadlines, Endpoint, open_endpoints
from newsletter.delivery.smtp_greeting import Failed, Problem, Ready, StartTls
from newsletter.delivery.smtp_protocol import (
    BadAddress,
    Closing,
    Event,
    Proceed,
    Session,
    Settled,
)
from newsletter.delivery.states import Reply, Stage
from newsletter.errors import (
    AuthFailed,
    ConnectFailed,
    RelayError,
    TimedOut,
    TlsFailed,
    Unanswered,
)

_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # of Linux

# --- one connection ------------------------------------------------------------------------------


class Listener(Protocol):
    """Who is told what happens on a connection."""

    def on_events(self, events: Sequence[Event]) -> None:
        """Hear what the relay's answers came to, in their order."""

    def on_lost(self, connection: Connection, reason: str) -> None:
        """Hear that the connection is gone: drop, timeout, busy, desync, closed or withdrawn."""


class Connection(asyncio.Protocol):
    """A socket, its session, and one timer for the stage it is in."""

    def __init__(self, endpoint: Endpoint, deadlines: Deadlines, listener: Listener) -> None:
        self.endpoint = endpoint
        self.session = Session(endpoint.terms)
        self.is_lost = False
        self._deadlines = deadlines
        self._deadline_of = {stage: deadlines.of(stage) for stage in Stage}
        self._shortest = min(self._deadline_of.values())
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._socket: TransportSocket | None = None
        self._deadline = 0.0
        self._is_armed = False  # since data came last
        self._timer: asyncio.TimerHandle | None = None
        self._greeted: asyncio.Future[Event | None] = self._loop.create_future()
        self._reason = "drop"

    # --- asyncio's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        first = self._transport is None
        self._transport = transport
        if first:
            self._socket = sock = transport.get_extra_info("socket")
            # Without it the held dot waits 40 ms for a delayed ACK (DELIVERY 2.3).
            if not sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._arm()

    def data_received(self, data: bytes) -> None:
        session = self.session
        before = session.answered
        self._is_armed = False
        out, events = session.receive(data)
        if out:
            self.write(out)
        if events:
            self._tell(events)
        if self._is_armed:  # something was written, and carried the ACK
            return
        self._acknowledge()
        if session.answered != before:
            # Only a whole reply starts the clock again: trickled bytes do not (tarpits).
            self._arm()

    def _acknowledge(self) -> None:
        """Have the kernel say now that the bytes came: with nothing to write it takes 40 ms.

        A relay without TCP_NODELAY (Postfix) holds all further answers until then.
        """
        if _QUICKACK is not None and self._socket is not None and not self.is_lost:
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def _tell(self, events: Sequence[Event]) -> None:
        if self._greeted.done():
            self._listener.on_events(events)
            return
        for event in events:
            if isinstance(event, (Ready, Failed, StartTls)):
                # What was slipped in behind a go-ahead for TLS wins over it.
                self._resolve(event if isinstance(event, Ready) else events[-1])

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._disarm()
        if self.is_lost:
            return
        self.is_lost = True
        self.session.is_over = True
        if not self._greeted.done():
            self._greeted.set_result(None)
        self._listener.on_lost(self, self._reason)

    # --- what the lanes call

    @property
    def is_open(self) -> bool:
        return not self.is_lost and self._transport is not None

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self.is_lost:
            self._transport.write(data)
            self._arm()

    def end(self) -> None:
        """Say goodbye and close; nothing may be in flight."""
        if self.is_open and self._transport is not None:
            if not self.session.is_over:
                self._transport.write(self.session.quit())
            self._reason = "closed"
            self._transport.close()
            # TLS would wait half a minute for the peer's goodbye, and outlive the event loop.
            self._transport.abort()

    def linger(self) -> None:
        """Let the relay close, as its 421 announced: what it still answers is heard."""
        self._reason = "busy"

    def abort(self, reason: str) -> None:
        """Close at once, whatever is in flight: the listener settles it."""
        self._reason = reason
        if self._transport is not None and not self.is_lost:
            self._transport.abort()
            # Now, not in the next turn of the loop: nothing may be written in between.
            self.connection_lost(None)

    # --- greeting

    async def greet(self) -> None:
        """Wait until the first envelope may be submitted; raise RelayError."""
        while True:
            event = await self._greeted
            if isinstance(event, Ready):
                if self.session.is_over:  # by a 421, or the end, right behind its last word
                    raise self._explain(None)
                return
            if not isinstance(event, StartTls):
                raise self._explain(event)
            self._greeted = self._loop.create_future()
            await self._encrypt()

    async def _encrypt(self) -> None:
        assert self._transport is not None
        try:
            transport = await self._loop.start_tls(
                self._transport,
                self,
                self.endpoint.context,
                server_hostname=self.endpoint.host,
                ssl_handshake_timeout=self._deadlines.command_s,
            )
        except (OSError, ssl.SSLError) as error:
            raise _explain_handshake(self.endpoint, error) from error
        if transport is None:  # closed while it was being encrypted
            raise _explain_handshake(self.endpoint, ConnectionResetError("connection lost"))
        self._transport = transport
        self.write(self.session.tls_started())
        self._arm()

    def _resolve(self, event: Event) -> None:
        if not self._greeted.done():
            self._greeted.set_result(event)

    def _explain(self, event: Event | None) -> RelayError:
        host = self.endpoint.host
        if event is None and self._reason == "timeout":
            return TimedOut(f"{host} does not answer at {self.session.stage}", host=host)
        if event is None:
            return ConnectFailed(f"{host} closed the connection", host=host)
        assert isinstance(event, Failed)
        return _explain_failure(event, host)

    # --- the deadline

    def _arm(self) -> None:
        self._is_armed = True
        session = self.session
        if not session.is_waiting and not session.in_flight:
            self._deadline = 0.0
            return
        now = self._loop.time()
        self._deadline = now + self._deadline_of[session.stage]
        if self._timer is None:
            self._set_timer(now)

    def _look_at_clock(self) -> None:
        self._timer = None
        if self._deadline and self._loop.time() >= self._deadline:
            self.abort("timeout")
        elif self._deadline:
            self._set_timer(self._loop.time())

    def _set_timer(self, now: float) -> None:
        # Never later than the shortest deadline: it is looked at then, and nobody has to cancel
        # the timer of one stage to set that of the next, four times a message.
        at = min(self._deadline, now + self._shortest)
        self._timer = self._loop.call_at(at, self._look_at_clock)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def connect(endpoint: Endpoint, deadlines: Deadlines, listener: Listener) -> Connection:
    """Return a connection that may take its first envelope; raise RelayError."""
    loop = asyncio.get_running_loop()
    connection: Connection | None = None
    try:
        async with asyncio.timeout(deadlines.connect_s):
            _, connection = await loop.create_connection(
                lambda: Connection(endpoint, deadlines, listener),
                endpoint.host,
                endpoint.port,
                ssl=endpoint.context if endpoint.terms.tls_active else None,
                server_hostname=endpoint.host if endpoint.terms.tls_active else None,
                ssl_handshake_timeout=deadlines.command_s if endpoint.terms.tls_active else None,
            )
    except TimeoutError:
        raise TimedOut(f"{endpoint.host} does not answer", host=endpoint.host) from None
    except ssl.SSLError as error:
        raise _explain_handshake(endpoint, error) from error
    except UnicodeError:
        raise ConnectFailed(
            f"{endpoint.host!r} is not the name of a host",
            host=endpoint.host,
            remedy="check relay.url",
        ) from None
    except OSError as error:
        raise ConnectFailed(
            f"{endpoint.host}:{endpoint.port} cannot be reached: {error.strerror or error}",
            host=endpoint.host,
            remedy="check relay.url, and that the relay runs",
        ) from error
    try:
        await connection.greet()
    except BaseException:
        connection.abort("closed")
        raise
    return connection


#: A handshake that somebody cut: the network's fault, and not a certificate's.
_CUT = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


def _explain_handshake(endpoint: Endpoint, error: OSError) -> RelayError:
    if not isinstance(error, ssl.SSLError) or isinstance(error, _CUT):
        return ConnectFailed(
            f"{endpoint.host}: the TLS handshake broke off: {error}",
            host=endpoint.host,
            remedy="try again later; nothing was sent in clear",
        )
    return TlsFailed(
        f"{endpoint.host}: TLS failed: {error}",
        host=endpoint.host,
        remedy="check the relay's name and certificate; nothing was sent in clear",
    )


def _explain_failure(failed: Failed, host: str) -> RelayError:
    said = f"{host}: {failed.detail or failed.reply} (at {failed.stage})"
    match failed.problem:
        case Problem.AUTH:
            return AuthFailed(said, host=host, remedy="check relay.url's user and the password")
        case Problem.TLS:
            return TlsFailed(said, host=host, remedy="nothing was sent; ask the relay's operator")
        case Problem.REFUSED:
            return Unwelcome(said, host=host, remedy="ask the relay's operator")
        case _:
            return ConnectFailed(said, host=host, remedy="try again later")


class Unwelcome(ConnectFailed):
    """The relay refuses us for good: trying again will not help."""


# --- one message ---------------------------------------------------------------------------------


def submit_one(settings: Settings, *, sender: str, recipient: str, content: bytes) -> Reply:
    """Submit one message on a connection of its own and return the relay's answer to it.

    The answer may be a *no* to MAIL, RCPT, DATA or the dot: it is a value. Raise RelayError when
    nothing could be offered, BadAddress for an address that must not reach a command line, and
    Unanswered when the dot may have left and no answer came.
    """
    with open_endpoints(settings) as endpoints:
        courier = _Courier(sender, recipient, content)
        return event_loop.run(courier.submit(endpoints[0]))


def probe_relay(settings: Settings) -> str:
    """Greet every relay and return what they offer; raise RelayError for the first that fails."""
    with open_endpoints(settings) as endpoints:
        return "; ".join(event_loop.run(_probe(endpoint)) for endpoint in endpoints)


async def _probe(endpoint: Endpoint) -> str:
    connection = await connect(endpoint, Deadlines(), _Courier("", "", b""))
    offer = connection.session.offer
    connection.end()
    words = [
        "TLS" if connection.session.is_encrypted else "no TLS",
        "PIPELINING" if offer.pipelining else "no PIPELINING",
        *(["CHUNKING"] if offer.chunking else []),
        *([f"SIZE {offer.size}"] if offer.size else []),
    ]
    return f"{endpoint.host}:{endpoint.port} answers ({', '.join(words)})"


class _Courier:
    """Carries one message, one command after another."""

    def __init__(self, sender: str, recipient: str, content: bytes) -> None:
        self._sender, self._recipient, self._content = sender, recipient, content
        self._connection: Connection | None = None
        self._answer: asyncio.Future[Reply] | None = None

    async def submit(self, endpoint: Endpoint) -> Reply:
        self._connection = await connect(endpoint, Deadlines(), self)
        session = self._connection.session
        too_large = session.check_size(len(self._content))
        if too_large is not None:
            self._connection.end()
            return too_large
        try:
            envelope = session.open(0, self._sender, self._recipient, len(self._content))
        except BadAddress:
            self._connection.end()
            raise
        self._answer = asyncio.get_running_loop().create_future()
        self._connection.write(envelope)
        return await self._answer

    def on_events(self, events: Sequence[Event]) -> None:
        assert self._connection is not None
        assert self._answer is not None
        for event in events:
            match event:
                case Proceed():
                    session = self._connection.session
                    self._connection.write(self._content + session.finish(0))
                case Settled(reply=reply):
                    self._answer.set_result(reply)
                    self._connection.end()
                case Closing(reason=reason):
                    self._connection.abort(reason)

    def on_lost(self, connection: Connection, reason: str) -> None:
        if self._answer is None or self._answer.done() or self._connection is None:
            return
        host = connection.endpoint.host
        left = connection.session.unsettled()
        if left and left[0].no is not None:
            self._answer.set_result(left[0].no)
            return
        doubted = any(one.stage is Stage.DOT for one in left)
        error = Unanswered if doubted else (TimedOut if reason == "timeout" else ConnectFailed)
        self._answer.set_exception(error(f"{host}: connection lost ({reason})", host=host))
