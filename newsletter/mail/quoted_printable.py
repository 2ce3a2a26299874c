"""Quoted-printable (RFC 2045 §6.7) that nothing on the way has a reason to touch.

In: text. Out: lines of at most 75 columns, so that a soft break always fits, in which

- no line begins with a dot: dot-stuffing (RFC 5321 §4.5.2) changes nothing;
- no line ends with a blank, and no two blanks meet: relaxed canonicalisation (RFC 6376 §3.4.4)
  changes nothing;
- no line begins with ``From ``, which mailbox files would escape;
- every line ends with CRLF.

A field is encoded alone and stands between two soft breaks (the fence), so that filling it moves
no octet around it. Never: the standard library's encoder, which promises none of this.
"""

from __future__ import annotations

import re

SOFT_BREAK = b"=\r\n"
_COLUMNS = 75
_RAW = {octet for octet in range(33, 127) if octet != ord("=")}
_ENCODED = [
    bytes([octet]) if octet in _RAW else b"=%02X" % octet for octet in range(256)
]  # a blank is decided where it stands
_BLANK = ord(" ")
# What a field may hold to be its own encoding.
_PLAIN = re.compile(rb"(?!\.|From )[!-<>-~]+(?: [!-<>-~]+)*")


def encode(text: str) -> bytes:
    """Return *text* in quoted-printable; its line feeds (or CRLF) become hard breaks.

    A lone carriage return stays a character of its line: ``=0D``.
    """
    octets = text.replace("\r\n", "\n").encode("utf-8", "replace")
    return b"\r\n".join([_encode_line(line) for line in octets.split(b"\n")])


def encode_field(text: str) -> bytes:
    """Return one line of *text*, quickly when it is ASCII and short."""
    octets = text.encode("utf-8", "replace")
    if len(octets) <= _COLUMNS and _PLAIN.fullmatch(octets):
        return octets
    return _encode_line(octets)


def _encode_line(octets: bytes) -> bytes:
    if len(octets) <= _COLUMNS and _PLAIN.fullmatch(octets):
        return octets
    lines: list[bytes] = []
    line: list[bytes] = []
    width = 0
    for place, octet in enumerate(octets):
        symbol = _symbol(octets, place, line) if octet == _BLANK else _ENCODED[octet]
        if width + len(symbol) > _COLUMNS:
            lines.append(b"".join(line))
            line, width = [], 0
        if not line:
            symbol = _first_symbol(octets, place, symbol)
        line.append(symbol)
        width += len(symbol)
    lines.append(b"".join(line))
    return SOFT_BREAK.join(lines)


def _symbol(octets: bytes, place: int, line: list[bytes]) -> bytes:
    """A blank is itself, but not beside another one nor at the end of the text's own line."""
    doubled = bool(line) and line[-1] == b" "
    return b"=20" if doubled or place == len(octets) - 1 else b" "


def _first_symbol(octets: bytes, place: int, symbol: bytes) -> bytes:
    if symbol == b".":
        return b"=2E"
    if symbol == b"F" and octets.startswith(b"From ", place):
        return b"=46"
    return symbol
