"""A part of a message, encoded once for all readers, its holes left open.

In: the text of a part with its holes. Out: an open part in the shorter of two encodings, which
gives, for one reader, pieces of octets to join; the last ends with CRLF. Never: a fixed octet
encoded again for a reader.

Quoted-printable works on each octet alone: a hole stands between two soft breaks. Base64 works on
three octets at a time: each fixed text is kept ready for the 0, 1 or 2 octets that may be left
over from what precedes it (line breaks are free there: RFC 2045 §6.8), so no padding is needed.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass

from newsletter.mail import holes
from newsletter.mail.holes import Hole
from newsletter.mail.quoted_printable import SOFT_BREAK, encode, encode_field

_BASE64_LINE = 57  # octets that make 76 columns


@dataclass(frozen=True, slots=True)
class QuotedPart:
    """Fixed pieces in quoted-printable; every odd one is a hole."""

    template: list[bytes]
    holes: tuple[Hole, ...]
    encoding: str = "quoted-printable"

    @staticmethod
    def field(text: str) -> bytes:
        """Return what fills a hole with one line of text, escaped for its part already."""
        return encode_field(text)

    def pieces(self, fields: Sequence[bytes]) -> list[bytes]:
        pieces = self.template.copy()
        pieces[1::2] = fields
        return pieces


def _quote(fixed: Sequence[str], gaps: tuple[Hole, ...]) -> QuotedPart:
    encoded = [encode(text) for text in fixed]
    template = [encoded[0]]
    for after in encoded[1:]:
        template[-1] += SOFT_BREAK
        template += [b"", SOFT_BREAK + after]
    if gaps and not encoded[-1]:
        template[-1] = b""  # RFC 2045 §6.7 (3): a soft break is never the last thing
    template[-1] += b"\r\n"
    return QuotedPart(template, gaps)


@dataclass(frozen=True, slots=True)
class _Phase:
    """A fixed text after some left-over octets: what completes them, lines, what is left over."""

    head: bytes
    lines: bytes
    tail: bytes


@dataclass(frozen=True, slots=True)
class BasedPart:
    """Fixed texts in base64, each in its three phases."""

    texts: tuple[tuple[_Phase, _Phase, _Phase], ...]
    holes: tuple[Hole, ...]
    encoding: str = "base64"

    @staticmethod
    def field(text: str) -> bytes:
        return text.encode("utf-8", "replace")

    def pieces(self, fields: Sequence[bytes]) -> list[bytes]:
        pieces: list[bytes] = []
        left = b""
        for place, phases in enumerate(self.texts):
            if place:
                left += fields[place - 1]
                whole = len(left) // 3 * 3
                pieces.append(_base64_lines(left[:whole]))
                left = left[whole:]
            phase = phases[len(left)]
            left += phase.head
            if len(left) == 3:
                pieces.append(_base64_lines(left))
                left = b""
            pieces.append(phase.lines)
            left += phase.tail
        pieces.append(_base64_lines(left))
        return pieces


def _base(fixed: Sequence[str], gaps: tuple[Hole, ...]) -> BasedPart:
    # The canonical form of text has CRLF (RFC 2045 §6.8, last paragraph).
    octets = [_canonical(text) for text in fixed]
    return BasedPart(tuple((_phase(o, 0), _phase(o, 1), _phase(o, 2)) for o in octets), gaps)


OpenPart = QuotedPart | BasedPart


def open_part(text: str) -> OpenPart:
    """Return *text* in the encoding that makes its fixed octets shorter."""
    pieces = holes.split(text)
    fixed = [piece for piece in pieces if isinstance(piece, str)]
    gaps = tuple(piece for piece in pieces if isinstance(piece, Hole))
    quoted, based = _quote(fixed, gaps), _base(fixed, gaps)
    return quoted if _weight(quoted) <= _weight(based) else based


def _weight(part: OpenPart) -> int:
    return sum(map(len, part.pieces([b""] * len(part.holes))))


def _canonical(text: str) -> bytes:
    return text.replace("\r\n", "\n").replace("\n", "\r\n").encode("utf-8", "replace")


def _phase(octets: bytes, left_over: int) -> _Phase:
    start = -left_over % 3
    end = start + max(0, len(octets) - start) // 3 * 3
    return _Phase(octets[:start], _base64_lines(octets[start:end]), octets[end:])


def _base64_lines(octets: bytes) -> bytes:
    return b"".join(
        b2a_base64(octets[place : place + _BASE64_LINE], newline=False) + b"\r\n"
        for place in range(0, len(octets), _BASE64_LINE)
    )
