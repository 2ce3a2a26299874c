"""Header lines of a message: what people typed, made safe to travel.

In: names, addresses, subjects, instants. Out: folded ASCII lines of at most 76 columns (RFC 2047
§2 asks for 76 where an encoded word stands; RFC 5322 §2.1.1 advises 78), longer only where one
word cannot be cut, each ended by CRLF and free of doubled blanks, so that relaxed canonicalisation
(RFC 6376 §3.4.2) only unfolds it and lowers the case of its name.

Never: CR, LF, NUL or another control in a value (T8) – the value is refused, not repaired.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import AnyStr
from urllib.parse import quote, urlsplit, urlunsplit

from newsletter.config import CONTROLS
from newsletter.errors import HeaderError

COLUMNS = 76
# T8's list, and halves of surrogate pairs, which no encoding can carry.
_REFUSED = re.compile(f"{CONTROLS.pattern}|[\ud800-\udfff]")
# RFC 2047 §5 (3): the only octets that are themselves in an encoded word of a phrase.
_Q_SAFE = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!*+-/")
# So long that "Reply-To: " and one encoded word stay within 76 columns.
_WORD_COLUMNS = 64
_WORD_FRAME = len("=?utf-8?q??=")
# Atoms, none of which could be taken for an encoded word: no “=?” anywhere.
_ATOM = r"(?:=(?!\?)|[A-Za-z0-9!#$%&'*+/?^_`{|}~-])+"
_ATOMS = re.compile(f"{_ATOM}(?: {_ATOM})*")
_PRINTABLE = re.compile(r"[!-~]+(?: [!-~]+)*")
# The dot-atom of RFC 5321 §4.1.2; a quoted local part is refused at import (no relay likes one).
_LOCAL = r"(?=[^@]{1,64}@)[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*"
_DOMAIN = r"(?=.{1,255}\Z)\w(?:[\w.-]*[A-Za-z0-9])?"
_ASCII_ADDRESS = re.compile(f"{_LOCAL}@{_DOMAIN}", re.ASCII)


def refuse_controls(value: str, header: str) -> str:
    """Return *value*; raise HeaderError when it holds a control character (T8)."""
    found = _REFUSED.search(value)
    if found:
        raise HeaderError(
            f"{header} holds the control character U+{ord(found[0]):04X}",
            header=header,
            remedy="take it out where it was typed",
        )
    return value


def line(name: str, words: Iterable[str]) -> bytes:
    """Return the folded header *name* of *words*, which are ASCII and cannot be cut."""
    rows, width = [f"{name}:"], len(name) + 1
    for word in words:
        if width + 1 + len(word) > COLUMNS:
            rows.append("")
            width = 0
        rows[-1] += f" {word}"
        width += 1 + len(word)
    return ("\r\n".join(rows) + "\r\n").encode("ascii")


def text(name: str, value: str) -> bytes:
    """Return an unstructured header: Subject."""
    refuse_controls(value, name)
    if _PRINTABLE.fullmatch(value) and "=?" not in value:
        words = value.split(" ")
        if len(max(words, key=len)) <= _WORD_COLUMNS:
            return line(name, words)
    return line(name, encode_words(value) if value else ())


def addresses(name: str, *people: tuple[str, str]) -> bytes:
    """Return an address header: From, To, Reply-To, of (display name, address) pairs."""
    words: list[str] = []
    for person, address in people:
        if words:
            words[-1] += ","
        words += mailbox(person, address, header=name)
    return line(name, words)


def recipient(person: str, address: str) -> bytes:
    """Return the To of one reader; *address* is ASCII already."""
    if len(person) + len(address) < COLUMNS - 8 and _ATOMS.fullmatch(person):
        return f"To: {person} <{address}>\r\n".encode("ascii")
    words = (*phrase(person, "To"), f"<{address}>") if person else (f"<{address}>",)
    row = f"To: {' '.join(words)}\r\n"
    return row.encode("ascii") if len(row) <= COLUMNS + 2 else line("To", words)


def mailbox(person: str, address: str, *, header: str) -> Sequence[str]:
    """Return the words of one mailbox (RFC 5322 §3.4)."""
    route = f"<{ascii_address(address, header=header)}>"
    return (*phrase(person, header), route) if person else (route,)


def phrase(person: str, header: str) -> Sequence[str]:
    """Return a display name as words: atoms, a quoted string, or encoded words."""
    refuse_controls(person, header)
    if _PRINTABLE.fullmatch(person) and "=?" not in person:
        if len(person) <= _WORD_COLUMNS and _ATOMS.fullmatch(person):
            return person.split(" ")
        quoted = '"' + person.replace("\\", "\\\\").replace('"', '\\"') + '"'
        if len(quoted) <= _WORD_COLUMNS:
            return (quoted,)
    return encode_words(person)


def encode_words(value: str) -> Sequence[str]:
    """Return *value* as encoded words (RFC 2047), in Q or in B, whichever is shorter.

    A character is never cut in two (§5), and all words decode to the whole value.
    """
    symbols, octets = list(map(_q_symbol, value)), value.encode()
    if sum(map(len, symbols)) <= len(octets) * 4 / 3:
        return [f"=?utf-8?q?{word}?=" for word in _pack(symbols, _WORD_COLUMNS - _WORD_FRAME)]
    room = (_WORD_COLUMNS - _WORD_FRAME) // 4 * 3
    characters = [octets] if len(octets) <= room else list(map(str.encode, value))
    words = _pack(characters, room)
    return [f"=?utf-8?b?{b64encode(word).decode('ascii')}?=" for word in words]


def _pack(symbols: Sequence[AnyStr], room: int) -> list[AnyStr]:
    """Join symbols to words of at most *room*."""
    empty = symbols[0][:0]
    whole = empty.join(symbols)
    if len(whole) <= room:  # nearly every name
        return [whole]
    words: list[AnyStr] = []
    start = width = 0
    for place, symbol in enumerate(symbols):
        width += len(symbol)
        if width > room:
            words.append(empty.join(symbols[start:place]))
            start, width = place, len(symbol)
    words.append(empty.join(symbols[start:]))
    return words


@lru_cache(maxsize=2048)
def _q_symbol(character: str) -> str:
    if character == " ":
        return "_"
    octets = character.encode()
    return "".join(chr(octet) if octet in _Q_SAFE else f"={octet:02X}" for octet in octets)


def ascii_address(address: str, *, header: str = "To") -> str:
    """Return *address* as it travels: its domain in A-labels (RFC 5891).

    Raise HeaderError for what no envelope can carry: controls, blanks, a non-ASCII local part
    (SMTPUTF8 is refused at import).
    """
    if _ASCII_ADDRESS.fullmatch(address):
        return address
    local, _, domain = address.rpartition("@")
    ascii_only = f"{local}@{ascii_domain(domain)}"
    if domain.isascii() or not _ASCII_ADDRESS.fullmatch(ascii_only):
        raise _not_an_address(address, header)
    return ascii_only


def _not_an_address(address: str, header: str) -> HeaderError:
    return HeaderError(
        f"{header} is not an address that mail can carry: {address!r}",
        header=header,
        remedy="write it as name@example.org, without accents before the @",
    )


@lru_cache(maxsize=4096)
def ascii_domain(domain: str) -> str:
    """Return a domain in A-labels, or '' when it is none."""
    import idna  # few domains need its tables

    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError:
        return ""


def ascii_url(url: str) -> str:
    """Return *url* as a header carries it: host in A-labels, the rest percent-encoded."""
    parts = urlsplit(refuse_controls(url, "a link"))
    host, colon, port = parts.netloc.partition(":")
    netloc = parts.netloc if host.isascii() else ascii_domain(host) + colon + port
    return urlunsplit(parts._replace(netloc=netloc, path=quote(parts.path, safe="/%:@!$&'()*+,;=")))


def instant(name: str, at: datetime) -> bytes:
    """Return a date header, in the zone of *at*."""
    return line(name, (format_datetime(at),))


def relaxed(header: bytes) -> bytes:
    """Return a line of ours in relaxed form (RFC 6376 §3.4.2), its CRLF included."""
    name, _, value = header.partition(b":")
    return name.lower() + b":" + value.replace(b"\r\n ", b" ").strip() + b"\r\n"
