from datetime import timedelta

import pytest
from sqlalchemy import func, insert, select, update

from newsletter.audience.suppression import Reason, fingerprint
from newsletter.feedback.facts import Feedback, FeedbackKind
from newsletter.store import breakdown, database, suppression
from newsletter.store.feedback import MAX_RAW, SOFT_LIMIT, Effect, apply_feedback
from newsletter.store.schema import delivery, event, run, subscriber

ADDRESS = "camille@mairie.example"
READER = 7


@pytest.fixture
def reader(engine, now):
    """One active reader, with a delivery that was sent in each of three runs."""
    with database.write(engine) as connection:
        connection.execute(
            insert(subscriber).values(
                id=READER,
                address=ADDRESS,
                address_key=ADDRESS,
                state="active",
                consent_key=b"k" * 32,
                created_at=now,
            )
        )
        for number in range(1, 4):
            facts = {"id": number, "issue_id": f"2026-05-0{number}", "state": "dispatching"}
            connection.execute(insert(run).values(**facts, slot_at=now, created_at=now))
            row = {"subscriber_id": READER, "run_id": number, "state": "sent"}
            connection.execute(insert(delivery).values(**row))
    return engine


def apply(engine, keys, now, kind, *, run_id=1, reader=READER, raw=b"raw", **facts):
    feedback = Feedback(kind=kind, subscriber_id=reader, run_id=run_id, **facts)
    with database.write(engine) as connection:
        return apply_feedback(connection, keys, feedback, raw=raw, now=now)


def state_of(engine):
    with database.read(engine) as connection:
        return connection.scalar(select(subscriber.c.state).where(subscriber.c.id == READER))


def row_of(engine, run_id=1):
    with database.read(engine) as connection:
        return connection.execute(select(delivery).where(delivery.c.run_id == run_id)).one()


def events(engine):
    with database.read(engine) as connection:
        query = select(event.c.kind, event.c.subscriber_id, event.c.detail, event.c.raw)
        return [tuple(row) for row in connection.execute(query.order_by(event.c.id))]


def test_an_address_that_does_not_exist_is_suppressed_at_once(reader, keys, now):
    effect = apply(reader, keys, now, FeedbackKind.GONE, status="5.1.1", diagnostic="unknown")
    assert (effect, state_of(reader)) == (Effect.SUPPRESSED, "suppressed")
    assert row_of(reader).bounced_at == now
    assert events(reader)[0] == ("gone", READER, "5.1.1 unknown", "raw")
    with database.read(reader) as connection:
        mark = fingerprint(keys, ADDRESS)
        assert suppression.find(connection, [mark]) == {mark: Reason.BOUNCE}


def test_a_complaint_takes_the_reader_off_the_list(reader, keys, now):
    assert apply(reader, keys, now, FeedbackKind.COMPLAINT) is Effect.SUPPRESSED
    assert (row_of(reader).complained_at, row_of(reader).bounced_at) == (now, None)
    with database.read(reader) as connection:
        assert breakdown.tally(connection, 1).complained == 1


@pytest.mark.parametrize("kind", [FeedbackKind.POLICY, FeedbackKind.SOFT])
def test_one_bounce_of_another_kind_suppresses_nobody(reader, keys, now, kind):
    assert apply(reader, keys, now, kind) is Effect.NOTED
    assert state_of(reader) == "active"
    with database.read(reader) as connection:
        assert breakdown.tally(connection, 1).bounced == 1


@pytest.mark.parametrize(
    "kind",
    [
        FeedbackKind.DELAYED,
        FeedbackKind.AUTO_REPLY,
        FeedbackKind.CHALLENGE,
        FeedbackKind.REPLY,
        FeedbackKind.DELIVERED,
    ],
)
def test_what_is_no_bounce_is_noted_and_changes_no_count(reader, keys, now, kind):
    assert apply(reader, keys, now, kind) is Effect.NOTED
    assert (row_of(reader).bounced_at, row_of(reader).complained_at) == (None, None)
    assert state_of(reader) == "active"


def test_soft_bounces_of_three_issues_over_three_weeks_suppress(reader, keys, now):
    effects = [
        apply(reader, keys, now + timedelta(days=11 * turn), FeedbackKind.SOFT, run_id=turn + 1)
        for turn in range(SOFT_LIMIT)
    ]
    assert effects == [Effect.NOTED, Effect.NOTED, Effect.SUPPRESSED]


def test_soft_bounces_within_one_week_suppress_nobody(reader, keys, now):
    for turn in range(3):
        apply(reader, keys, now + timedelta(days=turn), FeedbackKind.SOFT, run_id=turn + 1)
    assert state_of(reader) == "active"


def test_two_soft_bounces_of_one_issue_count_once(reader, keys, now):
    for turn in range(5):
        at = now + timedelta(days=30 * turn)
        apply(reader, keys, at, FeedbackKind.SOFT, raw=b"raw %d" % turn)
    assert state_of(reader) == "active"


def test_old_soft_bounces_are_forgotten(reader, keys, now):
    for turn in range(3):
        apply(reader, keys, now + timedelta(days=400 * turn), FeedbackKind.SOFT, run_id=turn + 1)
    assert state_of(reader) == "active"


@pytest.mark.parametrize("kind", [FeedbackKind.GONE, FeedbackKind.AUTO_REPLY])
def test_whatever_comes_back_settles_an_unknown(reader, keys, now, kind):
    with database.write(reader) as connection:
        connection.execute(
            update(delivery).values(
                state="unknown", left_at=now, owner="dead", address="a@example.org"
            )
        )
    apply(reader, keys, now, kind)
    assert (row_of(reader).state, row_of(reader).left_at) == ("sent", None)
    assert row_of(reader).reason == f"proved by {kind}"
    assert (row_of(reader).owner, row_of(reader).address) == (None, None)
    assert row_of(reader, 2).state == "unknown"


def test_the_same_message_twice_changes_nothing(reader, keys, now):
    assert apply(reader, keys, now, FeedbackKind.SOFT) is Effect.NOTED
    assert apply(reader, keys, now, FeedbackKind.SOFT) is Effect.SEEN
    assert len(events(reader)) == 1


@pytest.mark.parametrize(("stranger", "raw"), [(None, "raw"), (99, "")])
def test_a_message_of_nobody_we_know_is_kept_for_a_person(reader, keys, now, stranger, raw):
    """Of somebody who was ours and is gone, that it came: its words quote their address (P9)."""
    assert apply(reader, keys, now, FeedbackKind.GONE, reader=stranger) is Effect.STRANGE
    assert state_of(reader) == "active"
    assert events(reader) == [("gone", None, "", raw)]


def test_a_bounce_of_somebody_who_left_suppresses_nobody_anew(reader, keys, now):
    with database.write(reader) as connection:
        connection.execute(update(subscriber).values(state="unsubscribed"))
    assert apply(reader, keys, now, FeedbackKind.GONE) is Effect.NOTED
    assert state_of(reader) == "unsubscribed"


def test_a_bounce_of_a_letter_belongs_to_no_run(reader, keys, now):
    assert apply(reader, keys, now, FeedbackKind.GONE, run_id=0) is Effect.SUPPRESSED
    assert row_of(reader).bounced_at is None


def test_a_raw_text_that_no_database_takes_is_made_fit(reader, keys, now):
    apply(reader, keys, now, FeedbackKind.REPLY, raw=b"\x00\xff" + b"x" * 2 * MAX_RAW)
    with database.read(reader) as connection:
        assert connection.scalar(select(func.length(event.c.raw))) == MAX_RAW
