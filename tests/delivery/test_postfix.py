"""A real Postfix: pipelined, chunked, killed in the middle, resolved by its own log.

Postfix starts as root only: elsewhere this file is not collected (conftest.py).
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from benchmarks.sinks import postfix
from newsletter.delivery import resolving
from newsletter.delivery.dispatch import dispatch
from newsletter.store import database, ledger
from tests.delivery.scenery import start_run, with_relay


@pytest.fixture
def relay(tmp_path_factory):
    """A Postfix of our own: its port and its log."""
    log = tmp_path_factory.mktemp("postfix") / "mail.log"
    for folder in (log.parent, *log.parents[1:3]):
        folder.chmod(0o755)
    with postfix(log=log) as port:
        yield f"smtp://127.0.0.1:{port}", log


@pytest.mark.parametrize("chunking", ["auto", "off"])
def test_killed_and_resolved_by_the_log_everybody_is_accepted_exactly_once(
    sqlite_engine, settings, keys, victims, tmp_path, relay, chunking
):
    url, log = relay
    now = datetime.now(UTC) + timedelta(seconds=4)  # well after the log's first line
    run_id = start_run(sqlite_engine, now, readers=400)
    order = {
        "root": str(tmp_path), "relay": url, "run": run_id, "window": 16, "connections": 4,
        "database": sqlite_engine.url.render_as_string(), "now": now.isoformat(),
        "chunking": chunking,
    }  # fmt: skip
    killed = 0
    while killed < 3:
        pid = victims.start(**order)
        killer = threading.Timer(0.25 + 0.1 * killed, os.kill, (pid, signal.SIGKILL))
        killer.start()
        code = victims.wait()
        killer.cancel()
        if code == 0:
            break
        killed += 1
    assert victims.run(**order) == 0
    _wait_until_quiet(log)
    later = now + timedelta(minutes=1)
    with log.open(encoding="utf-8") as lines:
        resolution = resolving.resolve_by_log(
            settings, sqlite_engine, keys, run_id,
            [*lines, f"{later.isoformat()} relay postfix/anvil[1]: statistics\n"],
            now=later, zone=UTC,
        )  # fmt: skip
    assert resolution.doubted == 0
    result = dispatch(
        with_relay(settings, url, connections=4, window=16), sqlite_engine, keys, run_id,
        clock=lambda: later,
    )  # fmt: skip
    assert result.tally.sent == 400
    _wait_until_quiet(log)
    # The relay's own record: every Message-ID of the run queued, none of them twice.
    readers = _ids(sqlite_engine, run_id)
    text = log.read_text("utf-8")
    queue_ids = dict(re.findall(r"cleanup\[\d+\]: (\w+): message-id=(<[^>]+>)", text))
    active = set(re.findall(r"qmgr\[\d+\]: (\w+): from=.*\(queue active\)", text))
    taken = Counter(queue_ids[queue_id] for queue_id in active)
    assert {
        taken[one] for one in resolving.message_ids(settings, keys, run_id, readers).values()
    } == {1}


def _ids(engine, run_id):
    with database.read(engine) as connection:
        return [reader.subscriber_id for reader in ledger.readers(connection, run_id)]


def _wait_until_quiet(log):
    """Wait until the relay has ended every session, those of the dead as well."""
    for _ in range(400):
        text = log.read_text("utf-8")
        if text.count(": connect from") == text.count(": disconnect from"):
            return
        threading.Event().wait(0.05)
    raise AssertionError("the relay never came to rest")
