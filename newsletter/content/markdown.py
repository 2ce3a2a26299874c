"""An editor's Markdown → tokens: CommonMark, tables, notes, ``:::`` blocks, personal fields.

In: the text of one file. Out: markdown-it's tokens with typography applied, the file's notes, and
findings. The three renderings of these tokens (mail, text, web) are offered here too.
Never: HTML from an editor; a link rewritten; a line number that is not the file's own.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from markdown_it import MarkdownIt
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from mdit_py_plugins.footnote.index import footnote_def

from newsletter.content.debris import compose, scrub
from newsletter.content.faults import find, shorten
from newsletter.content.fences import Fence, block_rule, scan_fences
from newsletter.content.headers import BLANK
from newsletter.content.inspection import inspect_inline
from newsletter.content.prose_html import render_mail, render_web
from newsletter.content.prose_text import render_text
from newsletter.content.typography import typeset_pieces
from newsletter.model import Finding, Place

if TYPE_CHECKING:
    from newsletter.content.house import House

__all__ = ["Definition", "Parsed", "parse", "render_mail", "render_text", "render_web"]

# Past this a paragraph is no text any more; markdown-it's inline rules are not all linear.
MAX_PARAGRAPH = 10_000
FIELD = re.compile(
    rf"\{{\{{[{BLANK}]*(?P<name>\w[\w -]{{0,40}}?)[{BLANK}]*"
    rf"(?:\|(?P<fallback>[^{{}}|\n]{{0,160}}))?\}}\}}"
)
NOTE = re.compile(r"\[\^(?P<label>[^\s\[\]^]{1,80})\]")


@dataclass(slots=True)
class Definition:
    """A note written in this file: ``[^label]: …``."""

    label: str
    line: int
    tokens: list[Token]


@dataclass(slots=True)
class Parsed:
    """One file: its tokens in reading order, its notes, what is wrong so far."""

    file: str
    tokens: list[Token]
    notes: dict[str, Definition] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def parse(text: str, file: str, house: House, *, start: int = 0) -> Parsed:
    """Parse *text* from line *start* (from 0) on; lines are always those of the whole file."""
    lines = text.split("\n")
    lines[:start] = [""] * start
    fences = scan_fences(lines, start)
    env: dict[str, Any] = {
        "lines": lines,
        "fences": fences,
        "too_deep": [],
        "blocks": house.blocks,
        "profile": house.profile,
        "long": [],
    }
    tokens = _parser().parse("\n".join(map(_keep_fields_whole, lines)), env)
    parsed = Parsed(file, tokens)
    _report_fences(parsed, fences, env["too_deep"])
    for line, size in env["long"]:
        parsed.findings.append(find("long_paragraph", Place(file, line), size=size))
    _inspect(parsed, house)
    _forget_ends(parsed, fences)
    _take_notes(parsed)
    return parsed


def _keep_fields_whole(line: str) -> str:
    """In a row of a table the bar of a personal field must not part two cells."""
    if not line.lstrip().startswith("|") or "{{" not in line:
        return line
    return FIELD.sub(lambda found: found.group().replace("|", "\\|"), line)


@cache
def _parser() -> MarkdownIt:
    md = MarkdownIt("commonmark", {"html": False, "maxNesting": 20}).enable("table")
    # A link leaves as it was written; what may not leave is a finding, not silent text.
    md.normalizeLink = lambda url: url  # type: ignore[method-assign]  # markdown-it's own hook
    md.normalizeLinkText = lambda link: link  # type: ignore[method-assign]  # the same
    md.validateLink = lambda url: True  # type: ignore[method-assign]  # noqa: ARG005  # the same
    ends: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    md.block.ruler.before("fence", "editor_block", block_rule, ends)
    md.block.ruler.before(
        "reference", "footnote_def", footnote_def, {"alt": ["paragraph", "reference"]}
    )
    md.inline.ruler.before("link", "footnote_ref", _note_rule)
    md.inline.ruler.before("escape", "field", _field_rule)
    _place(md, "link", "link_open")
    _place(md, "image", "image")
    _place(md, "autolink", "link_open")
    md.core.ruler.after("block", "long_paragraphs", _cut_long_paragraphs)
    md.core.ruler.push("scrub", _scrub_rule)
    md.core.ruler.push("typography", _typography_rule)
    return md


def _place(md: MarkdownIt, name: str, kind: str) -> None:
    """Have the inline rule *name* note where in its paragraph the token was written."""
    index = next(i for i, rule in enumerate(md.inline.ruler.__rules__) if rule.name == name)
    rule: Callable[[StateInline, bool], bool] = md.inline.ruler.__rules__[index].fn

    def placed(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 (markdown-it's signature)
        at, before = state.pos, len(state.tokens)
        if not rule(state, silent):
            return False
        for token in state.tokens[before : before + 2]:  # pending text may come first
            if token.type == kind:
                token.meta["at"] = at
                break
        return True

    md.inline.ruler.at(name, placed)


def _field_rule(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 (markdown-it's signature)
    found = FIELD.match(state.src, state.pos, state.posMax)
    if not found:
        return False
    if not silent:
        token = state.push("field", "", 0)
        token.content = found.group()
        token.meta = {"at": state.pos, "name": found["name"], "fallback": found["fallback"]}
    state.pos = found.end()
    return True


def _note_rule(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 (markdown-it's signature)
    found = NOTE.match(state.src, state.pos, state.posMax)
    if not found:
        return False
    if not silent:
        token = state.push("note_ref", "", 0)
        token.content = found.group()
        token.meta = {"at": state.pos, "label": found["label"]}
    state.pos = found.end()
    return True


# --- core rules: every inline token of the file, once ---------------------------------------------


def _cut_long_paragraphs(state: StateCore) -> None:
    for token in state.tokens:
        if token.type == "inline" and len(token.content) > MAX_PARAGRAPH:
            line = (token.map or [0])[0] + 1
            state.env["long"].append((line, len(token.content)))
            token.content = token.content[:MAX_PARAGRAPH]


def _scrub_rule(state: StateCore) -> None:
    """Entities bring back what ``debris`` took out: ``&#xE000;`` would open a hole."""
    for token in _every(state.tokens):
        if token.type == "text":
            token.content = compose(scrub(token.content))
        elif token.content:
            token.content = scrub(token.content) if token.type != "fence" else token.content
        for name, value in token.attrs.items():
            if isinstance(value, str):
                token.attrs[name] = scrub(value)


def _every(tokens: list[Token]) -> list[Token]:
    found: list[Token] = []
    for token in tokens:
        found.append(token)
        if token.children:
            found.extend(_every(token.children))
    return found


def _typography_rule(state: StateCore) -> None:
    profile = state.env["profile"]
    for token in state.tokens:
        if token.type == "inline" and token.children:
            children = token.children
            pieces = _pieces(children)
            for child, piece in zip(children, typeset_pieces(pieces, profile), strict=True):
                if child.type == "text" and piece is not None:
                    child.content = piece


def _pieces(children: list[Token]) -> list[str | None]:
    """Return what typography may see: text, ends of lines; '' for marks, None for the rest."""
    pieces: list[str | None] = []
    address = False
    for child in children:
        if child.type == "text":
            pieces.append(None if address else child.content)
        elif child.type in {"softbreak", "hardbreak"}:
            pieces.append("\n")
        else:
            pieces.append(None if child.type in {"code_inline", "field", "image"} else "")
        if child.type == "link_open":
            address = child.markup == "autolink"
        elif child.type == "link_close":
            address = False
    return pieces


# --- findings -------------------------------------------------------------------------------------


def _report_fences(parsed: Parsed, fences: dict[int, Fence], too_deep: list[Fence]) -> None:
    unclosed = [fence for fence in fences.values() if fence.used and not fence.closed]
    # A forgotten end makes what follows look too deep: one mistake, one finding.
    for code, guilty in (("unclosed_block", unclosed), ("nested_block", too_deep)):
        for fence in guilty:
            place = Place(parsed.file, fence.start + 1)
            parsed.findings.append(find(code, place, name=shorten(fence.name)))
        if guilty:
            break


def _inspect(parsed: Parsed, house: House) -> None:
    for token in parsed.tokens:
        place = Place(parsed.file, (token.map or [0])[0] + 1)
        if token.type == "code_block":
            parsed.findings.append(find("indented_code", place))
        elif token.type == "inline":
            ends = [found.start() for found in re.finditer("\n", token.content)]

            def line_at(offset: int, top: int = place.line, ends: list[int] = ends) -> int:
                return top + bisect_right(ends, offset - 1)

            parsed.findings.extend(inspect_inline(token, parsed.file, house, line_at))
    for opening, inline in zip(parsed.tokens, parsed.tokens[1:], strict=False):
        if opening.type == "heading_open" and opening.markup == "-":
            place = Place(parsed.file, (opening.map or [0])[0] + 1)
            parsed.findings.append(find("underlined_heading", place, text=shorten(inline.content)))


def _forget_ends(parsed: Parsed, fences: dict[int, Fence]) -> None:
    """A block inside a list is one mistake: its opening line says so, its end need not."""
    ends = {fence.end + 1 for fence in fences.values() if not fence.used}
    parsed.findings = [
        said for said in parsed.findings if said.code != "stray_fence" or said.line not in ends
    ]


def _take_notes(parsed: Parsed) -> None:
    """Part the notes from the text; a note written twice is a finding."""
    kept: list[Token] = []
    note: Definition | None = None
    depth = 0
    for token in parsed.tokens:
        if token.type == "footnote_reference_open":
            depth += 1
            if depth == 1:
                note = Definition(token.meta["label"], (token.map or [0])[0] + 1, [])
        elif token.type == "footnote_reference_close":
            depth -= 1
            if depth == 0 and note:
                _keep_note(parsed, note)
                note = None
        elif note:
            note.tokens.append(token)
        else:
            kept.append(token)
    parsed.tokens = kept


def _keep_note(parsed: Parsed, note: Definition) -> None:
    first = parsed.notes.setdefault(note.label, note)
    if first is not note:
        place = Place(parsed.file, note.line)
        label = shorten(note.label)
        parsed.findings.append(find("duplicate_note", place, label=label, first=first.line))
