"""Edition + reader → the bytes that leave (DESIGN 6 "Composed once", 7).

In: a frozen edition, the settings, the keys, the run and its date; then a reader. Out: an envelope
and canonical CRLF lines, without the final dot. Everything that readers share is encoded once;
for each of them only the holes, three headers and the signature are made.

By construction lines are at most 76 columns, none begins with a dot, none ends with a blank, no
two blanks meet: neither dot-stuffing nor relaxed canonicalisation changes an octet. Same edition,
same run, same reader: same bytes, for Message-ID, Date, boundary and signatures are all derived.
Never: an address in a link, a clock, a random number, or rendering code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

from newsletter.audience.tokens import Purpose, minter, spell
from newsletter.config import Keys, Settings
from newsletter.mail import headers, holes
from newsletter.mail.multipart import Alternative, alternative_headers, open_alternative
from newsletter.mail.parts import OpenPart
from newsletter.model import Edition

if TYPE_CHECKING:
    from newsletter.mail.dkim import Seal, Signer

# The headers made for each reader, in the order in which they are signed last.
PERSONAL_HEADERS = ("To", "Message-ID", "List-Unsubscribe")
_PERSONAL_LINKS = {"unsubscribe_url": ("u", "leave"), "preferences_url": ("p", "choose")}


class Addressee(Protocol):
    """Whoever is written to: a subscriber, or what a run reads of one."""

    @property
    def address(self) -> str: ...
    @property
    def first_name(self) -> str: ...
    @property
    def last_name(self) -> str: ...
    @property
    def organisation(self) -> str: ...


class Reader(NamedTuple):
    """Somebody to write to; ``values`` fill the holes of the same names."""

    subscriber_id: int
    address: str
    values: Mapping[str, str]

    @classmethod
    def of(cls, subscriber_id: int, person: Addressee) -> Reader:
        """Return *person* with a value for each personal field that an editor may write."""
        values = {
            "first_name": person.first_name,
            "last_name": person.last_name,
            "organisation": person.organisation,
        }
        return cls(subscriber_id, person.address, values)


class Outgoing(NamedTuple):
    """A message as the relay gets it: envelope, canonical lines.

    The lines are in ``pieces``, most of them shared with every other reader: joined once, with
    what is written around them.
    """

    sender: str
    recipient: str
    size: int
    pieces: Sequence[bytes]

    @property
    def content(self) -> bytes:
        """The lines as one value."""
        return b"".join(self.pieces)


# What fills one hole: its name, the encoded fallback, the encoding of any other value.
_Gap = tuple[str, bytes, Callable[[str], bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """An edition made ready for one run; ``compose`` gives each reader's message."""

    body: Alternative
    gaps: tuple[_Gap, ...]
    shared_headers: bytes
    message_id_format: bytes
    unsubscribe_format: bytes
    idempotency_format: bytes
    envelope: Callable[[bytes], str]
    mint_message: Callable[[bytes], bytes]
    mint_unsubscribe: Callable[[bytes], bytes]
    mint_preferences: Callable[[bytes], bytes]
    seal: Seal | None

    def compose(self, reader: Reader) -> Outgoing:
        """Return the message of one reader.

        Raise HeaderError when the address or the name may not stand in a header (T8).
        """
        subscriber, values = spell(reader.subscriber_id), reader.values
        message, leave = self.mint_message(subscriber), self.mint_unsubscribe(subscriber)
        links = {"leave": leave, "choose": self.mint_preferences(subscriber)}
        recipient = headers.ascii_address(reader.address)
        name = f"{values.get('first_name', '')} {values.get('last_name', '')}".strip()
        personal = [
            headers.recipient(name, recipient),
            self.message_id_format % message,
            self.unsubscribe_format % leave,
        ]
        body = self.body.pieces(
            [
                links.get(name) or (encode(value) if (value := values.get(name)) else fallback)
                for name, fallback, encode in self.gaps
            ]
        )
        signatures = self.seal.sign(personal, body) if self.seal else b""
        if self.idempotency_format:
            personal.append(self.idempotency_format % message)
        pieces = [signatures, *personal, self.shared_headers, *body]
        return Outgoing(self.envelope(subscriber), recipient, sum(map(len, pieces)), pieces)


def compile_message(
    edition: Edition,
    *,
    settings: Settings,
    keys: Keys,
    run_id: int,
    date: datetime,
    key_version: int | None = None,
    signer: Signer | None = None,
) -> Compiled:
    """Encode once what every reader of a run shares; *date* is the Date of all its messages.

    *key_version* is that of the run: a repeat is minted as the first attempt was, whatever key was
    added meanwhile. The current one mints when it is None, or when its key was taken away.
    Raise HeaderError when a setting may not stand in a header.
    """
    body = open_alternative(
        _settle_links(edition.text, edition, settings, is_html=False),
        _settle_links(edition.html, edition, settings, is_html=True),
        seed=edition.digest[:32],
    )
    shared = shared_headers(edition, settings=settings, run_id=run_id, date=date)
    shared += alternative_headers(body.boundary)
    base = headers.ascii_url(settings.publication.base_url)
    version = key_version if key_version in keys.versions else None
    mint_message = minter(keys, Purpose.MESSAGE, run_id, version=version)
    sample = mint_message(spell(0)).decode("ascii")
    domain = headers.ascii_address(settings.sender.address, header="From").rpartition("@")[2]
    idempotency = settings.relay.idempotency_header
    return Compiled(
        body=body,
        gaps=(*_gaps(body.text, holes.plain), *_gaps(body.html, holes.escape)),
        shared_headers=b"".join(shared) + b"\r\n",
        message_id_format=_format("Message-ID", "<", sample, f"@{domain}>"),
        unsubscribe_format=_format("List-Unsubscribe", f"<{base}/u/", sample, ">"),
        idempotency_format=_format(idempotency, "", sample, "") if idempotency else b"",
        envelope=open_envelope(settings, keys, run_id, version=version),
        mint_message=mint_message,
        mint_unsubscribe=minter(keys, Purpose.UNSUBSCRIBE, run_id, version=version),
        mint_preferences=minter(keys, Purpose.PREFERENCES, run_id, version=version),
        seal=signer.prepare(shared, personal=PERSONAL_HEADERS) if signer else None,
    )


def _gaps(part: OpenPart, secure: Callable[[str], str]) -> Iterator[_Gap]:
    @lru_cache(maxsize=8192)  # first names and organisations come again
    def encode(value: str) -> bytes:
        return part.field(secure(value))

    for hole in part.holes:
        yield hole.name, part.field(hole.fallback), encode


def _settle_links(source: str, edition: Edition, settings: Settings, *, is_html: bool) -> str:
    """Fill what is the same for all readers; of a personal link, keep only the token open."""
    base = headers.ascii_url(settings.publication.base_url)
    base = holes.escape(base) if is_html else base
    known = {"online_url": f"{base}/{edition.issue_id}/"}
    known |= {
        name: f"{base}/{path}/{holes.hole(token)}"
        for name, (path, token) in _PERSONAL_LINKS.items()
    }
    return "".join(
        piece
        if isinstance(piece, str)
        else known.get(piece.name, holes.hole(piece.name, piece.fallback))
        for piece in holes.split(source)
    )


def shared_headers(
    edition: Edition, *, settings: Settings, run_id: int, date: datetime
) -> list[bytes]:
    """Return the headers that all messages of a run share, without those of MIME.

    ``Precedence: bulk``, though no standard (RFC 2076 §3.9), keeps the holiday notes of older
    mail systems away from the people who answer Reply-To.
    """
    publication, sender = settings.publication, settings.sender
    base = headers.ascii_url(publication.base_url)
    list_id = headers.refuse_controls(publication.list_id, "List-Id")
    return [
        *correspondence(edition.sender, settings),
        headers.text("Subject", edition.subject),
        date_line(date, settings),
        headers.line("List-Id", (*headers.phrase(publication.name, "List-Id"), f"<{list_id}>")),
        headers.line("List-Unsubscribe-Post", ("List-Unsubscribe=One-Click",)),
        headers.line("List-Help", (f"<mailto:{headers.ascii_address(sender.reply_to)}>",)),
        headers.line("List-Subscribe", (f"<{base}/>",)),
        headers.line("List-Archive", (f"<{base}/>",)),
        headers.line("List-Post", ("NO",)),
        headers.line("Feedback-ID", (_feedback_id(edition, list_id, run_id),)),
        headers.line("Precedence", ("bulk",)),
        headers.line("Content-Language", (publication.language,)),
    ]


def correspondence(sender: str, settings: Settings) -> list[bytes]:
    """Return From and Reply-To; *sender* is ``Name <address>`` as people write it."""
    name, _, address = sender.rpartition(" <")
    return [
        headers.addresses("From", (name, address.removesuffix(">"))),
        headers.addresses("Reply-To", ("", settings.sender.reply_to)),
    ]


def date_line(date: datetime, settings: Settings) -> bytes:
    return headers.instant("Date", date.astimezone(settings.publication.zone))


def _feedback_id(edition: Edition, list_id: str, run_id: int) -> str:
    """Three grains and a constant last one of 5 to 15 letters: Gmail's feedback loop."""
    sender = re.sub(r"[^a-z0-9]", "", list_id.lower())[:15].ljust(5, "0")
    return f"{edition.issue_id}:{run_id}:issue:{sender}"


def open_envelope(
    settings: Settings, keys: Keys, run_id: int, *, version: int | None = None
) -> Callable[[bytes], str]:
    """Return the function that gives the envelope sender of each spelled subscriber.

    With VERP: ``local+token@domain``, so that a filter in front of a town hall can trust the part
    that stays (D6). Without a bounce address, or for relays that allow only their own account:
    one address for all, and a bounce is tied to its reader by the Message-ID it quotes.
    """
    address = settings.sender.bounce_address
    if not address or not settings.relay.verp:
        plain = headers.ascii_address(address or settings.sender.address, header="envelope")
        return lambda _subscriber: plain
    local, _, domain = headers.ascii_address(address, header="envelope").rpartition("@")
    mint = minter(keys, Purpose.BOUNCE, run_id, version=version)
    return lambda subscriber: f"{local}+{mint(subscriber).decode('ascii')}@{domain}"


def _format(name: str, before: str, token: str, after: str) -> bytes:
    """Return a header line with ``%b`` for a token; all tokens of a run are equally long."""
    folded = headers.line(name, (f"{before}{token}{after}",)).decode("ascii")
    return folded.replace("%", "%%").replace(token, "%b").encode("ascii")
