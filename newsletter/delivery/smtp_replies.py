"""What a relay says: bytes → replies → what it offers (RFC 5321 §4.2, RFC 3463).

In: bytes as they come. Out: ``Reply`` values, an ``Offer``. Never: a guess; a line that is no
reply raises Desync.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from newsletter.delivery.states import Reply

MAX_LINE_BYTES = 4_096  # RFC 5321 §4.5.3.1.5 says 512; some relays write more
MAX_REPLY_LINES = 128
MAX_KNOWN = 32
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # but for HT, and LF between lines
_REPLY_LINE = re.compile(rb"([2-5][0-9][0-9])([ -]?)(.*)")
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")


class Desync(Exception):
    """The relay wrote something that is no reply to what was asked."""


# --- replies -------------------------------------------------------------------------------------


class ReplyReader:
    """Cuts a stream of bytes into replies; raises Desync at the first line that is none."""

    __slots__ = ("_buffer", "_known", "_lines")

    def __init__(self) -> None:
        self._buffer = b""
        self._lines: list[bytes] = []  # of a reply that goes on
        self._known: dict[bytes, Reply] = {}  # three replies of four are always the same line

    @property
    def is_empty(self) -> bool:
        """True when nothing half-read is left: required before TLS begins."""
        return not self._buffer and not self._lines

    def feed(self, data: bytes) -> Iterable[Reply]:
        """Give the replies that *data* completes; what came before a bad line is not lost."""
        lines = (self._buffer + data).split(b"\n")
        self._buffer = lines.pop()
        if not (self._buffer or self._lines):
            known = [self._known[line] for line in lines if line in self._known]
            if len(known) == len(lines):  # nearly always
                return known
        return self._read_lines(lines)

    def _read_lines(self, lines: Iterable[bytes]) -> Iterator[Reply]:
        for line in lines:
            reply = None if self._lines else self._known.get(line)
            if reply is None and (reply := self._read_line(line)) is None:
                continue
            yield reply
        if len(self._buffer) > MAX_LINE_BYTES:
            raise Desync("a line without an end")

    def _read_line(self, line: bytes) -> Reply | None:
        found = _REPLY_LINE.match(line.rstrip(b"\r"))
        if found is None or len(line) > MAX_LINE_BYTES:
            raise Desync(f"not a reply: {line[:80]!r}")
        code, mark, text = found.groups()
        if not mark and text:
            raise Desync(f"not a reply: {line[:80]!r}")
        if self._lines and not self._lines[0].startswith(code):
            raise Desync("the code changes within one reply")
        if not self._lines and mark != b"-":
            reply = _to_reply(int(code), text)
            if len(self._known) < MAX_KNOWN:
                self._known[line] = reply
            return reply
        self._lines.append(code + text)
        if len(self._lines) > MAX_REPLY_LINES:
            raise Desync("a reply without an end")
        if mark == b"-":
            return None
        joined = b"\n".join(part[3:] for part in self._lines)
        self._lines = []
        return _to_reply(int(code), joined)


def _to_reply(code: int, raw: bytes) -> Reply:
    # Kept in a table and shown to people: NUL is no text to PostgreSQL, ESC none to a terminal.
    text = _CONTROL.sub("?", raw.decode("utf-8", "backslashreplace"))
    found = _ENHANCED.match(text)
    if found is None:
        return Reply(code, "", text)
    enhanced = found.group(1)
    rest = text[found.end() :]
    # Every line of a multi-line reply repeats the enhanced code (RFC 2034 §4).
    return Reply(code, enhanced, rest.replace(f"\n{enhanced} ", "\n"))


# --- what a relay offers -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The extensions of an EHLO that we use."""

    pipelining: bool = False  # RFC 2920
    chunking: bool = False  # RFC 3030
    starttls: bool = False  # RFC 3207
    enhanced: bool = False  # RFC 2034
    size: int | None = None  # RFC 1870; None: not announced, 0: announced without a limit
    auth: frozenset[str] = frozenset()  # RFC 4954
    mail_max: int | None = None  # RFC 9422, LIMITS MAILMAX

    @property
    def bears_chunks(self) -> bool:
        """True when whole messages may be in flight: their answers can be told from one another.

        Without enhanced codes one 250 too many would pass for the verdict on the next message;
        with DATA the 354 between them shows it.
        """
        return self.chunking and self.pipelining and self.enhanced


def read_offer(reply: Reply) -> Offer:
    """Read the extensions out of the reply to EHLO; its first line is the greeting."""
    words: dict[str, list[str]] = {}
    for line in reply.text.split("\n")[1:]:
        # "AUTH=LOGIN" is an old spelling of "AUTH LOGIN".
        name, *rest = line.strip().upper().replace("AUTH=", "AUTH ", 1).split() or [""]
        words.setdefault(name, []).extend(rest)
    limits = dict(word.split("=", 1) for word in words.get("LIMITS", ()) if "=" in word)
    return Offer(
        pipelining="PIPELINING" in words,
        chunking="CHUNKING" in words,
        starttls="STARTTLS" in words,
        enhanced="ENHANCEDSTATUSCODES" in words,
        size=_to_int(words["SIZE"][0] if words["SIZE"] else "0") if "SIZE" in words else None,
        auth=frozenset(words.get("AUTH", ())),
        mail_max=_to_int(limits.get("MAILMAX", "")) or None,  # none at all would be no relay
    )


def _to_int(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None
