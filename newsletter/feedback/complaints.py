"""Complaints of feedback loops: ARF (RFC 5965), Signal Spam's included.

In: a parsed message. Out: what it complains of, or None. Never: a report about authentication or
one that takes a complaint back, which are not complaints.
"""

from __future__ import annotations

from email.message import Message

# RFC 5965 §7.3 and the registry: what counts as "I do not want this".
_UNWANTED = {"abuse", "fraud", "virus", "other", "opt-out", "opt-out-list", "miscategorized"}


def is_report(message: Message) -> bool:
    """Tell whether the message is a feedback report at all."""
    return any(part.get_content_type() == "message/feedback-report" for part in message.walk())


def read_complaint(message: Message) -> str | None:
    """Return the type of a complaint, or None when the message is none."""
    for part in message.walk():
        if part.get_content_type() == "message/feedback-report":
            kind = _feedback_type(part)
            if kind in _UNWANTED:
                return kind
    return None


def _feedback_type(part: Message) -> str:
    # The parser takes any message/* for one message with headers of its own.
    payload = part.get_payload()
    inner = payload[0] if isinstance(payload, list) and payload else part
    said = inner.get("Feedback-Type") if isinstance(inner, Message) else None
    return str(said or "").strip().lower()
