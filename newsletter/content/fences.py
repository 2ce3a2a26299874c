"""``:::`` blocks for markdown-it: which line opens, which closes, and the tokens between.

In: the lines of a file. Out: a map of fences made in one pass, and a block rule that turns each
into ``block_open`` … ``block_close`` tokens. markdown-it's own container closes the outer block at
the first ``:::``; ours counts. Never: a block inside a list or a quotation; a scan per block.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from newsletter.content.blocks import BlockDeclaration
from newsletter.content.headers import BLANK, Entry, read_block_header
from newsletter.content.slugs import fold
from newsletter.content.values import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from markdown_it.rules_block import StateBlock

FENCE = re.compile(rf" {{0,3}}:{{3,}}[{BLANK}]*(?P<name>[^\s:]+)?[{BLANK}]*(?P<title>.*)$")
CODE = re.compile(r" {0,3}(?P<mark>`{3,}|~{3,})(?P<info>.*)$")
MAX_DEPTH = 2  # a block, and the blocks inside it


@dataclass(slots=True)
class Fence:
    """One ``:::`` block: lines from 0; ``end`` is its closing line, or where it is taken to end."""

    name: str
    title: str
    start: int
    end: int
    depth: int = 0
    closed: bool = True
    used: bool = False  # the block rule met it where a block may stand


def scan_fences(lines: Sequence[str], start: int) -> dict[int, Fence]:
    """Pair every opening line with its closing line, code fences skipped, in one pass.

    A block that is never closed is taken to end where the next one begins: one forgotten ``:::``
    must not drown the rest of the file in findings.
    """
    fences: dict[int, Fence] = {}
    stack: list[Fence] = []
    code = ""
    for number in range(start, len(lines)):
        line = lines[number]
        mark = CODE.match(line)
        if code:
            if mark and mark["mark"].startswith(code) and not mark["info"].strip():
                code = ""
        elif mark and not (mark["mark"][0] == "`" and "`" in mark["info"]):
            code = mark["mark"]
        elif found := FENCE.match(line):
            if found["name"]:
                fence = Fence(found["name"], found["title"].strip(), number, len(lines))
                fences[number] = fence
                stack.append(fence)
            elif stack and not found["title"]:
                stack.pop().end = number
    _settle(fences, stack, len(lines))
    return fences


def _settle(fences: dict[int, Fence], unclosed: list[Fence], end: int) -> None:
    starts = sorted(fences)
    following = dict(zip(starts, [*starts[1:], end], strict=False))  # empty without fences
    for fence in unclosed:
        fence.closed = False
        fence.end = following[fence.start]
    around: list[Fence] = []
    for start in starts:
        while around and around[-1].end <= start:
            around.pop()
        fences[start].depth = len(around)
        around.append(fences[start])


def block_rule(state: StateBlock, start: int, end: int, silent: bool) -> bool:  # noqa: FBT001 (markdown-it's signature)
    """Turn the fence that opens at line *start* into tokens, its text tokenized inside."""
    fence: Fence | None = state.env["fences"].get(start)
    if fence is None or state.is_code_block(start):
        return False
    if silent:
        return True  # it ends the paragraph, the list or the quotation before it
    if state.level != fence.depth:
        return False  # inside a list or a quotation: a stray line
    fence.used = True
    last = min(fence.end, end)
    state.line = last + (1 if fence.closed and last < end else 0)
    if fence.depth >= MAX_DEPTH:
        state.env["too_deep"].append(fence)
        return True
    declaration = _declared(state.env["blocks"], fence.name)
    known = {fold(name) for name in declaration.fields} if declaration else set()
    entries, body = read_block_header(state.env["lines"], start + 1, last, known)
    after = state.line
    _push(state, fence, entries, declaration, (body, last))
    state.line = after
    return True


def _declared(blocks: Mapping[str, BlockDeclaration], name: str) -> BlockDeclaration | None:
    return blocks.get(fold(name)) or blocks.get(name)


def _push(
    state: StateBlock,
    fence: Fence,
    entries: tuple[Entry, ...],
    declaration: BlockDeclaration | None,
    body: tuple[int, int],
) -> None:
    token = state.push("block_open", "", 1)
    token.map = [fence.start, state.line]
    token.meta = {"fence": fence, "entries": entries, "declaration": declaration}
    for entry in entries:
        known = declaration.field_named(entry.key) if declaration else None
        if known and known.kind is Kind.MARKDOWN and entry.value:
            _push_field(state, known.name, entry)
    parent, line_max = state.parentType, state.lineMax
    state.parentType, state.lineMax = "block", body[1]
    state.md.block.tokenize(state, *body)
    state.parentType, state.lineMax = parent, line_max
    state.push("block_close", "", -1)


def _push_field(state: StateBlock, name: str, entry: Entry) -> None:
    """Give a field of Markdown the way of all text: the same tokens, notes and typography."""
    where = [entry.line - 1, entry.line]
    token = state.push("field_open", "", 1)
    token.meta = {"name": name}
    token.map = where
    state.push("paragraph_open", "p", 1).map = where
    inline = state.push("inline", "", 0)
    inline.content, inline.map, inline.children = entry.value, where, []
    state.push("paragraph_close", "p", -1)
    state.push("field_close", "", -1)
