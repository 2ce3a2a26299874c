"""The unknown, settled by a log or by a person."""

from __future__ import annotations

import threading
from datetime import UTC, timedelta

import pytest
from sqlalchemy import delete, select, update

from newsletter.audience import tokens
from newsletter.config import Keys, Relay
from newsletter.delivery import resolving
from newsletter.delivery.dispatch import dispatch
from newsletter.delivery.endpoints import Deadlines
from newsletter.delivery.resolving import Resolution, Why
from newsletter.errors import ConfigError
from newsletter.store import database, ledger, owners, schema, settling
from newsletter.store.schema import delivery, event, run, subscriber
from tests.delivery.scenery import claim_as, start_run, states_of, with_relay
from tests.delivery.sink import Manners, Rule

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FAST = Deadlines(backoff=0.001)


def say(at, word):
    return f"{at.isoformat()} relay {word}\n"


def log_of(sink, now, *, since=-HOUR, until=HOUR):
    """The log a Postfix would have written of what the sink took."""
    yield say(now + since, "postfix/smtpd[1]: connect")
    for number, accepted in enumerate(sink.accepted()):
        yield say(now, f"postfix/cleanup[2]: Q{number}: message-id={accepted.message_id}")
        yield say(now, f"postfix/qmgr[3]: Q{number}: from=<x@example.org>, size=1 (queue active)")
    yield say(now + until, "postfix/anvil[4]: statistics")


@pytest.fixture
def resolve(engine, keys, now):
    """Settle a run of *now* by a log, two hours later."""

    def resolve(run_id, lines, *, keys=keys):
        return resolving.resolve_by_log(engine, keys, run_id, lines, now=now + 2 * HOUR, zone=UTC)

    return resolve


@pytest.fixture
def in_doubt(engine, settings, keys, now, start_sink):
    """A run with two unknown readers: one was taken, one was not."""
    rules = [Rule("accepted", "drop", "lecteur1@", 1), Rule("dot", "drop", "lecteur2@", 1)]
    sink = start_sink(Manners(rules=rules))
    run_id = start_run(engine, now, readers=8)

    def go(at=now):
        return dispatch(
            with_relay(settings, sink.url, connections=1, window=0), engine, keys, run_id,
            clock=lambda: at, deadlines=FAST,
        )  # fmt: skip

    assert go().tally.unknown == 2
    return sink, run_id, go


def test_a_log_that_covers_them_settles_each_and_the_run_ends_exactly_once_each(
    engine, now, in_doubt, resolve
):
    sink, run_id, go = in_doubt
    assert resolve(run_id, log_of(sink, now)) == Resolution(found=1, absent=1, doubted=0)
    assert go(now + 3 * HOUR).tally.sent == 8
    assert sorted(a.recipient for a in sink.accepted()) == sorted(states_of(engine, run_id))


def doubts(resolution, why):
    """Whether it proves a presence, never an absence, and says why."""
    return resolution == Resolution(found=1, absent=0, doubted=1, why={why: 1})


@pytest.mark.parametrize(
    "reach", [{"since": -9 * MINUTE}, {"until": 9 * MINUTE}, {"until": timedelta(seconds=7)}]
)
def test_a_log_that_reaches_too_little_to_a_side_proves_presence_only(
    engine, now, in_doubt, resolve, reach
):
    sink, run_id, _ = in_doubt
    assert doubts(resolve(run_id, log_of(sink, now, **reach)), Why.UNCOVERED)
    assert states_of(engine, run_id)["lecteur2@lecteurs.example"] == "unknown"


def test_a_log_that_lacks_a_reader_known_to_be_sent_proves_presence_only(now, in_doubt, resolve):
    sink, run_id, _ = in_doubt
    gone = next(a for a in sink.accepted() if a.recipient.startswith("lecteur5@"))
    lines = [line for line in log_of(sink, now) if gone.message_id not in line]
    assert doubts(resolve(run_id, lines), Why.INCOMPLETE)


def test_a_log_tells_who_of_a_backup_was_sent_to_and_never_who_was_not(
    engine, now, in_doubt, resolve
):
    sink, run_id, _ = in_doubt
    with database.write(engine) as connection:  # what a backup made just before holds
        connection.execute(update(delivery).values(state="pending", owner=None, claimed_at=None))
        connection.execute(update(run).values(state="dispatching"))
        assert settling.doubt_waiting(connection, now=now) == 8
    resolution = resolve(run_id, log_of(sink, now))
    assert resolution == Resolution(found=7, absent=0, doubted=1, why={Why.RESTORED: 1})


def message_line(engine, keys, now, run_id, queue_id="Q99"):
    """What cleanup says of a message of a run to lecteur2."""
    with database.read(engine) as connection:
        reader = connection.scalar(
            select(subscriber.c.id).where(subscriber.c.address == "lecteur2@lecteurs.example")
        )
    token = tokens.sign(keys, tokens.Purpose.MESSAGE, reader, run_id)
    return say(now, f"postfix/cleanup[2]: {queue_id}: message-id=<{token}@example.org>")


def test_a_message_begun_and_not_queued_is_not_absent(engine, keys, now, in_doubt, resolve):
    sink, run_id, _ = in_doubt
    first, *lines = log_of(sink, now)
    begun = message_line(engine, keys, now, run_id)
    assert doubts(resolve(run_id, [first, begun, *lines]), Why.BEGUN)


def test_a_message_of_another_run_says_nothing_of_this_one(engine, keys, now, in_doubt, resolve):
    sink, run_id, _ = in_doubt
    first, *lines = log_of(sink, now)
    other = message_line(engine, keys, now, run_id + 1)
    found = resolve(run_id, [first, other, *lines])
    assert found == Resolution(found=1, absent=1, doubted=0)


@pytest.mark.parametrize(
    "word",
    ["postfix/master[2]: daemon started -- version 3.7.11", "rsyslogd: 812 messages lost"],
)
def test_a_relay_that_began_anew_or_lost_lines_proves_presence_only(now, in_doubt, resolve, word):
    sink, run_id, _ = in_doubt
    *lines, last = log_of(sink, now)
    assert doubts(resolve(run_id, [*lines, say(now + MINUTE, word), last]), Why.HOLE)


def test_what_a_relay_took_that_was_given_up_since_is_not_absent(
    engine, settings, keys, now, start_sink, resolve
):
    """All that the second took is unknown: the log of the first names everybody who was sent."""
    ours = start_sink(Manners(reply_delay_s=0.01), name="ours.jsonl")
    others = start_sink(Manners(rules=[Rule("accepted", "drop")]), name="others.jsonl")
    run_id = start_run(engine, now, readers=40)
    one = with_relay(settings, ours.url, connections=1, window=0)
    both = one.model_copy(update={"relays": (Relay(url=others.url, connections=1, window=0),)})
    unknown = dispatch(both, engine, keys, run_id, clock=lambda: now, deadlines=FAST).tally.unknown
    assert unknown == len(others.accepted()) > 0
    found = resolve(run_id, log_of(ours, now))
    assert (found.absent, found.why) == (0, {Why.SEVERAL: unknown})


def change_relay(settings, url, _monkeypatch):
    return with_relay(settings, url, connections=1, window=0)


def change_machine(settings, _url, monkeypatch):
    """127.0.0.1 is another relay there."""
    monkeypatch.setattr(owners, "machine_id", lambda: "another-machine")
    return settings


@pytest.mark.parametrize("change", [change_relay, change_machine])
def test_where_a_later_dispatch_had_another_relay_a_log_proves_presence_only(
    engine, settings, keys, now, start_sink, resolve, monkeypatch, change
):
    rules = [Rule("dot", "drop", "lecteur2@", 1), Rule("rcpt", "451 later", "lecteur3@", 1)]
    sink = start_sink(Manners(rules=rules))
    run_id = start_run(engine, now, readers=8)
    first = with_relay(settings, sink.url, connections=1, window=0)
    dispatch(first, engine, keys, run_id, clock=lambda: now, deadlines=FAST)
    second = change(first, start_sink(name="second.jsonl").url, monkeypatch)
    result = dispatch(second, engine, keys, run_id, clock=lambda: now + 6 * MINUTE, deadlines=FAST)
    assert (result.tally.sent, result.tally.unknown) == (7, 1)
    found = resolve(run_id, log_of(sink, now))
    assert (found.absent, found.why) == (0, {Why.SEVERAL: 1})


def offers_of(engine):
    with database.read(engine) as connection:
        return connection.execute(
            select(event.c.run_id, event.c.subscriber_id, event.c.detail, event.c.raw).where(
                event.c.kind == ledger.DISPATCH_BEGUN
            )
        ).all()


def test_a_dispatch_says_once_which_relays_it_has_without_their_accounts(
    engine, settings, keys, now, start_sink
):
    sink, run_id = start_sink(), start_run(engine, now, readers=8)
    here = with_relay(settings, sink.url)
    far = Relay(url="smtps://compte@relais.example.org", password="secret", connections=1)
    stop = threading.Event()
    stop.set()
    both = here.model_copy(update={"relays": (far, far)})
    dispatch(both, engine, keys, run_id, clock=lambda: now, deadlines=FAST, stop=stop)
    ((run, reader, owner, relays),) = offers_of(engine)
    assert (run, reader) == (run_id, None)
    assert owner.startswith(("file:", "session:"))
    port = sink.url.rpartition(":")[2]
    assert relays == f"127.0.0.1:{port}@{owners.machine_id()} relais.example.org:465"


def test_a_dispatch_that_has_nobody_to_send_to_says_nothing(
    engine, settings, keys, now, start_sink
):
    """Every tick is one while readers are deferred."""
    sink = start_sink(Manners(rules=[Rule("rcpt", "451 later", times=1)]))
    run_id = start_run(engine, now, readers=1)
    relay = with_relay(settings, sink.url, connections=1, window=0)
    for minutes in range(3):
        at = now + minutes * MINUTE
        assert dispatch(relay, engine, keys, run_id, clock=lambda at=at: at).tally.deferred == 1
    assert len(offers_of(engine)) == 1


def test_what_a_version_wrote_that_did_not_record_its_relays_is_not_absent(
    engine, now, in_doubt, resolve
):
    sink, run_id, _ = in_doubt
    with database.write(engine) as connection:
        connection.execute(delete(event).where(event.c.kind == ledger.DISPATCH_BEGUN))
    assert doubts(resolve(run_id, log_of(sink, now)), Why.UNRECORDED)


def test_who_was_sent_before_relays_were_recorded_witnesses_for_nobody(
    engine, now, in_doubt, resolve
):
    """Workers share one fence, also with those of the version before."""
    sink, run_id, _ = in_doubt
    with database.write(engine) as connection:
        begun = event.c.kind == ledger.DISPATCH_BEGUN
        connection.execute(update(event).where(begun).values(at=now + MINUTE))
    assert doubts(resolve(run_id, log_of(sink, now)), Why.UNWITNESSED)


def test_what_an_earlier_dispatch_sent_through_a_relay_that_took_nobody_else_is_not_absent(
    engine, settings, keys, now, start_sink, resolve
):
    rules = [Rule("accepted", "drop", times=1), Rule("banner", "drop", skip=1)]
    first, second = start_sink(Manners(rules=rules)), start_sink(name="second.jsonl")
    run_id = start_run(engine, now, readers=8)
    for sink in (first, second):
        through = with_relay(settings, sink.url, connections=1, window=0)
        dispatch(through, engine, keys, run_id, clock=lambda: now, deadlines=FAST)
    assert (len(first.accepted()), len(second.accepted())) == (1, 7)
    found = resolve(run_id, log_of(second, now))
    assert (found.absent, found.why) == (0, {Why.SEVERAL: 1})


def test_where_the_log_names_nobody_of_the_same_dispatch_it_proves_presence_only(
    engine, now, in_doubt, resolve
):
    sink, run_id, _ = in_doubt
    with database.write(engine) as connection:
        unknown = schema.delivery.c.state == "unknown"
        connection.execute(update(schema.delivery).where(unknown).values(fence=2))
    assert doubts(resolve(run_id, log_of(sink, now)), Why.UNWITNESSED)


def test_a_file_that_is_no_log_of_a_relay_proves_nothing(now, in_doubt, resolve):
    _, run_id, _ = in_doubt
    lines = [say(now + shift, "CRON[77]: (root) CMD (run-parts)") for shift in (-HOUR, HOUR)]
    expected = Resolution(found=0, absent=0, doubted=2, why={Why.INCOMPLETE: 2})
    assert resolve(run_id, lines) == expected


def test_a_file_that_is_no_log_at_all_says_so(in_doubt, resolve):
    _, run_id, _ = in_doubt
    assert resolve(run_id, ["\x1f\x8b\x08 compressed"]).why == {Why.FOREIGN: 2}


def test_the_domain_that_the_sender_then_had_does_not_matter(
    engine, settings, keys, now, start_sink, resolve
):
    sink = start_sink(Manners(rules=[Rule("accepted", "drop", "lecteur1@", 1)]))
    run_id = start_run(engine, now, readers=8)
    sender = settings.sender.model_copy(update={"address": "lettre@Essai.Example"})
    spelled = settings.model_copy(update={"sender": sender})
    towards_sink = with_relay(spelled, sink.url, connections=1, window=0)
    dispatch(towards_sink, engine, keys, run_id, clock=lambda: now, deadlines=FAST)
    assert sink.accepted()[0].message_id.endswith("@Essai.Example>")
    assert resolve(run_id, log_of(sink, now)) == Resolution(found=1, absent=0, doubted=0)


def test_a_key_added_since_changes_nothing(keys, now, in_doubt, resolve):
    sink, run_id, _ = in_doubt
    newer = Keys(versions={**keys.versions, 2: b"\x05" * 32}, pepper=keys.pepper)
    found = resolve(run_id, log_of(sink, now), keys=newer)
    assert found == Resolution(found=1, absent=1, doubted=0)


def test_who_is_sent_to_again_while_the_log_is_read_is_another_doubt(
    engine, now, in_doubt, resolve
):
    sink, run_id, go = in_doubt

    def lines():
        *most, last = log_of(sink, now)
        yield from most
        sink.manners.rules.append(Rule("accepted", "drop", "lecteur2@", 1))
        resolving.resend(engine, run_id, now=now)
        go(now + HOUR)
        yield last

    assert resolve(run_id, lines()).absent == 0
    assert states_of(engine, run_id)["lecteur2@lecteurs.example"] == "unknown"


@pytest.mark.parametrize("done", [True, False])
def test_a_proof_does_not_end_a_stop(engine, now, in_doubt, resolve, done):
    sink, run_id, go = in_doubt
    if not done:
        with database.write(engine) as connection:
            connection.execute(update(run).values(state="dispatching"))
            ledger.stop_run(connection, run_id, reason="stopped by Anne", now=now)
    assert resolve(run_id, log_of(sink, now)).absent == 1
    result = go(now + 3 * HOUR)
    assert (result.reason, result.tally.sent) == (("", 8) if done else ("stopped", 7))


def test_a_stop_outlives_what_a_person_has_sent_again(engine, now, in_doubt):
    _, run_id, go = in_doubt
    with database.write(engine) as connection:
        connection.execute(update(run).values(state="dispatching"))
        ledger.stop_run(connection, run_id, reason="stopped by Anne", now=now)
    resolving.resend(engine, run_id, now=now)
    result = go()
    assert (result.reason, result.tally.sent) == ("stopped", 6)


def test_a_person_may_have_them_sent_again(engine, now, in_doubt):
    sink, run_id, go = in_doubt
    assert resolving.resend(engine, run_id, now=now) == 2
    assert go().tally.sent == 8
    assert len(sink.accepted()) == 9  # the one that was taken, twice: on a person's word


def test_a_person_may_leave_them(engine, now, in_doubt):
    sink, run_id, go = in_doubt
    assert resolving.leave(engine, run_id, now=now) == 2
    result = go()
    assert (result.tally.unknown, result.tally.left, result.finished) == (2, 2, True)
    assert len(sink.accepted()) == 7


@pytest.fixture
def left_by_the_dead(engine, now):
    """A run whose dispatcher died at a dot, and that nobody has looked at since."""
    run_id = start_run(engine, now, readers=3)
    with owners.open_owner(engine) as name:
        claim_as(engine, run_id, name, now)
    return run_id


def test_who_was_being_sent_to_when_a_dispatch_died_is_settled_as_well(
    engine, keys, now, left_by_the_dead, resolve
):
    assert resolve(left_by_the_dead, []).doubted == 1
    assert resolving.leave(engine, left_by_the_dead, now=now) == 1


def test_who_was_being_sent_to_when_a_dispatch_died_is_sent_again_on_a_person_s_word(
    engine, now, left_by_the_dead
):
    assert resolving.resend(engine, left_by_the_dead, now=now) == 1


def test_a_stopped_run_names_those_of_a_dead_dispatch(
    engine, settings, keys, now, left_by_the_dead, start_sink
):
    with database.write(engine) as connection:
        ledger.stop_run(connection, left_by_the_dead, reason="by hand", now=now)
    relay = with_relay(settings, start_sink().url)
    result = dispatch(relay, engine, keys, left_by_the_dead, clock=lambda: now)
    assert (result.reason, result.tally.sending, result.tally.unknown) == ("stopped", 0, 1)


def test_what_was_refused_for_good_cannot_be_retried(engine, now):
    run_id = start_run(engine, now, readers=1)
    with pytest.raises(ConfigError):
        resolving.retry(engine, run_id, "no_such_address", now=now)
    assert resolving.retry(engine, run_id, "policy", now=now) == 0


def test_what_is_reopened_while_its_run_expires_gets_its_day(
    engine, settings, keys, now, start_sink
):
    relay = with_relay(settings, start_sink().url)
    run_id = start_run(engine, now, readers=3)
    with database.write(engine) as connection:
        connection.execute(update(schema.delivery).values(state="refused", reason="policy"))
    reopened = []

    def clock():
        """The run was read, and is now reopened ten minutes before its time is over."""
        if not reopened:
            at = now + timedelta(hours=23, minutes=50)
            reopened.append(resolving.retry(engine, run_id, "policy", now=at))
        return now + timedelta(hours=24, minutes=1)

    result = dispatch(relay, engine, keys, run_id, clock=clock)
    assert (result.reason, result.finished, result.tally.pending) == ("", False, 3)
    assert dispatch(relay, engine, keys, run_id, clock=clock).tally.sent == 3
