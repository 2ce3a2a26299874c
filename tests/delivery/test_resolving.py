"""The unknown, settled by a log or by a person."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest
from sqlalchemy import update

from newsletter.delivery import resolving
from newsletter.delivery.dispatch import dispatch
from newsletter.delivery.endpoints import Deadlines
from newsletter.delivery.resolving import Resolution
from newsletter.errors import ConfigError
from newsletter.store import database, schema
from tests.delivery.scenery import start_run, states_of, with_relay
from tests.delivery.sink import Manners, Rule


def log_of(sink, now):
    """The log a Postfix would have written of what the sink took."""
    yield f"{now.isoformat()} relay postfix/smtpd[1]: connect\n"
    for number, accepted in enumerate(sink.accepted()):
        head = f"{(now + timedelta(seconds=1)).isoformat()} relay postfix"
        yield f"{head}/cleanup[2]: Q{number}: message-id={accepted.message_id}\n"
        yield f"{head}/qmgr[3]: Q{number}: from=<x@example.org>, size=1, nrcpt=1 (queue active)\n"


@pytest.fixture
def in_doubt(engine, settings, keys, now, start_sink):
    """A run with two unknown readers: one was taken, one was not."""
    rules = [Rule("accepted", "drop", "lecteur1@", 1), Rule("dot", "drop", "lecteur2@", 1)]
    sink = start_sink(Manners(rules=rules))
    run_id = start_run(engine, now, readers=8)

    def go(at=now):
        return dispatch(
            with_relay(settings, sink.url, connections=1, window=0), engine, keys, run_id,
            clock=lambda: at, deadlines=Deadlines(backoff=0.001),
        )  # fmt: skip

    assert go().tally.unknown == 2
    return sink, run_id, go


def test_a_log_that_covers_them_settles_each_and_the_run_ends_exactly_once_each(
    engine, settings, keys, now, in_doubt
):
    sink, run_id, go = in_doubt
    late = f"{(now + timedelta(minutes=1)).isoformat()} relay postfix/anvil[4]: statistics\n"
    lines = [*log_of(sink, now - timedelta(minutes=1)), late]
    resolution = resolving.resolve_by_log(
        settings, engine, keys, run_id, lines, now=now + timedelta(minutes=2), zone=UTC
    )
    assert resolution == Resolution(found=1, absent=1, doubted=0)
    assert go(now + timedelta(minutes=3)).tally.sent == 8
    assert sorted(a.recipient for a in sink.accepted()) == sorted(states_of(engine, run_id))


def test_a_log_that_ends_too_early_proves_presence_only(engine, settings, keys, now, in_doubt):
    sink, run_id, _ = in_doubt
    lines = list(log_of(sink, now - timedelta(minutes=1)))
    resolution = resolving.resolve_by_log(
        settings, engine, keys, run_id, lines, now=now + timedelta(minutes=2), zone=UTC
    )
    assert resolution == Resolution(found=1, absent=0, doubted=1)
    assert states_of(engine, run_id)["lecteur2@lecteurs.example"] == "unknown"


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
