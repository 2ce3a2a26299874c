"""A relay that records, and that misbehaves on order: the only judge of the delivery tests.

It writes one line of JSON for each message it accepts, before it answers the dot, so that a killed
client can be compared with what really was taken. Rules inject the faults of the fault matrix.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.ports import open_port


@dataclass
class Rule:
    """At *stage*, for recipients that contain *match*, do *action*, *times* times after *skip*.

    Connections before the one numbered *since* are spared, and the first so many messages of each
    of the others that it has *carried*.

    Stages: banner, ehlo, helo, starttls, tls, auth, mail, rcpt, data, body, dot (before the message
    is recorded), accepted (after), quit. An action is a reply ("550 5.1.1 nobody"), or one of drop,
    rst, hang, garbage, dup, trickle, hold (until ``Manners.release``), stall (so, and deaf), "bye"
    before a reply, behind which it hangs up, "stay" before a 421, behind which it does not.
    """

    stage: str
    action: str
    match: str = ""
    times: int | None = None
    skip: int = 0
    since: int = 0
    carried: int = 0


@dataclass
class Manners:
    """What the relay offers, and how it misbehaves."""

    pipelining: bool = True
    chunking: bool = False
    enhanced: bool = True
    size: int | None = None
    mail_max: int | None = None
    open_max: int | None = None  # connections at once
    crowded: str = "421 4.7.0 too many connections"  # what any more are told
    helo_only: bool = False
    starttls: ssl.SSLContext | None = None
    implicit_tls: ssl.SSLContext | None = None
    auth: tuple[str, ...] = ()
    account: tuple[str, str] = ("user", "secret")
    always_354: bool = False  # to DATA after a refused RCPT
    reply_delay_s: float = 0.0
    rules: list[Rule] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    # With it, who waits for a relay that hangs or trickles waits for no real time (conftest.py).
    pass_time: Callable[[float], None] | None = None


@dataclass
class Accepted:
    """One line of the record."""

    recipient: str
    sender: str
    message_id: str
    date: str
    sha256: str
    connection: int


class Sink:
    """The relay on a thread of its own; ``record`` is the file of accepted messages."""

    def __init__(self, record: Path, manners: Manners | None = None) -> None:
        self.record = record
        self.manners = manners or Manners()
        self.commands: list[tuple[int, bytes]] = []  # (connection, line) as they came
        self.writes: list[tuple[int, bytes]] = []  # (connection, first 60 octets of each read)
        self.worst = {"line": 0, "bare_lf": 0, "open": 0, "open_max": 0, "connections": 0}
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._started = threading.Event()
        self._sessions: set[_Session] = set()
        self._file = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        scheme = "smtps" if self.manners.implicit_tls else "smtp"
        return f"{scheme}://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Die at once: every connection is reset."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(60)
            os.close(self._file)

    def dismiss_idle(self, reply: str) -> None:
        """Say *reply* to every connection that was asked for nothing yet, and close it."""

        def dismiss() -> None:
            for session in self._sessions:
                if session.sender is None and not session.messages:
                    session.writer.write(reply.encode() + b"\r\n")
                    session.writer.close()

        self._loop.call_soon_threadsafe(dismiss)

    def accepted(self) -> list[Accepted]:
        return read_record(self.record)

    # --- the thread

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(
                self._greet, sock=open_port(), ssl=self.manners.implicit_tls, limit=2**24
            )
        )
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        self._loop.remove_reader(server.sockets[0])
        self._reset_all()
        self._loop.run_until_complete(self._clear_away(server))
        self._loop.close()

    def _reset_all(self) -> bool:
        """Reset every connection, those in the middle of a handshake or a goodbye as well."""
        transports = list(self._loop._transports.values())
        opened = [one for one in transports if one.get_extra_info("socket").fileno() != -1]
        for transport in opened:
            _reset(transport)
        return bool(opened)

    async def _clear_away(self, server: asyncio.Server) -> None:
        """Who was let in just now gets a transport, to lose it: no socket outlives the loop."""
        for _ in range(2):
            await asyncio.sleep(0)
        server.close()
        while self._reset_all():  # noqa: ASYNC110 - nothing tells that the last one is gone
            await asyncio.sleep(0)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.worst["connections"] += 1
        self.worst["open"] += 1
        self.worst["open_max"] = max(self.worst["open_max"], self.worst["open"])
        session = _Session(self, reader, writer, self.worst["connections"])
        self._sessions.add(session)
        try:
            await session.run()
        except (_Gone, ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            self._sessions.remove(session)
            self.worst["open"] -= 1
            with contextlib.suppress(Exception):
                writer.close()

    def keep(self, line: dict[str, object]) -> None:
        os.write(self._file, json.dumps(line).encode() + b"\n")


class _Gone(Exception):
    """The connection ends here."""


def _reset(transport: asyncio.WriteTransport) -> None:
    sock = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class _Session:
    def __init__(self, sink, reader, writer, number) -> None:
        self.sink, self.manners, self.number = sink, sink.manners, number
        self.reader, self.writer = reader, writer
        self.sender: str | None = None
        self.recipient: str | None = None
        self.out: list[bytes] = []
        self.tls = sink.manners.implicit_tls is not None
        self.messages = 0

    async def run(self) -> None:
        if self.manners.open_max and self.sink.worst["open"] > self.manners.open_max:
            await self.part(self.manners.crowded)
        await self.say("banner", "220 sink ESMTP")
        while True:
            if self.out and not self.reader._buffer:
                await self.flush()
            line = await self.read_line()
            if not line:
                return
            self.sink.commands.append((self.number, line.rstrip(b"\r\n")))
            verb, _, rest = line.rstrip(b"\r\n").partition(b" ")
            handler = getattr(self, "on_" + verb.decode("ascii", "replace").lower(), None)
            if handler is None:
                self.put("502 5.5.1 what?")
            else:
                await handler(rest.decode("utf-8", "replace"))

    async def read_line(self) -> bytes:
        if self.out and b"\n" not in self.reader._buffer:
            await self.flush()
        line = await self.reader.readline()
        if line and not line.endswith(b"\r\n"):
            self.sink.worst["bare_lf"] += 1
        return line

    def put(self, reply: str) -> None:
        self.out.append(reply.encode("latin-1") + b"\r\n")

    async def flush(self) -> None:
        data, self.out = b"".join(self.out), []
        if self.manners.reply_delay_s:
            await asyncio.sleep(self.manners.reply_delay_s)
        self.writer.write(data)
        await self.writer.drain()

    async def say(self, stage: str, reply: str) -> bool:
        """Answer, or misbehave; True when the friendly answer was given."""
        rule = self.find(stage)
        if rule is None:
            self.put(reply)
            return True
        return await self.misbehave(rule, reply)

    def find(self, stage: str) -> Rule | None:
        for rule in self.manners.rules:
            if rule.stage != stage or rule.match not in (self.recipient or ""):
                continue
            if self.number < rule.since or self.messages < rule.carried:
                continue
            if rule.skip > 0:
                rule.skip -= 1
                continue
            if rule.times is None:
                return rule
            if rule.times > 0:
                rule.times -= 1
                return rule
        return None

    async def misbehave(self, rule: Rule, reply: str) -> bool:
        action = rule.action
        if action in {"drop", "rst", "hang"}:
            await self.flush()
        if action == "drop":
            raise _Gone
        if action == "rst":
            _reset(self.writer.transport)
            raise _Gone
        if action == "hang":
            await self.hang()
        if action == "hold":
            await self.hold()
            self.put(reply)
            return True
        if action == "stall":
            self.manners.release.wait(60)
            self.put(reply)
            return True
        if action == "garbage":
            self.put("\x00\xff\xfewhat is this")
            await self.flush()
            return False
        if action == "dup":
            self.put(reply)
            self.put(reply)
            return True
        if action == "multiline":
            self.put(reply[:3] + "-" + reply[4:])
            self.put(reply[:3] + "-and more \xe9")
            self.put(reply)
            return True
        if action == "trickle":
            await self.flush()
            for octet in (reply[:3] + "-" + "slow " * 10_000).encode():
                self.writer.write(bytes([octet]))
                await self.writer.drain()
                await asyncio.sleep(0.02)
                self.pass_time(10)
        if action.startswith(("421", "bye ")):
            await self.part(action.removeprefix("bye "))
        self.put(action.removeprefix("stay "))
        return action[0] in "23"

    async def part(self, reply: str) -> None:
        """Say it and close, once the client has closed: a reset could overtake what was said."""
        self.put(reply)
        await self.flush()
        if self.writer.can_write_eof():
            self.writer.write_eof()
            await self.reader.read()
        raise _Gone

    async def hang(self) -> None:
        """Say nothing more until the client has had enough."""
        gone, pause_s = asyncio.ensure_future(self.reader.read()), 0.02
        while not (await asyncio.wait([gone], timeout=pause_s))[0]:
            # A busy client may not have begun to wait for us: the hour is then asked for again.
            self.pass_time(3600)
            pause_s = 1.0
        await gone
        raise _Gone

    async def hold(self) -> None:
        """Say nothing until the test says so."""
        await self.flush()
        while not self.manners.release.is_set():  # noqa: ASYNC110 - another thread's event
            await asyncio.sleep(0.005)

    def pass_time(self, seconds: float) -> None:
        if self.manners.pass_time is not None:
            self.manners.pass_time(seconds)

    # --- verbs

    async def on_ehlo(self, _name: str) -> None:
        manners = self.manners
        if manners.helo_only:
            self.put("502 5.5.1 EHLO is not for us")
            return
        if (rule := self.find("ehlo")) is not None:
            await self.misbehave(rule, "250 sink")
            return
        words = ["sink greets you"]
        words += ["PIPELINING"] if manners.pipelining else []
        words += ["CHUNKING"] if manners.chunking else []
        words += ["ENHANCEDSTATUSCODES"] if manners.enhanced else []
        words += [f"SIZE {manners.size}"] if manners.size is not None else []
        words += [f"LIMITS MAILMAX={manners.mail_max}"] if manners.mail_max else []
        words += ["STARTTLS"] if manners.starttls and not self.tls else []
        words += ["AUTH " + " ".join(manners.auth)] if manners.auth else []
        for word in words[:-1]:
            self.put("250-" + word)
        self.put("250 " + words[-1])

    async def on_helo(self, _name: str) -> None:
        await self.say("helo", "250 sink")

    async def on_starttls(self, _rest: str) -> None:
        if not await self.say("starttls", "220 2.0.0 go ahead"):
            return
        await self.flush()
        if (rule := self.find("tls")) is not None:
            await self.misbehave(rule, "")
        assert self.manners.starttls is not None
        await self.writer.start_tls(self.manners.starttls)
        self.tls = True

    async def on_auth(self, rest: str) -> None:
        rule = self.find("auth")
        if rule is not None:
            await self.misbehave(rule, "235 2.7.0 welcome")
            return
        mechanism, _, first = rest.partition(" ")
        user, password = self.manners.account
        if mechanism == "PLAIN":
            good = base64.b64decode(first) == f"\0{user}\0{password}".encode()
        elif mechanism == "LOGIN":
            said = []
            for prompt in (b"Username:", b"Password:"):
                self.put("334 " + base64.b64encode(prompt).decode())
                await self.flush()
                said.append(base64.b64decode(await self.reader.readline()).decode())
            good = tuple(said) == (user, password)
        else:
            wanted = f"user={user}\1auth=Bearer {password}\1\1".encode()
            good = base64.b64decode(first) == wanted
            if not good:
                self.put("334 " + base64.b64encode(b'{"status":"400"}').decode())
                await self.flush()
                await self.reader.readline()
        self.put("235 2.7.0 welcome" if good else "535 5.7.8 wrong")

    async def on_mail(self, rest: str) -> None:
        if self.sender is not None:
            self.put("503 5.5.1 Sender already specified")
            return
        limit = self.manners.mail_max
        if limit and self.messages >= limit:
            await self.part("421 4.7.0 Maximum message count per session reached")
        sender = re.search("<(.*?)>", rest)[1]
        if await self.say("mail", "250 2.1.0 Ok"):
            self.sender = sender

    async def on_rcpt(self, rest: str) -> None:
        if self.sender is None:
            self.put("503 5.5.1 need MAIL")
            return
        self.recipient = re.search("<(.*?)>", rest)[1]
        if not await self.say("rcpt", "250 2.1.5 Ok"):
            self.recipient = None

    async def on_data(self, _rest: str) -> None:
        if self.recipient is None and not self.manners.always_354:
            self.put(
                "503 5.5.1 no valid recipients"
                if self.sender is None
                else "554 5.5.1 no valid recipients"
            )
            return
        if not await self.say("data", "354 go ahead"):
            return
        await self.flush()
        if (rule := self.find("body")) is not None:
            await self.reader.readline()
            await self.misbehave(rule, "")
        content = await self.read_dotted()
        if self.recipient is None:
            self.sender = None
            self.put("554 5.5.1 no valid recipients")
            return
        await self.take(content)

    async def read_dotted(self) -> bytes:
        lines = []
        while True:
            line = await self.read_line()
            if not line:
                raise _Gone
            if line == b".\r\n":
                return b"".join(lines)
            self.sink.worst["line"] = max(self.sink.worst["line"], len(line))
            lines.append(line[1:] if line.startswith(b".") else line)

    async def on_bdat(self, rest: str) -> None:
        size, last = rest.split()
        assert last == "LAST"
        content = await self.reader.readexactly(int(size))
        if self.recipient is None:  # as Exim: the sender stands until RSET
            self.put("503 5.5.1 valid RCPT command must precede BDAT")
            return
        await self.take(content)

    async def take(self, content: bytes) -> None:
        friendly = "250 2.0.0 Ok: queued"
        if (rule := self.find("dot")) is not None and not await self.misbehave(rule, friendly):
            self.sender = self.recipient = None
            return
        found = {
            name: re.search(rb"(?mi)^" + name + rb":[ \t]*(?:\r\n[ \t]+)?([^\r\n]*)", content)
            for name in (b"message-id", b"date")
        }
        self.sink.keep({
            "recipient": self.recipient,
            "sender": self.sender,
            "message_id": found[b"message-id"][1].decode() if found[b"message-id"] else "",
            "date": found[b"date"][1].decode() if found[b"date"] else "",
            "sha256": hashlib.sha256(content).hexdigest(),
            "connection": self.number,
        })  # fmt: skip
        self.messages += 1
        if rule is None:
            await self.say("accepted", friendly)
        self.sender = self.recipient = None

    async def on_rset(self, _rest: str) -> None:
        self.sender = self.recipient = None
        self.put("250 2.0.0 Ok")

    async def on_quit(self, _rest: str) -> None:
        await self.say("quit", "221 2.0.0 Bye")
        await self.flush()
        raise _Gone


def read_record(path: Path) -> list[Accepted]:
    # A line is whole once its end is there: it may be read while it is being written.
    *lines, _unfinished = path.read_text("utf-8").split("\n")
    return [Accepted(**json.loads(line)) for line in lines]
