"""The chain of consent, on both databases."""

from datetime import timedelta

import pytest
from sqlalchemy import delete, update

from newsletter.audience.consent import START, Act, NewEvent, notice_version
from newsletter.config import Keys
from newsletter.store import audience, consent, database, leaving
from newsletter.store.schema import consent_event


@pytest.fixture
def chain(engine, keys, now):
    """Three people with five events, recorded in two transactions."""
    people = [
        {
            "id": number,
            "address": f"reader{number}@example.org",
            "address_key": f"reader{number}@example.org",
            "state": "active",
            "basis": "consentement",
            "consent_key": bytes([number]) * 32,
            "created_at": now,
        }
        for number in (1, 2, 3)
    ]
    with database.write(engine) as connection:
        audience.add_many(connection, people)
        asked = [event(n, Act.ASKED, notice="é" * n) for n in (1, 2, 3)]
        consent.record(connection, keys, asked, now)
    with database.write(engine) as connection:
        later = now + timedelta(microseconds=1)
        consent.record(connection, keys, [event(n, Act.CONFIRMED) for n in (2, 1)], later)
    return engine


def event(number: int, act: Act, notice: str = "") -> NewEvent:
    detail = {"source": "formulaire « web »", "n": number, "none": None}
    key = bytes([number]) * 32
    return NewEvent(subscriber_id=number, key=key, act=act, detail=detail, notice_version=notice)


def find_break(engine, keys):
    with database.read(engine) as connection:
        found = consent.find_break(connection, keys)
    return found and found.id


def test_an_untouched_chain_holds(chain, keys):
    assert find_break(chain, keys) is None


def test_the_events_of_one_person_come_in_order(chain):
    with database.read(chain) as connection:
        told = [e.act for e in consent.read_events(connection, 1)]
    assert told == ["asked", "confirmed"]


@pytest.mark.parametrize(
    "values",
    [
        {"detail": {"source": "autre"}},
        {"detail": None},
        {"notice_version": "autre"},
        {"kind": "confirmed"},
        {"subscriber_id": 2},
        {"content_mac": "0" * 64},
        {"chain_mac": "0" * 64},
    ],
)
def test_any_change_of_an_event_is_found_at_that_event(chain, keys, values):
    with database.write(chain) as connection:
        second = sorted(e.id for e in consent.read_events(connection))[2]
        statement = update(consent_event).where(consent_event.c.id == second)
        connection.execute(statement.values(values))
    assert find_break(chain, keys) == second


def test_a_missing_event_is_found_at_the_next(chain, keys):
    with database.write(chain) as connection:
        ids = sorted(e.id for e in consent.read_events(connection))
        connection.execute(delete(consent_event).where(consent_event.c.id == ids[1]))
    assert find_break(chain, keys) == ids[2]


def test_the_head_shows_when_the_end_is_cut_off(chain, keys):
    with database.write(chain) as connection:
        head = consent.read_head(connection)
        last = max(e.id for e in consent.read_events(connection))
        connection.execute(delete(consent_event).where(consent_event.c.id == last))
        assert consent.read_head(connection) != head
    assert find_break(chain, keys) is None


def test_another_pepper_does_not_verify(chain):
    other = Keys(versions={1: b"\x01" * 32}, pepper=b"\x03" * 32)
    assert find_break(chain, other) is not None


def test_the_chain_holds_after_people_are_erased(chain, keys, now):
    with database.write(chain) as connection:
        assert leaving.erase(connection, keys, 1, now)
        assert leaving.erase(connection, keys, 3, now)
        told = list(consent.read_events(connection, 1))
    assert [(e.act, e.detail, e.notice_version) for e in told] == [
        ("asked", None, ""),
        ("confirmed", None, ""),
        ("erased", None, ""),
    ]
    assert find_break(chain, keys) is None


def test_details_that_an_erasure_forgot_are_found(chain, keys, now):
    with database.write(chain) as connection:
        leaving.erase(connection, keys, 3, now)
        first = next(consent.read_events(connection, 3)).id
        statement = update(consent_event).where(consent_event.c.id == first)
        connection.execute(statement.values(detail={"source": "oubli"}))
    assert find_break(chain, keys) == first


def test_an_empty_chain_begins_with_zeros(engine, keys):
    with database.read(engine) as connection:
        assert consent.read_head(connection) == START
        assert consent.find_break(connection, keys) is None


def test_the_same_words_are_the_same_notice():
    assert notice_version("Vos  données\n sont…") == notice_version("Vos données sont…")
    assert notice_version("Vos données sont…") != notice_version("Vos données seront…")
