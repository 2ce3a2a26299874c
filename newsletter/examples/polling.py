"""When a feed is asked again, and where (F7). A table of decisions, without a network.

In: a feed's state and what its server answered. Out: its next state. Never: the clock, a request.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from newsletter.examples.reports import FeedFailed, say
from newsletter.model import Finding

LONGEST_WAIT = timedelta(hours=24)
FIRST_WAIT = timedelta(minutes=15)
PATIENCE = timedelta(days=7)  # with a 404
EQUAL_ANSWERS = 3  # before a permanent redirect is believed


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedState:
    """What we remember of a feed; ``url`` as in feeds.opml, ``current_url`` where it moved."""

    url: str
    current_url: str
    title: str = ""
    redirect_url: str = ""
    redirect_days: tuple[str, ...] = ()
    etag: str = ""
    last_modified: str = ""
    validators_for: str = ""  # the address that gave them: they mean nothing to another
    disabled: bool = False
    failures: int = 0
    failing_since: datetime | None = None
    last_error: str = ""
    last_ok_at: datetime | None = None
    next_poll_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedAnswer:
    """A server's answer; ``content`` is None for 304 Not Modified."""

    content: bytes | None
    final_url: str
    # Where an unbroken chain of 301 and 308 leads; '' without one.
    permanent_url: str = ""
    content_type: str = ""
    etag: str = ""
    last_modified: str = ""


def new_feed(url: str) -> FeedState:
    return FeedState(url=url, current_url=url)


def is_due(feed: FeedState, now: datetime) -> bool:
    return feed.next_poll_at is None or feed.next_poll_at <= now


def after_answer(feed: FeedState, answer: FeedAnswer, now: datetime) -> FeedState:
    """The state after a 200 that was read, or a 304."""
    settled = _settle_redirect(feed, answer.permanent_url, now)
    if answer.content is not None:
        settled = replace(
            settled,
            etag=answer.etag,
            last_modified=answer.last_modified,
            validators_for=answer.final_url,
        )
    return replace(
        settled, failures=0, failing_since=None, last_error="", last_ok_at=now, next_poll_at=None
    )


def _settle_redirect(feed: FeedState, target: str, now: datetime) -> FeedState:
    """Believe a permanent redirect after three equal answers on different days."""
    if not target or target == feed.current_url:
        return replace(feed, redirect_url="", redirect_days=())
    days = set(feed.redirect_days) if target == feed.redirect_url else set()
    days.add(now.astimezone(UTC).date().isoformat())
    if len(days) >= EQUAL_ANSWERS:
        return replace(feed, current_url=target, redirect_url="", redirect_days=())
    return replace(feed, redirect_url=target, redirect_days=tuple(sorted(days)))


def after_failure(feed: FeedState, failure: FeedFailed, now: datetime) -> FeedState:
    """The state after a failure: closed by 410, later by 429 and 5xx, else as usual."""
    failures = feed.failures + 1
    return replace(
        feed,
        failures=failures,
        failing_since=feed.failing_since or now,
        last_error=failure.reason,
        disabled=failure.reason == "gone",
        next_poll_at=_come_back(failure, failures, now),
    )


def _come_back(failure: FeedFailed, failures: int, now: datetime) -> datetime | None:
    status = failure.status
    if status != 429 and status < 500:
        return None
    asked = _read_retry_after(failure.retry_after, now)
    wait = FIRST_WAIT * 2 ** min(failures - 1, 10) if asked is None else asked
    return now + min(wait, LONGEST_WAIT)


def _read_retry_after(value: str, now: datetime) -> timedelta | None:
    """RFC 9110 section 10.2.3: seconds, or a date; None when it says nothing of use."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return timedelta(seconds=min(int(value[:9]), LONGEST_WAIT.total_seconds()))
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    wait = (date if date.tzinfo else date.replace(tzinfo=UTC)) - now
    return wait if wait > timedelta(0) else None


def explain_failure(feed: FeedState, failure: FeedFailed, now: datetime) -> Finding:
    """The finding of a failure; a page missing for a week deserves more than a shrug."""
    since = feed.failing_since or now
    if failure.reason == "missing" and now - since >= PATIENCE:
        return say("missing_for_a_week", file=feed.url)
    return failure.finding
