"""Servers that take mail and forget it, each in a process of its own.

``smtp_sink``: Postfix's own (C). ``fast_sink``: ours, several times cheaper, with PIPELINING and
CHUNKING, so that the client is what is measured. ``postfix``: a real one, queue file and fsync,
that discards. ``delayed``: a link of so many milliseconds each way before another server.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen[bytes] | None = None) -> None:
    """Return once *port* answers; give up after 20 s."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            raise SystemExit(f"{process.args!r} ended with {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing answers on port {port}")


@contextmanager
def _process(arguments: list[str], port: int) -> Iterator[int]:
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait()


@contextmanager
def smtp_sink() -> Iterator[int]:
    """Yield the port of Postfix's load sink."""
    port = free_port()
    binary = shutil.which("smtp-sink", path="/usr/sbin:/usr/bin") or "smtp-sink"
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with _process([binary, *user, f"{HOST}:{port}", "512"], port):
        yield port


@contextmanager
def fast_sink() -> Iterator[int]:
    """Yield the port of the sink below."""
    port = free_port()
    with _process([sys.executable, "-m", "benchmarks.sinks", "fast", str(port)], port):
        yield port


@contextmanager
def delayed(target: int, one_way_ms: float) -> Iterator[int]:
    """Yield the port of a link that holds every byte for *one_way_ms*, in each direction."""
    port = free_port()
    arguments = [sys.executable, "-m", "benchmarks.sinks", "delay", str(port), str(target)]
    with _process([*arguments, str(one_way_ms)], port):
        yield port


@dataclass(frozen=True)
class Postfix:
    """A relay with a real queue: where it listens, where it keeps what it took."""

    port: int
    queue: Path

    def drain(self) -> None:
        """Wait until everything it took is gone."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if not any(self._count(name) for name in ("maildrop", "incoming", "active")):
                return
            time.sleep(0.2)
        raise SystemExit("Postfix does not come to rest")

    def _count(self, name: str) -> int:
        return sum(len(files) for _, _, files in os.walk(self.queue / name))


@contextmanager
def postfix() -> Iterator[int]:
    """Yield the port of a Postfix of our own: real queue, transport discard. Needs root."""
    with open_postfix() as relay:
        yield relay.port


@contextmanager
def open_postfix(*, log: Path | None = None) -> Iterator[Postfix]:
    """Yield that Postfix itself, to wait until it is at rest."""
    outer = Path(tempfile.mkdtemp(prefix="newsletter-postfix-"))
    # Each in another corner of the disk: ext4 makes a file slowly where many were just deleted.
    subprocess.run(["chattr", "+T", outer], check=False, stderr=subprocess.DEVNULL)
    folder = Path(tempfile.mkdtemp(dir=outer))
    for path in (outer, folder):
        path.chmod(0o755)
    port = free_port()
    log = log or folder / "log"
    config, queue, data = folder / "etc", folder / "queue", folder / "data"
    for path in (config, queue, data):
        path.mkdir()
    shutil.chown(data, "postfix")
    shutil.copy("/usr/share/postfix/master.cf.dist", config / "master.cf")
    master = (config / "master.cf").read_text(encoding="utf-8").splitlines()
    kept = [line for line in master if not line.startswith("smtp      inet")]
    kept += [f"{HOST}:{port} inet n - n - - smtpd", "postlog unix-dgram n - n - 1 postlogd"]
    # Debian's master.cf runs services in a chroot; this instance has none to run in.
    kept = [_unroot(line) for line in kept]
    (config / "master.cf").write_text("\n".join(kept) + "\n", encoding="utf-8")
    (config / "main.cf").write_text(
        f"compatibility_level = 3.6\nqueue_directory = {queue}\ndata_directory = {data}\n"
        f"maillog_file = {log}\nmaillog_file_prefixes = {folder}, {log.parent}\n"
        "myhostname = relay.example\nmydestination =\nlocal_recipient_maps =\n"
        f"mynetworks = 127.0.0.0/8\ninet_interfaces = {HOST}\ninet_protocols = ipv4\n"
        "default_transport = discard\nrelay_transport = discard\nmessage_size_limit = 30000000\n"
        "smtpd_recipient_restrictions = permit_mynetworks, reject\nsmtputf8_enable = no\n"
        "in_flow_delay = 0\nsmtpd_client_connection_count_limit = 0\n",
        encoding="utf-8",
    )
    run = ["postfix", "-c", str(config)]
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "env": environment}
    started = subprocess.run([*run, "start"], check=False, **quiet)
    if started.returncode:
        raise SystemExit(f"postfix does not start: {started.stderr.decode()}")
    try:
        wait_for(port)
        yield Postfix(port, queue)
    finally:
        subprocess.run([*run, "stop"], check=False, **quiet)
        shutil.rmtree(outer, ignore_errors=True)
        os.sync()  # who is measured next waits for its own writes alone


def _unroot(line: str) -> str:
    fields = line.split()
    if len(fields) > 7 and not line.startswith(("#", " ")) and fields[4] in {"y", "-"}:
        fields[4] = "n"
        return "  ".join(fields)
    return line


# --- the fast sink -------------------------------------------------------------------------------

OK = b"250 2.0.0 Ok\r\n"


class FastSink(asyncio.Protocol):
    """Takes DATA and BDAT; looks at bodies by one search, never by line."""

    def __init__(self, offer: bytes) -> None:
        self.offer = offer
        self.buffer = bytearray()
        self.in_data = False
        self.chunk = 0  # octets of BDAT still to come

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(b"220 sink.example ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        replies: list[bytes] = []
        while self.buffer and self._step(replies):
            pass
        if replies:
            self.transport.write(b"".join(replies))

    def _step(self, replies: list[bytes]) -> bool:
        buffer = self.buffer
        if self.chunk:
            taken = min(self.chunk, len(buffer))
            del buffer[:taken]
            self.chunk -= taken
            if not self.chunk:
                replies.append(OK)
            return True
        if self.in_data:
            end = buffer.find(b"\r\n.\r\n")
            if end < 0:
                del buffer[:-4]
                return False
            del buffer[: end + 5]
            self.in_data = False
            replies.append(OK)
            return True
        end = buffer.find(b"\r\n")
        if end < 0:
            return False
        line = bytes(buffer[:end]).upper()
        del buffer[: end + 2]
        self._answer(line, replies)
        return True

    def _answer(self, line: bytes, replies: list[bytes]) -> None:
        if line.startswith(b"DATA"):
            self.in_data = True
            replies.append(b"354 go\r\n")
        elif line.startswith(b"BDAT"):
            self.chunk = int(line.split()[1])
            if not self.chunk:
                replies.append(OK)
        elif line.startswith(b"EHLO"):
            replies.append(self.offer)
        elif line.startswith(b"QUIT"):
            replies.append(b"221 bye\r\n")
        else:
            replies.append(OK)


async def _serve_fast(port: int) -> None:
    extensions = (
        b"sink.example", b"PIPELINING", b"8BITMIME", b"ENHANCEDSTATUSCODES", b"CHUNKING",
    )  # fmt: skip
    offer = b"".join(b"250-" + word + b"\r\n" for word in extensions) + b"250 HELP\r\n"
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: FastSink(offer), HOST, port, backlog=512)
    await server.serve_forever()


class _Pipe(asyncio.Protocol):
    """Passes bytes on to the other side after the delay."""

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self.other: asyncio.Transport | None = None
        self.early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        asyncio.get_running_loop().call_later(self.delay_s, self._pass_on, data)

    def _pass_on(self, data: bytes) -> None:
        if self.other is None:
            self.early.append(data)
        else:
            self.other.write(data)

    def connection_lost(self, _error: Exception | None) -> None:
        if self.other is not None:
            self.other.close()


async def _serve_delay(port: int, target: int, one_way_ms: float) -> None:
    loop = asyncio.get_running_loop()
    delay_s = one_way_ms / 1000
    tasks: set[asyncio.Task[None]] = set()

    class Front(_Pipe):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            task = loop.create_task(self._open())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        async def _open(self) -> None:
            back = _Pipe(self.delay_s)
            transport, _ = await loop.create_connection(lambda: back, HOST, target)
            back.other, self.other = self.transport, transport
            for data in self.early:
                transport.write(data)
            for data in back.early:
                self.transport.write(data)

    server = await loop.create_server(lambda: Front(delay_s), HOST, port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    kind, own, *rest = sys.argv[1:]
    if kind == "fast":
        asyncio.run(_serve_fast(int(own)))
    else:
        asyncio.run(_serve_delay(int(own), int(rest[0]), float(rest[1])))
