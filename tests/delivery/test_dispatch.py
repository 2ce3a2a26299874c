"""One run over real sockets: every reader once, every answer in its place."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import select, update

from newsletter.delivery.dispatch import dispatch
from newsletter.model import Tally
from newsletter.store import database, ledger, schema
from tests.delivery.scenery import start_run, states_of, with_relay
from tests.delivery.sink import Manners


@pytest.mark.parametrize("window", [0, 4])
@pytest.mark.parametrize(
    "manners",
    [
        Manners(),
        Manners(pipelining=False),
        Manners(chunking=True),
        Manners(helo_only=True, enhanced=False),
    ],
    ids=["pipelined", "serial", "bdat", "helo"],
)
def test_every_reader_gets_one_message(engine, settings, keys, now, start_sink, manners, window):
    sink = start_sink(manners)
    run_id = start_run(engine, now, readers=57)
    result = dispatch(
        with_relay(settings, sink.url, window=window), engine, keys, run_id, clock=lambda: now
    )
    assert result.tally == Tally(audience=57, sent=57)
    assert result.finished
    accepted = sink.accepted()
    assert sorted(a.recipient for a in accepted) == sorted(states_of(engine, run_id))
    assert len({a.message_id for a in accepted}) == 57
    assert {a.date for a in accepted} == {"Thu, 07 May 2026 08:00:00 +0200"}
    assert sink.worst["bare_lf"] == 0
    assert sink.worst["line"] <= 78


def change(engine, whom, **values):
    with database.write(engine) as connection:
        reader = connection.scalar(
            select(schema.subscriber.c.id).where(schema.subscriber.c.address == whom)
        )
        connection.execute(
            update(schema.subscriber).where(schema.subscriber.c.id == reader).values(**values)
        )
        if values.get("state") == "unsubscribed":
            ledger.cancel_reader(connection, reader)


@pytest.mark.parametrize("window", [0, 4])
def test_who_leaves_in_mid_run_gets_nothing_and_the_others_do(
    engine, settings, keys, now, start_sink, window
):
    sink = start_sink(Manners(reply_delay_s=0.01))
    run_id = start_run(engine, now, readers=60)
    order = sorted(
        (reader.subscriber_id, reader.address)
        for reader in ledger_readers(engine, run_id)
    )  # fmt: skip
    leaving = [address for _, address in order[20::4]]
    relay = with_relay(settings, sink.url, window=window, connections=2)
    left = threading.Event()

    def leave(tally):
        if tally.sent and not left.is_set():
            left.set()
            for address in leaving:
                change(engine, address, state="unsubscribed")

    result = dispatch(relay, engine, keys, run_id, clock=lambda: now, progress=leave)
    assert left.is_set()
    by_address = states_of(engine, run_id)
    taken = {accepted.recipient for accepted in sink.accepted()}
    for address, state in by_address.items():
        assert state == ("sent" if address in taken else "cancelled"), address
    assert {a for a, state in by_address.items() if state == "cancelled"} <= set(leaving)
    # What was on its way or claimed ahead may still have left; no more than a window of them.
    assert len(taken & set(leaving)) <= 2 + 2 * window
    assert result.finished


def test_an_address_that_changes_before_its_claim_is_the_one_written_to(
    engine, settings, keys, now, start_sink
):
    sink = start_sink(Manners(reply_delay_s=0.01))
    run_id = start_run(engine, now, readers=60)
    last = max((r.subscriber_id, r.address) for r in ledger_readers(engine, run_id))[1]
    changed = threading.Event()

    def move(tally):
        if tally.sent and not changed.is_set():
            changed.set()
            change(engine, last, address="neuve@lecteurs.example")

    relay = with_relay(settings, sink.url, window=0, connections=2)
    result = dispatch(relay, engine, keys, run_id, clock=lambda: now, progress=move)
    assert result.tally.sent == 60
    taken = [accepted.recipient for accepted in sink.accepted()]
    assert "neuve@lecteurs.example" in taken
    assert last not in taken
    assert len(taken) == 60


def ledger_readers(engine, run_id):
    with database.read(engine) as connection:
        return list(ledger.readers(connection, run_id))
