"""The asyncio edge of SMTP: sockets, TLS, deadlines around ``smtp_protocol``."""

from __future__ import annotations

from newsletter.config import Settings
from newsletter.delivery.states import Reply


def submit_one(settings: Settings, *, sender: str, recipient: str, content: bytes) -> Reply:
    """Submit one message on a connection of its own and return the relay's answer to it.

    The answer may be a *no*, to MAIL, RCPT, DATA or the dot: it is a value. Raise RelayError when
    no message could be offered at all; ``RelayError.code`` says which way. When the dot may have
    left and no answer came, raise ``Unanswered``.
    """
    raise NotImplementedError
