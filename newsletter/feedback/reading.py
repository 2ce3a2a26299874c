"""One returned message, as bytes → a ``Feedback``.

In: the octets of a message, the keys, the addresses of the sender. Out: what it says, and of whom
if one of our own words is in it. Never: a reader guessed from an address that the message names,
for anybody can send a message to the bounce address.

The order matters: complaints, then bounces of the standard, then machines that answer, and only
then bounces of no standard, whose readers (flufl.bounce) guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message

from newsletter.audience.tokens import Purpose, TokenFacts, open_token
from newsletter.config import Keys, Settings
from newsletter.errors import TokenError
from newsletter.feedback.answers import is_auto_reply, is_challenge
from newsletter.feedback.bounces import Report, read_bounce, read_odd_bounce
from newsletter.feedback.complaints import is_report, read_complaint
from newsletter.feedback.facts import Feedback, FeedbackKind, TiedBy
from newsletter.mail.headers import ascii_address

# A bounce quotes at most the issue, its words about the reader come first; anybody can send more.
MAX_BYTES = 256_000
# Bounces of no standard say it on their first page; the detectors are slow on more.
MAX_ODD_BYTES = 32_000
_TOKEN = r"([a-z2-7]{41,60})"  # noqa: S105 - the form of our words, not one of them
_MAX_CANDIDATES = 50


@dataclass(frozen=True, slots=True)
class _Reader:
    facts: TokenFacts
    tied_by: TiedBy


def read_feedback(raw: bytes, *, settings: Settings, keys: Keys) -> Feedback:
    """Return what a message that came back says; it never raises, whatever the octets are."""
    raw = raw[:MAX_BYTES]
    try:
        message = message_from_bytes(raw)
        text = _text(message)
        report = _judge(message, text, raw)
    except RecursionError:  # parts inside parts by the thousand: nobody's bounce
        text, report = "", Report(FeedbackKind.REPLY)
    reader = _find_reader(f"{raw.decode('ascii', 'replace')}\n{text}", settings, keys)
    return Feedback(
        kind=report.kind,
        subscriber_id=reader.facts.subscriber_id if reader else None,
        run_id=reader.facts.run_id if reader else 0,
        tied_by=reader.tied_by if reader else None,
        address=report.address,
        status=report.status,
        diagnostic=report.diagnostic,
    )


def _judge(message: Message, text: str, raw: bytes) -> Report:
    if is_report(message):
        complaint = read_complaint(message)
        kind = FeedbackKind.COMPLAINT if complaint else FeedbackKind.REPLY
        return Report(kind, diagnostic=complaint or "")
    bounce = read_bounce(message)
    if bounce is not None:
        return bounce
    if is_challenge(message, text):
        return Report(FeedbackKind.CHALLENGE)
    odd = read_odd_bounce(message_from_bytes(raw[:MAX_ODD_BYTES]), text[:MAX_ODD_BYTES])
    if odd is not None:
        return odd
    return Report(FeedbackKind.AUTO_REPLY if is_auto_reply(message) else FeedbackKind.REPLY)


def _text(message: Message) -> str:
    """Return the message's own text parts, decoded as well as they can be."""
    texts = []
    for part in message.walk():
        if part.get_content_type() == "text/plain":
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes):
                texts.append(_decode(payload, part.get_content_charset("utf-8")))
    return "\n".join(texts)


def _decode(octets: bytes, charset: str) -> str:
    try:
        return octets.decode(charset, "replace")
    except (LookupError, ValueError):  # a charset nobody knows
        return octets.decode("latin-1")


def _find_reader(text: str, settings: Settings, keys: Keys) -> _Reader | None:
    """Find a signed word of ours, as it travelled: the envelope first, then a Message-ID."""
    sender = settings.sender
    if sender.bounce_address:
        local, _, domain = ascii_address(sender.bounce_address).rpartition("@")
        verp = f"{re.escape(local)}\\+{_TOKEN}@{re.escape(domain)}"
        facts = _open_first(_candidates(verp, text), keys, (Purpose.BOUNCE,))
        if facts is not None:
            return _Reader(facts, TiedBy.VERP)
    own = re.escape(ascii_address(sender.address).rpartition("@")[2])
    facts = _open_first(_candidates(f"<{_TOKEN}@{own}>", text), keys, (Purpose.MESSAGE,))
    return _Reader(facts, TiedBy.MESSAGE_ID) if facts is not None else None


def _candidates(pattern: str, text: str) -> list[str]:
    found = re.findall(pattern, text, re.IGNORECASE)
    return list(dict.fromkeys(found))[:_MAX_CANDIDATES]


def _open_first(
    words: Iterable[str], keys: Keys, purposes: tuple[Purpose, ...]
) -> TokenFacts | None:
    for word in words:
        for purpose in purposes:
            try:
                return open_token(keys, purpose, word)
            except TokenError:
                continue
    return None
