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

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    ScalarSelect,
    case,
    func,
    or_,
    select,
    update,
)

from newsletter.audience import correspondence
from newsletter.config import Keys, Settings
from newsletter.errors import NotFound
from newsletter.model import Subscriber, SubscriberId, SubscriberState
from newsletter.store import (
    audience,
    database,
    dossier,
    inviting,
    leaving,
    ledger,
    sign_ups,
    tokens,
)
from newsletter.store.inviting import RandomBytes
from newsletter.store.schema import event, letter, subscriber

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


def review(settings: Settings, engine: Engine, keys: Keys, now: datetime) -> Review:
    """Drop what is past its time; ask and purge only when the settings say so."""
    rules = settings.retention
    silent = _silent_since(now - rules.renewal_months * MONTH)
    lost = _silent_since(now - rules.expiry_months * MONTH)
    with database.write(engine) as connection:
        pending = _find(connection, _unconfirmed_since(now - timedelta(days=rules.pending_days)))
        for person in pending:
            leaving.drop_pending(connection, person.id)
        due, expired = _count(connection, silent), _count(connection, lost)
        asked = erased = 0
        if rules.purge:
            erased = _purge(connection, keys, lost, now)
            asked = _ask(connection, settings, silent, now)
        leaving.sweep_erased(connection)
        found = Review(
            unconfirmed=len(pending),
            due=due,
            asked=asked,
            expired=expired,
            erased=erased,
            events_cleared=_clear_events(connection, now - timedelta(days=rules.event_days)),
        )
    if erased or pending:
        database.empty_journal(engine)
    return found


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
        inviting.write_to(connection, person, "data", said, now)
        return True


def erase_by_link(engine: Engine, keys: Keys, token: str, *, now: datetime) -> bool:
    """Forget the person of a link that only their mailbox received."""
    with database.write(engine) as connection:
        subscriber_id = tokens.use(connection, token, purpose="erase", now=now)
        done = subscriber_id is not None and leaving.erase(connection, keys, subscriber_id, now)
    if done:
        database.empty_journal(engine)
    return done


def _unconfirmed_since(before: datetime) -> ColumnElement[bool]:
    columns = subscriber.c
    return (columns.state == SubscriberState.PENDING) & (columns.created_at < before)


def _silent_since(before: datetime) -> ColumnElement[bool]:
    """No sign of life since *before*; opening a mail is none, and we do not look."""
    receiving = (SubscriberState.ACTIVE, SubscriberState.PAUSED)
    last = func.coalesce(subscriber.c.last_act_at, subscriber.c.created_at)
    return subscriber.c.state.in_(receiving) & (last < before)


def _find(connection: Connection, which: ColumnElement[bool]) -> list[Subscriber]:
    """The first of these people, as many as one review takes."""
    ids = select(subscriber.c.id).where(which).order_by(subscriber.c.id).limit(AT_ONCE)
    return [audience.get(connection, number) for number in connection.scalars(ids).all()]


def _count(connection: Connection, which: ColumnElement[bool]) -> int:
    return connection.scalar(select(func.count()).select_from(subscriber).where(which)) or 0


def _renewals(of: ColumnElement[Any]) -> ScalarSelect[Any]:
    """*of* the renewal letters that a person was written since their last act."""
    last = func.coalesce(subscriber.c.last_act_at, subscriber.c.created_at)
    return (
        select(of)
        .where(
            letter.c.kind == "renewal",
            letter.c.subscriber_id == subscriber.c.id,
            letter.c.created_at > last,
        )
        .correlate(subscriber)
        .scalar_subquery()
    )


def _ask(
    connection: Connection,
    settings: Settings,
    silent: ColumnElement[bool],
    now: datetime,
) -> int:
    """Ask those who were not asked twice, nor within thirty days."""
    times, last = _renewals(func.count()), _renewals(func.max(letter.c.created_at))
    not_lately = or_(last.is_(None), last <= now - ASK_TWICE_APART)
    people = _find(connection, silent & (times < 2) & not_lately)
    for person in people:
        token = _mint(secrets.token_bytes)
        link = _add_link(connection, settings, person, purpose="renewal", now=now, token=token)
        said = correspondence.write(correspondence.RENEWAL, settings, link=link)
        inviting.write_to(connection, person, "renewal", said, now)
    return len(people)


def _purge(connection: Connection, keys: Keys, lost: ColumnElement[bool], now: datetime) -> int:
    """Erase those who were asked twice, the second time thirty days ago, and said nothing."""
    times, last = _renewals(func.count()), _renewals(func.max(letter.c.created_at))
    people = _find(connection, lost & (times >= 2) & (last <= now - ASK_TWICE_APART))
    for person in people:
        leaving.erase(connection, keys, person.id, now)
    return len(people)


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


def _clear_events(connection: Connection, before: datetime) -> int:
    """Let go of the raw text of answers; what happened, and when, stays.

    Of strangers the diagnostic goes as well: nobody could ask us to erase the address in it. Which
    relays a dispatch had is nobody's answer, and nothing else can tell it later.
    """
    answers = (event.c.raw != "") & (event.c.kind != ledger.DISPATCH_BEGUN)
    old = (event.c.at < before) & answers
    detail = case((event.c.subscriber_id.is_(None), ""), else_=event.c.detail)
    return connection.execute(update(event).where(old).values(raw="", detail=detail)).rowcount
