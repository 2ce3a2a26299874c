from dataclasses import replace

from newsletter.examples.polling import FeedState, new_feed
from newsletter.store import database
from newsletter.store.feeds import remember_feeds, save_feed

URL = "https://a.example/rss"


def test_a_new_feed_is_where_the_list_says(engine):
    with database.write(engine) as connection:
        assert remember_feeds(connection, (URL,)) == {URL: new_feed(URL)}


def test_a_state_comes_back_as_it_was_saved(engine, now):
    state = FeedState(
        url=URL,
        current_url="https://b.example/rss",
        title="Carnet",
        redirect_url="https://c.example/rss",
        redirect_days=("2026-05-07",),
        etag='W/"é"',
        last_modified="Tue, 05 May 2026 06:00:00 GMT",
        validators_for="https://b.example/rss",
        disabled=True,
        failures=3,
        failing_since=now,
        last_error="busy",
        last_ok_at=now,
        next_poll_at=now,
    )
    with database.write(engine) as connection:
        remember_feeds(connection, (URL,))
        save_feed(connection, state)
    with database.write(engine) as connection:
        assert remember_feeds(connection, (URL,)) == {URL: state}


def test_a_feed_taken_out_of_the_list_is_forgotten(engine):
    with database.write(engine) as connection:
        states = remember_feeds(connection, (URL, "https://b.example/rss"))
        save_feed(connection, replace(states[URL], disabled=True))
        remember_feeds(connection, ("https://b.example/rss",))
        assert not remember_feeds(connection, (URL,))[URL].disabled
