"""What comes back, in one vocabulary.

In: nothing. Out: the kinds of feedback and the shape of one. Never: what is to be done about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FeedbackKind(StrEnum):
    """What a returned message says."""

    GONE = "gone"  # the address does not exist: the only bounce that suppresses (DESIGN 6)
    SOFT = "soft"  # a failure that may pass: mailbox full, host down, gave up
    POLICY = "policy"  # about the message or our standing, never about the reader (D3, D11)
    DELAYED = "delayed"  # still trying
    DELIVERED = "delivered"
    COMPLAINT = "complaint"  # reported as unwanted (D5)
    AUTO_REPLY = "auto_reply"  # out of office
    CHALLENGE = "challenge"  # a filter asks the sender to prove something (D6)
    REPLY = "reply"  # a person wrote, or nothing of the above: for a person to read


class TiedBy(StrEnum):
    """How a message was tied to a reader; both words are signed, nobody else can make them."""

    VERP = "verp"  # the envelope sender it came back to
    MESSAGE_ID = "message_id"  # the Message-ID it quotes


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One returned message.

    ``subscriber_id`` is None when no word of ours is in it: anybody can write such a message, so
    a person must look. ``address`` is what the report itself names, ``status`` the enhanced code
    (RFC 3463), ``diagnostic`` what the other side said.
    """

    kind: FeedbackKind
    subscriber_id: int | None = None
    run_id: int = 0
    tied_by: TiedBy | None = None
    address: str = ""
    status: str = ""
    diagnostic: str = ""
