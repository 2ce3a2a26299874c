"""Tokens of a file → the nodes of a story: prose, blocks, and what plain conventions mean.

In: parsed tokens, notes already numbered. Out: ``Prose`` and ``Block`` values in order, findings
added to the file's. A paragraph that is one link is a button, a picture alone a figure, a picture
inside a link a thumbnail, a quotation a testimony, ``---`` a divider (DESIGN 3).
Never: a block known by name; a picture left inside prose.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from markdown_it.token import Token

from newsletter.content.blocks import BlockDeclaration, Role, read_fields
from newsletter.content.debris import compose
from newsletter.content.faults import find, shorten
from newsletter.content.fences import Fence
from newsletter.content.headers import Entry
from newsletter.content.house import House, Refusal
from newsletter.content.inspection import inspect_text, plain
from newsletter.content.markdown import Parsed
from newsletter.content.slugs import nearest
from newsletter.content.typography import typeset
from newsletter.content.values import Kind
from newsletter.model import Block, Convention, Node, Place, Prose

ATTRIBUTION = re.compile(r"(?:[—–]|--)[ \u00a0\u202f]*(?=\S)")
BREAKS = {"softbreak", "hardbreak"}


def build_nodes(parsed: Parsed, house: House) -> tuple[Node, ...]:
    """Return the nodes of one file; what is wrong goes to ``parsed.findings``."""
    return tuple(_Builder(parsed, house).build(parsed.tokens))


class _Builder:
    """Builds the nodes of one file; holds the file's findings and the house's rules."""

    def __init__(self, parsed: Parsed, house: House) -> None:
        self.file = parsed.file
        self.findings = parsed.findings
        self.house = house

    def build(self, tokens: list[Token]) -> Iterator[Node]:
        prose: list[Token] = []
        for group in _groups(tokens):
            nodes = self._convert(group)
            if nodes is None:
                prose.extend(group)
                continue
            if prose:
                yield self._prose(prose)
                prose = []
            yield from nodes
        if prose:
            yield self._prose(prose)

    def _convert(self, group: list[Token]) -> list[Node] | None:
        """Return the blocks that a top-level group of tokens means; None when it is prose."""
        match group[0].type:
            case "block_open":
                return self._block(group)
            case "hr":
                return [self._convention(Convention.DIVIDER, self._place(group[0]), {})]
            case "blockquote_open":
                return [self._quote(group)]
            case "paragraph_open":
                return self._paragraph(group[1])
        return None

    def _place(self, token: Token) -> Place:
        return Place(self.file, (token.map or [0])[0] + 1)

    def _prose(self, tokens: list[Token]) -> Prose:
        for token in tokens:
            if token.type == "inline" and token.children:
                self._refuse_pictures(token)
        return Prose(tokens=tuple(tokens), place=self._place(tokens[0]))

    def _refuse_pictures(self, inline: Token) -> None:
        for child in inline.children or ():
            if child.type == "image":
                path = shorten(str(child.attrGet("src") or ""))
                place = self._place_of(inline, child)
                self.findings.append(find("inline_picture", place, path=path))

    def _place_of(self, inline: Token, child: Token) -> Place:
        at = child.meta.get("at", 0)
        return Place(self.file, self._place(inline).line + inline.content.count("\n", 0, at))

    def _convention(self, kind: Convention, place: Place, fields: dict[str, object]) -> Block:
        return Block(name=kind.value, place=place, fields=fields, convention=kind)

    # --- plain conventions

    def _paragraph(self, inline: Token) -> list[Node] | None:
        """A paragraph of pictures only, or of one link only, is no prose."""
        lines = _lines(inline.children or [])
        if lines and all(_picture(line) for line in lines):
            figures = [self._figure(inline, line) for line in lines]
            return [figure for figure in figures if figure is not None]
        if len(lines) == 1 and _is_link(lines[0]):
            return self._button(inline, lines[0])
        return None

    def _button(self, inline: Token, line: list[Token]) -> list[Node] | None:
        href = str(line[0].attrGet("href") or "")
        place = self._place_of(inline, line[0])
        label = plain(line[1:-1]).strip()
        if line[0].markup == "autolink" or label == href:
            if not href.startswith(("mailto:", "tel:")):
                self.findings.append(find("bare_link", place, href=shorten(href)))
            return None
        if any(child.type == "field" for child in line):
            self._leftover(place, label)
        fields: dict[str, object] = {"label": label, "href": href}
        return [self._convention(Convention.BUTTON, place, fields)]

    def _figure(self, inline: Token, line: list[Token]) -> Block | None:
        picture = _picture(line)
        assert picture is not None
        place = self._place_of(inline, picture if picture is line[0] else line[0])
        alt = " ".join(plain(picture.children or []).split())
        title = str(picture.attrGet("title") or "")
        if line[0] is not picture and not title:
            title = str(line[0].attrGet("title") or "")
        path = self._picture_path(str(picture.attrGet("src") or ""), place)
        if not alt:
            shown = shorten(str(picture.attrGet("src") or ""))
            self.findings.append(find("no_alt", place, path=shown))
        if path is None:
            return None
        fields: dict[str, object] = {
            "src": path,
            "alt": self._set(alt, place),
            "caption": self._set(title, place),
        }
        if line[0] is picture:
            return self._convention(Convention.FIGURE, place, fields)
        fields["href"] = str(line[0].attrGet("href") or "")
        return self._convention(Convention.THUMBNAIL, place, fields)

    def _picture_path(self, written: str, place: Place) -> str | None:
        found = self.house.find_picture(written, self.file)
        if isinstance(found, Refusal):
            self.findings.append(find(found.code, place, **found.facts))
            return None
        return found

    def _quote(self, group: list[Token]) -> Block:
        inner = group[1:-1]
        attribution = self._take_attribution(inner, self._place(group[0]))
        body = (self._prose(inner),) if inner else ()
        return Block(
            name=Convention.QUOTE.value,
            place=self._place(group[0]),
            fields={"attribution": attribution},
            body=body,
            convention=Convention.QUOTE,
        )

    def _take_attribution(self, inner: list[Token], place: Place) -> str:
        """Cut « — Nom, fonction » off the quotation's last line."""
        if len(inner) < 3 or inner[-1].type != "paragraph_close" or inner[-1].level != 1:
            return ""
        children = inner[-2].children or []
        breaks = [index for index, child in enumerate(children) if child.type in BREAKS]
        start = breaks[-1] + 1 if breaks else 0
        last = children[start:]
        found = ATTRIBUTION.match(plain(last))
        if not found or (start == 0 and len(inner) == 3):
            return ""  # a quotation that is one line of dialogue
        if start:
            inner[-2].children = children[: start - 1]
        else:
            del inner[-3:]
        return self._set(plain(last)[found.end() :].strip(), place)

    # --- ::: blocks

    def _block(self, group: list[Token]) -> list[Node]:
        meta = group[0].meta
        fence: Fence = meta["fence"]
        declaration = meta["declaration"]
        place = self._place(group[0])
        fields, inner = _part_fields(group[1:-1])
        if declaration is None:
            near = nearest(fence.name, self.house.blocks)
            self.findings.append(
                find("unknown_block", place, name=shorten(fence.name), nearest=near)
            )
            return list(self.build(inner))
        values, entries, findings = read_fields(declaration, meta["entries"], place)
        self.findings.extend(findings)
        for name, entry in entries.items():
            if name in values:
                kind = declaration.fields[name].kind
                value = self._settle(kind, values[name], entry, fields.get(name))
                if value is None:
                    del values[name]
                else:
                    values[name] = value
        body, misplaced = self._part_nested(declaration, tuple(self.build(inner)))
        return [
            Block(
                name=declaration.name,
                place=place,
                title=self._set(fence.title, place),
                fields=values,
                body=body,
            ),
            *misplaced,
        ]

    def _part_nested(
        self, outer: BlockDeclaration, nodes: tuple[Node, ...]
    ) -> tuple[tuple[Node, ...], list[Block]]:
        """Part what may stand inside *outer* from the blocks that may not.

        Those are findings, and follow it: a preview still shows them. The examples' place is never
        in what only the web copy shows, where the mail would lose them.
        """
        misplaced = [
            node
            for node in nodes
            if isinstance(node, Block)
            and node.convention is None
            and not self._may_hold(outer, self.house.blocks[node.name])
        ]
        for node in misplaced:
            self.findings.append(
                find("misplaced_block", node.place, name=node.name, outer=outer.name)
            )
        return tuple(node for node in nodes if node not in misplaced), misplaced

    @staticmethod
    def _may_hold(outer: BlockDeclaration, inner: BlockDeclaration) -> bool:
        if outer.role is Role.MORE and inner.role is Role.EXAMPLES:
            return False
        return outer.role is not None and outer.role.holds_blocks

    def _settle(  # noqa: PLR0911 (one return a kind)
        self, kind: Kind, value: object, entry: Entry, tokens: list[Token] | None
    ) -> object | None:
        """Finish a value that needs more than its own words; None when it is refused."""
        place = Place(self.file, entry.line)
        match kind, value:
            case Kind.TEXT, str():
                return self._set(value, place)
            case Kind.LIST, tuple():
                return tuple(self._set(item, place) for item in value)
            case Kind.IMAGE, str():
                return self._picture_path(value, place)
            case Kind.MARKDOWN, _:
                return self._prose(tokens) if tokens else None
            case Kind.PARTNERS, tuple():
                return self._known(value, self.house.registries.partners, "partner", place)
            case Kind.SOURCE, str():
                known = self._known((value,), self.house.registries.sources, "source", place)
                return known[0] if known else None
        return value

    def _known(
        self, ids: tuple[str, ...], known: Collection[str], noun: str, place: Place
    ) -> tuple[str, ...] | None:
        kept: list[str] = []
        for wanted in ids:
            if wanted in known:
                kept.append(wanted)
            else:
                near = nearest(wanted, known)
                code = f"unknown_{noun}"
                self.findings.append(find(code, place, value=shorten(wanted), nearest=near))
        return tuple(kept) or None

    def _set(self, text: str, place: Place) -> str:
        """Typeset a plain text and refuse what readers would see as rubbish."""
        for finding in inspect_text(text, place, self.house, linked=True):
            self.findings.append(finding)
        return typeset(compose(text), self.house.profile)

    def _leftover(self, place: Place, text: str) -> None:
        self.findings.extend(
            finding
            for finding in inspect_text(text, place, self.house, linked=True)
            if finding.code == "leftover_braces"
        )


def _groups(tokens: list[Token]) -> Iterator[list[Token]]:
    """Cut a flat list into its top-level groups, each from an opening token to its closing one."""
    group: list[Token] = []
    depth = 0
    for token in tokens:
        group.append(token)
        depth += token.nesting
        if depth == 0:
            yield group
            group = []
    if group:
        yield group


def _lines(children: list[Token]) -> list[list[Token]]:
    """Cut a paragraph's children at its line ends, blank text left out."""
    lines: list[list[Token]] = [[]]
    for child in children:
        if child.type in BREAKS:
            lines.append([])
        elif child.type != "text" or child.content.strip():
            lines[-1].append(child)
    return [line for line in lines if line]


def _picture(line: list[Token]) -> Token | None:
    """Return the picture that a line is: alone, or alone inside a link."""
    if len(line) == 1 and line[0].type == "image":
        return line[0]
    if len(line) == 3 and _is_link(line) and line[1].type == "image":
        return line[1]
    return None


def _is_link(line: list[Token]) -> bool:
    """Whether a line is one link and nothing else."""
    if line[0].type != "link_open" or line[-1].type != "link_close":
        return False
    return sum(child.type == "link_open" for child in line) == 1


def _part_fields(tokens: list[Token]) -> tuple[dict[str, list[Token]], list[Token]]:
    """Part the fields of Markdown, which the fence rule put first, from the block's text."""
    fields: dict[str, list[Token]] = {}
    index = 0
    while index < len(tokens) and tokens[index].type == "field_open":
        end = next(i for i in range(index, len(tokens)) if tokens[i].type == "field_close")
        fields[tokens[index].meta["name"]] = tokens[index + 1 : end]
        index = end + 1
    return fields, tokens[index:]
