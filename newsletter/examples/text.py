"""A feed's words → plain text that may stand anywhere (F4).

In: a string as the feed had it, HTML or not. Out: text without markup, controls, direction
overrides or the characters that fence our holes. Never: markup kept, or a word rewritten other
than by undoing a wrong decoding.
"""

from __future__ import annotations

import re
import unicodedata
from html import unescape

import nh3

from newsletter.content.slugs import fold

# C0 and C1 controls (tab and line ends are spaces), line and paragraph separators, direction marks
# and overrides, the fences of our holes, lone surrogates, noncharacters, byte-order mark,
# soft hyphen, zero-width space.
_STRIPPED = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e"
    "\u2066-\u2069\ue000\ue001\ufeff\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]"
)
_SPACES = re.compile(r"[\s\x85]+")
_BLOCKS = {"p", "br", "li", "ul", "ol", "div", "td", "tr", "h1", "h2", "h3", "h4", "blockquote"}
_BLOCK_TAG = re.compile(r"<[^<>]*>")
_LOOKS_LIKE_HTML = re.compile(r"</?[A-Za-z][^<>]*>|<!--")
# What a reader would never see as text: gone with its content.
_SILENT = {"script", "style", "iframe", "object", "template", "svg", "math", "noscript", "title"}
ACTIVE = re.compile(
    r"<\s*(?:script|style|iframe|object|embed|form|svg|math)\b|\bon[a-z]{3,20}\s*=|javascript:",
    re.IGNORECASE,
)


def plain(value: str) -> str:
    """Return *value* as one line of plain text: markup out, unescaped once, cleaned.

    nh3 reads what looks like HTML; what does not (``prix < 5 €``) only loses its entities.
    """
    if _LOOKS_LIKE_HTML.search(value):
        value = nh3.clean(
            value,
            tags=_BLOCKS,
            attributes={},
            clean_content_tags=_SILENT,
            link_rel=None,
            strip_comments=True,
        )
        # Only bare block tags are left: words on either side must not run together.
        value = _BLOCK_TAG.sub(" ", value)
    return clean(unescape(value))


def clean(value: str) -> str:
    """Drop what is invisible or dangerous, join runs of white space, compose accents (NFC)."""
    value = _STRIPPED.sub("", unicodedata.normalize("NFC", value))
    return _SPACES.sub(_join_spaces, value).strip()


def _join_spaces(run: re.Match[str]) -> str:
    """A run is one space; a no-break space alone is kept, it is French typography."""
    found = run.group()
    return found if len(found) == 1 and found in "\u00a0\u202f" else " "


def clip(value: str, length: int) -> str:
    """Shorten to *length* characters: at the end of a sentence, else between words with ``…``."""
    if len(value) <= length:
        return value
    start = value[:length]
    sentence = max(start.rfind(stop) for stop in (". ", "! ", "? ", "… "))
    if sentence >= length // 2:
        return start[: sentence + 1].rstrip()
    word = start[: length - 1].rfind(" ")
    return start[: word if word > length // 2 else length - 1].rstrip(" ,;:(«–-\u00a0\u202f") + "…"


# --- UTF-8 once read as Windows-1252 -------------------------------------------------------------


def _as_1252(byte: int) -> str:
    try:
        return bytes([byte]).decode("cp1252")
    except UnicodeDecodeError:  # the five bytes the code page leaves undefined
        return chr(byte)


_BYTE_OF = {_as_1252(byte): byte for byte in range(0x80, 0x100)}
_TAIL = "[" + re.escape("".join(_as_1252(byte) for byte in range(0x80, 0xC0))) + "]"
_TWICE = re.compile(f"[ÂÃÅ]{_TAIL}|â{_TAIL}{{2}}|ð{_TAIL}{{3}}")
# What French text can hold: Latin-1, œ Œ Ÿ, general punctuation and currency, emoji.
_PLAUSIBLE = re.compile("[\u00a0-\u00ffŒœŸ\u2000-\u20cf\U0001f000-\U0001ffff]")


def has_double_encoding(value: str) -> bool:
    """Whether *value* may hold some: two letters that French never puts side by side."""
    return _TWICE.search(value) is not None


def undo_double_encoding(value: str) -> str:
    """Turn ``SolidaritÃ©`` back into ``Solidarité``; leave everything else alone."""
    return _TWICE.sub(_decode_again, value)


def _decode_again(found: re.Match[str]) -> str:
    try:
        once = bytes(_BYTE_OF[character] for character in found.group()).decode()
    except UnicodeDecodeError:
        return found.group()
    return once if _PLAUSIBLE.fullmatch(once) else found.group()


def encode_twice(value: str) -> str:
    """The Windows-1252 misreading of *value*'s UTF-8: what a double-encoded feed shows."""
    return "".join(_as_1252(byte) if byte > 0x7F else chr(byte) for byte in value.encode())


# --- comparing -----------------------------------------------------------------------------------

_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a au aux avec ce ces cette d dans de des du elle en entre est et il ils l la le les leur"
        " leurs on ou par pour qu que qui s se ses si son sur sa un une",
    )
)


def fold_words(value: str) -> str:
    """The words of *value* without case, accents or punctuation, one space apart."""
    return " ".join(re.findall(r"[^\W_]+", fold(value)))


def telling_words(value: str) -> tuple[str, ...]:
    """The folded words of *value* without articles and prepositions; all if none is left."""
    words = fold_words(value).split()
    return tuple(word for word in words if word not in _STOP_WORDS) or tuple(words)
