"""The fault matrix of DELIVERY 10, row by row, against a relay that misbehaves so."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, update

from newsletter.delivery import resolving
from newsletter.delivery.pacing import Domains
from newsletter.store import breakdown, database, ledger, schema
from tests.delivery.scenery import start_run, states_of
from tests.delivery.sink import Manners, Rule
from tests.waiting import wait_until


@pytest.fixture
def engine(sqlite_engine):
    return sqlite_engine


def standing(engine, run_id):
    with database.read(engine) as connection:
        return {reader.address: reader for reader in breakdown.readers(connection, run_id)}


ONE = "lecteur1@"  # the reader whom the fault is about; the others must not notice


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "serial"])
@pytest.mark.parametrize(
    ("stage", "reply", "state", "reason"),
    [
        ("rcpt", "550 5.1.1 no such user", "refused", "no_such_address"),
        ("rcpt", "551 5.1.6 moved", "refused", "no_such_address"),
        ("rcpt", "550 no", "refused", "refused"),
        ("rcpt", "552 5.2.2 full", "refused", "mailbox_full"),
        ("rcpt", "450 4.2.0 later", "deferred", "temporary"),
        ("rcpt", "451 4.7.1 greylisted", "deferred", "greylisted"),
        ("rcpt", "452 4.2.2 full", "deferred", "mailbox_full"),
        ("dot", "451 4.3.0 later", "deferred", "temporary"),
        ("dot", "550 5.7.1 spam", "refused", "policy"),
        ("dot", "554 no", "refused", "policy"),
        ("dot", "552 5.3.4 too large", "refused", "size"),
        ("dot", "550 5.1.1 no such user", "refused", "no_such_address"),
        ("data", "451 4.3.0 later", "deferred", "temporary"),
    ],
)
def test_a_no_about_one_reader_concerns_that_reader_alone(
    go, engine, now, start_sink, stage, reply, state, reason, pipelining
):
    sink = start_sink(Manners(pipelining=pipelining, rules=[Rule(stage, reply, ONE)]))
    run_id = start_run(engine, now, readers=8)
    go(sink.url, run_id)
    by_address = standing(engine, run_id)
    met = by_address.pop("lecteur1@lecteurs.example")
    assert (met.state, met.reason) == (state, reason)
    assert met.reply.startswith(reply[:3])
    assert {reader.state for reader in by_address.values()} == {"sent"}
    assert len(sink.accepted()) == 7


@pytest.mark.parametrize(
    "reply", ["550 5.1.1 no such user", "521 5.2.1 no mail here", "500 5.5.2 syntax", "421 4.3.0 x"]
)
def test_a_no_to_one_of_the_chunks_in_flight_sends_none_of_the_others_twice(
    go, engine, now, start_sink, reply
):
    sink = start_sink(Manners(chunking=True, rules=[Rule("rcpt", reply, "lecteur3@")]))
    run_id = start_run(engine, now, readers=20)
    for _ in range(3):
        go(sink.url, run_id, connections=1)
    times = Counter(accepted.recipient for accepted in sink.accepted())
    assert (set(times.values()), len(times)) == ({1}, 19)


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "serial"])
def test_a_refusal_is_heard_though_the_relay_hangs_up_behind_it(
    go, engine, now, start_sink, pipelining
):
    rules = [Rule("rcpt", "bye 550 5.1.1 no such user", ONE)]
    sink = start_sink(Manners(pipelining=pipelining, rules=rules))
    run_id = start_run(engine, now, readers=8)
    go(sink.url, run_id)
    by_address = standing(engine, run_id)
    met = by_address.pop("lecteur1@lecteurs.example")
    assert (met.state, met.reason, met.reply) == (
        "refused", "no_such_address", "550 5.1.1 no such user",
    )  # fmt: skip
    assert {reader.state for reader in by_address.values()} == {"sent"}


@pytest.mark.parametrize("chunking", [True, False])
def test_a_relay_that_goes_on_behind_its_421_makes_nobody_get_it_twice(
    go, engine, now, start_sink, chunking
):
    sink = start_sink(Manners(chunking=chunking, rules=[Rule("rcpt", "stay 421 4.7.0 later", ONE)]))
    run_id = start_run(engine, now, readers=8)
    go(sink.url, run_id, window=32)
    times = Counter(accepted.recipient for accepted in sink.accepted())
    assert (set(times.values()), len(times)) == ({1}, 7)
    assert Counter(states_of(engine, run_id).values())["sent"] == 7


def test_what_a_relay_takes_long_behind_its_421_is_waited_for(go, engine, now, start_sink):
    run_id = start_run(engine, now, readers=8)
    subscriber, delivery = schema.subscriber.c, schema.delivery.c

    def read(column):
        """One column of all readers, in the order in which they are sent to."""
        rows = select(column).select_from(schema.delivery)
        rows = rows.join(schema.subscriber, subscriber.id == delivery.subscriber_id)
        with database.read(engine) as connection:
            return connection.scalars(rows.order_by(subscriber.id)).all()

    third = read(subscriber.address)[2]
    later = Rule("rcpt", "stay 421 4.7.0 later", third, times=1)
    sink = start_sink(Manners(chunking=True, rules=[later, Rule("accepted", "hold", skip=2)]))
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(go, sink.url, run_id)
        try:
            wait_until(lambda: read(delivery.drops)[2] == 1)
        finally:
            sink.manners.release.set()
        assert run.result().tally.sent == 8
    assert set(Counter(accepted.recipient for accepted in sink.accepted()).values()) == {1}


@pytest.mark.parametrize("count", [1, 2])
def test_readers_at_whom_the_relay_always_hangs_up_are_deferred(go, engine, now, start_sink, count):
    rules = [Rule("rcpt", "421 4.3.2 closing", f"lecteur{number}@") for number in range(count)]
    sink = start_sink(Manners(chunking=True, rules=rules))
    run_id = start_run(engine, now, readers=12)
    for minutes in range(4):
        found = go(sink.url, run_id, minutes=minutes, window=32).tally
    assert (found.sent, found.deferred) == (12 - count, count)


def test_a_refused_recipient_that_still_gets_354_shifts_nobody(go, engine, now, start_sink):
    rules = [Rule("rcpt", "550 5.1.1 nobody", ONE)]
    sink = start_sink(Manners(always_354=True, rules=rules))
    run_id = start_run(engine, now, readers=8)
    go(sink.url, run_id)
    assert Counter(states_of(engine, run_id).values()) == {"sent": 7, "refused": 1}


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "body", "dot"])
@pytest.mark.parametrize("action", ["drop", "rst", "421 4.7.0 later", "hang", "garbage"])
def test_a_fault_of_the_connection_is_nobodys_and_the_message_leaves_again(
    go, engine, now, start_sink, pass_time, stage, action
):
    if (stage, action) == ("body", "garbage"):
        action = "drop"
    rules = [Rule(stage, action, times=1, skip=2)]
    sink = start_sink(Manners(rules=rules, pass_time=pass_time))
    run_id = start_run(engine, now, readers=8)
    result = go(sink.url, run_id)
    found = Counter(states_of(engine, run_id).values())
    # Lost before the record, but the client cannot know: its dot had left (or was just leaving).
    doubted = stage in {"body", "dot"} and not action.startswith("421")
    assert found == {"sent": 8} or (doubted and found == {"sent": 7, "unknown": 1})
    assert stage != "dot" or not doubted or found["unknown"]
    assert max(Counter(a.recipient for a in sink.accepted()).values()) == 1
    assert result.finished


@pytest.mark.parametrize("action", ["drop", "rst", "hang", "garbage"])
def test_a_message_taken_without_an_answer_is_unknown_and_never_sent_again(
    go, engine, now, start_sink, pass_time, action
):
    rules = [Rule("accepted", action, ONE, times=1)]
    sink = start_sink(Manners(rules=rules, pass_time=pass_time))
    run_id = start_run(engine, now, readers=8)
    result = go(sink.url, run_id)
    assert states_of(engine, run_id)["lecteur1@lecteurs.example"] == "unknown"
    assert result.tally.unknown == 1
    assert result.tally.sent == 7
    go(sink.url, run_id)
    assert len(sink.accepted()) == 8


@pytest.mark.parametrize("stage", ["banner", "ehlo"])
@pytest.mark.parametrize("action", ["drop", "hang", "421 4.3.2 busy", "garbage", "trickle"])
def test_a_relay_that_never_greets_us_charges_nobody(
    go, engine, now, start_sink, pass_time, stage, action
):
    sink = start_sink(Manners(rules=[Rule(stage, action)], pass_time=pass_time))
    run_id = start_run(engine, now, readers=3)
    result = go(sink.url, run_id)
    assert (result.reason, result.finished) == ("relay", False)
    assert result.problem
    assert set(states_of(engine, run_id).values()) == {"pending"}
    sink.manners.rules.clear()
    assert go(sink.url, run_id).tally.sent == 3


def test_a_relay_too_busy_for_helo_is_tried_again(go, engine, now, start_sink):
    sink = start_sink(Manners(helo_only=True, rules=[Rule("helo", "421 4.3.2 busy", times=2)]))
    run_id = start_run(engine, now, readers=3)
    assert go(sink.url, run_id).tally.sent == 3


def test_no_relay_at_all_charges_nobody(go, engine, now, start_sink):
    sink = start_sink()
    sink.stop()
    run_id = start_run(engine, now, readers=3)
    result = go(sink.url, run_id)
    assert result.reason == "relay"
    assert set(states_of(engine, run_id).values()) == {"pending"}


def test_a_554_banner_stops_the_run(go, engine, now, start_sink):
    sink = start_sink(Manners(rules=[Rule("banner", "554 5.7.1 not you")]))
    run_id = start_run(engine, now, readers=3)
    assert go(sink.url, run_id).reason == "configuration"
    assert sink.worst["connections"] == 1
    assert go(sink.url, run_id).reason == "stopped"


def test_a_wrong_password_stops_the_run_after_one_attempt(go, engine, now, start_sink):
    sink = start_sink(Manners(auth=("PLAIN",)))
    run_id = start_run(engine, now, readers=3)
    url = sink.url.replace("//", "//user@")
    result = go(url, run_id, password="wrong", connections=4)
    assert result.reason == "configuration"
    assert sink.worst["connections"] == 1
    assert set(states_of(engine, run_id).values()) == {"pending"}


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "XOAUTH2"])
def test_the_account_signs_in_by_every_mechanism(go, engine, now, start_sink, mechanism):
    sink = start_sink(Manners(auth=(mechanism,)))
    run_id = start_run(engine, now, readers=3)
    url = sink.url.replace("//", "//user@")
    result = go(url, run_id, password="secret", auth=mechanism.lower())
    assert result.tally.sent == 3


def test_a_temporary_failure_to_sign_in_is_tried_again(go, engine, now, start_sink):
    rules = [Rule("auth", "454 4.7.0 later", times=1)]
    sink = start_sink(Manners(auth=("PLAIN",), rules=rules))
    run_id = start_run(engine, now, readers=3)
    url = sink.url.replace("//", "//user@")
    assert go(url, run_id, password="secret").tally.sent == 3


@pytest.mark.parametrize(
    ("stage", "reply"),
    [("mail", "550 5.1.7 bad sender"), ("mail", "530 5.7.0 sign in"), ("rcpt", "553 no"),
     ("rcpt", "554 5.7.1 <x>: Relay access denied"),
     ("mail", "501 5.5.4 Syntax error in sender"),
     ("mail", "550 5.4.5 Daily user sending limit exceeded"),
     ("dot", "550 5.4.5 Daily user sending limit exceeded")],
)  # fmt: skip
def test_a_fault_of_our_configuration_stops_the_run_and_blames_nobody(
    go, engine, now, start_sink, stage, reply
):
    sink = start_sink(Manners(rules=[Rule(stage, reply)]))
    run_id = start_run(engine, now, readers=30)
    result = go(sink.url, run_id)
    assert result.reason == "configuration"
    assert reply[:3] in result.problem
    assert set(states_of(engine, run_id).values()) == {"pending"}
    assert len([line for _, line in sink.commands if line.startswith(b"MAIL")]) <= 2


@pytest.mark.parametrize(
    ("stage", "reply"),
    [("mail", "550 <bounces@example.org>: no"), ("rcpt", "554 5.3.2 not now"),
     ("rcpt", "550 5.4.6 loop"), ("dot", "554 5.3.5 misconfigured")],
)  # fmt: skip
def test_a_fault_of_the_relay_stops_the_run_and_everybody_can_be_tried_again(
    go, engine, now, start_sink, stage, reply
):
    sink = start_sink(Manners(rules=[Rule(stage, reply)]))
    run_id = start_run(engine, now, readers=30)
    result = go(sink.url, run_id)
    assert result.reason == "configuration"
    assert reply[:3] in result.problem
    assert result.tally.refused <= 6
    sink.manners.rules.clear()
    resolving.retry(engine, run_id, "configuration", now=now)
    with database.write(engine) as connection:
        ledger.go_on(connection, run_id)
    assert go(sink.url, run_id).tally.sent == 30


def test_an_envelope_sender_refused_for_one_reader_stops_nobody_else(go, engine, now, start_sink):
    rules = [Rule("mail", "550 <bounces@example.org>: rejected", times=1, skip=3)]
    sink = start_sink(Manners(rules=rules))
    run_id = start_run(engine, now, readers=8)
    result = go(sink.url, run_id)
    assert (result.finished, result.tally.sent, result.tally.refused) == (True, 7, 1)
    resolving.retry(engine, run_id, "configuration", now=now)
    assert go(sink.url, run_id).tally.sent == 8


def test_only_what_may_concern_a_whole_domain_slows_it_down(
    go, engine, now, start_sink, monkeypatch
):
    blamed = []
    monkeypatch.setattr(Domains, "blame", lambda _self, domain, _now: blamed.append(domain))
    replies = {
        "relais-plein.example": "452 insufficient system storage",
        "boite-pleine.example": "452 4.2.2 full",
        "liste-grise.example": "451 4.7.1 greylisted",
        "occupe.example": "450 4.2.0 later",
    }
    rules = [Rule("rcpt", reply, domain) for domain, reply in replies.items()]
    sink = start_sink(Manners(rules=rules))
    run_id = start_run(engine, now, domains=dict.fromkeys(replies, 1))
    assert go(sink.url, run_id).tally.deferred == 4
    assert blamed == ["occupe.example"]


def test_a_message_refused_by_policy_stops_the_run_and_suppresses_nobody(
    go, engine, now, start_sink
):
    sink = start_sink(Manners(rules=[Rule("dot", "550 5.7.1 spam")]))
    run_id = start_run(engine, now, readers=30)
    result = go(sink.url, run_id)
    assert result.reason == "policy"
    assert result.tally.refused <= 6
    assert result.tally.pending >= 24
    with database.read(engine) as connection:
        states = connection.scalars(select(schema.subscriber.c.state)).all()
    assert set(states) == {"active"}


def test_an_address_that_does_not_exist_is_suppressed_when_the_run_is_done(
    go, engine, now, start_sink
):
    sink = start_sink(Manners(rules=[Rule("rcpt", "550 5.1.1 nobody", ONE)]))
    run_id = start_run(engine, now, readers=8)
    assert go(sink.url, run_id).finished
    with database.read(engine) as connection:
        rows = connection.execute(select(schema.subscriber.c.address, schema.subscriber.c.state))
        states = {row[0]: row[1] for row in rows}
    assert states["lecteur1@lecteurs.example"] == "suppressed"
    assert Counter(states.values()) == {"active": 7, "suppressed": 1}


def test_a_domain_that_loses_everybody_at_once_is_doubted_instead(go, engine, now, start_sink):
    sink = start_sink(Manners(rules=[Rule("rcpt", "550 5.1.1 nobody", "@perdu.example")]))
    run_id = start_run(engine, now, domains={"perdu.example": 22, "lecteurs.example": 5})
    assert go(sink.url, run_id).tally.refused == 22
    with database.read(engine) as connection:
        states = Counter(connection.scalars(select(schema.subscriber.c.state)))
        doubts = connection.scalars(
            select(schema.event.c.detail).where(schema.event.c.kind == "domain_in_doubt")
        ).all()
    assert states == {"active": 27}
    assert doubts == ["perdu.example: 22 addresses refused at once; nobody suppressed"]


def test_a_relay_that_knows_nobody_is_doubted_instead_of_every_reader(go, engine, now, start_sink):
    sink = start_sink(Manners(rules=[Rule("rcpt", "550 5.1.1 unknown user")]))
    run_id = start_run(engine, now, domains={f"mairie{i}.example": 2 for i in range(11)})
    assert go(sink.url, run_id).tally.refused == 22
    with database.read(engine) as connection:
        states = Counter(connection.scalars(select(schema.subscriber.c.state)))
        doubts = connection.scalars(
            select(schema.event.c.detail).where(schema.event.c.kind == "run_in_doubt")
        ).all()
    assert states == {"active": 22}
    assert doubts == ["22 addresses of 11 domains refused at once; nobody suppressed"]


def test_a_message_larger_than_the_relay_takes_is_refused_before_mail(go, engine, now, start_sink):
    sink = start_sink(Manners(size=100))
    run_id = start_run(engine, now, readers=8)
    result = go(sink.url, run_id)
    assert result.reason == "policy"
    assert not [line for _, line in sink.commands if line.startswith(b"MAIL")]
    assert {r.reason for r in standing(engine, run_id).values() if r.state == "refused"} == {"size"}


def test_a_message_too_large_for_the_relay_stops_the_run_whose_next_window_waits(
    go, engine, now, start_sink
):
    sink = start_sink(Manners(size=1_800))
    run_id = start_run(engine, now, readers=12)
    result = go(sink.url, run_id, connections=4, window=2)
    assert result.reason == "policy"
    assert result.tally.refused + result.tally.pending == 12


def test_an_announced_limit_of_messages_recycles_the_connection(go, engine, now, start_sink):
    sink = start_sink(Manners(mail_max=3))
    run_id = start_run(engine, now, readers=10)
    assert go(sink.url, run_id).tally.sent == 10
    assert sink.worst["connections"] == 4
    assert max(Counter(a.connection for a in sink.accepted()).values()) == 3


def test_a_limit_learned_from_a_421_charges_nobody_and_is_kept(go, engine, now, start_sink):
    rules = [Rule("mail", "421 4.7.0 Maximum message count per session reached", times=1, skip=3)]
    sink = start_sink(Manners(rules=rules))
    run_id = start_run(engine, now, readers=10)
    assert go(sink.url, run_id).tally.sent == 10
    assert max(Counter(a.connection for a in sink.accepted()).values()) == 3


def test_deferred_readers_come_again_when_they_are_due_until_the_deadline(
    go, engine, now, start_sink
):
    sink = start_sink(Manners(rules=[Rule("rcpt", "450 4.2.1 later", ONE)]))
    run_id = start_run(engine, now, readers=3)
    asked = []
    for minutes in (0, 4, 5, 19, 20, 79, 80, 24 * 60):
        result = go(sink.url, run_id, minutes=minutes)
        asked.append(sum(line.startswith(b"RCPT TO:<lecteur1@") for _, line in sink.commands))
    assert asked == [1, 1, 2, 2, 3, 3, 4, 4]
    assert result.reason == "expired"
    assert result.finished
    assert states_of(engine, run_id)["lecteur1@lecteurs.example"] == "expired"


def test_a_greylisted_reader_comes_through_when_they_are_due(go, engine, now, start_sink):
    sink = start_sink(Manners(rules=[Rule("rcpt", "451 4.7.1 greylisted", times=3)]))
    run_id = start_run(engine, now, readers=3)
    assert go(sink.url, run_id).tally.deferred == 3
    assert {reader.reason for reader in standing(engine, run_id).values()} == {"greylisted"}
    assert go(sink.url, run_id, minutes=5).tally.sent == 3


@pytest.mark.parametrize("stage", ["mail", "rcpt", "dot"])
def test_a_relay_that_throttles_us_by_454_charges_nobody(go, engine, now, start_sink, stage):
    sink = start_sink(Manners(rules=[Rule(stage, "454 4.7.0 Throttling failure", times=2)]))
    run_id = start_run(engine, now, readers=8)
    assert go(sink.url, run_id, connections=4).tally.sent == 8
    with database.read(engine) as connection:
        assert set(connection.scalars(select(schema.delivery.c.tries))) == {0}


@pytest.mark.parametrize("stage", ["mail", "rcpt", "dot"])
def test_a_relay_that_throttles_everybody_is_left_alone_after_three_times(
    go, engine, now, start_sink, stage
):
    sink = start_sink(Manners(rules=[Rule(stage, "454 4.7.0 Throttling failure")]))
    run_id = start_run(engine, now, readers=200)
    result = go(sink.url, run_id, connections=2)
    asked = sum(line.startswith(b"MAIL") for _, line in sink.commands)
    assert result.reason == "relay"
    assert "Throttling failure" in result.problem
    assert asked <= 3 * 2 * 2  # one at its dot and one behind, on each of both connections
    assert result.tally.pending + result.tally.deferred == 200


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "accepted"])
def test_an_answer_that_comes_octet_by_octet_is_not_waited_for_for_ever(
    go, engine, now, start_sink, pass_time, stage
):
    rules = [Rule(stage, "trickle", times=1, skip=2)]
    sink = start_sink(Manners(rules=rules, pass_time=pass_time))
    run_id = start_run(engine, now, readers=8)
    found = go(sink.url, run_id).tally
    doubted = stage == "accepted"
    assert (found.sent, found.unknown) == (8 - doubted, doubted)
    assert len(sink.accepted()) == 8


def test_a_relay_that_drops_everybody_is_left_alone_after_three_times(go, engine, now, start_sink):
    sink = start_sink(Manners(rules=[Rule("rcpt", "drop")]))
    run_id = start_run(engine, now, readers=50)
    result = go(sink.url, run_id)
    assert result.reason == "relay"
    assert sink.worst["connections"] == 3
    assert result.tally.pending + result.tally.deferred == 50


@pytest.mark.parametrize("stage", ["mail", "rcpt", "dot"])
def test_a_relay_that_sends_everybody_away_is_left_alone_after_three_times(
    go, engine, now, start_sink, stage
):
    sink = start_sink(Manners(rules=[Rule(stage, "421 4.3.2 try again later")]))
    run_id = start_run(engine, now, readers=50)
    result = go(sink.url, run_id)
    assert (result.reason, sink.worst["connections"]) == ("relay", 3)
    assert result.tally.pending + result.tally.deferred == 50


def test_a_relay_that_sends_us_away_behind_its_greeting_is_left_alone_after_three_times(
    go, engine, now, start_sink
):
    sink = start_sink(Manners(rules=[Rule("ehlo", "250 PIPELINING\r\n421 4.3.2 shutting down")]))
    result = go(sink.url, start_run(engine, now, readers=3))
    assert (result.reason, sink.worst["connections"]) == ("relay", 3)
    assert result.tally.pending == 3


@pytest.mark.parametrize("action", ["421 4.3.2 try again later", "drop"])
def test_somebody_at_whom_the_relay_hangs_up_keeps_nobody_from_their_mail(
    go, engine, now, start_sink, action
):
    sink = start_sink(Manners(rules=[Rule("rcpt", action, ONE)]))
    run_id = start_run(engine, now, readers=20)
    go(sink.url, run_id)
    by_address = states_of(engine, run_id)
    assert by_address.pop("lecteur1@lecteurs.example") in {"pending", "deferred"}
    assert set(by_address.values()) == {"sent"}


def test_an_extra_reply_shifts_no_verdict_to_the_next_reader(go, engine, now, start_sink):
    rules = [Rule("accepted", "dup", ONE), Rule("rcpt", "550 5.1.1 nobody", "lecteur2@")]
    sink = start_sink(Manners(rules=rules))
    run_id = start_run(engine, now, readers=8)
    go(sink.url, run_id)
    by_address = states_of(engine, run_id)
    taken = {a.recipient for a in sink.accepted()}
    for address, state in by_address.items():
        assert (state == "sent") == (address in taken), address
    assert "lecteur2@lecteurs.example" not in taken
    assert max(Counter(a.recipient for a in sink.accepted()).values()) == 1


def test_many_lines_and_foreign_octets_are_still_one_answer(go, engine, now, start_sink):
    sink = start_sink(Manners(rules=[Rule("accepted", "multiline")]))
    run_id = start_run(engine, now, readers=4)
    assert go(sink.url, run_id).tally.sent == 4


def test_a_reader_with_an_address_smtp_cannot_carry_stops_nobody(go, engine, now, start_sink):
    sink = start_sink()
    run_id = start_run(engine, now, readers=4)
    with database.write(engine) as connection:
        connection.execute(
            update(schema.subscriber)
            .where(schema.subscriber.c.address == "lecteur1@lecteurs.example")
            .values(address="josé@lecteurs.example")
        )
    assert go(sink.url, run_id).tally.sent == 3
    refused = standing(engine, run_id)["josé@lecteurs.example"]
    assert (refused.state, refused.reason) == ("refused", "address")
