from datetime import timedelta

import pytest
from sqlalchemy import select, update

from newsletter.model import LetterState
from newsletter.store import database, letters
from newsletter.store.letters import LEASE
from newsletter.store.schema import letter as table

LETTER = {"kind": "held", "key": "2026-05-07:checks", "address": "a@example.org"}
WORDS = {"subject": "s", "text": "t"}


def queue(connection, now, **changes):
    return letters.queue(connection, now=now, **LETTER | WORDS | changes)


def row(connection, number=1):
    return connection.execute(select(table).where(table.c.id == number)).one()


def test_a_letter_is_queued_once_for_its_kind_key_and_address(engine, now):
    with database.write(engine) as connection:
        assert queue(connection, now)
        assert not queue(connection, now, subject="other words")
        assert queue(connection, now, address="b@example.org")
        assert queue(connection, now, key="2026-05-07:changed")
        assert queue(connection, now, kind="reminder")


def test_letters_are_claimed_in_order_and_once(engine, now):
    with database.write(engine) as connection:
        for address in ("a@example.org", "b@example.org"):
            queue(connection, now, address=address)
    with database.write(engine) as connection:
        letter, written_at, tries = letters.claim(connection, now)
        assert (letter.address, written_at, tries) == ("a@example.org", now, 0)
        assert letters.claim(connection, now)[0].address == "b@example.org"
        assert letters.claim(connection, now) is None


def test_two_claims_at_once_take_two_letters(postgres_engine, now):
    with database.write(postgres_engine) as connection:
        for address in ("a@example.org", "b@example.org"):
            queue(connection, now, address=address)
    with database.write(postgres_engine) as one, database.write(postgres_engine) as two:
        taken = {letters.claim(one, now)[0].address, letters.claim(two, now)[0].address}
    assert taken == {"a@example.org", "b@example.org"}


def test_a_postponed_letter_waits_for_its_time(engine, now):
    later = now + timedelta(minutes=5)
    with database.write(engine) as connection:
        queue(connection, now)
        letter, _, _ = letters.claim(connection, now)
        letters.postpone(connection, letter.id, until=later, reply="451", charged=True)
        assert letters.claim(connection, now) is None
        assert letters.claim(connection, later)[2] == 1


def test_a_fault_of_the_line_is_not_counted(engine, now):
    with database.write(engine) as connection:
        queue(connection, now)
        letter, _, _ = letters.claim(connection, now)
        letters.postpone(connection, letter.id, until=now, reply="down", charged=False)
        assert letters.claim(connection, now)[2] == 0


@pytest.mark.parametrize("state", [LetterState.SENT, LetterState.REFUSED, LetterState.UNKNOWN])
def test_a_settled_letter_is_never_claimed_again(engine, now, state):
    with database.write(engine) as connection:
        queue(connection, now)
        letter, _, _ = letters.claim(connection, now)
        letters.settle(connection, letter.id, state, reply="250 ok", now=now)
        assert letters.claim(connection, now + timedelta(days=9)) is None
        assert row(connection).state == state
        assert row(connection).sent_at == (now if state is LetterState.SENT else None)


def test_the_text_of_a_readers_letter_is_let_go_and_the_teams_is_kept(engine, now):
    with database.write(engine) as connection:
        queue(connection, now, subscriber_id=5, text="https://example.org/c/secret")
        queue(connection, now, address="team@example.org")
        for _ in range(2):
            letter, _, _ = letters.claim(connection, now)
            letters.settle(connection, letter.id, LetterState.SENT, reply="250", now=now)
        assert (row(connection, 1).text, row(connection, 2).text) == ("", "t")


def test_a_letter_whose_sender_is_gone_becomes_unknown(engine, now):
    with database.write(engine) as connection:
        queue(connection, now)
        letters.claim(connection, now)
        assert letters.give_up_stale(connection, now + LEASE - timedelta(seconds=1)) == 0
        assert letters.give_up_stale(connection, now + LEASE) == 1
        assert row(connection).state == LetterState.UNKNOWN


def test_a_late_answer_still_settles(engine, now):
    with database.write(engine) as connection:
        queue(connection, now)
        letter, _, _ = letters.claim(connection, now)
        letters.give_up_stale(connection, now + LEASE)
        letters.settle(connection, letter.id, LetterState.SENT, reply="250", now=now)
        assert row(connection).state == LetterState.SENT


def test_a_settled_letter_stays_as_it_is(engine, now):
    with database.write(engine) as connection:
        queue(connection, now)
        letter, _, _ = letters.claim(connection, now)
        letters.settle(connection, letter.id, LetterState.SENT, reply="250", now=now)
        letters.postpone(connection, letter.id, until=now, reply="451", charged=True)
        letters.settle(connection, letter.id, LetterState.REFUSED, reply="550", now=now)
        assert (row(connection).state, row(connection).reply) == (LetterState.SENT, "250")


def test_what_is_queued_can_be_taken_back(engine, now):
    with database.write(engine) as connection:
        queue(connection, now)
        assert letters.cancel(connection, kind=LETTER["kind"], key=LETTER["key"]) == 1
        assert letters.claim(connection, now) is None


def test_an_erased_reader_leaves_no_letter(engine, now):
    with database.write(engine) as connection:
        queue(connection, now, subscriber_id=5)
        queue(connection, now, subscriber_id=6, key="other")
        letters.forget(connection, 5)
        assert connection.scalars(select(table.c.subscriber_id)).all() == [6]


def test_every_state_is_one_the_table_knows(engine, now):
    with database.write(engine) as connection:
        queue(connection, now)
        for state in LetterState:
            connection.execute(update(table).values(state=state))
