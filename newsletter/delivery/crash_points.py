"""Places where a test may end the process as a power cut would.

In: ``NEWSLETTER_CRASH_AT=label:n``. Out: at the n-th time *label* is reached, ``os._exit(9)``.
Never: anything at all when the variable is not set.
"""

from __future__ import annotations

import os

VARIABLE = "NEWSLETTER_CRASH_AT"
EXIT_CODE = 9

#: Every label, in the order in which one message meets them.
LABELS = (
    "run.started",  # audience frozen, lease taken, nothing submitted
    "envelope.before",  # MAIL, RCPT, DATA about to be written
    "envelope.after",
    "body.before",  # 354 has come
    "body.after",  # the body has left, its dot has not
    "commit.before",  # the transaction of results and intents is about to commit
    "commit.after",
    "dot.before",  # the intent is committed
    "dot.after",
    "reply.before",  # an answer to the dot arrived and has not been looked at
    "reply.after",  # looked at, not yet in the ledger
    "run.finishing",
)

_left: dict[str, int] = {}


def arm(value: str) -> None:
    """Set the point to crash at, ``label:n`` with n from 1; '' disarms."""
    _left.clear()
    if value:
        label, _, count = value.rpartition(":")
        if label not in LABELS:
            raise ValueError(f"{VARIABLE}: no crash point {label!r}; one of {', '.join(LABELS)}")
        _left[label] = int(count)


def reach(label: str) -> None:
    """Crash here when this is the place and the time."""
    if not _left or label not in _left:
        return
    _left[label] -= 1
    if _left[label] == 0:
        os._exit(EXIT_CODE)


arm(os.environ.get(VARIABLE, ""))
