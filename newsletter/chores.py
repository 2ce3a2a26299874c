"""What a tick does beside the runs: notices, reminders, feeds, retention, letters.

In: settings, the engine, keys, `now`. Out: the chores that are due, each a function to call, here
or on another thread. Never: a chore that another process has claimed; a letter of a restored copy,
which the original may have sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Engine

from newsletter import letters, notifying, retention
from newsletter.config import Keys, Settings
from newsletter.content.calendar import slots_between
from newsletter.examples import fetch
from newsletter.model import RunState
from newsletter.publishing import approval_state
from newsletter.store import database, runs

log = logging.getLogger(__name__)

Chore = Callable[[], None]
# One review asks and purges at most two hundred people: a day later the next goes on.
RETENTION_EVERY = timedelta(days=1)


def list_chores(
    settings: Settings, engine: Engine, keys: Keys, now: datetime, *, sends: bool
) -> Iterator[tuple[str, Chore]]:
    """Yield the chores that may be due; letters last, for the others queue some.

    A restored copy (``sends`` False) does one thing only: send its own alarm.
    """
    if sends:
        yield "endings", partial(_tell_endings, settings, engine, now)
        yield "reminders", partial(_remind, settings, engine, now)
        if (settings.issues_dir / "feeds.opml").exists():
            every = timedelta(hours=settings.feeds.poll_every_h)
            if _claim(engine, "feeds", every, now):
                yield "feeds", partial(_poll_feeds, settings, engine, now)
        if _claim(engine, "retention", RETENTION_EVERY, now):
            yield "retention", partial(_review_list, settings, engine, keys, now)
    kinds = None if sends else frozenset({"held"})
    yield "letters", partial(_send_letters, settings, engine, keys, now, kinds)


def _claim(engine: Engine, name: str, every: timedelta, now: datetime) -> bool:
    with database.read(engine) as connection:
        done_at = runs.chore_done_at(connection, name)
    if done_at is not None and done_at > now - every:
        return False
    with database.write(engine) as connection:
        return runs.claim_chore(connection, name, unless_since=now - every, now=now)


def _tell_endings(settings: Settings, engine: Engine, now: datetime) -> None:
    with database.read(engine) as connection:
        nothing = not notifying.has_endings(connection, now)
    if nothing:
        return
    with database.write(engine) as connection:
        notifying.tell_endings(connection, settings, now)


def _remind(settings: Settings, engine: Engine, now: datetime) -> None:
    """Remind the editors of the coming slot, once at each of the two times."""
    for slot in slots_between(settings, now, now + max(notifying.REMINDERS)):
        which = notifying.reminder_of(slot, now)
        if slot.skipped or not which:
            continue
        given = approval_state(settings, engine, slot.issue_id)
        with database.write(engine) as connection:
            run = runs.read_run(connection, slot.issue_id)
            settled = run is not None and run.state not in {RunState.DUE, RunState.HELD}
            first = runs.claim_once(connection, f"remind:{which}:{slot.issue_id}", now)
            if first and not settled and not any(one.complete for one in given):
                notifying.remind(connection, settings, slot, now)


def _poll_feeds(settings: Settings, engine: Engine, now: datetime) -> None:
    report = fetch.collect(settings, engine, now)
    log.info("feeds %s", " ".join(f"{name}={count}" for name, count in report.counts.items()))
    with database.write(engine) as connection:
        for finding in report.notices:
            notifying.tell_feed(connection, settings, finding, now)


def _review_list(settings: Settings, engine: Engine, keys: Keys, now: datetime) -> None:
    found = retention.review(settings, engine, keys, now)
    log.info(
        "retention unconfirmed=%d due=%d asked=%d expired=%d erased=%d events=%d",
        found.unconfirmed,
        found.due,
        found.asked,
        found.expired,
        found.erased,
        found.events_cleared,
    )


def _send_letters(
    settings: Settings, engine: Engine, keys: Keys, now: datetime, kinds: frozenset[str] | None
) -> None:
    sent = letters.send_due(settings, engine, keys, now, kinds=kinds)
    if sent:
        log.info("letters sent=%d", sent)
