"""A real Postfix: pipelined, chunked, killed in the middle, resolved by its own log.

Postfix starts as root only: elsewhere this file is not collected (conftest.py).
"""

from __future__ import annotations

import os
import re
import signal
import smtplib
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from benchmarks import sinks
from newsletter.audience import tokens
from newsletter.delivery import resolving
from newsletter.delivery.dispatch import dispatch
from newsletter.delivery.resolving import Why
from newsletter.store import breakdown, database
from tests.delivery.scenery import start_run, states_of, with_relay
from tests.ports import find_port


@pytest.fixture
def relay(tmp_path_factory, monkeypatch):
    """A Postfix of our own, and its log."""
    monkeypatch.setattr(sinks, "free_port", find_port)
    log = tmp_path_factory.mktemp("postfix") / "mail.log"
    for folder in (log.parent, *log.parents[1:3]):
        folder.chmod(0o755)
    with sinks.open_postfix(log=log) as opened:
        yield opened, log


@pytest.mark.parametrize("chunking", ["auto", "off"])
def test_killed_and_resolved_by_the_log_everybody_is_accepted_exactly_once(
    sqlite_engine, settings, keys, victims, tmp_path, relay, chunking
):
    opened, log = relay
    url = f"smtp://127.0.0.1:{opened.port}"
    now = datetime.now(UTC) + timedelta(seconds=4)  # well after the log's first line
    run_id = start_run(sqlite_engine, now, readers=400)
    order = {
        "root": str(tmp_path), "relay": url, "run": run_id, "window": 16, "connections": 4,
        "database": sqlite_engine.url.render_as_string(), "now": now.isoformat(),
        "chunking": chunking,
    }  # fmt: skip
    killed = 0
    while killed < 3:
        enough = 60 * (killed + 1)
        is_time = partial(_has_sent, sqlite_engine, run_id, enough)
        if victims.run_and_kill(is_time, **order) == 0:
            break
        killed += 1
    assert victims.run(**order) == 0
    _wait_until_quiet(opened, log)
    resolution = _resolve(sqlite_engine, keys, run_id, log, now)
    assert resolution.doubted == 0
    result = dispatch(
        with_relay(settings, url, connections=4, window=16), sqlite_engine, keys, run_id,
        clock=lambda: now + timedelta(hours=2),
    )  # fmt: skip
    assert result.tally.sent == 400
    _wait_until_quiet(opened, log)
    # The relay's own record: every Message-ID of the run queued, none of them twice.
    text = log.read_text("utf-8")
    queue_ids = dict(re.findall(r"cleanup\[\d+\]: (\w+): message-id=(<[^>]+>)", text))
    active = set(re.findall(r"qmgr\[\d+\]: (\w+): from=.*\(queue active\)", text))
    taken = Counter(queue_ids[queue_id] for queue_id in active)
    wanted = {
        f"<{tokens.sign(keys, tokens.Purpose.MESSAGE, reader, run_id)}@example.org>"
        for reader in _ids(sqlite_engine, run_id)
    }
    assert {taken[one] for one in wanted} == {1}


def test_what_waits_for_room_in_the_active_queue_is_not_absent(
    sqlite_engine, settings, keys, victims, tmp_path, relay
):
    opened, log = relay
    now = datetime.now(UTC) + timedelta(seconds=4)
    run_id = start_run(sqlite_engine, now, readers=12)
    order = {
        "root": str(tmp_path), "relay": f"smtp://127.0.0.1:{opened.port}", "run": run_id,
        "window": 0, "connections": 1, "database": sqlite_engine.url.render_as_string(),
        "now": now.isoformat(), "chunking": "off",
    }  # fmt: skip
    with smtplib.SMTP(sinks.HOST, opened.port) as client:
        client.sendmail("a@example.org", "b@example.org", "Subject: first\r\n\r\n")
    _wait_until_quiet(opened, log)
    qmgr = int(re.search(r"/qmgr\[(\d+)\]", log.read_text("utf-8"))[1])
    os.kill(qmgr, signal.SIGSTOP)  # as if it had no room: cleanup goes on without it
    try:
        assert victims.run(**order, crash="reply.before:8") == 9
        assert victims.run(**order) == 0
        _wait_for_sessions(log)
        resolution = _resolve(sqlite_engine, keys, run_id, log, now)
    finally:
        os.kill(qmgr, signal.SIGCONT)
    assert (resolution.found, resolution.absent) == (0, 0)
    assert resolution.why == {Why.BEGUN: resolution.doubted} != {Why.BEGUN: 0}
    _wait_until_quiet(opened, log)
    again = _resolve(sqlite_engine, keys, run_id, log, now)
    assert (again.found, again.doubted) == (resolution.doubted, 0)


def _resolve(engine, keys, run_id, log, now):
    """Resolve two hours later, by the log of a few seconds and a word an hour to both sides."""
    early, later = (
        f"{at.isoformat()} relay postfix/anvil[1]: statistics\n"
        for at in (now - timedelta(hours=1), now + timedelta(hours=1))
    )
    with log.open(encoding="utf-8") as lines:
        return resolving.resolve_by_log(
            engine, keys, run_id, [early, *lines, later],
            now=now + timedelta(hours=2), zone=UTC,
        )  # fmt: skip


def _has_sent(engine, run_id, count):
    return Counter(states_of(engine, run_id).values())["sent"] >= count


def _ids(engine, run_id):
    with database.read(engine) as connection:
        return [reader.subscriber_id for reader in breakdown.readers(connection, run_id)]


def _wait_until_quiet(opened, log):
    """Wait until every session is over, those of the dead as well, and all of it is logged."""
    _wait_for_sessions(log)
    opened.drain()
    # The log is written in order, a little later: what a last session says comes after all that.
    before = log.read_text("utf-8").count(": connect from")
    smtplib.SMTP(sinks.HOST, opened.port).quit()
    _wait_for_sessions(log, at_least=before + 1)


def _wait_for_sessions(log, at_least=0):
    for _ in range(1_200):
        text = log.read_text("utf-8")
        begun, ended = (text.count(f": {word} from") for word in ("connect", "disconnect"))
        if begun == ended >= at_least:
            return
        threading.Event().wait(0.05)
    raise AssertionError("the relay never came to rest")
