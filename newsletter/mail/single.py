"""Messages to one person: letters, and proofs of an edition.

In: what a letter says, to whom, its id. Out: a message made with the same care as an issue's
(``compose``), without the headers of a list. Never: a List-Unsubscribe, which would take somebody
off the list on behalf of a confirmation or of a proof.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from newsletter.audience.tokens import Purpose, sign, spell
from newsletter.config import Keys, Settings
from newsletter.mail import headers, holes
from newsletter.mail.compose import (
    Outgoing,
    correspondence,
    date_line,
    open_envelope,
)
from newsletter.mail.multipart import alternative_headers, open_alternative, part_headers
from newsletter.mail.parts import open_part
from newsletter.model import Edition

if TYPE_CHECKING:
    from newsletter.mail.dkim import Signer

# Somebody who does not exist: a proof shows how a reader with a name will see the issue.
FICTIONAL_READER: Mapping[str, str] = {
    "first_name": "Camille",
    "last_name": "Exemple",
    "organisation": "Mairie d’Exemple",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What one person is written; ``html`` may be ''."""

    id: int
    address: str
    subject: str
    text: str
    html: str = ""
    subscriber_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The edition as one fictional reader would get it, marked as a proof."""

    subject: str
    text: str
    html: str


def compose_single(
    letter: Letter,
    *,
    settings: Settings,
    keys: Keys,
    date: datetime,
    signer: Signer | None = None,
) -> Outgoing:
    """Return the message of a letter; the same letter and date give the same bytes.

    ``Auto-Submitted`` (RFC 3834 §5) asks holiday notes not to answer. Raise HeaderError when the
    address or the subject may not stand in a header (T8).
    """
    recipient = headers.ascii_address(letter.address)
    domain = headers.ascii_address(settings.sender.address, header="From").rpartition("@")[2]
    message_id = f"<{sign(keys, Purpose.LETTER, _number(letter, date), 0)}@{domain}>"
    mime, body = _body(letter)
    lines = [
        *correspondence(settings.sender_header, settings),
        headers.recipient("", recipient),
        headers.text("Subject", letter.subject),
        date_line(date, settings),
        headers.line("Message-ID", (message_id,)),
        headers.line("Auto-Submitted", ("auto-generated",)),
        headers.line("Content-Language", (settings.publication.language,)),
        *mime,
    ]
    signatures = signer.prepare(lines, personal=()).sign((), [body]) if signer else b""
    pieces = [signatures, *lines, b"\r\n", body]
    return Outgoing(
        sender=_envelope(letter, settings, keys),
        recipient=recipient,
        size=sum(map(len, pieces)),
        pieces=pieces,
    )


def _number(letter: Letter, date: datetime) -> int:
    """Return a number that tells this letter from any other, and is the same on every try.

    The first proof of another issue, or the same proof asked for an hour later, is no repeat.
    """
    facts = f"{letter.id}\0{letter.address}\0{letter.subject}\0{date.timestamp()}"
    return int.from_bytes(sha256(facts.encode("utf-8", "replace")).digest()[:8], "big") >> 1


def _envelope(letter: Letter, settings: Settings, keys: Keys) -> str:
    if letter.subscriber_id is None:
        address = settings.sender.bounce_address or settings.sender.address
        return headers.ascii_address(address, header="envelope")
    return open_envelope(settings, keys, 0)(spell(letter.subscriber_id))


def _body(letter: Letter) -> tuple[list[bytes], bytes]:
    text = holes.fill(letter.text, {}, is_html=False)
    if letter.html:
        seed = sha256(f"{letter.id}:{letter.subject}".encode()).hexdigest()[:32]
        body = open_alternative(text, holes.fill(letter.html, {}, is_html=True), seed=seed)
        return alternative_headers(body.boundary), b"".join(body.pieces([]))
    part = open_part(text)
    mime = [headers.line("MIME-Version", ("1.0",)), *part_headers("plain", part)]
    # A body ends with one line end: relaxed canonicalisation would drop further ones.
    return mime, b"".join(part.pieces([])).rstrip(b"\r\n") + b"\r\n"


def make_proof(edition: Edition, *, settings: Settings, number: int) -> Proof:
    """Return the *number*-th proof of an issue: ``[BAT vN]``, personal links led aside."""
    base = headers.ascii_url(settings.publication.base_url)
    values = {
        **FICTIONAL_READER,
        "unsubscribe_url": f"{base}/proof",
        "preferences_url": f"{base}/proof",
        "online_url": f"{base}/{edition.issue_id}/",
    }
    return Proof(
        subject=f"[BAT v{number}] {edition.subject}",
        text=holes.fill(edition.text, values, is_html=False),
        html=holes.fill(edition.html, values, is_html=True),
    )
