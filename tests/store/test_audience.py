"""The people on the list, on both databases."""

from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import delete

from newsletter.audience import segments
from newsletter.config import Segment
from newsletter.errors import NotFound
from newsletter.model import Frequency, Issue, Place, SubscriberState
from newsletter.store import audience, database
from newsletter.store.schema import subscriber

DAY = date(2026, 5, 7)
SLUGS = st.sampled_from(["", "elus", "ELUS", "el", "asso", "a%", "a_b", "aXb", "c-d"])
LISTS = st.lists(SLUGS.filter(bool), max_size=3, unique=True).map(tuple)
DAYS = st.none() | st.integers(-2, 2).map(lambda n: DAY + timedelta(days=n))
PEOPLE = st.fixed_dictionaries(
    {
        "state": st.sampled_from(SubscriberState),
        "basis": st.sampled_from(["", "consentement"]),
        "frequency": st.sampled_from(Frequency),
        "profile": SLUGS,
        "region": SLUGS,
        "objectives": LISTS,
        "paused_from": DAYS,
        "paused_until": DAYS,
    }
)
SEGMENTS = st.none() | st.builds(Segment, profiles=LISTS, regions=LISTS, objectives=LISTS)


def person(number: int, now, **fields) -> dict:
    address = f"reader{number}@example.org"
    values = {"id": number, "address": address, "address_key": address, "state": "active"}
    return values | {"basis": "consentement", "created_at": now} | fields


@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(people=st.lists(PEOPLE, max_size=12), segment=SEGMENTS, frequency=st.sampled_from(Frequency))
def test_sql_selects_exactly_those_who_match(engine, settings, now, *, people, segment, frequency):
    settings = settings.model_copy(update={"segments": {"s": segment} if segment else {}})
    header = f"{frequency}, s" if segment else frequency
    place = Place("issue.md", 1)
    issue = Issue(id="2026-05-07", number=1, subject="x", place=place, segment=header)
    rule = segments.parse_rule(settings, issue)
    rows = [person(number, now, **fields) for number, fields in enumerate(people, start=1)]
    with database.write(engine) as connection:
        connection.execute(delete(subscriber))
        audience.add_many(connection, rows)
        selected = set(connection.scalars(audience.select_audience(rule, settings, DAY)))
        expected = {
            reader.id
            for reader in audience.stream(connection)
            if segments.matches(rule, reader, settings, DAY)
        }
        assert selected == expected
        assert audience.count_audience(connection, rule, settings, DAY) == len(expected)
        streamed = [p.id for p in audience.stream_audience(connection, rule, settings, DAY)]
        assert streamed == sorted(expected)


def test_a_person_comes_back_as_they_were_written(engine, now):
    fields = {
        "first_name": "Maëlle",
        "last_name": "Ould-Brahim",
        "objectives": ("hybridation", "innovation"),
        "frequency": Frequency.MONTHLY,
        "depth": 4,
        "paused_until": DAY,
        "confirmed_at": now,
    }
    with database.write(engine) as connection:
        audience.add_many(connection, [person(1, now, **fields)])
    with database.read(engine) as connection:
        found = audience.find(connection, "reader1@example.org")
    assert {name: getattr(found, name) for name in fields} == fields
    assert found.state is SubscriberState.ACTIVE


def test_streaming_gives_everybody_once_in_order(engine, now):
    with database.write(engine) as connection:
        audience.add_many(connection, [person(n, now) for n in range(1, 1203)])
        addresses = [reader.address for reader in audience.stream(connection)]
        assert len(set(addresses)) == 1202
        assert addresses == sorted(addresses)
        keys = addresses[:700]
        assert set(audience.find_many(connection, keys)) == set(keys)


def test_changes_touch_only_the_columns_given(engine, now):
    with database.write(engine) as connection:
        audience.add_many(connection, [person(n, now, first_name="Alix") for n in (1, 2, 3)])
        changes = {1: {"last_name": "Le Bihan"}, 2: {"objectives": ("x",)}, 3: {"last_name": "Sy"}}
        audience.change_many(connection, changes)
        first, second, third = (audience.get(connection, n) for n in (1, 2, 3))
    assert (first.first_name, first.last_name) == ("Alix", "Le Bihan")
    assert (second.objectives, second.last_name) == (("x",), "")
    assert third.last_name == "Sy"


def test_changing_a_stranger_says_not_found(engine):
    with database.write(engine) as connection, pytest.raises(NotFound):
        audience.change(connection, 404, first_name="x")
