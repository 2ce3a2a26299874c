"""Notes, numbered once for the whole issue in the order in which readers meet them.

In: the parsed files in reading order, the sources. Out: the notes; every reference knows its
number. A label is looked up in its own file first, then among the sources; a source called twice
is one note. Never: a number that stands for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markdown_it.token import Token

from newsletter.content.faults import find, shorten
from newsletter.content.house import House
from newsletter.content.markdown import Definition, Parsed
from newsletter.content.registries import cite
from newsletter.content.slugs import nearest
from newsletter.content.typography import typeset_pieces
from newsletter.model import Note, Place, Source


def number_notes(files: Sequence[Parsed], house: House) -> tuple[Note, ...]:
    """Number the references of *files* and return their notes; findings go to each file."""
    notes: dict[tuple[str, str], Note] = {}
    calls: dict[tuple[str, str], int] = {}
    for parsed in files:
        waiting = list(_references(parsed.tokens))
        for reference, line in waiting:  # grows: a note may call another
            key = _look_up(reference.meta["label"], parsed, house)
            if key is None:
                _refuse(reference, line, parsed, house)
                continue
            if key not in notes:
                definition = parsed.notes.get(key[1]) if key[0] else None
                notes[key] = _make(len(notes) + 1, key[1], definition, house)
                waiting.extend(_references(definition.tokens if definition else []))
            calls[key] = calls.get(key, 0) + 1
            number = notes[key].number
            again = f"-{calls[key]}" if calls[key] > 1 else ""
            reference.meta = {
                "label": key[1],
                "number": number,
                "anchor": f"note-ref-{number}{again}",
            }
        for label, definition in parsed.notes.items():
            if (parsed.file, label) not in notes:
                place = Place(parsed.file, definition.line)
                parsed.findings.append(find("unused_note", place, label=shorten(label)))
    return tuple(notes.values())


def _look_up(label: str, parsed: Parsed, house: House) -> tuple[str, str] | None:
    if label in parsed.notes:
        return parsed.file, label
    return ("", label) if label in house.registries.sources else None


def _refuse(reference: Token, line: int, parsed: Parsed, house: House) -> None:
    label = shorten(reference.meta["label"])
    near = nearest(label, [*parsed.notes, *house.registries.sources])
    reference.type = "text"
    parsed.findings.append(
        find("unknown_note", Place(parsed.file, line), label=label, nearest=near)
    )


def _references(tokens: list[Token]) -> Iterator[tuple[Token, int]]:
    for token in tokens:
        line = (token.map or [0])[0] + 1
        for child in token.children or ():
            if child.type == "note_ref":
                at = child.meta.get("at", 0)
                yield child, line + token.content.count("\n", 0, at)


def _make(number: int, label: str, definition: Definition | None, house: House) -> Note:
    if definition is not None:
        return Note(number=number, label=label, body=tuple(definition.tokens))
    source = house.registries.sources[label]
    return Note(number=number, label=label, body=_cite_tokens(source, house), source=source)


def _cite_tokens(source: Source, house: House) -> tuple[Token, ...]:
    """Return the paragraph of a note that is a source; its title carries the link."""
    before, title, after = typeset_pieces(cite(source), house.profile)
    children = [_text(before), _text(title), _text(after)]
    if source.url:
        children[1:2] = [
            Token("link_open", "a", 1, attrs={"href": source.url}),
            children[1],
            Token("link_close", "a", -1),
        ]
    inline = Token("inline", "", 0, content="", children=children, block=True)
    return (
        Token("paragraph_open", "p", 1, block=True),
        inline,
        Token("paragraph_close", "p", -1, block=True),
    )


def _text(content: str | None) -> Token:
    return Token("text", "", 0, content=content or "")
