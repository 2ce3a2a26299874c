"""An issue's folder → its edition and everything the checks say of it.

In: settings, the database of examples, an issue's id, the day it would leave. Out: ``Draft``.
Never: a row written; ``publishing`` decides what is kept, ``schedule`` when it leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Engine

from newsletter.audience.segments import parse_rule
from newsletter.checks.catalogue import in_order, run_checks
from newsletter.checks.checked import Checked, Figure, figures
from newsletter.checks.faults import find
from newsletter.config import FILE_NAME, Settings
from newsletter.content import files
from newsletter.content.headers import read_front_matter, spellings
from newsletter.content.issues import ISSUE_KEYS, STORY_KEYS
from newsletter.content.registries import Registries
from newsletter.content.slugs import fold
from newsletter.errors import ConfigError, ContentError, RenderingError
from newsletter.examples import curate
from newsletter.mail.render import render_edition, render_web_copy
from newsletter.model import Block, Digest, Edition, Example, Finding, Issue, IssueId, Node, Place
from newsletter.store import content, database, examples
from newsletter.templating import Templates, open_templates

# How far back a figure's wording is compared, and an example's region is balanced.
RECENT_ISSUES = 8
_EXAMPLES = TypeAdapter(tuple[Example, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An issue as it stands now: ``edition`` is None when it cannot be rendered."""

    issue: Issue | None = None
    edition: Edition | None = None
    findings: tuple[Finding, ...] = ()
    checked: Checked | None = None  # what the checks were given


def draft_issue(
    settings: Settings,
    engine: Engine,
    issue_id: IssueId,
    *,
    today: date | None = None,
    frozen: Sequence[Example] | None = None,
) -> Draft:
    """Read, pick, render and check one issue.

    ``frozen`` are the examples to show, word for word; without, those of the last approval while
    the header asks for as many, else a fresh pick (DESIGN 5.8): what a feed says later changes
    nothing that was signed. ``today`` is the day of departure, by default the folder's.
    """
    if not (settings.templates_dir / "theme.toml").is_file():
        raise ConfigError(
            "there are no templates here",
            path=str(settings.templates_dir),
            remedy="bring the folder back, or copy the one that newsletter init makes elsewhere",
        )
    try:
        templates = open_templates(settings)
    except RenderingError as error:
        return Draft(findings=(_say_rendering(error),))
    reading = files.read_issue(settings, issue_id, templates=templates)
    if reading.issue is None:
        return Draft(findings=reading.findings)
    issue, doubts = _with_examples(settings, engine, reading.issue, frozen)
    registries = files.load_registries(settings)
    edition, faults = _render(settings, presentable(issue, templates), templates, registries)
    checked = _gather(settings, engine, issue, templates, registries)
    checked = replace(checked, edition=edition, today=today or issue.day)
    found = _without_echoes((*reading.findings, *doubts, *faults, *run_checks(checked)))
    return Draft(issue=issue, edition=edition, findings=in_order(found), checked=checked)


# --- examples ------------------------------------------------------------------------------------


def _with_examples(
    settings: Settings, engine: Engine, issue: Issue, frozen: Sequence[Example] | None
) -> tuple[Issue, tuple[Finding, ...]]:
    with database.read(engine) as connection:
        if frozen is None:
            frozen = _approved_examples(connection, issue)
        if frozen is not None:
            return replace(issue, examples=tuple(frozen)), ()
        known = examples.candidates(connection)
        recent = examples.recent_features(connection, RECENT_ISSUES)
    taxonomy = settings.taxonomy
    # What this very issue has featured already (it has left) is still its own.
    mine = tuple(_without(example, issue.id) for example in known)
    others = tuple(example for example in recent if set(example.featured_in) - {issue.id})
    try:
        chosen = curate.pick(
            mine,
            issue.wanted_examples,
            others,
            objectives=[term.slug for term in taxonomy.objectives],
            regions=[term.slug for term in taxonomy.territories],
        )
    except ContentError as error:
        place = Place(issue.place.file, _header_lines(settings, issue).get("examples", 1))
        return issue, tuple(
            replace(finding, file=place.file, line=place.line) for finding in error.findings
        )
    return replace(issue, examples=chosen), ()


def _without(example: Example, issue_id: str) -> Example:
    others = tuple(one for one in example.featured_in if one != issue_id)
    return replace(example, featured_in=others)


def _approved_examples(connection: Connection, issue: Issue) -> tuple[Example, ...] | None:
    """The examples of the newest approval, when the header still asks for the same."""
    for approval in reversed(content.read_approvals(connection, issue.id)):
        filed = content.read_filed(connection, approval.digest)
        if filed is None:
            continue
        asked = (filed.search or {}).get("wanted_examples")
        return _thaw(filed) if asked == wanted_json(issue) else None
    return None


def read_frozen(connection: Connection, digest: Digest) -> tuple[Example, ...]:
    """Return the examples of a kept edition as they were worded when it was kept."""
    filed = content.read_filed(connection, digest)
    return _thaw(filed) if filed else ()


def freeze(shown: Sequence[Example]) -> list[dict[str, Any]]:
    """Return examples as JSON keeps them."""
    frozen: list[dict[str, Any]] = _EXAMPLES.dump_python(tuple(shown), mode="json")
    return frozen


def _thaw(filed: content.Filed) -> tuple[Example, ...]:
    return _EXAMPLES.validate_python((filed.search or {}).get("examples", ()))


def wanted_json(issue: Issue) -> int | list[str]:
    """What the header asks for, as JSON keeps it."""
    wanted = issue.wanted_examples
    return wanted if isinstance(wanted, int) else list(wanted)


# --- rendering -----------------------------------------------------------------------------------


def _render(
    settings: Settings, issue: Issue, templates: Templates, registries: Registries
) -> tuple[Edition | None, tuple[Finding, ...]]:
    if not issue.subject:  # reading has said so; the template would be blamed for the title
        return None, ()
    try:
        edition = render_edition(
            issue,
            templates=templates,
            settings=settings,
            pictures=files.read_pictures(settings, issue),
            registries=registries,
            audience_rule=parse_rule(settings, issue),
        )
    except RenderingError as error:
        return None, (_say_rendering(error),)
    except ContentError as error:
        return None, error.findings
    return edition, ()


def render_web(
    settings: Settings, engine: Engine, issue_id: IssueId, *, frozen: Sequence[Example]
) -> str:
    """Return the web copy of the files as they stand; raise ContentError when they are gone."""
    templates = open_templates(settings)
    reading = files.read_issue(settings, issue_id, templates=templates)
    if reading.issue is None:
        raise ContentError(f"the issue {issue_id} cannot be read", findings=reading.findings)
    issue, _ = _with_examples(settings, engine, reading.issue, frozen)
    return render_web_copy(
        presentable(issue, templates),
        templates=templates,
        settings=settings,
        pictures=files.read_pictures(settings, issue),
        registries=files.load_registries(settings),
    )


def _say_rendering(error: RenderingError) -> Finding:
    place = Place(error.path, error.line or 1) if error.path else None
    remedy = error.remedy or f"See the block “{error.block}”." if error.block else error.remedy
    return find("rendering", place, reason=error.message, remedy=remedy or "See newsletter blocks.")


def presentable(issue: Issue, templates: Templates) -> Issue:
    """Return the issue without the blocks that lack a required field.

    Reading has reported each; the rest can still be shown, and checked.
    """
    stories = tuple(
        replace(story, nodes=_presentable(story.nodes, templates)) for story in issue.stories
    )
    return replace(issue, edito=_presentable(issue.edito, templates), stories=stories)


def _presentable(nodes: Sequence[Node], templates: Templates) -> tuple[Node, ...]:
    kept: list[Node] = []
    for node in nodes:
        if isinstance(node, Block):
            declared = templates.blocks.get(node.name)
            fields = declared.fields.values() if declared and not node.convention else ()
            if any(field.required and field.name not in node.fields for field in fields):
                continue
            kept.append(replace(node, body=_presentable(node.body, templates)))
        else:
            kept.append(node)
    return tuple(kept)


def _without_echoes(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Leave out what only repeats another finding.

    A figure cites no source where the source it names is unknown; an audience cannot be told where
    the reading has found the segment unknown; a file without a header lacks all that stands in one.
    """
    unknown = {(f.file, f.line) for f in findings if f.code == "unknown_source"}
    segment_told = any(finding.code == "unknown_segment" for finding in findings)
    headless = {finding.file for finding in findings if finding.code == "no_header"}

    def echoes(finding: Finding) -> bool:
        if finding.code == "unknown-segment":
            return segment_told
        if finding.code in {"no_preheader", "no_example"}:
            return finding.file in headless
        below = {(finding.file, (finding.line or 0) + lines) for lines in range(1, 6)}
        return finding.code == "figure_without_source" and not unknown.isdisjoint(below)

    return tuple(finding for finding in findings if not echoes(finding))


# --- what the checks need ------------------------------------------------------------------------


def _gather(
    settings: Settings,
    engine: Engine,
    issue: Issue,
    templates: Templates,
    registries: Registries,
) -> Checked:
    with database.read(engine) as connection:
        known = examples.candidates(connection)
    folders = files.list_issues(settings)
    fields = {
        name: {field.name: field.kind.value for field in block.fields.values()}
        for name, block in templates.blocks.items()
    }
    return Checked(
        issue=issue,
        settings=settings,
        today=issue.day,
        fields=fields,
        roles={name: block.role for name, block in templates.blocks.items() if block.role},
        sources=registries.sources,
        glossary=registries.glossary,
        featured={example.id: example.featured_in for example in known},
        folders=folders,
        numbers=dict(_numbers(settings, issue, folders)),
        figures=tuple(_recent_figures(settings, issue, folders, templates, fields)),
        lines={**_all_lines(settings, issue), **_setting_lines(settings)},
        accepted=frozenset(templates.theme.get("support", {}).get("accepted", ())),
    )


def _recent_figures(
    settings: Settings,
    issue: Issue,
    folders: Sequence[IssueId],
    templates: Templates,
    fields: Mapping[str, Mapping[str, str]],
) -> Iterator[Figure]:
    """Yield the figures of the last issues, the oldest first."""
    for issue_id in [folder for folder in folders if folder < issue.id][-RECENT_ISSUES:]:
        reading = files.read_issue(settings, issue_id, templates=templates)
        if reading.issue is not None:
            yield from figures(reading.issue, fields)


def _numbers(
    settings: Settings, issue: Issue, folders: Sequence[IssueId]
) -> Iterator[tuple[IssueId, int]]:
    for issue_id in folders:
        if issue_id != issue.id and (number := read_number(settings, issue_id)):
            yield issue_id, number


def read_number(settings: Settings, issue_id: IssueId) -> int | None:
    """Return the number in an issue's header, without reading the rest."""
    header = _read_header(settings, f"issues/{issue_id}/{files.ISSUE_FILE}", tuple(ISSUE_KEYS))
    value = header.get("number", ("", 0))[0]
    return int(value) if value.isdecimal() else None


def _all_lines(settings: Settings, issue: Issue) -> Mapping[tuple[str, str], int]:
    places = {issue.place.file: tuple(ISSUE_KEYS)}
    places |= {story.place.file: tuple(STORY_KEYS) for story in issue.stories}
    return {
        (file, name): line
        for file, names in places.items()
        for name, (_, line) in _read_header(settings, file, names).items()
    }


def _setting_lines(settings: Settings) -> Mapping[tuple[str, str], int]:
    """Return the first line of newsletter.toml that gives each key."""
    try:
        text = (settings.root / FILE_NAME).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return {}
    found: dict[tuple[str, str], int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        key = line.partition("=")[0].strip()
        if "=" in line and key.isidentifier():
            found.setdefault((FILE_NAME, key), number)
    return found


def _header_lines(settings: Settings, issue: Issue) -> Mapping[str, int]:
    header = _read_header(settings, issue.place.file, tuple(ISSUE_KEYS))
    return {name: line for name, (_, line) in header.items()}


def _read_header(
    settings: Settings, file: str, names: Sequence[str]
) -> Mapping[str, tuple[str, int]]:
    """Return the value and the line of each known key of a file's header."""
    try:
        text = (settings.root / file).read_bytes().decode("utf-8-sig", "replace")
    except OSError:
        return {}
    known = spellings(names, settings.publication.language)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    header = read_front_matter(lines, file, known)
    return {
        known[key]: (entry.value, entry.line)
        for entry in (header.entries if header else ())
        if (key := fold(entry.key)) in known
    }
