"""What people type as an e-mail address → the one spelling we keep.

In: text. Out: an address whose domain is plain ASCII, and the key under which two spellings are one
person. Never: DNS (form only, reserved domains are welcome), an address that could split a header.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from unicodedata import normalize

from email_validator import EmailNotValidError, validate_email

from newsletter.config import CONTROLS
from newsletter.errors import RowError

# RFC 5321 §4.5.3.1: what a relay may refuse.
MAX_LOCAL_PART = 64
MAX_ADDRESS = 254
# RFC 5322 §3.2.3; a quoted local part (RFC 5321 §4.1.2) is allowed nowhere that matters.
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_DOT_ATOM = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*")
# Pasted along from web pages and word processors, and never meant: zero widths, directions.
INVISIBLE = re.compile("[\u200b\u200c\u200e\u200f\u2060\ufeff\u202a-\u202e\u2066-\u2069]")

_ROLE_WORDS = """
abuse admin administration bounce contact info informations hostmaster mailer-daemon mairie
newsletter no-reply noreply office postmaster root secretariat security support webmaster
"""
# A role is read by several people, or by nobody: worth a look, not a refusal.
ROLES = frozenset(_ROLE_WORDS.split())
_DISPOSABLE_WORDS = """
10minutemail discard dispostable fakeinbox getnada guerrillamail jetable mailcatch maildrop
mailinator mailnesia moakt mohmal mytemp sharklasers spamgourmet temp-mail tempmail throwawaymail
trashmail yopmail
"""
# First labels of services that lend an address for ten minutes.
DISPOSABLE = frozenset(_DISPOSABLE_WORDS.split())


@dataclass(frozen=True, slots=True)
class Address:
    """An address as we keep it, and its key: NFC and case folded, so that spellings meet."""

    text: str
    key: str

    @property
    def local_part(self) -> str:
        return self.text.rpartition("@")[0]

    @property
    def domain(self) -> str:
        return self.text.rpartition("@")[2]

    @property
    def is_role(self) -> bool:
        return self.local_part.casefold() in ROLES

    @property
    def is_disposable(self) -> bool:
        return self.domain.partition(".")[0] in DISPOSABLE


def read_address(text: str) -> Address:
    """Return the address in *text*. Raise RowError, which says what is wrong in one sentence.

    The local part keeps its case (RFC 5321 §2.4); an international domain becomes its A-labels
    (RFC 5891); a local part that is not ASCII needs SMTPUTF8 (RFC 6531), which we do not speak.
    """
    cleaned = INVISIBLE.sub("", normalize("NFC", text)).strip()
    if not cleaned:
        raise RowError("the address is missing")
    if CONTROLS.search(cleaned):
        raise RowError("the address holds a control character")
    local_part, at, domain = cleaned.rpartition("@")
    if not at:
        raise RowError("the address has no @")
    if "@" in local_part:
        raise RowError("the address has more than one @")
    if any(character.isspace() for character in cleaned):
        raise RowError("the address holds a blank")
    if not local_part.isascii():
        raise RowError("the part before the @ is not plain ASCII, and relays refuse that")
    if len(local_part) > MAX_LOCAL_PART:
        raise RowError("the part before the @ is longer than 64 characters")
    return _checked(local_part, domain)


def _checked(local_part: str, domain: str) -> Address:
    ascii_domain = _read_domain(domain)
    if not _DOT_ATOM.fullmatch(local_part) or not ascii_domain:
        raise RowError("this is not the form of an address")
    text = f"{local_part}@{ascii_domain}"
    if len(text) > MAX_ADDRESS:
        raise RowError("the address is longer than 254 characters")
    return Address(text=text, key=text.casefold())


@lru_cache(maxsize=8192)  # a list has far fewer domains than people
def _read_domain(domain: str) -> str:
    """The A-labels of a domain, '' when it is none."""
    try:
        form = validate_email(f"a@{domain}", check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return ""
    return form.ascii_domain or ""


def mask(address: str) -> str:
    """Show enough to recognise one's own address, and no more: ``m…e@e…e.org`` (DOMAIN 4.4)."""
    local_part, _, domain = address.rpartition("@")
    name, dot, ending = domain.rpartition(".")
    return f"{_mask_word(local_part)}@{_mask_word(name)}{dot}{ending}"


def _mask_word(word: str) -> str:
    return f"{word[:1]}…{word[-1:]}" if len(word) > 3 else f"{word[:1]}…"
