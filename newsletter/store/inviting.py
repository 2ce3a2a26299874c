"""Letters that bring a reader in, queued in the transaction that causes them.

In: an open connection, a person, the settings. Out: a letter in the queue, or none when the person
was written to enough (T6). Never: a token kept as it is sent.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection

from newsletter.audience import correspondence
from newsletter.audience.correspondence import Written
from newsletter.audience.tokens import Purpose, sign
from newsletter.config import Keys, Settings
from newsletter.model import Subscriber, SubscriberId
from newsletter.store import letters, sign_ups, tokens

RandomBytes = Callable[[int], bytes]

# T6: what the sign-up form may make us write to one address.
CONFIRM_WITHIN = timedelta(hours=48)
ASK_AGAIN_AFTER = timedelta(hours=24)
ASK_AT_MOST = 3  # until it is confirmed


def preferences_link(settings: Settings, keys: Keys, subscriber_id: SubscriberId) -> str:
    """The address of a person's own page."""
    token = sign(keys, Purpose.PREFERENCES, subscriber_id, 0)
    return f"{settings.publication.base_url}/p/{token}"


def may_ask(connection: Connection, person: Subscriber, now: datetime) -> bool:
    """True when another confirmation may be sent: not every day, and not for ever."""
    written = sign_ups.list_written(connection, person.id, "confirmation", person.confirmed_at)
    return len(written) < ASK_AT_MOST and all(at <= now - ASK_AGAIN_AFTER for at in written)


def ask(
    connection: Connection,
    settings: Settings,
    person: Subscriber,
    now: datetime,
    random_bytes: RandomBytes,
) -> None:
    """Ask a person to confirm, by a link that is good once and for two days."""
    token = urlsafe_b64encode(random_bytes(24)).decode("ascii")
    tokens.add(
        connection,
        token,
        purpose="confirm",
        subscriber_id=person.id,
        expires_at=now + CONFIRM_WITHIN,
    )
    link = f"{settings.publication.base_url}/c/{token}"
    written = correspondence.write(correspondence.CONFIRMATION, settings, link=link)
    write_to(connection, person, "confirmation", written, now)


def say_already(
    connection: Connection, settings: Settings, keys: Keys, person: Subscriber, now: datetime
) -> bool:
    """Tell a reader that they are one already; False when they were told lately."""
    written = sign_ups.list_written(connection, person.id, "already", None)
    if written and written[-1] > now - ASK_AGAIN_AFTER:
        return False
    link = preferences_link(settings, keys, person.id)
    said = correspondence.write(correspondence.ALREADY, settings, link=link)
    write_to(connection, person, "already", said, now)
    return True


def welcome(
    connection: Connection, settings: Settings, keys: Keys, person: Subscriber, now: datetime
) -> None:
    """Thank a new reader; give them the last issue, or the archive before the first."""
    base = settings.publication.base_url
    issue_id = sign_ups.find_latest_issue(connection)
    written = correspondence.write(
        correspondence.WELCOME,
        settings,
        link=preferences_link(settings, keys, person.id),
        latest=f"{base}/{issue_id}/" if issue_id else f"{base}/archive/",
    )
    write_to(connection, person, "welcome", written, now)


def write_to(
    connection: Connection, person: Subscriber, kind: str, written: Written, now: datetime
) -> None:
    """Queue one letter to a person."""
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
