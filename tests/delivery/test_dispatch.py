"""One run over real sockets: every reader once, every answer in its place."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from newsletter.delivery import commits
from newsletter.delivery.desk import Desk
from newsletter.delivery.dispatch import dispatch
from newsletter.model import DeliveryState, Tally
from newsletter.store import breakdown, database, leaving, owners, schema, waiting
from tests.delivery.scenery import claim_as, once_accepted, start_run, states_of, with_relay
from tests.delivery.sink import Manners, Rule
from tests.waiting import wait_until


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


def test_a_sender_domain_with_an_accent_greets_and_sends_in_a_labels(
    engine, settings, keys, now, start_sink
):
    sender = settings.sender.model_copy(update={"address": "lettre@mairie-évry.example"})
    settings = settings.model_copy(update={"sender": sender})
    sink = start_sink(Manners())
    run_id = start_run(engine, now, readers=3)
    assert dispatch(
        with_relay(settings, sink.url), engine, keys, run_id, clock=lambda: now
    ).finished
    assert {accepted.recipient for accepted in sink.accepted()} == set(states_of(engine, run_id))
    greetings = {line for _, line in sink.commands if line.startswith(b"EHLO")}
    assert greetings == {b"EHLO xn--mairie-vry-h7a.example"}


class Meanwhile:
    """Does *act* once, in mid-run: the relay answers no eleventh message before it is done."""

    def __init__(self, start_sink, act):
        rules = [Rule("accepted", "hold", skip=10)]
        self.sink = start_sink(Manners(reply_delay_s=0.01, rules=rules))
        self._act = act

    def __call__(self, tally):
        if tally.sent and not self.sink.manners.release.is_set():
            self._act()
            self.sink.manners.release.set()


def pending_readers(connection, run_id):
    return list(breakdown.readers(connection, run_id, DeliveryState.PENDING))


def change(connection, reader, **values):
    connection.execute(
        update(schema.subscriber).where(schema.subscriber.c.id == reader).values(**values)
    )


@pytest.mark.parametrize("window", [0, 4])
def test_who_leaves_in_mid_run_gets_nothing_and_the_others_do(
    engine, settings, keys, now, start_sink, window
):
    run_id = start_run(engine, now, readers=60)
    leaving = set()

    def leave():
        with database.write(engine) as connection:
            for reader in pending_readers(connection, run_id)[::3]:
                change(connection, reader.subscriber_id, state="unsubscribed")
                waiting.cancel_reader(connection, reader.subscriber_id)
                leaving.add(reader.address)

    leave_once = Meanwhile(start_sink, leave)
    relay = with_relay(settings, leave_once.sink.url, window=window, connections=2)
    result = dispatch(relay, engine, keys, run_id, clock=lambda: now, progress=leave_once)
    by_address = states_of(engine, run_id)
    taken = {accepted.recipient for accepted in leave_once.sink.accepted()}
    for address, state in by_address.items():
        assert state == ("sent" if address in taken else "cancelled"), address
    assert {a for a, state in by_address.items() if state == "cancelled"} <= leaving
    # What was being claimed at that moment may still have left; no more than a window of them.
    assert len(leaving) > 2 + 2 * window
    assert len(taken & leaving) <= 2 + 2 * window
    assert result.finished


def test_who_is_erased_while_being_written_to_leaves_no_address_behind(
    engine, settings, keys, now, start_sink
):
    whom = "lecteur1@lecteurs.example"
    sink = start_sink(Manners(rules=[Rule("accepted", f"250 2.0.0 <{whom}> queued", whom)]))
    run_id = start_run(engine, now, readers=8)
    keep = sink.keep

    def keep_and_erase(line) -> None:
        keep(line)
        if line["recipient"] == whom:
            with database.write(engine) as connection:
                known = schema.subscriber.c
                reader = connection.scalar(select(known.id).where(known.address == whom))
                assert leaving.erase(connection, keys, reader, now)

    sink.keep = keep_and_erase  # its message is taken, and not answered yet
    result = dispatch(with_relay(settings, sink.url), engine, keys, run_id, clock=lambda: now)
    assert result.tally.sent == 8
    with engine.connect() as connection:
        tables = schema.metadata.sorted_tables
        written = [str(row) for table in tables for row in connection.execute(select(table))]
    assert not [row for row in written if whom in row]


def test_an_address_that_changes_before_its_claim_is_the_one_written_to(
    engine, settings, keys, now, start_sink
):
    run_id = start_run(engine, now, readers=60)
    with database.read(engine) as connection:
        last = max(pending_readers(connection, run_id), key=lambda one: one.subscriber_id)

    def move():
        with database.write(engine) as connection:
            change(connection, last.subscriber_id, address="neuve@lecteurs.example")

    move_once = Meanwhile(start_sink, move)
    relay = with_relay(settings, move_once.sink.url, window=0, connections=2)
    result = dispatch(relay, engine, keys, run_id, clock=lambda: now, progress=move_once)
    assert result.tally.sent == 60
    taken = [accepted.recipient for accepted in move_once.sink.accepted()]
    assert "neuve@lecteurs.example" in taken
    assert last.address not in taken
    assert len(taken) == 60


@pytest.mark.parametrize("window", [0, 4])
def test_who_was_put_off_is_tried_again_when_due_and_not_after_all_others(
    engine, settings, keys, now, start_sink, window
):
    """As in a run of hours: its first reader is greylisted, and five minutes are soon over."""
    sink = start_sink()
    run_id = start_run(engine, now, readers=60)
    with database.read(engine) as connection:
        whom = pending_readers(connection, run_id)[0].address
    sink.manners.rules.append(Rule("rcpt", "450 4.7.1 greylisted", whom, 1))
    minutes = itertools.count(6)

    def clock():
        return now + timedelta(minutes=min(next(minutes), 600) if sink.accepted() else 0)

    def is_awake():
        return states_of(engine, run_id)[whom] != "deferred"

    relay = with_relay(settings, sink.url, window=window, connections=1)
    with once_accepted(sink, 10, lambda: wait_until(is_awake)):
        assert dispatch(relay, engine, keys, run_id, clock=clock).finished
    order = [accepted.recipient for accepted in sink.accepted()]
    assert order.index(whom) < 20


def test_the_last_results_wait_for_no_intents(
    sqlite_engine, settings, keys, now, start_sink, monkeypatch
):
    monkeypatch.setattr(commits, "FLUSH_S", 3_600)
    run_id = start_run(sqlite_engine, now, readers=3)
    relay = with_relay(settings, start_sink().url)
    assert dispatch(relay, sqlite_engine, keys, run_id, clock=lambda: now).finished


def test_what_a_lost_machine_was_sending_is_given_up_once_nothing_of_it_can_leave(
    sqlite_engine, settings, keys, now
):
    run_id = start_run(sqlite_engine, now, readers=1)
    claim_as(sqlite_engine, run_id, "file:another-machine:its-boot:word", now)

    def dispatch_after(**time):
        at = now + timedelta(**time)
        return dispatch(settings, sqlite_engine, keys, run_id, clock=lambda: at)

    assert dispatch_after(hours=24, minutes=10).tally.sending == 1
    result = dispatch_after(hours=24, minutes=11)
    assert (result.finished, result.tally.unknown) == (True, 1)


def test_what_a_live_owner_is_sending_is_never_given_up(sqlite_engine, settings, keys, now):
    run_id = start_run(sqlite_engine, now, readers=1)
    with owners.open_owner(sqlite_engine) as name:
        claim_as(sqlite_engine, run_id, name, now)
        at = now + timedelta(days=3)
        assert not dispatch(settings, sqlite_engine, keys, run_id, clock=lambda: at).finished


def test_the_progress_counts_who_was_woken_at_the_end_as_sent(
    settings, sqlite_engine, keys, now, start_sink, monkeypatch
):
    sink = start_sink(Manners(rules=[Rule("rcpt", "450 4.7.1 greylisted", times=1)]))
    run_id = start_run(sqlite_engine, now, readers=5)
    real_end, last = Desk.end, []

    def end(desk, ending):
        last.append(desk.tally())
        real_end(desk, ending)

    monkeypatch.setattr(Desk, "end", end)
    result = dispatch(
        with_relay(settings, sink.url, connections=1, window=0), sqlite_engine, keys, run_id,
        clock=lambda: now + timedelta(minutes=6 if len(sink.accepted()) == 4 else 0),
    )  # fmt: skip
    assert last == [result.tally] == [Tally(audience=5, sent=5)]
