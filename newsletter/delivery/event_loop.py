"""The event loop of a dispatch, which ends whatever the resolver of names is doing.

In: a coroutine. Out: its result. Never: a wait for a name that nobody needs any more: the system
asks its name servers for half a minute, on a thread that cannot be told to stop.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

_T = TypeVar("_T")


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run *main* as ``asyncio.run`` does, which waits for its resolver before it returns."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)


class _Loop(asyncio.SelectorEventLoop):
    async def getaddrinfo(self, *asked: Any, **limits: Any) -> Any:
        """Ask the system on a thread of its own, which the end of the process does not wait for."""
        future = self.create_future()
        thread = threading.Thread(
            target=self._ask, args=(future, asked, limits), name="resolver", daemon=True
        )
        thread.start()
        return await future

    def _ask(self, future: asyncio.Future[Any], asked: Any, limits: Any) -> None:
        try:
            answer: Any = socket.getaddrinfo(*asked, **limits)
        except Exception as error:  # noqa: BLE001 - raised where the answer is awaited
            answer = error
        with suppress(RuntimeError):  # the loop is closed
            self.call_soon_threadsafe(_give, future, answer)


def _give(future: asyncio.Future[Any], answer: Any) -> None:
    if future.done():
        return  # nobody waits any more
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
