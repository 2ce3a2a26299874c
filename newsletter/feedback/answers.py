"""Machines that answer: holiday notes, and filters that ask the sender to prove something.

In: a parsed message and its text. Out: yes or no. Never: a bounce; neither of these says anything
about the address, and both are for a person to read (D6).
"""

from __future__ import annotations

import re
from email.header import decode_header, make_header
from email.message import Message

# Challenge-response filters in use at French town halls, and their kind.
_CHALLENGE = re.compile(
    r"mailinblack|mail in black|boxbe|spamarrest|"
    r"authentifi(?:er|cation) (?:de |en tant que )?(?:votre |vos |l['’])?"
    r"(?:e-?mails?|messages?|adresse|exp[ée]diteur|envoi)|"
    r"demande d['’]authentification|"
    r"prouver? que vous (?:n['’]êtes pas un robot|êtes humain)|"
    r"confirm(?:er|ez) (?:l['’]envoi de )?votre (?:message|e-?mail|adresse d['’]exp[ée]diteur)|"
    r"(?:verify|confirm) (?:that )?you are (?:a )?human",
    re.IGNORECASE,
)
_AWAY = re.compile(
    r"^\W*(?:re\W+)?(?:r[ée]ponse automatique|absen(?:ce|te?)\b|(?:je suis )?(?:en )?cong[ée]s?\b|"
    r"hors (?:du |de mon )?bureau|message d['’]absence|"
    r"automatic reply|auto(?:matic)?[- ]?reply|out of (?:the )?office|abwesenheit)",
    re.IGNORECASE,
)
_REPLYING_HEADERS = ("X-Autoreply", "X-Autorespond", "X-Auto-Reply-From", "X-Mailinblack")


def is_challenge(message: Message, text: str) -> bool:
    """Tell whether a filter asks the sender to prove that a person wrote."""
    said = f"{message.get('From', '')}\n{subject(message)}\n{text[:4_000]}"
    return bool(_CHALLENGE.search(said))


def is_auto_reply(message: Message) -> bool:
    """Tell whether a machine answered for a person who is away (RFC 3834 §5)."""
    submitted = str(message.get("Auto-Submitted", "")).strip().lower()
    if submitted.startswith(("auto-replied", "auto-generated", "auto-notified")):
        return True
    if any(name in message for name in _REPLYING_HEADERS):
        return True
    if str(message.get("Precedence", "")).strip().lower() in {"auto_reply", "auto-reply"}:
        return True
    return bool(_AWAY.match(subject(message)))


def subject(message: Message) -> str:
    """Return the subject as people read it."""
    raw = next((str(value) for name, value in message.raw_items() if name.lower() == "subject"), "")
    # Octets that no RFC allows there, and that many systems write.
    raw = raw.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    try:
        return " ".join(str(make_header(decode_header(raw))).split())
    except (LookupError, ValueError):  # an unknown charset, broken base64
        return raw
