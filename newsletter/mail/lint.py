"""The linter that stands before and after MJML (EMAIL A4, A5).

In: the MJML that templates gave, or the HTML that the engine gave. Out: findings, each naming the
block and the editor's file and line, never an offset. The engine says nothing about a mistyped tag
or attribute and miscounts Outlook's widths at a bare ``0``; we say it. Never: a file, a repair.
"""

from __future__ import annotations

import base64
import quopri
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from html.parser import HTMLParser

from newsletter.mail.holes import CLOSE as HOLE_CLOSE
from newsletter.mail.holes import OPEN as HOLE_OPEN
from newsletter.mail.mjml_rules import FORBIDDEN, RULES
from newsletter.model import Finding, Place, Severity

# A5: Gmail clips near 102 KB of encoded HTML, and the unsubscribe link with it.
WARNING_BYTES, ERROR_BYTES = 70_000, 95_000
BODY_WIDTH = 600

_VOID = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source",
    "track", "wbr",
})  # fmt: skip
_SHORT_COLOUR = re.compile(r"#[0-9a-fA-F]{3}(?![0-9a-fA-F])")
_BARE_ZERO = re.compile(r"(?:^|\s)0(?=\s|$)")
_UNQUOTED = re.compile(
    r"<[^<>\s]+(?:\s+[\w:-]+(?:\s*=\s*(?:\"[^\"]*\"|'[^']*'))?)*\s+[\w:-]+\s*=\s*[^\s\"'>]"
)
_HOLE = re.compile(f"{HOLE_OPEN}([a-z_]+)\\|[^{HOLE_OPEN}{HOLE_CLOSE}]*{HOLE_CLOSE}")
_CONDITIONAL = re.compile(r"<!--\[if [^\]]*\]>(?:<!-->)?|<!(?:--<!)?\[endif\]-->")
_MSO_PART = re.compile(r"<!--\[if [^\]]*mso[^\]]*\]>(?!<!-->)(.*?)<!\[endif\]-->", re.DOTALL)
_MSO_WIDTH = re.compile(r"\bwidth:\s*(\d+(?:\.\d+)?)px|\bwidth=\"(\d+)\"")
_IMAGE_WIDTH = re.compile(r"<img\b[^>]*?\bwidth=\"(\d+)\"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Whom to name in a finding: the block, its template, and where the editor wrote it."""

    block: str = ""
    template: str = ""
    place: Place | None = None


def lint_mjml(source: str, origin: Origin, *, parent: str | None = None) -> tuple[Finding, ...]:
    """Return what is wrong with *source* before the engine sees it.

    ``parent`` is the component a fragment will stand in; None says that *source* is a document.
    """
    parser = _MjmlReader(origin, parent)
    parser.feed(source)
    parser.close()
    return tuple(parser.finish())


def lint_html(
    html: str, origin: Origin, *, body_width: int = BODY_WIDTH, whole: bool = True
) -> tuple[Finding, ...]:
    """Return what is wrong with the HTML that the engine made of our MJML.

    ``whole`` is false for one block rendered alone: its size and its way out are not judged.
    """
    findings = tuple(_judge_html(html, origin, body_width))
    return findings + tuple(_judge_message(html, origin)) if whole else findings


def transfer_bytes(html: str) -> int:
    """Return how many bytes *html* weighs once encoded for transfer, the lighter of the two ways.

    Holes weigh as their fallback does.
    """
    plain = _HOLE.sub("", html).encode()
    return min(len(quopri.encodestring(plain)), len(base64.encodebytes(plain)))


def _finding(origin: Origin, code: str, words: tuple[str, str], **facts: str | int) -> Finding:
    return Finding(
        severity=Severity.ERROR,
        code=code,
        message=words[0],
        remedy=words[1],
        file=origin.place.file if origin.place else origin.template or None,
        line=origin.place.line if origin.place else None,
        facts={"block": origin.block or origin.template, "template": origin.template, **facts},
    )


# --- before the engine ---------------------------------------------------------------------------

UNKNOWN_TAG = (
    "The block “{block}” holds <{tag}>, which MJML does not know (its line {row}).",
    "Correct the tag in {template}; the nearest known one is {nearest}.",
)
FORBIDDEN_TAG = (
    "The block “{block}” holds <{tag}>, which we do not use: {reason}.",
    "Take it out of {template}.",
)
UNKNOWN_ATTRIBUTE = (
    "The block “{block}” gives <{tag}> the attribute “{attribute}”, which it does not know.",
    "Correct it in {template}; the nearest known one is {nearest}.",
)
WRONG_PARENT = (
    "The block “{block}” puts <{tag}> inside <{parent}>, where it cannot stand.",
    "Write this block outside the one that holds it, or put it in columns.",
)
MISSING_ATTRIBUTE = (
    "The block “{block}” gives <{tag}> no “{attribute}”.",
    "Give it one in {template}.",
)
MISSING_ALT = (
    "An image of the block “{block}” has no alternative text.",
    "Say in a few words what it shows, or leave the text empty if it only decorates.",
)
EMPTY_LINK = (
    "A link of the block “{block}” leads nowhere.",
    "Write the whole address, such as https://example.org/page.",
)
BARE_ZERO = (
    'The block “{block}” writes a bare 0 in {attribute}="{value}", which breaks Outlook\'s widths.',
    "Write 0px in {template}.",
)
SHORT_COLOUR = (
    "The block “{block}” writes the colour {value} in three digits, which old clients misread.",
    "Write its six digits in {template}.",
)
BROKEN_MARKUP = (
    "The block “{block}” gives markup that is not well formed: {problem} (its line {row}).",
    "Correct {template}; every tag is closed and every attribute quoted.",
)
MISSING_TITLE = (
    "The message has no title.",
    "Give <mj-title> a text in {template}.",
)
MISSING_LAYOUT_ROLE = (
    "The block “{block}” lays out with a table that screen readers would read as data.",
    'Add role="presentation" to it in {template}, or a heading cell if it is data.',
)


@dataclass(slots=True)
class _Open:
    tag: str
    text: str = ""
    # A table that is neither layout nor data yet.
    unclear: bool = False


@dataclass(slots=True)
class _Seen:
    findings: list[Finding] = field(default_factory=list)
    open: list[_Open] = field(default_factory=list)
    titled: bool = False


class _MjmlReader(HTMLParser):
    """Walks MJML with the HTML that stands in it, keeping a stack of what is open."""

    def __init__(self, origin: Origin, parent: str | None) -> None:
        super().__init__(convert_charrefs=False)
        self._origin = origin
        self._parent = parent
        self._seen = _Seen()

    def _say(self, code: str, words: tuple[str, str], **facts: str | int) -> None:
        self._seen.findings.append(
            _finding(self._origin, code, words, row=self.getpos()[0], **facts)
        )

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._judge(tag, attrs)
        if tag not in _VOID:
            layout = dict(attrs).get("role") == "presentation"
            self._seen.open.append(_Open(tag, unclear=tag == "table" and not layout))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._judge(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        if not self._seen.open or self._seen.open[-1].tag != tag:
            self._say("markup", BROKEN_MARKUP, problem=f"</{tag}> closes nothing")
            if tag not in {item.tag for item in self._seen.open}:
                return
            while self._seen.open[-1].tag != tag:
                self._seen.open.pop()
        closed = self._seen.open.pop()
        if tag == "mj-title" and closed.text.strip():
            self._seen.titled = True
        if closed.unclear:
            self._say("layout_role", MISSING_LAYOUT_ROLE)

    def handle_data(self, data: str) -> None:
        if "<" in data and not (self._seen.open and self._seen.open[-1].tag == "mj-style"):
            self._say("markup", BROKEN_MARKUP, problem="a bare < in the text")
        if self._seen.open:
            self._seen.open[-1].text += data

    def handle_decl(self, decl: str) -> None:
        self._say("markup", BROKEN_MARKUP, problem=f"<!{decl[:20]}>")

    def unknown_decl(self, data: str) -> None:
        self._say("markup", BROKEN_MARKUP, problem=f"<![{data[:20]}]>")

    def handle_pi(self, data: str) -> None:
        self._say("markup", BROKEN_MARKUP, problem=f"<?{data[:20]}>")

    def finish(self) -> Iterator[Finding]:
        for item in self._seen.open:
            self._say("markup", BROKEN_MARKUP, problem=f"<{item.tag}> is never closed")
        if self._parent is None and not self._seen.titled:
            self._say("missing_title", MISSING_TITLE)
        yield from self._seen.findings

    # One tag.

    def _judge(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if _UNQUOTED.match(self.get_starttag_text() or ""):
            self._say("markup", BROKEN_MARKUP, problem=f"an unquoted attribute of <{tag}>")
        given = {name: value or "" for name, value in attrs}
        if tag.startswith("mj"):
            self._judge_component(tag, given)
        else:
            self._judge_html_tag(tag, given)
        for name, value in given.items():
            self._judge_value(name, value)

    def _judge_component(self, tag: str, given: dict[str, str]) -> None:
        if tag in FORBIDDEN:
            self._say("forbidden_tag", FORBIDDEN_TAG, tag=tag, reason=FORBIDDEN[tag])
            return
        parent = self._enclosing()
        if parent == "mj-attributes":
            return
        rule = RULES.get(tag)
        if rule is None:
            self._say("unknown_tag", UNKNOWN_TAG, tag=tag, nearest=_nearest(tag, RULES))
            return
        if parent not in rule.parents and (parent or rule.parents):
            self._say("wrong_parent", WRONG_PARENT, tag=tag, parent=parent or "nothing")
        for name in sorted(given.keys() - rule.attributes):
            self._say(
                "unknown_attribute", UNKNOWN_ATTRIBUTE,
                tag=tag, attribute=name, nearest=_nearest(name, rule.attributes),
            )  # fmt: skip
        for name in sorted(rule.required):
            self._require(tag, name, given)

    def _require(self, tag: str, name: str, given: dict[str, str]) -> None:
        if name == "alt" and name not in given:
            self._say("missing_alt", MISSING_ALT)
        elif name == "href" and given.get(name, "").strip() in {"", "#"}:
            self._say("empty_link", EMPTY_LINK)
        elif name not in {"alt", "href"} and not given.get(name, "").strip():
            self._say("missing_attribute", MISSING_ATTRIBUTE, tag=tag, attribute=name)

    def _judge_html_tag(self, tag: str, given: dict[str, str]) -> None:
        parent = self._enclosing()
        rule = RULES.get(parent or "")
        if rule is not None and not rule.holds_html and parent not in {"mj-title", "mj-style"}:
            self._say("wrong_parent", WRONG_PARENT, tag=tag, parent=parent or "nothing")
        if tag == "img" and "alt" not in given:
            self._say("missing_alt", MISSING_ALT)
        if tag == "a" and given.get("href", "").strip() in {"", "#"}:
            self._say("empty_link", EMPTY_LINK)
        if tag == "th":  # a heading cell makes its table one of data
            table = next((item for item in reversed(self._seen.open) if item.tag == "table"), None)
            if table:
                table.unclear = False

    def _judge_value(self, name: str, value: str) -> None:
        if name.removeprefix("inner-").startswith("padding") and _BARE_ZERO.search(value):
            self._say("bare_zero", BARE_ZERO, attribute=name, value=value)
        if (name == "style" or "color" in name) and (short := _SHORT_COLOUR.search(value)):
            self._say("short_colour", SHORT_COLOUR, value=short.group())

    def _enclosing(self) -> str | None:
        """Return the innermost open tag, or the component a fragment will stand in."""
        return self._seen.open[-1].tag if self._seen.open else self._parent


def _nearest(word: str, known: Collection[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return close[0] if close else "—"


# --- after the engine ----------------------------------------------------------------------------

LEFT_COMPONENT = (
    "The block “{block}” left <{tag}> in the message.",
    "Correct the tag in {template}.",
)
LEFT_BRACES = (
    "The message still holds “{{{{”: a personal field that was not understood, or a feed's words.",
    "Look for it in the text part; write for instance {{{{ prenom | Bonjour }}}}.",
)
BROKEN_HOLE = (
    "A personal field of the block “{block}” is cut in two.",
    "Write the field again, whole, in one place.",
)
WIDE_FOR_OUTLOOK = (
    "Outlook would draw the block “{block}” {width} px wide, more than the {limit} of the message.",
    "Write its paddings with px everywhere in {template}.",
)
UNBALANCED = (
    "A conditional comment for Outlook is opened and not closed, or closed twice.",
    "Look for “if mso” in {template}.",
)
SPOILT_ATTRIBUTE = (
    "The engine spoilt a character of an attribute: {value}.",
    "Tell the developers: it should never come to this.",
)
NO_WAY_OUT = (
    "The message has no link to unsubscribe.",
    "Put issue.unsubscribe_url back into {template}.",
)
TOO_HEAVY = (
    "The message weighs {size} KB, and Gmail clips it near 102: the unsubscribe link would go.",
    "Put the longer texts behind “::: suite”.",
)


def _judge_html(html: str, origin: Origin, body_width: int) -> Iterator[Finding]:
    if left := re.search(r"</?(mj-[a-z-]+)", html):
        yield _finding(origin, "left_component", LEFT_COMPONENT, tag=left.group(1))
    if "{{" in html or "{%" in html:
        yield _soften(_finding(origin, "left_braces", LEFT_BRACES))
    if HOLE_OPEN in (rest := _HOLE.sub("", html)) or HOLE_CLOSE in rest:
        yield _finding(origin, "broken_hole", BROKEN_HOLE)
    if spoilt := re.search(r'="[^"]*(\\u\{[0-9a-f]+\})', html):
        yield _finding(origin, "spoilt_attribute", SPOILT_ATTRIBUTE, value=spoilt.group(1))
    if (width := _widest(html)) > body_width:
        yield _finding(origin, "outlook_width", WIDE_FOR_OUTLOOK, width=width, limit=body_width)
    if not _is_balanced(html):
        yield _finding(origin, "unbalanced", UNBALANCED)


def _judge_message(html: str, origin: Origin) -> Iterator[Finding]:
    """D10, A5: a message has a way out, and is light enough to keep it."""
    if f"{HOLE_OPEN}unsubscribe_url|" not in html:
        yield _finding(origin, "no_unsubscribe", NO_WAY_OUT)
    if (size := transfer_bytes(html)) > WARNING_BYTES:
        heavy = _finding(origin, "too_heavy", TOO_HEAVY, size=size // 1000)
        yield heavy if size > ERROR_BYTES else _soften(heavy)


def _soften(finding: Finding) -> Finding:
    return replace(finding, severity=Severity.WARNING)


def _widest(html: str) -> int:
    """Return the widest width that Outlook is told, images included."""
    told = [
        float(first or second)
        for part in _MSO_PART.findall(html)
        for first, second in _MSO_WIDTH.findall(part)
    ]
    told += [float(width) for width in _IMAGE_WIDTH.findall(html)]
    return int(max(told, default=0))


def _is_balanced(html: str) -> bool:
    """Say whether each ``[if …]`` is closed before the next opens."""
    inside = False
    for mark in _CONDITIONAL.findall(html):
        if mark.startswith("<!--[if") == inside:
            return False
        inside = not inside
    return not inside
