"""Prose tokens → plain text of at most 76 columns, for the text part of the mail.

In: tokens. Out: lines; a link is « label (address) », a note [1], a heading is underlined. Personal
fields are holes, measured by their fallback. Never: a way through HTML; an address broken in two;
a line broken at a no-break space.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from markdown_it.token import Token

from newsletter.content.prose_html import HOLE_CLOSES, HOLE_OPENS, hole

WIDTH = 76
HOLE = re.compile(f"{HOLE_OPENS}[^{HOLE_CLOSES}|]*\\|([^{HOLE_CLOSES}]*){HOLE_CLOSES}")
# Breaking spaces only: U+00A0 and U+202F hold words together; so does a hole's fallback.
WORD = re.compile(f"(?:{HOLE_OPENS}[^{HOLE_CLOSES}]*{HOLE_CLOSES}|[^ \t])+")


def render_text(tokens: Sequence[Token]) -> str:
    """Return *tokens* as plain text; blocks of text are parted by an empty line."""
    blocks = list(_blocks(list(tokens), WIDTH))
    return "\n\n".join(block for block in blocks if block)


def measure(text: str) -> int:
    """Return how many columns *text* takes, each hole as wide as its fallback."""
    return len(HOLE.sub(r"\1", text))


def wrap(text: str, width: int = WIDTH) -> str:
    """Fill lines of at most *width* columns; a word that is longer stands alone."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line, used = "", 0
        for word in WORD.findall(paragraph):
            size = measure(word)
            if line and used + 1 + size > width:
                lines.append(line)
                line, used = word, size
            else:
                line = f"{line} {word}" if line else word
                used += size + (1 if used else 0)
        lines.append(line)
    return "\n".join(lines)


def inline_text(tokens: Sequence[Token]) -> str:
    """Return one paragraph's words on one line; hard breaks stay line ends."""
    words: list[str] = []
    links: list[tuple[str, int]] = []
    for token in tokens:
        match token.type:
            case "text" | "code_inline":
                words.append(token.content)
            case "softbreak":
                words.append(" ")
            case "hardbreak":
                words.append("\n")
            case "image":
                words.append(inline_text(token.children or ()))
            case "field":
                words.append(hole(token.meta["name"], token.meta["fallback"]))
            case "note_ref":
                number = token.meta.get("number")
                words.append(token.content if number is None else f"[{number}]")
            case "link_open":
                links.append((str(token.attrGet("href") or ""), len(words)))
            case "link_close" if links:
                href, start = links.pop()
                words[start:] = [link_text("".join(words[start:]), href)]
    return "".join(words)


def link_text(label: str, href: str) -> str:
    """Return « label (address) », or the address alone when it is its own label."""
    label, address = label.strip(), href.removeprefix("mailto:")
    return address if label in {"", href, address} else f"{label} ({address})"


def _blocks(tokens: list[Token], width: int) -> Iterator[str]:
    index = 0
    while index < len(tokens):
        end = _end(tokens, index)
        yield _block(tokens[index : end + 1], width)
        index = end + 1


def _end(tokens: list[Token], start: int) -> int:
    """Return the index of the token that closes the one at *start*."""
    depth = 0
    for index in range(start, len(tokens)):
        depth += tokens[index].nesting
        if depth <= 0:
            return index
    return len(tokens) - 1


def _block(tokens: list[Token], width: int) -> str:  # noqa: PLR0911 (one return a kind)
    first, inside = tokens[0], tokens[1:-1]
    match first.type:
        case "inline":
            return wrap(inline_text(first.children or ()), width)
        case "paragraph_open":
            return "\n\n".join(_blocks(inside, width))
        case "heading_open":
            return _heading(first.tag, inside, width)
        case "bullet_list_open" | "ordered_list_open":
            return _list(first, inside, width)
        case "blockquote_open":
            return _indent("\n\n".join(_blocks(inside, width - 2)), "> ", "> ")
        case "table_open":
            return _table(inside, width)
        case "code_block" | "fence":
            return _indent(first.content.rstrip("\n"), "    ", "    ")
        case "hr":
            return "-" * 20
    return first.content


def _heading(tag: str, inside: list[Token], width: int) -> str:
    text = "\n".join(_blocks(inside, width))
    rule = "=" if tag in {"h1", "h2"} else "-"
    return f"{text}\n{rule * min(max(map(measure, text.split(chr(10)))), width)}"


def _list(opening: Token, inside: list[Token], width: int) -> str:
    items: list[str] = []
    loose = False
    number = int(opening.attrGet("start") or 1)
    index = 0
    while index < len(inside):
        end = _end(inside, index)
        body = inside[index + 1 : end]
        loose = loose or any(t.type == "paragraph_open" and not t.hidden for t in body)
        mark = f"{number + len(items)}. " if opening.tag == "ol" else "- "
        parts = [part for part in _blocks(body, width - len(mark)) if part]
        items.append(_indent(("\n\n" if loose else "\n").join(parts), mark, " " * len(mark)))
        index = end + 1
    return ("\n\n" if loose else "\n").join(items)


def _indent(text: str, first: str, others: str) -> str:
    lines = text.split("\n")
    rest = [f"{others}{line}".rstrip(" ") for line in lines[1:]]
    return "\n".join([f"{first}{lines[0]}".rstrip(" "), *rest])


def _table(inside: list[Token], width: int) -> str:
    """Return a table in columns when it fits, else each row as « heading : cell » lines."""
    rows: list[list[str]] = []
    for token in inside:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows:
            rows[-1].append(inline_text(token.children or ()).replace("\n", " "))
    if not rows:
        return ""
    sizes = [max(measure(row[i]) for row in rows if i < len(row)) for i in range(len(rows[0]))]
    if sum(sizes) + 3 * (len(sizes) - 1) <= width:
        lines = [_columns(row, sizes) for row in rows]
        return "\n".join([lines[0], "-+-".join("-" * size for size in sizes), *lines[1:]])
    head, *body = rows
    return "\n\n".join(
        "\n".join(
            wrap(f"{title}\u00a0: {cell}" if title else cell, width)
            for title, cell in zip(head, row, strict=False)
        )
        for row in body or [head]
    )


def _columns(row: list[str], sizes: list[int]) -> str:
    cells = [cell + " " * (size - measure(cell)) for cell, size in zip(row, sizes, strict=False)]
    return " | ".join(cells).rstrip()
