"""People who go: what changes, and what is left of them."""

import pytest
from sqlalchemy import func, insert, select

from newsletter.audience.suppression import Reason, fingerprint
from newsletter.model import SubscriberState
from newsletter.store import audience, database, leaving, suppression, tokens
from newsletter.store.schema import (
    consent_event,
    delivery,
    event,
    letter,
    metadata,
    run,
    subscriber,
)

ADDRESS = "maelle.kerguen@example.org"


@pytest.fixture
def reader(engine, now):
    """A reader with a delivery in every state, a letter, a token and a bounce's raw text."""
    person = {
        "id": 7,
        "address": ADDRESS,
        "address_key": ADDRESS,
        "state": "active",
        "first_name": "Maëlle",
        "last_name": "Kerguen",
        "organisation": "Ville de Saint-Aubrac",
        "region": "occitanie",
        "basis": "consentement",
        "evidence": f"papier signé de {ADDRESS}",
        "consent_key": b"k" * 32,
        "created_at": now,
    }
    states = (
        "pending",
        "deferred",
        "sending",
        "sent",
        "refused",
        "unknown",
        "cancelled",
        "expired",
    )
    with database.write(engine) as connection:
        audience.add_many(connection, [person])
        for number, state in enumerate(states, start=1):
            facts = {"id": number, "issue_id": f"2026-05-0{number}", "state": "dispatching"}
            connection.execute(insert(run).values(**facts, slot_at=now, created_at=now))
            row = {"subscriber_id": 7, "run_id": number, "state": state, "address": ADDRESS}
            row |= {"reply": f"550 5.1.1 <{ADDRESS}>: unknown"}
            connection.execute(insert(delivery).values(**row))
        queued = {"kind": "welcome", "key": "7", "subscriber_id": 7, "address": ADDRESS}
        queued |= {"subject": "Bienvenue", "text": "Bonjour Maëlle", "created_at": now}
        connection.execute(insert(letter).values(**queued))
        raw = {"at": now, "kind": "bounced", "subscriber_id": 7, "raw": f"To: {ADDRESS}"}
        connection.execute(insert(event).values(**raw))
        tokens.add(connection, "mot", purpose="renewal", subscriber_id=7, expires_at=now)
    return engine


def states_of(connection) -> dict[int, str]:
    query = select(delivery.c.run_id, delivery.c.state).order_by(delivery.c.run_id)
    return [state for _, state in connection.execute(query)]


def test_leaving_cancels_what_waits_and_nothing_else(reader, keys, now):
    with database.write(reader) as connection:
        assert leaving.unsubscribe(connection, keys, 7, detail={}, now=now, run_id=1)
        assert states_of(connection) == [
            "cancelled", "cancelled", "sending", "sent", "refused", "unknown", "cancelled",
            "expired",
        ]  # fmt: skip
        assert audience.get(connection, 7).state is SubscriberState.UNSUBSCRIBED
        assert connection.scalar(select(letter.c.state)) == "cancelled"
        mark = fingerprint(keys, ADDRESS)
        assert suppression.find(connection, [mark]) == {mark: Reason.UNSUBSCRIBED}
        noted = select(event.c.run_id).where(event.c.kind == "unsubscribed")
        assert connection.scalars(noted).all() == [1]


def test_leaving_twice_changes_nothing_more(reader, keys, now):
    with database.write(reader) as connection:
        assert leaving.unsubscribe(connection, keys, 7, detail={}, now=now)
        assert not leaving.unsubscribe(connection, keys, 7, detail={}, now=now)
        count = select(func.count()).select_from(consent_event)
        assert connection.scalar(count) == 1


def test_leaving_is_undone_when_its_transaction_fails(reader, keys, now):
    with pytest.raises(RuntimeError), database.write(reader) as connection:
        leaving.unsubscribe(connection, keys, 7, detail={}, now=now)
        raise RuntimeError
    with database.read(reader) as connection:
        assert states_of(connection)[:2] == ["pending", "deferred"]
        assert suppression.find(connection, [fingerprint(keys, ADDRESS)]) == {}


def test_a_stranger_cannot_leave(engine, keys, now):
    with database.write(engine) as connection:
        assert not leaving.unsubscribe(connection, keys, 404, detail={}, now=now)
        assert not leaving.erase(connection, keys, 404, now)


@pytest.mark.parametrize("reason", [Reason.BOUNCE, Reason.COMPLAINT])
def test_a_suppressed_address_keeps_its_reason(reader, keys, now, reason):
    with database.write(reader) as connection:
        assert leaving.suppress(connection, keys, 7, reason=reason, detail={"x": 1}, now=now)
        assert audience.get(connection, 7).state is SubscriberState.SUPPRESSED
        mark = fingerprint(keys, ADDRESS)
        assert suppression.find(connection, [mark]) == {mark: reason}


def everything_written(connection) -> str:
    """All cells of all tables, as one text."""
    rows = (connection.execute(select(table)).all() for table in metadata.sorted_tables)
    return "\n".join(str(row) for table in rows for row in table)


def test_after_an_erasure_no_table_knows_the_person(reader, keys, now):
    with database.write(reader) as connection:
        # Its dispatcher holds this one row; the address goes when it settles.
        connection.execute(delivery.delete().where(delivery.c.state == "sending"))
        leaving.unsubscribe(connection, keys, 7, detail={"by": ADDRESS}, now=now)
        assert leaving.erase(connection, keys, 7, now)
        written = everything_written(connection)
        for trace in ("maelle", "Maëlle", "Kerguen", "Saint-Aubrac", "occitanie", "6b6b6b"):
            assert trace not in written
        assert connection.scalar(select(subscriber.c.consent_key)) is None
        assert len(states_of(connection)) == 7
        mark = fingerprint(keys, ADDRESS)
        assert suppression.find(connection, [mark]) == {mark: Reason.ERASED}


def test_a_sign_up_nobody_confirmed_leaves_no_fingerprint(engine, keys, now):
    with database.write(engine) as connection:
        person = {"id": 9, "address": ADDRESS, "address_key": ADDRESS, "state": "pending"}
        audience.add_many(connection, [person | {"created_at": now, "consent_key": b"k" * 32}])
        leaving.drop_pending(connection, 9)
        assert audience.find(connection, ADDRESS) is None
        assert suppression.find(connection, [fingerprint(keys, ADDRESS)]) == {}


def test_a_complaint_is_not_forgotten_for_a_lesser_reason(reader, keys, now):
    mark = fingerprint(keys, ADDRESS)
    with database.write(reader) as connection:
        leaving.suppress(connection, keys, 7, reason=Reason.COMPLAINT, detail={}, now=now)
        leaving.erase(connection, keys, 7, now)
        suppression.add(connection, [(mark, Reason.UNSUBSCRIBED)], now=now)
        assert suppression.find(connection, [mark]) == {mark: Reason.COMPLAINT}
