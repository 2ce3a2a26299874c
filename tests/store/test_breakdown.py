import pytest
from sqlalchemy import insert

from newsletter.store import breakdown, database, schema


@pytest.fixture
def run_id(engine, now):
    people = [(1, "a@orange.example"), (2, "b@Orange.example"), (3, "c@mairie.example"), (4, None)]
    states = {1: ("sent", ""), 2: ("refused", "policy"), 3: ("refused", "policy"), 4: ("sent", "")}
    with database.write(engine) as connection:
        connection.execute(
            insert(schema.run).values(
                id=1, issue_id="2026-05-07", slot_at=now, state="done", created_at=now
            )
        )
        for number, address in people:
            state, reason = states[number]
            connection.execute(
                insert(schema.subscriber).values(
                    id=number, address=address, address_key=address, state="active", created_at=now
                )
            )
            connection.execute(
                insert(schema.delivery).values(
                    subscriber_id=number, run_id=1, state=state, reason=reason
                )
            )
        connection.execute(
            insert(schema.event).values(at=now, kind="refused", run_id=1, subscriber_id=2)
        )
    return 1


def test_readers_are_counted_by_reason_the_most_frequent_first(engine, run_id):
    with database.read(engine) as connection:
        assert breakdown.count_by_reason(connection, run_id) == [
            ("refused", "policy", 2),
            ("sent", "", 2),
        ]


def test_the_refused_are_counted_by_reason(engine, run_id):
    with database.read(engine) as connection:
        assert breakdown.count_refused(connection, run_id) == {"policy": 2}


def test_a_domain_is_one_in_any_case_and_the_erased_have_none(engine, run_id):
    with database.read(engine) as connection:
        assert set(breakdown.count_by_domain(connection, run_id)) == {
            ("refused", "orange.example", 1),
            ("refused", "mairie.example", 1),
            ("sent", "orange.example", 1),
            ("sent", "", 1),
        }


def test_events_name_readers_by_number_only(engine, run_id, now):
    with database.read(engine) as connection:
        assert list(breakdown.stream_events(connection, run_id)) == [
            {"at": now, "kind": "refused", "reader": 2, "detail": ""}
        ]


def test_each_doubt_of_a_run_is_listed_once_whatever_it_is_about(engine, run_id, now):
    said = [
        ("domain_in_doubt", "perdu.example: 22", 1),
        ("relay_in_doubt", "the relay: 300", 1),
        ("domain_in_doubt", "perdu.example: 22", 1),
        ("domain_in_doubt", "autre.example: 30", None),
    ]
    with database.write(engine) as connection:
        for kind, detail, run in said:
            values = {"at": now, "kind": kind, "detail": detail, "run_id": run}
            connection.execute(insert(schema.event).values(values))
    with database.read(engine) as connection:
        assert breakdown.list_doubts(connection, run_id) == ["perdu.example: 22", "the relay: 300"]
