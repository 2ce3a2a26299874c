"""Other ways to send the same messages: each function returns (wall seconds, CPU seconds)."""

from __future__ import annotations

import resource
import shutil
import smtplib
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from benchmarks.messages import DOMAIN, Size, address, make_edition
from newsletter.model import Edition

HOST = "127.0.0.1"
SENDER = "retours@example.org"


@contextmanager
def measured(who: int = resource.RUSAGE_SELF) -> Iterator[list[float]]:
    """Fill a list with wall and CPU seconds of what runs inside."""
    spent: list[float] = []
    before, start = resource.getrusage(who), time.perf_counter()
    yield spent
    wall = time.perf_counter() - start
    after = resource.getrusage(who)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    spent += [wall, cpu]


def smtp_source(port: int, count: int, size: int) -> tuple[float, float]:
    """Postfix's own load generator, in C: no building, no ledger; each message to another reader.

    Without ``-N`` a Postfix answers all but the first recipient from its caches, which no run of
    ours can: its manual advises it for loads as they are in life.
    """
    binary = shutil.which("smtp-source", path="/usr/sbin:/usr/bin") or "smtp-source"
    arguments = [binary, "-d", "-N", "-s", "8", "-m", str(count), "-l", str(size)]
    arguments += ["-f", SENDER, "-t", f"reader@{DOMAIN}", f"{HOST}:{port}"]
    with measured(resource.RUSAGE_CHILDREN) as spent:
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
    return spent[0], spent[1]


def smtplib_prebuilt(
    port: int, count: int, content: bytes, *, connections: int = 8
) -> tuple[float, float]:
    """The standard library's client, one thread a connection, on bytes built beforehand."""

    def send(share: int) -> None:
        with smtplib.SMTP(HOST, port) as client:
            for number in range(share):
                client.sendmail(SENDER, [address(number)], content)

    shares = [count // connections] * connections
    threads = [threading.Thread(target=send, args=(share,)) for share in shares]
    with measured() as spent:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return spent[0], spent[1]


def naive(port: int, count: int, size: Size) -> tuple[float, float]:
    """What most code does: EmailMessage + smtplib + one commit for each message."""
    edition = make_edition(size)
    with tempfile.TemporaryDirectory() as folder:
        ledger = sqlite3.connect(Path(folder) / "ledger.db")
        ledger.execute("PRAGMA journal_mode = WAL")
        ledger.execute("PRAGMA synchronous = FULL")
        ledger.execute("CREATE TABLE sent (address TEXT PRIMARY KEY)")
        with measured() as spent, smtplib.SMTP(HOST, port) as client:
            for number in range(count):
                message = _build(edition, address(number))
                client.send_message(message)
                ledger.execute("INSERT INTO sent VALUES (?)", (address(number),))
                ledger.commit()
        ledger.close()
    return spent[0], spent[1]


def build(size: Size, count: int) -> tuple[float, float]:
    """The standard library's composing alone, of one thread's own CPU time."""
    edition = make_edition(size)
    start = time.thread_time()
    for number in range(count):
        _build(edition, address(number)).as_bytes(policy=SMTP)
    spent = time.thread_time() - start
    return spent, spent


def _build(edition: Edition, recipient: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = edition.sender
    message["To"] = recipient
    message["Subject"] = edition.subject
    message["Message-ID"] = f"<{recipient}.{edition.issue_id}>"
    message["List-Unsubscribe"] = "<https://lettre.example.org/u/abc>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(edition.text.replace("\ue000", "").replace("\ue001", ""))
    message.add_alternative(
        edition.html.replace("\ue000first_name|Bonjour\ue001", "Alix"), subtype="html"
    )
    return message


def openssl_rsa_per_s() -> float:
    """RSA-2048 signatures a second of one core, as `openssl speed` counts them."""
    printed = subprocess.run(
        ["openssl", "speed", "-seconds", "2", "rsa2048"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    line = next(line for line in printed.splitlines() if line.startswith("rsa"))
    return float(line.split()[-2])
