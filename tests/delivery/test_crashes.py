"""Killed anywhere: nobody twice, nobody lost track of, the uncertain listed (DESIGN 6).

The record of the sink is the only judge; the ledger is compared with it.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import text

from newsletter.delivery import crash_points, resolving
from newsletter.model import DeliveryState
from newsletter.store import breakdown, database
from tests.delivery.scenery import start_run, states_of
from tests.delivery.sink import Manners
from tests.waiting import wait_until

READERS = 40
WINDOW = 4
# `make soak` kills at other moments in every round.
SEED = os.environ.get("NEWSLETTER_SOAK_SEED", "")
RECORD = os.environ.get("NEWSLETTER_SOAK_RECORD", "")  # and adds up what came of them
ALIVE = (
    "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
    "WHERE locktype = 'advisory' AND datname = current_database()"
)
MANNERS = {
    "pipelined": Manners,
    "serial": lambda: Manners(pipelining=False),
    "bdat": lambda: Manners(chunking=True),
}


def order_for(engine, tmp_path, sink, run_id, now, *, window, connections=2, crash=""):
    url = engine.url.render_as_string(hide_password=False)
    return {
        "root": str(tmp_path), "database": url, "relay": sink.url, "run": run_id,
        "window": window, "connections": connections, "crash": crash, "now": now.isoformat(),
    }  # fmt: skip


def judge(engine, run_id, sink, *, kills: int, bound: int) -> None:
    """Compare the ledger with what was really taken."""
    taken = Counter(accepted.recipient for accepted in sink.accepted())
    states = states_of(engine, run_id)
    assert not {who: n for who, n in taken.items() if n > 1}, "sent twice"
    sent = {who for who, state in states.items() if state == DeliveryState.SENT}
    unknown = {who for who, state in states.items() if state == DeliveryState.UNKNOWN}
    assert sent | unknown == set(states), "left behind"
    assert sent <= set(taken), "called sent, never taken"
    assert set(taken) <= sent | unknown, "taken, and the ledger does not say so"
    assert len(unknown) <= kills * bound
    with database.read(engine) as connection:
        tally = breakdown.tally(connection, run_id)
    assert tally.audience == len(states) == tally.sent + tally.unknown


def wait_for_death(engine) -> None:
    """Wait until the server has seen that the sessions of the killed are over: a few ms later."""
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            wait_until(lambda: not connection.scalar(text(ALIVE)))


def crash_orders():
    """Every label at its first, a middle and its last time; a run starts and finishes once."""
    for label in crash_points.LABELS:
        times = {"run": [1], "commit": [1, 5, READERS // WINDOW]}
        for count in times.get(label.partition(".")[0], [1, READERS // 2, READERS]):
            yield f"{label}:{count}"


@pytest.mark.parametrize("crash", tuple(crash_orders()))
def test_a_crash_anywhere_loses_track_of_nobody(
    engine, settings, victims, tmp_path, now, start_sink, crash
):
    sink = start_sink()
    run_id = start_run(engine, now, readers=READERS)
    order = order_for(engine, tmp_path, sink, run_id, now, window=WINDOW)
    code = victims.run(**order | {"crash": crash})
    assert code == crash_points.EXIT_CODE, f"{crash} was never reached"
    wait_for_death(engine)
    assert victims.run(**order) == 0
    judge(engine, run_id, sink, kills=1, bound=2 + 2 * WINDOW)


@pytest.mark.parametrize("manners", MANNERS)
@pytest.mark.parametrize("window", [0, 8])
def test_random_kills_lose_track_of_nobody(
    engine, settings, victims, tmp_path, now, start_sink, manners, window
):
    sink = start_sink(MANNERS[manners]())
    run_id = start_run(engine, now, readers=300)
    order = order_for(engine, tmp_path, sink, run_id, now, window=window, connections=3)
    chance = random.Random(f"{manners}{window}{engine.dialect.name}{SEED}")
    kills = 0
    while True:
        # After so many more messages, not after so long: a child that is slow to start sends too.
        count = len(sink.accepted()) + (chance.randrange(50) if kills < 9 else 10_000)
        code = victims.run_and_kill(lambda count=count: len(sink.accepted()) >= count, **order)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        wait_for_death(engine)
        kills += 1
    bound = 3 * (8 if manners == "bdat" else 1) + 2 * window
    judge(engine, run_id, sink, kills=max(kills, 1), bound=bound)
    if RECORD:
        unknown = Counter(states_of(engine, run_id).values())[DeliveryState.UNKNOWN]
        with Path(RECORD).open("a", encoding="utf-8") as record:
            record.write(f"{engine.dialect.name} {kills} {unknown} {kills * bound}\n")


def test_a_repeat_has_the_same_message_id_date_and_bytes(
    engine, settings, victims, tmp_path, now, start_sink
):
    sink = start_sink()
    run_id = start_run(engine, now, readers=READERS)
    order = order_for(engine, tmp_path, sink, run_id, now, window=8, connections=3)
    assert victims.run(**order | {"crash": "reply.before:9"}) == crash_points.EXIT_CODE
    wait_for_death(engine)
    assert victims.run(**order) == 0
    unknown = [who for who, state in states_of(engine, run_id).items() if state == "unknown"]
    assert unknown
    assert resolving.resend(engine, run_id, now=now) == len(unknown)
    assert victims.run(**order) == 0
    assert set(states_of(engine, run_id).values()) == {"sent"}
    by_reader: dict[str, set[tuple[str, str, str]]] = {}
    for accepted in sink.accepted():
        identity = (accepted.message_id, accepted.date, accepted.sha256)
        by_reader.setdefault(accepted.recipient, set()).add(identity)
    assert len(sink.accepted()) > READERS  # somebody got it twice: a person said so
    assert all(len(identities) == 1 for identities in by_reader.values())
