"""The feeds and what we remember of each.

In: addresses of feeds.opml, states decided by ``examples.polling``. Out: rows of ``feed``. Never: a
decision about when or where to poll.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from newsletter.examples.polling import FeedState, new_feed
from newsletter.store import database
from newsletter.store.schema import feed


def lock_watch(connection: Connection) -> None:
    """Let one collection at a time look up and insert."""
    database.take_turns(connection, func.pg_advisory_xact_lock(func.hashtext("newsletter.watch")))


def remember_feeds(connection: Connection, urls: Sequence[str]) -> dict[str, FeedState]:
    """Return the state of each feed of *urls*; forget the others.

    A feed closed by its author starts afresh once its line was taken out and put back.
    """
    lock_watch(connection)
    connection.execute(delete(feed).where(feed.c.url.not_in(urls)))
    known = {row.url: _state(row) for row in connection.execute(select(feed))}
    missing = [new_feed(url) for url in urls if url not in known]
    if missing:
        connection.execute(insert(feed), [_values(state) for state in missing])
    return known | {state.url: state for state in missing}


def save_feed(connection: Connection, state: FeedState) -> None:
    connection.execute(update(feed).where(feed.c.url == state.url).values(_values(state)))


def _values(state: FeedState) -> dict[str, Any]:
    return {
        "url": state.url,
        "current_url": state.current_url,
        "title": state.title,
        "redirect_url": state.redirect_url or None,
        "redirect_days": list(state.redirect_days),
        "etag": state.etag or None,
        "last_modified": state.last_modified or None,
        "validators_for": state.validators_for or None,
        "disabled": state.disabled,
        "failures": state.failures,
        "failing_since": state.failing_since,
        "last_error": state.last_error,
        "last_ok_at": state.last_ok_at,
        "next_poll_at": state.next_poll_at,
    }


def _state(row: Any) -> FeedState:
    return FeedState(
        url=row.url,
        current_url=row.current_url,
        title=row.title,
        redirect_url=row.redirect_url or "",
        redirect_days=tuple(row.redirect_days or ()),
        etag=row.etag or "",
        last_modified=row.last_modified or "",
        validators_for=row.validators_for or "",
        disabled=row.disabled,
        failures=row.failures,
        failing_since=row.failing_since,
        last_error=row.last_error,
        last_ok_at=row.last_ok_at,
        next_poll_at=row.next_poll_at,
    )
