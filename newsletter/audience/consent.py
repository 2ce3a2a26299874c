"""The proof of who agreed to what, when and how, in a chain that betrays a change (P6).

In: events, the key of each person, the publication's keys. Out: their two codes, and the first
event that does not hold. Never: a clock, a change to an event; the table is only ever added to.

``content_mac`` is an HMAC of the event under a random key of that one person. ``chain_mac`` is an
HMAC, under the publication's pepper, of the one before and this event's bare facts and
``content_mac``. Erasing a person takes their key and the details of their events; the chain does
not need either, and still holds. What no chain shows is its own end cut off: keep ``head``
somewhere else to see that too.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256

from newsletter.config import Keys
from newsletter.model import SubscriberId

START = "0" * 64  # stands before the first event


class Act(StrEnum):
    """What happened; acts of the person themselves count as their last act (P10)."""

    ASKED = "asked"  # filled the sign-up form
    CONFIRMED = "confirmed"  # pressed the button of the confirmation page
    IMPORTED = "imported"
    ADDED = "added"  # by hand, by an operator
    CHANGED = "changed"  # an import or an operator corrected something
    CHOSE = "chose"  # changed their preferences
    RENEWED = "renewed"  # said that they still want the letter
    PAUSED = "paused"  # by an operator
    LEFT = "left"
    SUPPRESSED = "suppressed"  # a bounce or a complaint
    ERASED = "erased"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event to be added; *key* is the random key of its person."""

    subscriber_id: SubscriberId
    key: bytes
    act: Act
    detail: Mapping[str, object]
    notice_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentEvent:
    """An event as the table has it; ``detail`` is None once its person is erased."""

    id: int
    subscriber_id: SubscriberId
    at: datetime
    act: str
    detail: Mapping[str, object] | None
    notice_version: str
    content_mac: str
    chain_mac: str


def seal(event: NewEvent, at: datetime, *, keys: Keys, head: str) -> tuple[str, str]:
    """Return the content code and the chain code of an event that follows *head*."""
    content = _content_mac(event.key, _content(event.act, at, event.detail, event.notice_version))
    return content, _chain_mac(keys, head, event.subscriber_id, _spell(at), event.act, content)


def find_break(
    events: Iterable[ConsentEvent],
    keys: Keys,
    key_of: Callable[[SubscriberId], bytes | None],
) -> ConsentEvent | None:
    """Return the first event that was altered, or that follows a missing one; None when all hold.

    *key_of* gives a person's key, None once they are erased: then only the chain is checked, and
    an event that still has its details is one that the erasure forgot.
    """
    head = START
    for event in events:
        facts = (event.subscriber_id, _spell(event.at), event.act, event.content_mac)
        chained = _chain_mac(keys, head, *facts)
        if not hmac.compare_digest(chained, event.chain_mac) or not _holds(event, key_of):
            return event
        head = event.chain_mac
    return None


def notice_version(text: str) -> str:
    """Name a notice by its words: two readers who saw the same words saw the same version."""
    return sha256(" ".join(text.split()).encode()).hexdigest()[:16]


def _holds(event: ConsentEvent, key_of: Callable[[SubscriberId], bytes | None]) -> bool:
    key = key_of(event.subscriber_id)
    if key is None or event.detail is None:
        return key is None and event.detail is None
    content = _content(event.act, event.at, event.detail, event.notice_version)
    return hmac.compare_digest(_content_mac(key, content), event.content_mac)


def _content(act: str, at: datetime, detail: Mapping[str, object], notice: str) -> str:
    told = {"act": act, "at": _spell(at), "detail": detail, "notice": notice}
    return json.dumps(told, sort_keys=True, ensure_ascii=True, separators=(",", ":"))


def _content_mac(key: bytes, content: str) -> str:
    return hmac.new(key, content.encode("ascii"), "sha256").hexdigest()


def _chain_mac(keys: Keys, head: str, *facts: object) -> str:
    link = ":".join(map(str, ("consent", head, *facts)))
    return hmac.new(keys.pepper, link.encode("ascii"), "sha256").hexdigest()


def _spell(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
