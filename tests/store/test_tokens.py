"""Random tokens: hashed, once, for a time."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from newsletter.store import database, tokens
from newsletter.store.schema import token


@pytest.fixture
def kept(engine, now):
    with database.write(engine) as connection:
        expires = now + timedelta(hours=48)
        tokens.add(connection, "abc", purpose="confirm", subscriber_id=7, expires_at=expires)
    return engine


def test_a_token_is_used_once(kept, now):
    with database.write(kept) as connection:
        assert tokens.find(connection, "abc", purpose="confirm", now=now) == 7
        assert tokens.use(connection, "abc", purpose="confirm", now=now) == 7
        assert tokens.use(connection, "abc", purpose="confirm", now=now) is None
        assert tokens.find(connection, "abc", purpose="confirm", now=now) is None


@pytest.mark.parametrize(
    ("text", "purpose", "hours"),
    [("abd", "confirm", 0), ("", "confirm", 0), ("abc", "renewal", 0), ("abc", "confirm", 48)],
)
def test_another_token_purpose_or_time_opens_nothing(kept, now, text, purpose, hours):
    later = now + timedelta(hours=hours)
    with database.write(kept) as connection:
        assert tokens.find(connection, text, purpose=purpose, now=later) is None
        assert tokens.use(connection, text, purpose=purpose, now=later) is None


def test_the_table_does_not_hold_the_token(kept):
    with database.read(kept) as connection:
        assert "abc" not in connection.scalars(select(token.c.hash)).all()
