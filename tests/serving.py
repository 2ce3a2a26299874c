"""An ASGI application served on a thread of its own, for tests with a real client."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let nobody in any more, and who was let in just now be known: then end.

        A browser knocks when it likes, and asyncio forgets the socket of a client that is
        accepted in the turn its server closes.
        """
        for listening in sockets or []:
            asyncio.get_running_loop().remove_reader(listening)
        for _ in range(2):
            await asyncio.sleep(0)
        await super().shutdown(sockets)


@contextmanager
def serve(
    listening: socket.socket, build_app: Callable[[Callable[[], bool]], object]
) -> Iterator[str]:
    """Serve what *build_app* makes (it is told when the server ends); yield the address."""
    server = _Server(
        uvicorn.Config(
            build_app(lambda: server.should_exit),
            log_level="error",
            proxy_headers=False,
            timeout_graceful_shutdown=5,
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    host, port = listening.getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
