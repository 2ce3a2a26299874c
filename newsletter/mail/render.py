"""An issue → its edition: HTML and text with holes, the web copy, the pictures, the digest.

In: an issue with its picks, the publication's templates, settings, registries, the bytes of its
pictures. Out: an Edition; the same input gives the same bytes on any machine. Jinja runs first,
then MJML once for the whole issue (DESIGN 3). Never: a disk, a clock, a reader's name.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from newsletter.content.blocks import Role
from newsletter.content.markdown import render_mail, render_text, render_web
from newsletter.mail.daily import read_on
from newsletter.mail.lint import Origin, lint_html, lint_mjml
from newsletter.mail.nodes import (
    Spot,
    anchor_blocks,
    gather_sections,
    render_inside,
    render_rows,
    shift_headings,
    walk_blocks,
)
from newsletter.mail.preheader import padding
from newsletter.mail.press import (
    Press,
    call,
    convert,
    fill,
    finish,
    markup,
    origin_of,
    raise_first,
    refuse,
)
from newsletter.mail.text import fold
from newsletter.mail.theme import prose_styles
from newsletter.mail.view import WORDS_A_MINUTE, Album, Medium, view_issue, view_story
from newsletter.model import Block, Digest, Edition, Issue, Node, Prose, Story

if TYPE_CHECKING:
    from newsletter.config import Settings
    from newsletter.content.registries import Registries
    from newsletter.templating import Templates

STRUCTURE = "mail/structure.j2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What all three media of one issue share."""

    issue: Issue
    templates: Templates
    settings: Settings
    registries: Registries
    album: Album

    def press(self, medium: Medium, *, minutes: int = 0) -> Press:
        """Return the press for one medium; the mail and its text are frozen on the issue's day."""
        view = view_issue(
            self.issue,
            medium=medium,
            settings=self.settings,
            theme=self.templates.theme,
            registries=self.registries,
            album=self.album,
            today=self.issue.day,
            minutes=minutes,
        )
        return Press(medium=medium, templates=self.templates, view=view)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The édito (without a story), a story, or the examples that nobody placed."""

    nodes: Sequence[Node]
    story: Story | None = None


def render_edition(
    issue: Issue,
    *,
    templates: Templates,
    settings: Settings,
    pictures: Mapping[str, bytes],
    registries: Registries,
    audience_rule: str,
) -> Edition:
    """Return the frozen edition of *issue*; raise RenderingError at the first thing that fails."""
    album = Album(settings.publication.base_url, issue.id, pictures)
    bench = Bench(
        issue=issue, templates=templates, settings=settings, registries=registries, album=album
    )
    text, minutes = render_text_part(bench)
    html = render_html(bench, minutes)
    web = render_web_page(bench)
    parts = {
        "subject": issue.subject,
        "preheader": issue.preheader,
        "sender": settings.sender_header,
        "html": html,
        "text": text,
        "audience_rule": audience_rule,
    }
    return Edition(
        issue_id=issue.id,
        web=web,
        picks=tuple(example.id for example in issue.examples),
        pictures=tuple(album.used.values()),
        digest=digest_of(**parts),
        **parts,
    )


def render_web_copy(
    issue: Issue,
    *,
    templates: Templates,
    settings: Settings,
    pictures: Mapping[str, bytes],
    registries: Registries,
) -> str:
    """Return the public page, with what it says before, on and after a day (``daily.read_on``)."""
    album = Album(settings.publication.base_url, issue.id, pictures)
    bench = Bench(
        issue=issue, templates=templates, settings=settings, registries=registries, album=album
    )
    return render_web_page(bench)


def digest_of(
    *, subject: str, preheader: str, sender: str, html: str, text: str, audience_rule: str
) -> Digest:
    """Return the SHA-256 of what readers receive and of who they are (DESIGN 4).

    JSON keeps the parts apart: no two different editions give the same bytes to hash.
    """
    parts = json.dumps([subject, preheader, sender, html, text, audience_rule])
    return Digest(hashlib.sha256(parts.encode()).hexdigest())


# --- the parts of an issue -----------------------------------------------------------------------


def list_parts(bench: Bench) -> list[Part]:
    """Return the édito, the stories, then the examples when no block says where they stand."""
    issue, blocks = bench.issue, bench.templates.blocks
    parts = [Part(nodes=issue.edito)]
    parts += [Part(nodes=story.nodes, story=story) for story in issue.stories]
    name = next((name for name, known in blocks.items() if known.role is Role.EXAMPLES), None)
    placed = any(block.name == name for part in parts for block in walk_blocks(part.nodes))
    if issue.examples and not placed:
        if name is None:
            refuse(
                "no block has the role “examples”: the picked examples would be lost",
                Origin(template="templates/blocks", place=issue.place),
                'give one of templates/blocks the role "examples"',
            )
        parts.append(Part(nodes=(Block(name=name, place=issue.place),)))
    return [part for part in parts if part.nodes or part.story]


def spot_of(part: Part, bench: Bench) -> Spot:
    """Return where the nodes of *part* stand: below its title, or below the issue's."""
    level = 3 if part.story else 2
    slug = part.story.slug if part.story else "edito"
    return Spot(
        story=view_story(part.story, bench.settings) if part.story else {"title": "", "slug": slug},
        level=level,
        anchors=anchor_blocks([(slug, part.nodes)], bench.templates.blocks),
        shift=shift_headings(part.nodes, level),
    )


def view_notes(bench: Bench, medium: Medium) -> list[dict[str, Any]]:
    """Return the notes as a medium shows them, each with the anchors that call it.

    A note called only where the web copy alone shows it is listed there only; numbers never change.
    """
    called = _called_notes(bench, medium)
    styles = {**prose_styles(bench.templates.theme), "p": "display:inline"}
    seen = []
    for note in bench.issue.notes:
        if note.number not in called:
            continue
        if medium is Medium.TEXT:
            body = render_text(note.body)
            address = note.source.url if note.source else ""
            body = body if address in body else f"{body}\n{address}"
        elif medium is Medium.MAIL:
            body = markup(_unwrap(render_mail(note.body, styles)))
        else:
            body = markup(_unwrap(render_web(note.body)))
        seen.append({"number": note.number, "body": body, "refs": _references(bench, note.number)})
    return seen


def _unwrap(html: str) -> str:
    """Return a single paragraph without its tags: it stands inside another."""
    inside = re.fullmatch(r"<p[^>]*>((?:(?!</?p\b).)*)</p>\s*", html, re.DOTALL)
    return inside.group(1) if inside else html


def _references(bench: Bench, number: int) -> list[str]:
    """Return the anchors of the calls of a note, as the web copy carries them."""
    bodies = [note.body for note in bench.issue.notes]
    return [
        str(meta["anchor"])
        for tokens in (*_proses(bench, Medium.WEB), *bodies)
        for meta in _calls(tokens)
        if meta.get("number") == number
    ]


def _called_notes(bench: Bench, medium: Medium) -> set[int]:
    """Return the numbers that a medium shows, those that its notes call included."""
    bodies = {note.number: note.body for note in bench.issue.notes}
    called: set[int] = set()
    waiting = [meta["number"] for tokens in _proses(bench, medium) for meta in _calls(tokens)]
    while waiting:
        number = waiting.pop()
        if number not in called:
            called.add(number)
            waiting += [meta["number"] for meta in _calls(bodies.get(number, ()))]
    return called


def _calls(tokens: Sequence[Any]) -> Iterator[dict[str, Any]]:
    return (
        child.meta for token in tokens for child in token.children or () if child.type == "note_ref"
    )


def _proses(bench: Bench, medium: Medium) -> Iterator[Sequence[Any]]:
    """Yield the Markdown that a medium shows, fields of blocks included."""
    declared = bench.templates.blocks

    def walk(nodes: Iterable[Node]) -> Iterator[Sequence[Any]]:
        for node in nodes:
            if isinstance(node, Prose):
                yield node.tokens
                continue
            known = None if node.convention else declared.get(node.name)
            if known and known.role is Role.MORE and medium is not Medium.WEB:
                continue
            yield from walk(value for value in node.fields.values() if isinstance(value, Prose))
            yield from walk(node.body)

    for part in list_parts(bench):
        yield from walk(part.nodes)


# --- the text part -------------------------------------------------------------------------------


def render_text_part(bench: Bench) -> tuple[str, int]:
    """Return the text part and how many minutes it takes to read."""
    press = bench.press(Medium.TEXT)
    parts = [_text_of(part, press, bench) for part in list_parts(bench)]
    minutes = count_minutes("\n".join(parts))
    press = replace(
        press, view={**press.view, "minutes": minutes, "notes": view_notes(bench, Medium.TEXT)}
    )
    template = "mail/issue.txt.j2"
    return fold(fill(press, template, origin_of(template), parties=parts)), minutes


def _text_of(part: Part, press: Press, bench: Bench) -> str:
    spot = spot_of(part, bench)
    body = render_inside(part.nodes, press, spot)
    if part.story is None:
        return body
    template = "mail/structure_text.j2"
    head = call(press, template, "histoire", origin_of(template, part.story.place), spot.story)
    return f"{head}\n\n{body}"


def count_minutes(text: str) -> int:
    """Return the minutes that *text* takes to read, at least one; addresses do not count."""
    words = [word for word in re.findall(r"\S+", text) if any(map(str.isalpha, word))]
    return max(1, math.ceil(sum("://" not in word for word in words) / WORDS_A_MINUTE))


# --- the HTML part -------------------------------------------------------------------------------


def render_html(bench: Bench, minutes: int) -> str:
    """Return the HTML part: Jinja, then MJML once."""
    press = bench.press(Medium.MAIL, minutes=minutes)
    press = replace(press, view={**press.view, "notes": view_notes(bench, Medium.MAIL)})
    rows = [call(press, STRUCTURE, "tete", origin_of(STRUCTURE))]
    for part in list_parts(bench):
        rows += _rows_of(part, press, bench)
    if press.view["notes"]:
        rows.append(call(press, STRUCTURE, "notes", origin_of(STRUCTURE)))
    rows.append(call(press, STRUCTURE, "fin", origin_of(STRUCTURE)))
    template = "mail/issue.mjml.j2"
    origin = origin_of(template)
    mjml = fill(
        press,
        template,
        origin,
        sections=gather_sections(rows, press),
        preheader_padding=padding(bench.issue.preheader),
    )
    raise_first(lint_mjml(mjml, origin))
    html = finish(convert(mjml, origin))
    width = bench.templates.theme["layout"]["width"]
    findings = lint_html(html, origin, body_width=width)
    # Its weight is for `check` to say: a heavy message can still be looked at.
    raise_first(tuple(finding for finding in findings if finding.code != "too_heavy"))
    return html


def _rows_of(part: Part, press: Press, bench: Bench) -> list[str]:
    spot = spot_of(part, bench)
    rows: list[str] = []
    if part.story is not None:
        origin = origin_of(STRUCTURE, part.story.place)
        rows.append(call(press, STRUCTURE, "histoire", origin, spot.story))
    return rows + render_rows(part.nodes, press, spot)


# --- the web copy --------------------------------------------------------------------------------


def render_web_page(bench: Bench) -> str:
    """Return the public page."""
    press = bench.press(Medium.WEB)
    parts = []
    words = ""
    for part in list_parts(bench):
        spot = spot_of(part, bench)
        body = render_inside(part.nodes, press, spot)
        words += re.sub(r"<[^>]+>", " ", read_on(body, bench.issue.day))
        parts.append({"story": spot.story if part.story else None, "body": body})
    view = {
        **press.view,
        "minutes": count_minutes(words),
        "notes": view_notes(bench, Medium.WEB),
    }
    template = "web/issue.html.j2"
    page = fill(
        replace(press, view=view),
        template,
        origin_of(template),
        parties=parts,
        **{
            name: view[name]
            for name in ("publication", "look", "language", "home_url", "archive_url")
        },
    )
    return re.sub(r"\n\s*\n+", "\n", page)
