"""What each reply means, and when to try again: the tables of DESIGN 6 and DELIVERY 10."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.delivery import states
from newsletter.delivery.states import Blame, Breaker, Reply, Stage, Verdict, classify
from newsletter.model import DeliveryState as State

NOW = datetime(2026, 5, 7, 6, 0, tzinfo=UTC)

TABLE = [
    # stage, reply, state, reason, blame
    (Stage.DOT, Reply(250, "2.0.0", "queued"), State.SENT, "", Blame.NOBODY),
    (Stage.DOT, Reply(250), State.SENT, "", Blame.NOBODY),
    (Stage.RCPT, Reply(550, "5.1.1"), State.REFUSED, "no_such_address", Blame.READER),
    (Stage.RCPT, Reply(550, "5.1.2"), State.REFUSED, "no_such_address", Blame.READER),
    (Stage.RCPT, Reply(553, "5.1.3"), State.REFUSED, "no_such_address", Blame.READER),
    (Stage.RCPT, Reply(551, "5.1.6"), State.REFUSED, "no_such_address", Blame.READER),
    (Stage.DOT, Reply(556, "5.1.10"), State.REFUSED, "no_such_address", Blame.READER),
    (Stage.MAIL, Reply(550, "5.1.1"), State.PENDING, "configuration", Blame.CONFIGURATION),
    (Stage.RCPT, Reply(550), State.REFUSED, "refused", Blame.READER),
    (Stage.RCPT, Reply(551), State.REFUSED, "refused", Blame.READER),
    (Stage.RCPT, Reply(550, "5.1.0"), State.REFUSED, "refused", Blame.READER),
    (Stage.RCPT, Reply(550, "5.2.1"), State.REFUSED, "disabled", Blame.READER),
    (Stage.RCPT, Reply(552, "5.2.2"), State.REFUSED, "mailbox_full", Blame.READER),
    (Stage.DOT, Reply(552, "5.2.2"), State.REFUSED, "mailbox_full", Blame.READER),
    (Stage.RCPT, Reply(552), State.REFUSED, "mailbox_full", Blame.READER),
    (Stage.RCPT, Reply(552, "", "too many recipients"), State.DEFERRED, "throttled",
     Blame.READER),
    (Stage.RCPT, Reply(552, "5.5.3", "Too many recipients"), State.DEFERRED, "throttled",
     Blame.READER),
    (Stage.MAIL, Reply(550, "5.1.7"), State.PENDING, "configuration", Blame.CONFIGURATION),
    (Stage.RCPT, Reply(550, "5.1.8"), State.PENDING, "configuration", Blame.CONFIGURATION),
    (Stage.RCPT, Reply(553), State.PENDING, "configuration", Blame.CONFIGURATION),
    (Stage.MAIL, Reply(530, "5.7.0"), State.PENDING, "configuration", Blame.CONFIGURATION),
    (Stage.RCPT, Reply(554, "5.7.1", "Relay access denied"), State.PENDING, "configuration",
     Blame.CONFIGURATION),
    (Stage.RCPT, Reply(550, "", "relaying denied"), State.PENDING, "configuration",
     Blame.CONFIGURATION),
    (Stage.MAIL, Reply(550, "", "sender rejected"), State.PENDING, "configuration",
     Blame.CONFIGURATION),
    (Stage.MAIL, Reply(501, "5.5.4", "Syntax error in sender"), State.PENDING, "configuration",
     Blame.CONFIGURATION),
    (Stage.MAIL, Reply(555, "5.5.4"), State.PENDING, "configuration", Blame.CONFIGURATION),
    (Stage.MAIL, Reply(554, "5.3.2"), State.PENDING, "configuration", Blame.CONFIGURATION),
    *[(stage, Reply(550, "5.4.5", "Daily user sending limit exceeded"), State.PENDING,
       "configuration", Blame.CONFIGURATION)
      for stage in (Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT)],
    # Perhaps the envelope sender of this reader alone: the breaker tells.
    (Stage.MAIL, Reply(550, "", "<bounces+x7@example.org>: no"), State.REFUSED, "configuration",
     Blame.RELAY),
    (Stage.MAIL, Reply(550, "5.7.1", "<bounces+x7@example.org>: no"), State.REFUSED, "policy",
     Blame.MESSAGE),
    (Stage.MAIL, Reply(550, "5.1.8", "<bounces+x7@example.org>: no"), State.PENDING,
     "configuration", Blame.CONFIGURATION),
    (Stage.RCPT, Reply(554, "5.3.2"), State.REFUSED, "configuration", Blame.RELAY),
    (Stage.DOT, Reply(554, "5.3.5"), State.REFUSED, "configuration", Blame.RELAY),
    (Stage.RCPT, Reply(550, "5.4.6"), State.REFUSED, "configuration", Blame.RELAY),
    (Stage.RCPT, Reply(550, "5.7.1", "spam"), State.REFUSED, "policy", Blame.MESSAGE),
    (Stage.DOT, Reply(550, "5.7.515"), State.REFUSED, "policy", Blame.MESSAGE),
    (Stage.DOT, Reply(554), State.REFUSED, "policy", Blame.MESSAGE),
    (Stage.DOT, Reply(554, "5.0.0"), State.REFUSED, "policy", Blame.MESSAGE),
    (Stage.DOT, Reply(550, "5.5.2"), State.REFUSED, "policy", Blame.MESSAGE),
    (Stage.RCPT, Reply(550, "5.5.0"), State.REFUSED, "refused", Blame.READER),
    (Stage.DOT, Reply(550, "5.6.0"), State.REFUSED, "policy", Blame.MESSAGE),
    (Stage.MAIL, Reply(552, "5.3.4"), State.REFUSED, "size", Blame.MESSAGE),
    (Stage.DOT, Reply(552), State.REFUSED, "size", Blame.MESSAGE),
    (Stage.RCPT, Reply(450, "4.2.0"), State.DEFERRED, "temporary", Blame.READER),
    (Stage.RCPT, Reply(450, "4.7.1", "Greylisted"), State.DEFERRED, "greylisted",
     Blame.READER),
    (Stage.RCPT, Reply(452, "4.2.2"), State.DEFERRED, "mailbox_full", Blame.READER),
    (Stage.RCPT, Reply(452, "", "over quota"), State.DEFERRED, "mailbox_full",
     Blame.READER),
    (Stage.RCPT, Reply(452, "", "insufficient system storage"), State.DEFERRED, "temporary",
     Blame.RELAY),
    (Stage.RCPT, Reply(452, "4.3.1"), State.DEFERRED, "temporary", Blame.RELAY),
    (Stage.DOT, Reply(451, "4.3.0"), State.DEFERRED, "temporary", Blame.RELAY),
    (Stage.RCPT, Reply(450, "4.4.5"), State.DEFERRED, "temporary", Blame.RELAY),
    (Stage.MAIL, Reply(452, "4.3.1"), State.PENDING, "throttled", Blame.CONNECTION),
    (Stage.DOT, Reply(454, "4.7.0", "Throttling failure"), State.PENDING, "throttled",
     Blame.CONNECTION),
    *[(stage, Reply(421, "4.7.0"), State.PENDING, "busy", Blame.CONNECTION)
      for stage in (Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT)],
    (Stage.MAIL, Reply(503, "5.5.1"), State.PENDING, "desync", Blame.CONNECTION),
    (Stage.RCPT, Reply(250), State.PENDING, "desync", Blame.CONNECTION),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "reply", "state", "reason", "blame"), TABLE)
def test_a_reply_means_what_the_table_says(stage, reply, state, reason, blame):
    verdict = classify(stage, reply)
    assert (verdict.state, verdict.reason, verdict.blame) == (state, reason, blame)


@given(
    st.sampled_from([Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT]),
    st.integers(200, 599),
    st.sampled_from(["", *(f"{k}.{s}.{d}" for k in (4, 5) for s in range(8) for d in range(12))]),
    st.text(max_size=30),
)
def test_only_five_codes_about_the_reader_ever_suppress(stage, code, enhanced, text):
    verdict = classify(stage, Reply(code, enhanced, text))
    if verdict.reason == "no_such_address":
        assert enhanced in {"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"}
        assert code >= 500
        assert verdict.blame is Blame.READER
    if verdict.state is State.SENT:
        assert code < 300
        assert stage is Stage.DOT


@pytest.mark.parametrize("stage", list(Stage))
def test_a_lost_connection_is_unknown_only_once_the_dot_may_have_left(stage):
    expected = State.UNKNOWN if stage is Stage.DOT else State.PENDING
    assert states.lost(stage, "drop").state is expected


def test_a_deferred_reader_waits_5_15_60_minutes_then_4_hours():
    waits = [states.retry_at(n, NOW) - NOW for n in (1, 2, 3, 4, 5, 9)]
    assert waits == [
        timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1),
        timedelta(hours=4), timedelta(hours=4), timedelta(hours=4),
    ]  # fmt: skip


def test_the_connections_fault_is_uncharged_three_times_then_deferred():
    fault = states.lost(Stage.RCPT, "drop")
    tries, drops, seen = 0, 0, []
    for _ in range(3):
        sequel = states.follow(fault, tries=tries, drops=drops, now=NOW)
        tries, drops = sequel.tries, sequel.drops
        seen.append(sequel.state)
    assert seen == [State.PENDING, State.PENDING, State.DEFERRED]
    assert tries == 0


def test_a_4xx_about_the_reader_is_charged():
    verdict = classify(Stage.RCPT, Reply(450, "4.2.1"))
    assert states.follow(verdict, tries=1, drops=2, now=NOW) == states.Sequel(
        State.DEFERRED, "temporary", 2, 0, NOW + timedelta(minutes=15)
    )


@given(
    st.sampled_from([Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT]),
    st.integers(400, 599),
    st.sampled_from([f"{k}.{s}.{d}" for k in (4, 5) for s in (3, 4) for d in range(12)]),
    st.text(max_size=30),
)
def test_the_state_of_a_system_or_of_the_network_is_no_readers_fault(stage, code, enhanced, text):
    assert classify(stage, Reply(code, enhanced, text)).blame is not Blame.READER


def count(breaker: Breaker, *replies: Reply) -> bool:
    opened = False
    for reply in replies:
        opened = breaker.count(classify(Stage.DOT, reply), reply)
    return opened


def test_the_breaker_opens_on_ten_identical_policy_refusals_above_two_percent():
    good, bad = Reply(250), Reply(550, "5.7.1")
    breaker = Breaker()
    assert not count(breaker, *[good] * 400, *[bad] * 9)
    assert not count(breaker, *[good] * 400, bad)  # ten of 810: a few strict domains
    assert count(breaker, *[bad] * 7)


def test_the_breaker_opens_when_the_first_five_answers_are_the_same_refusal():
    assert not count(Breaker(), *[Reply(550, "5.7.26")] * 4)
    assert count(Breaker(), *[Reply(550, "5.7.26")] * 5)
    assert not count(Breaker(), *[Reply(550, "5.1.1")] * 50)


def test_the_breaker_opens_on_ten_faults_of_the_relay_in_a_row_late_in_a_run():
    good, bad = Reply(250), Reply(554, "5.3.2")
    breaker = Breaker()
    assert not count(breaker, *[good] * 9_000, *[bad] * 9, good, *[bad] * 9)
    assert count(breaker, Reply(554, "5.3.0"))


def test_the_breaker_lets_one_relays_faults_pass_while_they_are_temporary():
    assert not count(Breaker(), *[Reply(451, "4.3.0")] * 50)


@pytest.mark.parametrize(
    ("missing", "readers", "doubted"), [(20, 20, False), (21, 21, True), (21, 1000, False)]
)
def test_too_many_addresses_of_a_domain_that_vanish_at_once_are_doubted(missing, readers, doubted):
    assert states.doubts_domain(missing, readers) is doubted


@pytest.mark.parametrize(
    ("missing", "readers", "doubted"),
    [(4, 4, False), (5, 5, True), (10, 20, False), (11, 20, True), (300, 5_000, False)],
)
def test_a_run_of_which_most_readers_vanish_is_doubted(missing, readers, doubted):
    assert states.doubts_run(missing, readers) is doubted


def test_every_verdict_is_a_transition_of_the_table():
    for stage, reply, *_ in TABLE:
        sequel = states.follow(classify(stage, reply), tries=0, drops=2, now=NOW)
        assert (State.SENDING, sequel.state) in states.TRANSITIONS
    assert (State.SENDING, states.lost(Stage.DOT, "drop").state) in states.TRANSITIONS


def test_the_picture_shows_every_transition():
    picture = states.draw()
    assert picture.startswith("stateDiagram-v2\n")
    for (start, end), on in states.TRANSITIONS.items():
        assert f"    {start} --> {end}: {on}\n" in picture


def test_a_verdict_says_by_itself_that_nobody_is_to_blame():
    assert Verdict(State.SENT).blame is Blame.NOBODY
