"""The bytes of a feed → its text, whatever its encoding is said to be.

In: bytes, and the Content-Type of the answer. Out: text that XML allows, and what had to be mended:
``encoding`` (not the one it claims), ``controls``. Never: an exception; bytes that mean nothing
become U+FFFD.
"""

from __future__ import annotations

import codecs
import re
from html.entities import html5

_SIGNATURES = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\0?\0", "utf-16-le"),
    (b"\0<\0?", "utf-16-be"),
)
_DECLARED = re.compile(rb"""\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']""")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([A-Za-z0-9._:-]{1,40})", re.IGNORECASE)
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_LETTERS_OF_1252 = re.compile(rb"[\x80-\x9f]")  # controls in Latin-1, which no text holds
# CDATA whole; else an ampersand, with the number or the name of a character after it, or nothing.
_AMPERSAND = re.compile(
    r"<!\[CDATA\[.*?(?:\]\]>|\Z)"
    r"|&(?:\#(?P<number>[xX][0-9A-Fa-f]{1,8}|[0-9]{1,8});|(?P<name>[A-Za-z][A-Za-z0-9]{1,30});)?",
    re.DOTALL,
)
_XML_NAMES = {"amp", "lt", "gt", "quot", "apos"}


def decode(content: bytes, content_type: str = "") -> tuple[str, tuple[str, ...]]:
    """Return the text of *content* and the repairs made.

    Bytes that are valid UTF-8 are UTF-8, whatever they claim: no other accented text looks so by
    accident. Then the claim counts (header first, RFC 7303 section 8.8), then Windows-1252, which
    is what calls itself Latin-1 on the web (WHATWG Encoding).
    """
    claim = _claim(content, content_type)
    body = content.removeprefix(codecs.BOM_UTF8)
    repairs = []
    text = _first_that_fits(body, (_signature(body), "utf-8"))
    if text is not None:
        wrong = not body.isascii() and not _signature(body) and _codec(claim) not in {"", "utf-8"}
    else:
        text = _first_that_fits(body, (_codec(claim), "cp1252"))
        wrong = text is None or _denies(claim, body)
        text = body.decode("cp1252", errors="replace") if text is None else text
    if wrong:
        repairs.append("encoding")
    cleaned = _NOT_XML.sub("", text.removeprefix("\ufeff"))
    if len(cleaned) != len(text.removeprefix("\ufeff")):
        repairs.append("controls")
    return cleaned, tuple(repairs)


def mend_ampersands(document: str) -> tuple[str, bool]:
    """Escape bare ``&``, write out HTML's names of characters, drop numbers of none; say if any.

    XML knows five names; to feedparser ``?a=1&lang=fr`` holds the character of ``&lang``, and one
    ``&#xD800;`` costs it the whole feed. CDATA is left as it is.
    """
    mended = _AMPERSAND.sub(_mend_one, document)
    return mended, mended != document


def _mend_one(found: re.Match[str]) -> str:
    whole, number, name = found.group(), found.group("number"), found.group("name")
    if whole.startswith("<"):
        return whole
    if number is not None:
        return whole if _is_character(number) else ""
    if name is None:
        return "&amp;"
    # A name that HTML does not know may be declared by the document.
    return whole if name in _XML_NAMES else html5.get(name + ";", whole)


def _is_character(number: str) -> bool:
    """XML 1.0, production Char."""
    code = int(number[1:], 16) if number[0] in "xX" else int(number)
    return code in {0x9, 0xA, 0xD} or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0x10FFFF


def _claim(content: bytes, content_type: str) -> str:
    header = _CHARSET.search(content_type)
    if header:
        return header.group(1).lower()
    declared = _DECLARED.match(content.removeprefix(codecs.BOM_UTF8)[:400])
    return declared.group(1).decode("ascii").lower() if declared else ""


def _codec(claim: str) -> str:
    """The Python codec of a claimed charset; '' for none, or for one that is no charset."""
    try:
        found = codecs.lookup(claim) if claim else None
    except LookupError:
        return ""
    # zlib, hex, rot13: codecs, but not of text, and bombs of their own.
    if found is None or not getattr(found, "_is_text_encoding", True):
        return ""
    return "cp1252" if found.name in {"iso8859-1", "ascii"} else found.name


def _signature(body: bytes) -> str:
    return next((name for mark, name in _SIGNATURES if body.startswith(mark)), "")


def _first_that_fits(body: bytes, names: tuple[str, ...]) -> str | None:
    for name in filter(None, names):
        try:
            return body.decode(name)
        except (UnicodeError, LookupError):
            continue
    return None


def _denies(claim: str, body: bytes) -> bool:
    """Whether *body*, which is not UTF-8, is not what it claims to be either."""
    if _codec(claim) == "cp1252":
        return "1252" not in claim and _LETTERS_OF_1252.search(body) is not None
    return _first_that_fits(body, (_codec(claim),)) is None
