r"""The bytes of an editor's file → clean text, and what was wrong with them.

In: bytes. Out: text with ``\\n`` line ends and as many lines, ready for the parsers, with findings.
Never: a control character, a private-use character (U+E000 and U+E001 delimit holes), a
byte-order mark or a hidden direction mark in what goes out; a line more or less than came in.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from dataclasses import dataclass

from newsletter.content.faults import find, shorten
from newsletter.model import Finding, Place

# Soft hyphens, zero-width spaces and joiners of words, marks and overrides of direction. The two
# joiners U+200C and U+200D stay: emoji and some scripts are written with them.
HIDDEN = re.compile("[\u00ad\u034f\u061c\u180e\u200b\u2060-\u2064\u202a-\u202e\u2066-\u206f\ufeff]")
PRIVATE = re.compile("[\ue000-\uf8ff\U000f0000-\U0010ffff]")
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufdd0-\ufdef\ufffe\uffff]")
# What Word writes for a line break inside a paragraph must still part two words.
BREAKS = str.maketrans(dict.fromkeys("\x0b\x0c\x85\u2028\u2029", " "))
WORD_BULLET = re.compile(
    "^[ \t]*(?:[\uf0b7\uf0a7\uf0d8\uf0fc\uf076\u2022\u25aa\u25cf\u25e6]|·(?=[ \t\xa0]))[ \t\xa0]*",
    re.MULTILINE,
)
MOJIBAKE = re.compile('(?:Ã[\x80-\xbf‚ƒ„…†‡ˆ‰Š‹Œ‘’“”•–—˜™š›œ¡-¿]|â€[™œ\x9d"¦“”˜]|Â[\xa0«»°])\\w*')


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The text of one file, and everything that was wrong with its characters."""

    text: str
    findings: tuple[Finding, ...] = ()


def is_text(content: bytes) -> bool:
    """Whether *content* can be a text at all: an archive or a picture holds NULs."""
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return utf16 or b"\0" not in content[:4096]


def decode(content: bytes, file: str) -> Cleaned:
    r"""Read *content* as UTF-8, else as Windows writes, saying so; ends become ``\n``."""
    text, findings = _decode(content, file)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    cleaned = clean(text, file)
    return Cleaned(cleaned.text, (*findings, *cleaned.findings))


def _decode(content: bytes, file: str) -> tuple[str, tuple[Finding, ...]]:
    top = Place(file, 1)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace"), (
            find("not_utf8", top, encoding="UTF-16"),
        )
    try:
        return content.decode("utf-8-sig"), ()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        finding = find("not_utf8", Place(file, line), encoding="Windows-1252")
        return content.decode("cp1252", errors="replace"), (finding,)


def clean(text: str, file: str) -> Cleaned:
    """Take out what no reader should see; one finding for each kind, at its first place."""
    findings: list[Finding] = []
    if found := MOJIBAKE.search(text):
        place = Place(file, _line(text, found.start()))
        findings.append(find("mojibake", place, text=shorten(found.group())))
    steps = (
        ("word_bullet", WORD_BULLET, "- "),
        ("private_character", PRIVATE, ""),
        ("control_character", CONTROL, ""),
        ("hidden_character", HIDDEN, ""),
    )
    for code, pattern, instead in steps:
        if found := pattern.search(text):
            place = Place(file, _line(text, found.start()))
            source = text.translate(BREAKS) if code == "control_character" else text
            count = len(pattern.findall(text))
            text = pattern.sub(instead, source)
            findings.append(find(code, place, count=count))
    return Cleaned(text, tuple(findings))


def scrub(text: str) -> str:
    """Return *text* without the characters that an entity such as ``&#xE000;`` can smuggle in."""
    return HIDDEN.sub("", CONTROL.sub("", PRIVATE.sub("", text.translate(BREAKS))))


def compose(text: str) -> str:
    """Return *text* with each accent on its letter (NFC): a Mac's file names come apart."""
    return unicodedata.normalize("NFC", text)


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1
