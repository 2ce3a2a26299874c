"""How long we keep people, and what they may ask of us (P9, P10).

In: settings, a database, keys, the instant, randomness. Out: who would go, what went; letters in
the queue. Never: somebody removed for their silence unless ``retention.purge`` is on and they were
asked twice, thirty days apart; what we hold on a person shown to anybody but their own mailbox.
"""

from __future__ import annotations

import json
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, func, select, update

from newsletter.audience import correspondence
from newsletter.audience.correspondence import Written
from newsletter.config import Keys, Settings
from newsletter.errors import NotFound
from newsletter.model import Subscriber, SubscriberId, SubscriberState
from newsletter.store import audience, database, dossier, leaving, letters, sign_ups, tokens
from newsletter.store.inviting import RandomBytes
from newsletter.store.schema import event, subscriber

MONTH = timedelta(days=30.4375)
ASK_TWICE_APART = timedelta(days=30)
LINK_LASTS = timedelta(days=60)
DATA_AGAIN_AFTER = timedelta(hours=24)
ERASE_WITHIN = timedelta(hours=48)
AT_ONCE = 200  # people of one review: the tick stays short, the next one goes on


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What a review of the list found and did. ``expired`` counts those who would go, or went."""

    unconfirmed: int  # sign-ups nobody confirmed: dropped (P7)
    due: int  # silent for long enough to be asked
    asked: int  # written to now
    expired: int  # silent for too long
    erased: int
    events_cleared: int  # raw texts of answers past their time


def review(
    settings: Settings,
    engine: Engine,
    keys: Keys,
    now: datetime,
    *,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> Review:
    """Drop what is past its time; ask and purge only when the settings say so."""
    rules = settings.retention
    with database.write(engine) as connection:
        pending = _find(connection, now - timedelta(days=rules.pending_days), pending=True)
        for person in pending[:AT_ONCE]:
            leaving.drop_pending(connection, person.id)
        due = _find(connection, now - rules.renewal_months * MONTH)
        expired = _find(connection, now - rules.expiry_months * MONTH)
        asked, erased = 0, set[SubscriberId]()
        if rules.purge:
            erased = _purge(connection, keys, expired, now)
            left = [person for person in due if person.id not in erased]
            asked = _ask(connection, settings, left, now, random_bytes)
        return Review(
            unconfirmed=len(pending[:AT_ONCE]),
            due=len(due),
            asked=asked,
            expired=len(expired),
            erased=len(erased),
            events_cleared=_clear_events(connection, now - timedelta(days=rules.event_days)),
        )


def send_data(
    settings: Settings,
    engine: Engine,
    subscriber_id: SubscriberId,
    *,
    now: datetime,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> bool:
    """Send a person what we hold on them, and a link to be erased; once a day at most (P9)."""
    with database.write(engine) as connection:
        try:
            person = audience.get(connection, subscriber_id)
        except NotFound:
            return False
        written = sign_ups.list_written(connection, subscriber_id, "data", None)
        if not person.address or (written and written[-1] > now - DATA_AGAIN_AFTER):
            return False
        held: dict[str, Any] = dossier.read(connection, person)
        link = _add_link(
            connection, settings, person, purpose="erase", now=now, token=_mint(random_bytes)
        )
        told = json.dumps(held, ensure_ascii=False, indent=1)
        said = correspondence.write(correspondence.DATA, settings, link=link, data=told)
        _queue(connection, person, "data", said, now)
        return True


def erase_by_link(engine: Engine, keys: Keys, token: str, *, now: datetime) -> bool:
    """Forget the person of a link that only their mailbox received."""
    with database.write(engine) as connection:
        subscriber_id = tokens.use(connection, token, purpose="erase", now=now)
        return subscriber_id is not None and leaving.erase(connection, keys, subscriber_id, now)


def _find(connection: Connection, before: datetime, *, pending: bool = False) -> list[Subscriber]:
    """People without a sign of life since *before*; opening a mail is none, and we do not look."""
    columns = subscriber.c
    if pending:
        silent = (columns.state == SubscriberState.PENDING) & (columns.created_at < before)
    else:
        receiving = (SubscriberState.ACTIVE, SubscriberState.PAUSED)
        last = func.coalesce(columns.last_act_at, columns.created_at)
        silent = columns.state.in_(receiving) & (last < before)
    ids = connection.scalars(select(columns.id).where(silent).order_by(columns.id))
    return [audience.get(connection, SubscriberId(number)) for number in ids.all()]


def _ask(
    connection: Connection,
    settings: Settings,
    due: list[Subscriber],
    now: datetime,
    random_bytes: RandomBytes,
) -> int:
    asked = 0
    for person in due:
        times = sign_ups.list_written(connection, person.id, "renewal", person.last_act_at)
        if asked < AT_ONCE and len(times) < 2 and all(at <= now - ASK_TWICE_APART for at in times):
            link = _add_link(
                connection, settings, person, purpose="renewal", now=now, token=_mint(random_bytes)
            )
            said = correspondence.write(correspondence.RENEWAL, settings, link=link)
            _queue(connection, person, "renewal", said, now)
            asked += 1
    return asked


def _purge(
    connection: Connection, keys: Keys, expired: list[Subscriber], now: datetime
) -> set[SubscriberId]:
    """Erase those who were asked twice, the second time thirty days ago, and said nothing."""
    erased: set[SubscriberId] = set()
    for person in expired:
        times = sign_ups.list_written(connection, person.id, "renewal", person.last_act_at)
        if len(erased) < AT_ONCE and len(times) >= 2 and times[-1] <= now - ASK_TWICE_APART:
            leaving.erase(connection, keys, person.id, now)
            erased.add(person.id)
    return erased


def _add_link(
    connection: Connection,
    settings: Settings,
    person: Subscriber,
    *,
    purpose: str,
    now: datetime,
    token: str,
) -> str:
    lasts = ERASE_WITHIN if purpose == "erase" else LINK_LASTS
    tokens.add(connection, token, purpose=purpose, subscriber_id=person.id, expires_at=now + lasts)
    return f"{settings.publication.base_url}/{purpose[0]}/{token}"


def _mint(random_bytes: RandomBytes) -> str:
    return urlsafe_b64encode(random_bytes(24)).decode("ascii")


def _queue(
    connection: Connection, person: Subscriber, kind: str, written: Written, now: datetime
) -> None:
    letters.queue(
        connection,
        kind=kind,
        key=f"{person.id}:{now.isoformat()}",
        address=person.address,
        subject=written.subject,
        text=written.text,
        now=now,
        subscriber_id=person.id,
    )


def _clear_events(connection: Connection, before: datetime) -> int:
    """Let go of the raw text of answers; what happened, and when, stays."""
    old = (event.c.at < before) & (event.c.raw != "")
    return connection.execute(update(event).where(old).values(raw="")).rowcount
