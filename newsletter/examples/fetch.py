"""Polls the feeds of ``issues/feeds.opml`` and keeps what they show (F1–F7).

In: settings, the database, `now`. Out: a CollectReport that says what became of each entry. Never:
a feed's fault spread to another feed, or to an issue.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock
from urllib.parse import urlsplit

from sqlalchemy import Engine

from newsletter.config import Settings
from newsletter.errors import ConfigError, StoreError
from newsletter.examples.child import Parser
from newsletter.examples.download import Resolve, download, resolve
from newsletter.examples.judge import Bench, judge_feed
from newsletter.examples.opml import MAX_BYTES, Source, read_opml
from newsletter.examples.polling import (
    FeedAnswer,
    FeedState,
    after_answer,
    after_failure,
    explain_failure,
    is_due,
)
from newsletter.examples.reports import (
    CollectReport,
    FeedFailed,
    FeedOutcome,
    FeedReport,
    say,
    total,
)
from newsletter.examples.vocabulary import Vocabulary, build_vocabulary
from newsletter.model import Finding
from newsletter.store import database, feeds
from newsletter.store.examples import keep_sightings

FEEDS_FILE = "feeds.opml"
AT_ONCE = 8
log = logging.getLogger(__name__)
# Called after each feed: how many are done, of how many, and what became of it.
Progress = Callable[[int, int, FeedReport], None]


def collect(
    settings: Settings,
    engine: Engine,
    now: datetime,
    progress: Progress | None = None,
    *,
    resolve: Resolve = resolve,
) -> CollectReport:
    """Poll every feed that is due; keep new, edited and withdrawn examples.

    Raise ConfigError when feeds.opml cannot be read, StoreError when the database fails; a feed
    that fails is a line of the report.
    """
    sources, findings = read_sources(settings)
    with database.write(engine) as connection:
        states = feeds.remember_feeds(connection, tuple(source.url for source in sources))
    words = build_vocabulary(settings.taxonomy)
    reports: list[FeedReport] = []
    with Parser() as parser:
        desk = _Desk(settings=settings, engine=engine, parser=parser, words=words, now=now)
        for source, polled in _poll(sources, states, desk, resolve):
            reports.append(_settle(source, states[source.url], polled, desk))
            if progress:
                progress(len(reports), len(sources), reports[-1])
    return total(tuple(reports), findings)


def read_sources(settings: Settings) -> tuple[tuple[Source, ...], tuple[Finding, ...]]:
    """Return the feeds of ``issues/feeds.opml``; none when there is no such file."""
    path = settings.issues_dir / FEEDS_FILE
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return (), ()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=str(path)) from None
    return read_opml(content, f"{settings.issues_dir.name}/{FEEDS_FILE}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Desk:
    """What one collection works with."""

    settings: Settings
    engine: Engine
    parser: Parser
    words: Vocabulary
    now: datetime


# --- fetching ------------------------------------------------------------------------------------

# What polling a feed gave: an answer, a failure, or None when it was not its turn.
_Polled = FeedAnswer | FeedFailed | None


def _poll(
    sources: tuple[Source, ...], states: dict[str, FeedState], desk: _Desk, resolve: Resolve
) -> Iterator[tuple[Source, _Polled]]:
    """Yield each feed in the order of feeds.opml: eight at once, those of one host one by one.

    Eight bodies in memory at most: the next eight are asked when these are kept.
    """
    hosts: dict[str, Lock] = {}
    for source in sources:
        hosts.setdefault(_host(states[source.url]), Lock())

    def ask(source: Source) -> _Polled:
        state = states[source.url]
        if state.disabled or not is_due(state, desk.now):
            return None
        with hosts[_host(state)]:
            return _download(state, desk.settings, resolve)

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="feed") as pool:
        for start in range(0, len(sources), AT_ONCE):
            some = sources[start : start + AT_ONCE]
            yield from zip(some, pool.map(ask, some), strict=True)


def _host(state: FeedState) -> str:
    return urlsplit(state.current_url).netloc.lower()


def _download(state: FeedState, settings: Settings, resolve: Resolve) -> FeedAnswer | FeedFailed:
    agent = f"newsletter (+{settings.publication.base_url})"
    try:
        return download(state, settings.feeds, agent=agent, resolve=resolve)
    except FeedFailed as failure:
        return failure
    except Exception as error:
        log.exception("feed failed in an unforeseen way", extra={"feed": state.url})
        return FeedFailed("unexpected", state.url, detail=type(error).__name__)


# --- keeping -------------------------------------------------------------------------------------


def _settle(source: Source, state: FeedState, polled: _Polled, desk: _Desk) -> FeedReport:
    """Read and keep what came; whatever is wrong with one feed ends here."""
    title = source.title or state.title
    if polled is None:
        outcome = FeedOutcome.DISABLED if state.disabled else FeedOutcome.WAITING
        return FeedReport(url=source.url, title=title, outcome=outcome)
    if isinstance(polled, FeedFailed):
        return _note_failure(title, state, polled, desk)
    try:
        return _keep(source, state, polled, desk)
    except FeedFailed as failed:
        failure = failed
    except StoreError:
        raise
    except Exception as error:
        log.exception("feed failed in an unforeseen way", extra={"feed": source.url})
        failure = FeedFailed("unexpected", source.url, detail=type(error).__name__)
    return _note_failure(title, state, failure, desk)


def _keep(source: Source, state: FeedState, answer: FeedAnswer, desk: _Desk) -> FeedReport:
    """Parse outside, then write the feed's state and its examples in one transaction."""
    after = after_answer(state, answer, desk.now)
    if answer.content is None:
        with database.write(desk.engine) as connection:
            feeds.save_feed(connection, after)
        title = source.title or state.title
        return FeedReport(url=source.url, title=title, outcome=FeedOutcome.NOT_MODIFIED)
    found = desk.parser.parse(answer.content, answer.final_url, answer.content_type)
    title = source.title or found.title or source.url
    bench = Bench(
        feed_url=source.url,
        source=title,
        vocabulary=desk.words,
        zone=desk.settings.publication.zone,
        now=desk.now,
    )
    sightings, refused = judge_feed(found, bench)
    with database.write(desk.engine) as connection:
        feeds.save_feed(connection, replace(after, title=found.title))
        kept = keep_sightings(connection, sightings, desk.now)
    return FeedReport(
        url=source.url,
        title=title,
        outcome=FeedOutcome.READ,
        repairs=tuple(say(code, file=source.url) for code in found.repairs),
        entries=kept + refused,
    )


def _note_failure(title: str, state: FeedState, failure: FeedFailed, desk: _Desk) -> FeedReport:
    after = after_failure(state, failure, desk.now)
    with database.write(desk.engine) as connection:
        feeds.save_feed(connection, after)
    return FeedReport(
        url=state.url,
        title=title,
        outcome=FeedOutcome.FAILED,
        reason=explain_failure(after, failure, desk.now),
    )
