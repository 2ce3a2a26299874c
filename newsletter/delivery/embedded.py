"""The relay of a publication that has none yet: a real SMTP server on loopback, and a Maildir.

In: a folder. Out: the address of a server that keeps every message it accepts, as the octets that
came, below the two lines that tell its envelope. Never: a message passed on, a port open to
others, a file in ``new/`` that is not whole.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import re
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiosmtpd.smtp import SMTP, Envelope, Session

HOST = "127.0.0.1"
MAX_BYTES = 30_000_000
# A folder of the mailbox (Maildir++) for letters and proofs: the inbox holds issues alone, so that
# counting it is counting their readers.
LETTERS = ".Letters"
_UNSAFE = re.compile(r"[^A-Za-z0-9@._+-]")


@contextmanager
def open_relay(maildir: Path) -> Iterator[tuple[str, int]]:
    """Serve SMTP on a free loopback port as long as the block lasts; yield (host, port)."""
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # it names recipients (P12)
    for box in (maildir, maildir / LETTERS):
        for folder in ("tmp", "new", "cur"):
            (box / folder).mkdir(parents=True, exist_ok=True)
    server = _Server(Mailbox(maildir))
    thread = threading.Thread(target=server.run, name="embedded relay", daemon=True)
    thread.start()
    try:
        yield HOST, server.port.result()
    finally:
        server.stop()
        thread.join()


class Mailbox:
    """The server's handler: each recipient of a message gets a file of the Maildir."""

    _numbers = itertools.count()

    def __init__(self, maildir: Path) -> None:
        self._maildir = maildir

    async def handle_EHLO(  # noqa: N802 - aiosmtpd calls it so
        self,
        _server: SMTP,
        session: Session,
        _envelope: Envelope,
        hostname: str,
        responses: list[str],
    ) -> list[str]:
        """Announce what aiosmtpd does and does not say: commands may come together (RFC 2920)."""
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]]

    async def handle_DATA(  # noqa: N802 - aiosmtpd calls it so
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        content = envelope.original_content or b""
        header = content.partition(b"\r\n\r\n")[0]
        box = self._maildir / LETTERS if b"\r\nAuto-Submitted:" in header else self._maildir
        for recipient in envelope.rcpt_tos:
            self._keep(box, envelope.mail_from or "", recipient, content)
        # Where to look, from the publication's folder: many a file manager hides the letters'.
        return f"250 2.0.0 kept in {box.relative_to(self._maildir.parent.parent)}/new"

    def _keep(self, box: Path, sender: str, recipient: str, content: bytes) -> None:
        """Write to ``tmp``, then rename to ``new``: a reader of the folder sees whole files."""
        name = f"{time.time_ns()}.{os.getpid()}_{next(self._numbers)}"
        name += "." + _UNSAFE.sub("_", recipient)[:120]
        envelope = f"Return-Path: <{sender}>\r\nDelivered-To: {recipient}\r\n"
        draft = box / "tmp" / name
        draft.write_bytes(envelope.encode() + content)
        draft.rename(box / "new" / name)


class _Server:
    """An event loop on a thread of its own, from ``run`` to ``stop``."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.port: Future[int] = Future()
        self._mailbox = mailbox
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._sessions: weakref.WeakSet[SMTP] = weakref.WeakSet()

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            if self.port.done():
                raise
            self.port.set_exception(error)

    def stop(self) -> None:
        if self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        server = await self._loop.create_server(self._open_session, HOST, 0)
        self.port.set_result(server.sockets[0].getsockname()[1])
        await self._stopping.wait()
        # Nobody comes in any more. Who did just now gets a session first, then a transport: a
        # server that is closed before that forgets their sockets, open.
        self._loop.remove_reader(server.sockets[0])
        for _ in range(2):
            await asyncio.sleep(0)
        server.close()
        for session in self._sessions:
            # A client that stays connected must not keep the server.
            if session.transport is not None:
                session.transport.abort()  # type: ignore[attr-defined]  # a TCP transport has it
        await server.wait_closed()
        await asyncio.sleep(0)  # one turn: aborted transports close their sockets

    def _open_session(self) -> SMTP:
        from aiosmtpd.smtp import SMTP  # only a publication without a relay loads it

        session = SMTP(
            self._mailbox,
            hostname="localhost",
            ident="newsletter",
            data_size_limit=MAX_BYTES,
            loop=self._loop,
        )
        self._sessions.add(session)
        return session
