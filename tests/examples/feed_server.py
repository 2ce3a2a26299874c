"""A small web server on loopback that serves feeds well, badly, or not at all.

`FeedServer.serve(path, …)` says how a path answers; `asked` keeps the requests it received.
"""

from __future__ import annotations

import contextlib
import gzip
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """How a path answers: plain, or by ``play`` with the handler in hand."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/xml"
    headers: dict[str, str] = field(default_factory=dict)
    packed: bool = False
    play: Callable[[BaseHTTPRequestHandler, threading.Event], None] | None = None


class FeedServer:
    def __init__(self):
        self.pages: dict[str, Page] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        # Set at the end of a test: what answers never, or drop by drop, waits for it.
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def url(self, path: str) -> str:
        return f"http://{self.place}{path}"

    def serve(self, path: str, body: bytes = b"", **how) -> str:
        self.pages[path] = Page(body=body, **how)
        return self.url(path)

    def wrap(self, context: ssl.SSLContext) -> None:
        """Speak TLS from now on; a failed handshake is the client's affair."""
        plain = self._server.socket
        self._server.socket = context.wrap_socket(
            plain, server_side=True, do_handshake_on_connect=False
        )
        self._server.handle_error = lambda *_: None

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                server.asked.append((self.path, dict(self.headers)))
                page = server.pages.get(self.path)
                self.close_connection = True
                if page is None:
                    page = Page(status=404)
                if page.play is not None:
                    page.play(self, server.closing)
                else:
                    self._answer(page)

            def _answer(self, page: Page):
                body, status = page.body, page.status
                etag = page.headers.get("ETag")
                if etag and self.headers.get("If-None-Match") == etag:
                    body, status = b"", 304
                if page.packed:
                    body = gzip.compress(body)
                self.send_response(status)
                self.send_header("Content-Type", page.content_type)
                if page.packed:
                    self.send_header("Content-Encoding", "gzip")
                for name, value in page.headers.items():
                    self.send_header(name, value)
                if status != 304:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        return Handler


def never(handler: BaseHTTPRequestHandler, closing: threading.Event) -> None:
    """Take the request and say nothing."""
    closing.wait(120)


def trickle_body(handler: BaseHTTPRequestHandler, closing: threading.Event) -> None:
    """Answer one byte at a time, for ever."""
    handler.send_response(200)
    handler.end_headers()
    drip(handler, closing, b"<rss>")


def trickle_headers(handler: BaseHTTPRequestHandler, closing: threading.Event) -> None:
    """Begin an answer whose headers never end."""
    drip(handler, closing, b"HTTP/1.1 200 OK\r\nX-Slow: ")


def drip(handler: BaseHTTPRequestHandler, closing: threading.Event, start: bytes) -> None:
    try:
        handler.wfile.write(start)
        while not closing.wait(0.02):
            handler.wfile.write(b" ")
            handler.wfile.flush()
    except OSError:
        pass  # the reader has had enough


def hang_up(handler: BaseHTTPRequestHandler, closing: threading.Event) -> None:
    """Close the connection in the middle of the body."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"<rss>")


def packed_bomb(size: int) -> Callable[[BaseHTTPRequestHandler, threading.Event], None]:
    """Send *size* zeros as gzip, a thousandth of it on the wire."""
    body = gzip.compress(bytes(size), mtime=0)

    def play(handler: BaseHTTPRequestHandler, closing: threading.Event) -> None:
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        with contextlib.suppress(OSError):  # it stops reading, as it should
            handler.wfile.write(body)

    return play
