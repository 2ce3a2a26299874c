"""The nodes of an issue → what each medium shows, block by block.

In: prose and blocks, and a press. Out: rows of MJML, HTML, or plain text. The engine knows no
block by name: a block is its template's three macros, a convention one macro of ``conventions``.
Never: the skeleton around them, which ``render`` builds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from newsletter.content.blocks import Role
from newsletter.content.markdown import render_mail, render_text, render_web
from newsletter.mail.press import (
    Press,
    call,
    is_body_level,
    markup,
    origin_of,
    refuse,
    try_alone,
)
from newsletter.mail.theme import prose_styles
from newsletter.mail.view import Medium, narrow
from newsletter.model import Block, Convention, Node, Prose

CONVENTIONS = {
    Medium.MAIL: "mail/conventions.j2",
    Medium.TEXT: "mail/conventions_text.j2",
    Medium.WEB: "web/conventions.j2",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where nodes stand: in which story, under which heading, inside which block."""

    story: Mapping[str, str]
    level: int
    anchors: Mapping[tuple[str, int], str]
    block: str = ""
    # How far Markdown's headings are lowered, so that none is skipped below the heading above.
    shift: int = 0


class BlockValues(Mapping[str, object]):
    """What a macro knows as ``block``; what is inside is rendered when it is asked for."""

    def __init__(
        self, plain: Mapping[str, object], lazy: Mapping[str, Callable[[], object]]
    ) -> None:
        self._plain = dict(plain)
        self._lazy = lazy
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> object:
        if name in self._lazy and name not in self.asked:
            self.asked.add(name)
            self._plain[name] = self._lazy[name]()
        return self._plain[name]

    def __contains__(self, name: object) -> bool:
        return name in self._plain or name in self._lazy

    def __iter__(self) -> Iterator[str]:
        return iter({**self._plain, **self._lazy})

    def __len__(self) -> int:
        return len({**self._plain, **self._lazy})


# --- any medium ----------------------------------------------------------------------------------


def render_prose(prose: Prose, press: Press, spot: Spot) -> str:
    """Return ordinary Markdown for the press's medium."""
    if press.medium is Medium.TEXT:
        return render_text(prose.tokens)
    if press.medium is Medium.WEB:
        return markup(render_web(prose.tokens, shift=spot.shift))
    styles = prose_styles(press.view["look"], spot.block)
    return markup(render_mail(prose.tokens, styles, shift=spot.shift))


def render_convention(block: Block, press: Press, spot: Spot) -> str:
    """Return a plain convention: a button, a figure, a thumbnail, a quotation, a divider."""
    template = CONVENTIONS[press.medium]
    convention = block.convention or Convention.DIVIDER
    values = {**block.fields, "body": render_inside(block.body, press, spot)}
    return call(press, template, convention, origin_of(template, block.place, convention), values)


def render_block(block: Block, press: Press, spot: Spot) -> str:
    """Return a ``:::`` block by its own macro; raise RenderingError, naming it."""
    declaration = press.templates.blocks[block.name]
    if any(
        known.required and name not in block.fields for name, known in declaration.fields.items()
    ):
        return ""  # reading said so, as an error: no run sends it, and the rest can be looked at
    origin = replace(
        origin_of(f"blocks/{block.name}.j2", block.place, block.name), template=declaration.path
    )
    values = values_of(block, press, spot)
    made = call(press, f"blocks/{block.name}.j2", press.medium, origin, values)
    if press.medium is Medium.MAIL:
        _check_nested_used(block, values, declaration.role)
        if made.strip():
            try_alone(made, origin, width=press.view["look"]["layout"]["width"])
    return made


def _check_nested_used(block: Block, values: BlockValues, role: Role | None) -> None:
    """Refuse a block that would lose the blocks inside it: rows cannot stand in a row."""
    nested = next(iter(_blocks(block.body)), None)
    if nested is None or role is Role.MORE or values.asked & {"columns", "children"}:
        return
    refuse(
        f"it stands inside “{block.name}”, which cannot hold a block",
        origin_of(f"blocks/{nested.name}.j2", nested.place, nested.name),
        "write it after the other one",
    )


def _blocks(nodes: Iterable[Node]) -> Iterator[Block]:
    return (node for node in nodes if isinstance(node, Block) and node.convention is None)


def _plain_nodes(nodes: Iterable[Node]) -> list[Node]:
    return [node for node in nodes if isinstance(node, Prose) or node.convention is not None]


def values_of(block: Block, press: Press, spot: Spot) -> BlockValues:
    """Return what the macros of *block* know: its fields, and what is inside in three shapes.

    ``body`` is everything in order (in the mail: without blocks), ``intro`` what is no block,
    ``children`` the blocks as values, ``columns`` one rendering for each column.
    """
    declared = press.templates.blocks[block.name].fields
    level = min(6, spot.level + bool(block.title))
    shift = shift_headings(block.body, level)
    inner = replace(spot, level=level, block=block.name, shift=shift)
    in_mail = press.medium is Medium.MAIL
    fields = {
        name: render_prose(value, press, inner) if isinstance(value, Prose) else value
        for name, value in block.fields.items()
    }
    plain = {
        **dict.fromkeys(declared),
        **fields,
        "name": block.name,
        "title": block.title,
        "place": block.place,
        "level": spot.level,
        "story": spot.story,
        "anchor": spot.anchors.get((block.place.file, block.place.line), ""),
    }
    body = _plain_nodes(block.body) if in_mail else block.body
    lazy: dict[str, Callable[[], object]] = {
        "body": lambda: render_inside(body, press, inner),
        "intro": lambda: render_inside(_plain_nodes(block.body), press, inner),
        "children": lambda: [values_of(child, press, inner) for child in _blocks(block.body)],
        "columns": lambda: render_columns(block, press, inner),
    }
    return BlockValues(plain, lazy)


def shift_headings(nodes: Iterable[Node], level: int) -> int:
    """Return how far to lower the headings of *nodes* so that the highest stands at *level*."""
    written = [
        int(token.tag[1])
        for node in nodes
        if isinstance(node, Prose)
        for token in node.tokens
        if token.type == "heading_open"
    ]
    return level - min(written) if written else 0


def render_inside(nodes: Sequence[Node], press: Press, spot: Spot) -> str:
    """Return what stands inside a block, in order."""
    return _join([render_node(node, press, spot) for node in nodes], press)


def render_node(node: Node, press: Press, spot: Spot) -> str:
    """Return one node for the press's medium; in the mail a ``:::`` block gives MJML."""
    if isinstance(node, Prose):
        return render_prose(node, press, spot)
    if node.convention is not None:
        return render_convention(node, press, spot)
    return render_block(node, press, spot)


def _join(parts: list[str], press: Press) -> str:
    kept = [part.strip("\n") for part in parts if part.strip()]
    return "\n\n".join(kept) if press.medium is Medium.TEXT else markup("").join(kept)


# --- columns -------------------------------------------------------------------------------------


def render_columns(block: Block, press: Press, spot: Spot) -> list[str]:
    """Return one rendering for each column: parted at dividers, else one for each node."""
    if press.medium is not Medium.MAIL:
        return [render_inside(part, press, spot) for part in _part_columns(block.body)]
    narrowed = replace(press, view=narrow(press.view))
    return [
        markup("").join(render_rows(part, narrowed, spot)) for part in _part_columns(block.body)
    ]


def _part_columns(nodes: Sequence[Node]) -> list[list[Node]]:
    if not any(_is_divider(node) for node in nodes):
        return [[node] for node in nodes]
    columns: list[list[Node]] = [[]]
    for node in nodes:
        if _is_divider(node):
            columns.append([])
        else:
            columns[-1].append(node)
    return [column for column in columns if column]


def _is_divider(node: Node) -> bool:
    return isinstance(node, Block) and node.convention is Convention.DIVIDER


# --- the mail's rows -----------------------------------------------------------------------------


def render_rows(nodes: Sequence[Node], press: Press, spot: Spot) -> list[str]:
    """Return the rows and sections of *nodes*: prose and conventions share one row."""
    rows: list[str] = []
    run: list[str] = []
    for node in nodes:
        if isinstance(node, Prose) or node.convention is not None:
            run.append(render_node(node, press, spot))
            continue
        rows += _close_run(run, press)
        run = []
        made = render_block(node, press, spot)
        rows += [made] if made.strip() else []
    return rows + _close_run(run, press)


def _close_run(run: list[str], press: Press) -> list[str]:
    if not run:
        return []
    origin = origin_of("mail/structure.j2")
    return [call(press, "mail/structure.j2", "texte", origin, _join(run, press))]


def gather_sections(rows: Iterable[str], press: Press) -> list[str]:
    """Return the sections of the message: rows that follow each other share one."""
    sections: list[str] = []
    open_rows: list[str] = []

    def close() -> None:
        if open_rows:
            sections.append(
                call(
                    press,
                    "mail/structure.j2",
                    "feuille",
                    origin_of("mail/structure.j2"),
                    markup("").join(open_rows),
                )
            )
            open_rows.clear()

    for row in rows:
        if is_body_level(row):
            close()
            sections.append(row)
        else:
            open_rows.append(row)
    close()
    return sections


# --- the whole issue -----------------------------------------------------------------------------


def walk_blocks(nodes: Iterable[Node]) -> Iterator[Block]:
    """Yield every ``:::`` block of *nodes*, those inside others too, in reading order."""
    for node in nodes:
        if isinstance(node, Block):
            if node.convention is None:
                yield node
            yield from walk_blocks(node.body)


def anchor_blocks(
    stories: Iterable[tuple[str, Sequence[Node]]], blocks: Mapping[str, Any]
) -> dict[tuple[str, int], str]:
    """Return the anchor of each block kept for the web copy, by its file and line.

    Counted within the story, so that a correction elsewhere does not break links already sent.
    """
    anchors: dict[tuple[str, int], str] = {}
    for slug, nodes in stories:
        count = 0
        for block in walk_blocks(nodes):
            if blocks[block.name].role is Role.MORE:
                count += 1
                name = f"suite-{slug}" if count == 1 else f"suite-{slug}-{count}"
                anchors[block.place.file, block.place.line] = name
    return anchors
