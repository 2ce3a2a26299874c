"""A window that a locked database refuses is asked again, for as long as patience lasts."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import event

from newsletter.delivery import commits, resolving
from newsletter.delivery.flights import Flight
from newsletter.errors import Busy
from newsletter.store import database, ledger, waiting, windows
from tests.delivery.scenery import start_run, states_of

BUSY_S = database.BUSY_TIMEOUT_MS / 1000  # so long SQLite itself waits before it refuses


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop whose clock a test moves on, so that nobody waits for it."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s


@pytest.fixture
def lock_for(sqlite_engine, now, monkeypatch):
    """Ask for one intent while another holds the database; free it after so many seconds."""
    monkeypatch.setattr(commits, "RETRY_S", 0.001)
    impatient = database.open_engine(str(sqlite_engine.url), busy_timeout_ms=0)

    def ask(seconds: float) -> tuple[list[windows.Answer], list[Exception], float]:
        run_id = start_run(sqlite_engine, now, readers=1)
        with database.write(sqlite_engine) as connection:
            lease = ledger.claim_lease(
                connection, run_id, "me", now=now, until=now + timedelta(minutes=1),
                is_dead=lambda _: False,
            )  # fmt: skip
            (row,) = waiting.pick(connection, run_id, after=-1, size=1)
        loop = JumpingLoop()
        locker = sqlite_engine.connect()
        locker.begin()

        @event.listens_for(impatient, "handle_error")
        def _pass_time(_context) -> None:
            loop.ahead_s += BUSY_S + 0.5
            if loop.ahead_s >= seconds:
                locker.close()

        answers, failures = [], []

        async def commit() -> None:
            over = asyncio.Event()

            def end(found: list, what) -> None:
                found.append(what)
                over.set()

            with ThreadPoolExecutor(1) as pool:
                window = commits.Commits(
                    impatient, lease, clock=lambda: now, pool=pool,
                    on_answer=lambda answer, *_: end(answers, answer),
                    on_failure=lambda error: end(failures, error),
                )  # fmt: skip
                window.want([Flight(row)])
                await over.wait()
                window.close()

        loop.run_until_complete(commit())
        loop.close()
        locker.close()
        impatient.dispose()
        return answers, failures, loop.ahead_s

    return ask


def test_a_database_locked_for_a_minute_is_waited_for(lock_for, sqlite_engine):
    answers, failures, waited_s = lock_for(60)
    assert waited_s >= 60
    assert failures == []
    assert [len(answer.granted) for answer in answers] == [1]
    assert list(states_of(sqlite_engine, 1).values()) == ["sending"]


def test_past_its_patience_the_dispatch_ends_with_one_clear_error(lock_for, sqlite_engine):
    answers, failures, waited_s = lock_for(10 * commits.PATIENCE_BUSY_S)
    assert answers == []
    assert [type(error) for error in failures] == [Busy]
    said = "the database is locked — another command is writing; try again"
    assert str(failures[0]).endswith(said)
    assert commits.PATIENCE_BUSY_S <= waited_s <= commits.PATIENCE_BUSY_S + 2 * (BUSY_S + 0.5)
    assert list(states_of(sqlite_engine, 1).values()) == ["pending"]


def test_the_last_dot_of_one_taken_for_dead_leaves_before_its_log_is_believed():
    assert resolving.MARGIN.total_seconds() > commits.BEAT_S + 2 * commits.RETRY_S
