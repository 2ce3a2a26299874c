"""How long people are kept, and what goes at whose demand."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, select

from newsletter import membership, retention
from newsletter.config import Retention
from newsletter.model import SubscriberState
from newsletter.store import audience, consent, database, ledger, settling
from newsletter.store.schema import delivery, event, letter, run

MONTH = retention.MONTH


@pytest.fixture
def purging(settings):
    return settings.model_copy(update={"retention": Retention(purge=True)})


@pytest.fixture
def silent(engine, keys, now):
    """Somebody without a sign of life for so many months."""

    def _silent(months: float, state=SubscriberState.ACTIVE, address="a@example.org"):
        added = membership.add_subscriber(
            engine, keys, address, basis="contrat", evidence="x", by="", now=now, state=state
        )
        then = now - months * MONTH - timedelta(hours=1)
        with database.write(engine) as connection:
            audience.change(connection, added.id, last_act_at=then, created_at=then)
        return added

    return _silent


@pytest.fixture
def review(settings, engine, keys, now):
    def _review(publication=settings, *, days=0):
        at = now + timedelta(days=days)
        return retention.review(publication, engine, keys, at)

    return _review


def person_of(engine, address="a@example.org"):
    with database.read(engine) as connection:
        return audience.find(connection, address)


def letters_of(engine, kind="renewal") -> list:
    with database.read(engine) as connection:
        return connection.execute(select(letter).where(letter.c.kind == kind)).all()


def test_a_sign_up_nobody_confirmed_is_dropped_after_thirty_days(silent, review, engine, keys):
    silent(0, SubscriberState.PENDING)
    assert review(days=29).unconfirmed == 0
    assert review(days=30).unconfirmed == 1
    assert person_of(engine) is None
    with database.read(engine) as connection:
        assert consent.find_break(connection, keys) is None


def test_switched_off_it_says_who_would_go_and_touches_nobody(silent, review, engine):
    silent(38)
    found = review()
    assert (found.due, found.asked, found.expired, found.erased) == (1, 0, 1, 0)
    assert letters_of(engine) == []
    assert person_of(engine).state is SubscriberState.ACTIVE


def test_switched_on_nobody_goes_who_was_not_asked_twice_a_month_apart(
    silent, review, purging, engine
):
    silent(38)
    days = (0, 1, 29, 30, 31, 59, 60)
    found = [review(purging, days=day) for day in days]
    assert [one.asked for one in found] == [1, 0, 0, 1, 0, 0, 0]
    assert [one.erased for one in found] == [0, 0, 0, 0, 0, 0, 1]
    assert person_of(engine) is None


def test_the_button_of_the_renewal_stops_the_clock(silent, review, purging, engine, keys, now):
    silent(38)
    review(purging)
    link = letters_of(engine)[0].text
    token = link[link.index("/r/") + 3 :].split()[0]
    assert membership.renew(engine, keys, token, now=now + timedelta(days=3))
    assert review(purging, days=60).erased == 0
    assert len(letters_of(engine)) == 1


def test_people_who_are_silent_for_less_are_left_in_peace(silent, review, purging, engine):
    silent(34)
    found = review(purging)
    assert (found.due, found.asked) == (0, 0)


def test_raw_answers_go_after_thirty_days_and_what_happened_stays(review, engine, now):
    row = {
        "at": now,
        "kind": "bounced",
        "raw": "550 5.1.1 a@example.org",
        "detail": "a@example.org",
    }
    with database.write(engine) as connection:
        connection.execute(insert(event).values(**row))
    assert review(days=30).events_cleared == 0
    assert review(days=31).events_cleared == 1
    with database.read(engine) as connection:
        kept = connection.execute(select(event.c.kind, event.c.raw, event.c.detail)).all()
        assert kept == [("bounced", "", "")]


def test_which_relays_a_dispatch_had_stays(review, engine, now):
    """Nothing else tells a later `resolve`, and it names nobody."""
    row = {"at": now, "kind": ledger.DISPATCH_BEGUN, "detail": "an owner", "raw": "a.example:25"}
    with database.write(engine) as connection:
        connection.execute(insert(event).values(**row, run_id=1))
    assert review(days=31).events_cleared == 0
    with database.read(engine) as connection:
        offers = settling.read_offers(connection, 1)
    assert (offers.owners, offers.relays) == ({"an owner"}, {"a.example:25"})


def test_nothing_is_sent_to_somebody_erased(silent, settings, engine, keys, now):
    added = silent(1)
    membership.erase_address(engine, keys, "a@example.org", now=now)
    assert not retention.send_data(settings, engine, added.id, now=now)
    assert not retention.send_data(settings, engine, 404, now=now)


def test_what_was_written_of_somebody_after_their_erasure_is_swept(
    silent, review, engine, keys, now
):
    added = silent(1)
    membership.erase_address(engine, keys, "a@example.org", now=now)
    reply = "550 5.1.1 <a@example.org> unknown"
    with database.write(engine) as connection:
        facts = {"issue_id": "2026-11-26", "state": "done", "slot_at": now, "created_at": now}
        connection.execute(insert(run).values(id=1, **facts))
        late = {"subscriber_id": added.id, "run_id": 1, "state": "refused", "reply": reply}
        connection.execute(insert(delivery).values(**late, address="a@example.org"))
        told = {"at": now, "kind": "refused", "subscriber_id": added.id, "raw": reply}
        connection.execute(insert(event).values(**told))
    review()
    with database.read(engine) as connection:
        assert connection.execute(select(delivery.c.address, delivery.c.reply)).all() == [
            (None, "")
        ]
        assert not connection.scalars(select(event.c.raw).where(event.c.raw != "")).all()


def test_an_erased_address_is_no_longer_in_the_file(sqlite_engine, keys, now, tmp_path):
    membership.add_subscriber(
        sqlite_engine, keys, "b@example.org", basis="contrat", evidence="x", by="", now=now
    )
    files = list(tmp_path.rglob("newsletter.db*"))
    assert any(b"b@example.org" in file.read_bytes() for file in files)
    membership.erase_address(sqlite_engine, keys, "b@example.org", now=now)
    assert not any(b"b@example.org" in file.read_bytes() for file in files)
