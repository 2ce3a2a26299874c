"""One GET for one feed, within limits (F1, F2, F7).

In: a feed's address and what we know of its last answer. Out: a FeedAnswer, or FeedFailed. Never: a
connection to an address that was not checked in that very moment, a redirect followed unchecked,
more bytes or seconds than allowed, a proxy of the environment.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpcore
import httpx

from newsletter.config import Feeds
from newsletter.examples.addresses import is_public
from newsletter.examples.polling import FeedAnswer, FeedState
from newsletter.examples.reports import FeedFailed

MAX_REDIRECTS = 5
_PERMANENT, _REDIRECTS = {301, 308}, {301, 302, 303, 307, 308}
_GZIP = b"\x1f\x8b"
_ACCEPT = "application/atom+xml, application/rss+xml, application/xml;q=0.9, */*;q=0.5"
Resolve = Callable[[str, int], list[str]]


def resolve(host: str, port: int) -> list[str]:
    """The addresses of *host*, by the system's own look-up."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def download(
    feed: FeedState,
    limits: Feeds,
    *,
    agent: str,
    resolve: Resolve = resolve,
    clock: Callable[[], float] = time.monotonic,
) -> FeedAnswer:
    """Ask for a feed; raise FeedFailed with the reason when it cannot be had."""
    budget = _Budget(feed.url, limits, clock)
    try:
        with httpx.Client(
            transport=_CheckedTransport(budget, resolve), trust_env=False, follow_redirects=False
        ) as client:
            return _follow(client, feed, budget, agent)
    except httpcore.TimeoutException:
        raise FeedFailed("timed_out", feed.url) from None
    except httpx.InvalidURL:  # of a redirect: httpx is stricter than urlsplit
        raise FeedFailed("bad_redirect", feed.url) from None
    except (httpcore.NetworkError, httpcore.ProtocolError, httpx.HTTPError, ssl.SSLError) as error:
        detail = str(error)[:200] or type(error).__name__
        raise FeedFailed("connect_failed", feed.url, detail=detail) from None


def _follow(client: httpx.Client, feed: FeedState, budget: _Budget, agent: str) -> FeedAnswer:
    """Follow at most five redirects by hand, each checked like the first address."""
    url, permanent, unbroken = feed.current_url, "", True
    for _ in range(MAX_REDIRECTS + 1):
        _check_address(url, budget)
        with client.stream("GET", url, headers=_headers(feed, url, agent)) as response:
            if response.status_code not in _REDIRECTS:
                return _read_answer(response, url, permanent, budget)
            unbroken = unbroken and response.status_code in _PERMANENT
            url = _next_address(response, url, budget)
            permanent = url if unbroken else permanent
    raise FeedFailed("too_many_redirects", feed.url)


def _headers(feed: FeedState, url: str, agent: str) -> dict[str, str]:
    headers = {"User-Agent": agent, "Accept": _ACCEPT, "Accept-Encoding": "gzip"}
    if url == feed.validators_for:
        if feed.etag:
            headers["If-None-Match"] = feed.etag
        if feed.last_modified:
            headers["If-Modified-Since"] = feed.last_modified
    return headers


def _check_address(url: str, budget: _Budget) -> None:
    """Refuse other schemes and ports before anything is asked."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise FeedFailed("blocked_scheme", budget.url, target=url[:200]) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise FeedFailed("blocked_scheme", budget.url, target=url[:200])
    if port not in {None, 80, 443} and not budget.allows(parts.hostname, port or 0):
        raise FeedFailed("blocked_port", budget.url, target=url[:200])


def _next_address(response: httpx.Response, url: str, budget: _Budget) -> str:
    location = _header(response, "location")
    if not location:
        raise FeedFailed("bad_redirect", budget.url)
    try:
        return urljoin(url, location).partition("#")[0]
    except ValueError:
        raise FeedFailed("bad_redirect", budget.url) from None


def _read_answer(response: httpx.Response, url: str, permanent: str, budget: _Budget) -> FeedAnswer:
    status = response.status_code
    retry_after = _header(response, "retry-after")
    if status == 304:
        return FeedAnswer(content=None, final_url=url, permanent_url=permanent)
    if status != 200:
        reason = {404: "missing", 410: "gone", 429: "busy", 503: "busy"}.get(status, "bad_status")
        raise FeedFailed(reason, budget.url, status=status, retry_after=retry_after)
    coding = _header(response, "content-encoding").strip().lower()
    if coding not in {"", "identity", "gzip", "x-gzip"}:
        raise FeedFailed("bad_coding", budget.url, detail=coding[:40])
    return FeedAnswer(
        content=_unpack(response.iter_raw(), budget),
        final_url=url,
        permanent_url=permanent,
        content_type=_header(response, "content-type"),
        etag=_header(response, "etag"),
        last_modified=_header(response, "last-modified"),
    )


def _header(response: httpx.Response, name: str) -> str:
    """A header as it came, Latin-1; one too long, or with a control, is as good as none."""
    value = dict(response.headers.raw).get(name.encode(), b"").decode("latin-1")
    if not value:
        value = response.headers.get(name, "")
    return value if len(value) <= 2_000 and value.isprintable() else ""


def _unpack(parts: Iterable[bytes], budget: _Budget) -> bytes:
    """Join the body, unpacking gzip piece by piece: it stops at the limit, not after it.

    The first bytes tell whether it is gzip: servers forget the header, or send it for nothing.
    """
    limit = budget.limits.max_body_bytes
    body, packed, unpacker = bytearray(), None, zlib.decompressobj(31)
    for part in parts:
        if packed is None:
            packed = part.startswith(_GZIP)
        if not packed:
            body += part
        while packed and part:
            try:
                body += unpacker.decompress(part, limit + 1 - len(body))
            except zlib.error:
                raise FeedFailed("bad_coding", budget.url, detail="gzip") from None
            part = unpacker.unconsumed_tail  # noqa: PLW2901 - what the limit left over
            if unpacker.eof:
                part, unpacker = unpacker.unused_data, zlib.decompressobj(31)  # noqa: PLW2901 - the next member
            if len(body) > limit:
                break
        if len(body) > limit:
            raise FeedFailed("too_big", budget.url, limit=limit)
    return bytes(body)


# --- the connection ------------------------------------------------------------------------------


@dataclass(slots=True)
class _Budget:
    """Seconds and bytes that one feed may take, over all its redirects."""

    url: str
    limits: Feeds
    clock: Callable[[], float]
    deadline: float = 0.0
    received: int = 0

    def __post_init__(self) -> None:
        self.deadline = self.clock() + self.limits.total_timeout_s

    def remaining(self) -> float:
        left = self.deadline - self.clock()
        if left <= 0:
            raise FeedFailed("timed_out", self.url)
        return left

    def receive(self, size: int) -> None:
        self.received += size
        if self.received > self.limits.max_wire_bytes:
            raise FeedFailed("too_big", self.url, limit=self.limits.max_wire_bytes)

    def allows(self, host: str, port: int) -> bool:
        """Whether the publication allows this very host and port by name."""
        return f"{host.strip('[]')}:{port}".lower() in {
            allowed.replace("[", "").replace("]", "").lower()
            for allowed in self.limits.allow_private
        }


class _CheckedTransport(httpx.BaseTransport):
    """httpx over httpcore with our own way to connect; no proxies, HTTP/1.1."""

    def __init__(self, budget: _Budget, resolve: Resolve) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=_tls(), network_backend=_CheckedBackend(budget, resolve)
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        target = request.url
        response = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=target.raw_scheme,
                    host=target.raw_host,
                    port=target.port,
                    target=target.raw_path,
                ),
                headers=request.headers.raw,
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            response.status, headers=response.headers, stream=_Body(response.stream)
        )

    def close(self) -> None:
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: Any) -> None:  # httpcore types it as sync or async
        self._stream = stream

    def __iter__(self) -> Any:
        return iter(self._stream)

    def close(self) -> None:
        self._stream.close()


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


class _CheckedBackend(httpcore.SyncBackend):
    """Connects to the very address it has checked: a second look-up could answer otherwise.

    The name stays in the Host header and in the TLS handshake; only the socket knows the address.
    """

    def __init__(self, budget: _Budget, resolve: Resolve) -> None:
        self._budget = budget
        self._resolve = resolve

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - httpcore's signature; ours counts
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        addresses = _look_up(host, port, self._resolve, self._budget)
        if not self._budget.allows(host, port):
            addresses = [found for found in addresses if _is_public_address(found)]
            if not addresses:
                raise FeedFailed("blocked_address", self._budget.url, target=host[:200])
        failure: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in addresses:
            wait = min(self._budget.limits.connect_timeout_s, self._budget.remaining())
            try:
                stream = super().connect_tcp(address, port, wait, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _LimitedStream(stream, self._budget)
        raise failure or FeedFailed("no_such_host", self._budget.url, target=host[:200])


class _LimitedStream(httpcore.NetworkStream):
    """Counts bytes and seconds: a server that trickles headers one by one must end too."""

    def __init__(self, inner: httpcore.NetworkStream, budget: _Budget) -> None:
        self._inner = inner
        self._budget = budget

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - ours counts
        received = self._inner.read(max_bytes, self._budget.remaining())
        self._budget.receive(len(received))
        return received

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - ours counts
        self._inner.write(buffer, self._budget.remaining())

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 - ours counts
    ) -> httpcore.NetworkStream:
        wait = min(self._budget.limits.connect_timeout_s, self._budget.remaining())
        return _LimitedStream(
            self._inner.start_tls(ssl_context, server_hostname, wait), self._budget
        )

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _is_public_address(address: str) -> bool:
    try:
        return is_public(ip_address(address.partition("%")[0]))
    except ValueError:
        return False


def _look_up(host: str, port: int, resolve: Resolve, budget: _Budget) -> list[str]:
    """Resolve within the budget: the system's look-up knows no deadline, a thread can be left."""
    found: list[list[str]] = []

    def ask() -> None:
        try:
            found.append(resolve(host, port))
        except (OSError, UnicodeError):
            found.append([])

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(budget.remaining())
    if not found:
        raise FeedFailed("timed_out", budget.url)
    if not found[0]:
        raise FeedFailed("no_such_host", budget.url, target=host[:200])
    return found[0]
