"""A returned message → what it says of its reader: bounces (RFC 3464), and what only looks so.

In: a parsed message and its text. Out: a kind with its status and diagnostic, or None. Never: trust
in a free text: without an enhanced code that says so, no address is taken for gone.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message

from newsletter.feedback.facts import FeedbackKind

#: RFC 3463 codes that say "this address does not exist". ``delivery.states`` believes the same of
#: a relay; neither may import the other, so a test compares them.
SUPPRESSING = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"})
_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
# What Action says (RFC 3464 §2.3.3), the gravest first.
_ACTIONS = ("failed", "delayed", "delivered", "relayed", "expanded")
_MAX_DIAGNOSTIC = 500


@dataclass(frozen=True, slots=True)
class Report:
    """What a bounce says of one recipient."""

    kind: FeedbackKind
    address: str = ""
    status: str = ""
    diagnostic: str = ""


def read_bounce(message: Message) -> Report | None:
    """Return what a delivery status notification says, or None when it is none."""
    reports = [
        (action, block)
        for block in _status_blocks(message)
        if (action := _field(block, "Action").split(" ")[0].lower()) in _ACTIONS
    ]
    if not reports:
        return None
    action, block = min(reports, key=lambda report: _ACTIONS.index(report[0]))
    diagnostic = _after_type(_field(block, "Diagnostic-Code"))[:_MAX_DIAGNOSTIC]
    status = _status(_field(block, "Status"), diagnostic)
    address = _after_type(_field(block, "Original-Recipient") or _field(block, "Final-Recipient"))
    return Report(_kind(action, status), address, status, diagnostic)


def _status_blocks(message: Message) -> Iterator[Message]:
    for part in message.walk():
        if part.get_content_type() == "message/delivery-status":
            payload = part.get_payload()
            if isinstance(payload, list):
                yield from (block for block in payload if isinstance(block, Message))


def _field(block: Message, name: str) -> str:
    return " ".join(str(block.get(name, "")).split())


def _after_type(value: str) -> str:
    """``rfc822; someone@example.org`` → ``someone@example.org``."""
    return value.partition(";")[2].strip() if ";" in value else value


def _status(said: str, diagnostic: str) -> str:
    """The enhanced code; where a relay only says x.0.0, what the other side said is finer."""
    codes = [found[1] for text in (said, diagnostic) if (found := _STATUS.search(text))]
    finer = [code for code in codes if not code.endswith(".0.0")]
    return (finer or codes or [""])[0]


def _kind(action: str, status: str) -> FeedbackKind:
    if action == "delayed":
        return FeedbackKind.DELAYED
    if action != "failed":
        return FeedbackKind.DELIVERED
    return judge_status(status)


def judge_status(status: str) -> FeedbackKind:
    """Return what a failure with this enhanced code says of a reader."""
    if status in SUPPRESSING:
        return FeedbackKind.GONE
    if status.startswith(("5.7.", "5.6.", "5.1.7", "5.1.8")):
        return FeedbackKind.POLICY
    return FeedbackKind.SOFT


def read_odd_bounce(message: Message, text: str) -> Report | None:
    """Return what a bounce of no standard says, as flufl.bounce reads it, or None."""
    from flufl.bounce import all_failures  # thirty detectors: only for what no standard covers

    # Its detectors print a traceback for each message that they did not foresee.
    logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL)
    try:
        temporary, permanent = all_failures(message)
    except Exception:  # noqa: BLE001 - a hostile message must not stop the mailbox
        return None
    addresses = sorted(permanent or temporary)
    if not addresses:
        return None
    address = addresses[0].decode("ascii", "replace")
    found = _STATUS.search(text)
    status = found[1] if found else ""
    kind = judge_status(status) if permanent else FeedbackKind.SOFT
    return Report(kind, address, status, _line_around(text, found))


def _line_around(text: str, found: re.Match[str] | None) -> str:
    if found is None:
        return ""
    start = text.rfind("\n", 0, found.start()) + 1
    return text[start:].partition("\n")[0].strip()[:_MAX_DIAGNOSTIC]
