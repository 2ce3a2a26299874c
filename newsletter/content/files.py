"""The publication's folder → issues, registries and pictures. The only file of content/ that reads.

In: settings, an issue's id. Out: what ``issues``, ``registries`` and ``debris`` make of the bytes.
Never: a path outside the publication's folder, through ``..``, an absolute path or a link; an
exception for what an editor did: everything wrong is a finding. (A broken *template* raises
RenderingError: that is not an editor's file.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from newsletter.audience.segments import FREQUENCY_WORDS
from newsletter.config import FILE_NAME, Settings
from newsletter.content.blocks import BlockDeclaration
from newsletter.content.debris import compose, decode, is_text
from newsletter.content.faults import find, shorten
from newsletter.content.house import House, Refusal
from newsletter.content.issues import SourceText, build_issue
from newsletter.content.registries import SHAPES, Registries, file_of, line_of, read_registries
from newsletter.content.slugs import nearest
from newsletter.content.typography import open_profile
from newsletter.content.values import Kind
from newsletter.model import (
    Block,
    Convention,
    Finding,
    Issue,
    IssueId,
    Node,
    Partner,
    Place,
    Reading,
)
from newsletter.templating import Templates, open_templates

MAX_TEXT_BYTES: Final = 500_000
MAX_PICTURE_BYTES: Final = 12_000_000
PICTURES: Final = frozenset({".jpg", ".jpeg", ".png", ".gif"})
STORIES: Final = frozenset({".md", ".markdown"})
# What editors drop into the folder by mistake, thinking that it will be read.
MISTAKEN: Final = frozenset({".docx", ".doc", ".odt", ".rtf", ".txt", ".html", ".pages", ".mdx"})
ISSUE_FILE: Final = "issue.md"


def list_issues(settings: Settings) -> tuple[IssueId, ...]:
    """Return the ids of all issue folders, the oldest first; other folders are not issues."""
    try:
        names = [path.name for path in settings.issues_dir.iterdir() if path.is_dir()]
    except OSError:
        return ()
    return tuple(IssueId(name) for name in sorted(names) if is_issue_id(name))


def is_issue_id(name: str) -> bool:
    """Whether a folder's name is a day, written 2026-11-26."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", name):
        return False
    try:
        date.fromisoformat(name)
    except ValueError:
        return False
    return True


def read_issue(
    settings: Settings, issue_id: IssueId, *, templates: Templates | None = None
) -> Reading:
    """Read one issue; return it, or None, with all findings at once.

    *templates* saves opening them again. Raise RenderingError when a block file is wrong.
    """
    folder = settings.issues_dir / issue_id
    shown = f"issues/{shorten(issue_id)}"
    if not is_issue_id(issue_id):
        return _nothing(find("bad_folder", Place(shown, 1), folder=shorten(issue_id)))
    if not folder.is_dir():
        return _nothing(find("no_folder", Place(shown, 1), folder=issue_id))
    if not (folder / ISSUE_FILE).is_file():
        return _nothing(find("no_issue_file", Place(f"{shown}/{ISSUE_FILE}", 1), folder=issue_id))
    templates = templates or open_templates(settings)
    registries = load_registries(settings)
    house = _open_house(settings, templates, registries)
    findings: list[Finding] = []
    try:
        files = sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError as error:
        return _nothing(find("unreadable", Place(shown, 1), reason=str(error.strerror)))
    findings.extend(_find_ignored(files, shown))
    sources = list(_read_sources(settings, files, findings))
    if not sources or not sources[0].file.endswith(f"/{ISSUE_FILE}"):
        return Reading(issue=None, findings=(*findings, *registries.findings))
    reading = build_issue(issue_id, sources, house)
    return Reading(
        issue=reading.issue, findings=(*findings, *reading.findings, *registries.findings)
    )


def _nothing(finding: Finding) -> Reading:
    return Reading(issue=None, findings=(finding,))


def _open_house(settings: Settings, templates: Templates, registries: Registries) -> House:
    language = settings.publication.language
    typography = templates.theme.get("typography", {})
    nnbsp = not isinstance(typography, Mapping) or typography.get("nnbsp", True) is not False
    words, taxonomy = registries.protected, settings.taxonomy
    return House(
        language=language,
        profile=open_profile(language, nnbsp=nnbsp, protected=words),
        plain=open_profile(language, nnbsp=False, protected=words),
        blocks=templates.blocks,
        registries=registries,
        terms={
            "kind": taxonomy.kinds,
            "objectives": taxonomy.objectives,
            "territory": taxonomy.territories,
            "profiles": taxonomy.profiles,
        },
        segments=(*settings.segments, *FREQUENCY_WORDS),
        people=tuple(person.name for person in settings.people),
        find_picture=lambda path, file: _find_picture(settings, path, file),
    )


# --- texts ----------------------------------------------------------------------------------------


def _is_story(path: Path) -> bool:
    return path.suffix.lower() in STORIES and path.name != ISSUE_FILE and not _is_hidden(path.name)


def _is_hidden(name: str) -> bool:
    """Editors' programs leave files beside the text: .#x, ~$x, ._x."""
    return name.startswith((".", "~", "_", "#"))


def _find_ignored(files: Sequence[Path], shown: str) -> Iterator[Finding]:
    for path in files:
        if path.suffix.lower() in MISTAKEN and not _is_hidden(path.name):
            yield find("ignored_file", Place(f"{shown}/{path.name}", 1), name=shorten(path.name))


def _read_sources(
    settings: Settings, files: Sequence[Path], findings: list[Finding]
) -> Iterator[SourceText]:
    """Read issue.md first, then the stories in the order of their names."""
    issue = [path for path in files if path.name == ISSUE_FILE]
    for path in [*issue, *filter(_is_story, files)]:
        shown = path.relative_to(settings.root).as_posix()
        text = _read_text(settings, path, shown, findings)
        if text is not None and not text.strip():
            findings.append(find("empty_file", Place(shown, 1)))
        elif text is not None:
            yield SourceText(shown, text)


def _read_text(settings: Settings, path: Path, shown: str, findings: list[Finding]) -> str | None:
    place = Place(shown, 1)
    try:
        if not path.resolve().is_relative_to(settings.root.resolve()):
            findings.append(find("outside_file", place))
            return None
        size = path.stat().st_size
        if size > MAX_TEXT_BYTES:
            limit = MAX_TEXT_BYTES // 1000
            findings.append(find("too_large", place, size=size // 1000, limit=limit))
            return None
        content = path.read_bytes()
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        findings.append(find("unreadable", place, reason=shorten(reason)))
        return None
    if not is_text(content):
        findings.append(find("not_text", place))
        return None
    cleaned = decode(content, shown)
    findings.extend(cleaned.findings)
    return cleaned.text


def load_registries(settings: Settings) -> Registries:
    """Read partners, sources and glossary; their mistakes are in ``Registries.findings``."""
    findings: list[Finding] = []
    texts: dict[str, str] = {}
    for name in SHAPES:
        shown = file_of(name)
        path = settings.root / shown
        if path.exists():
            text = _read_text(settings, path, shown, findings)
            texts[name] = text or ""
    registries = read_registries(texts)
    partners, logos = _settle_logos(settings, registries, texts.get("partners", ""))
    return replace(
        registries, partners=partners, findings=(*findings, *registries.findings, *logos)
    )


def _settle_logos(
    settings: Settings, registries: Registries, text: str
) -> tuple[dict[str, Partner], list[Finding]]:
    """Give each partner the logo's real path, or none. It counts from the publication's folder."""
    partners: dict[str, Partner] = {}
    findings: list[Finding] = []
    for key, partner in registries.partners.items():
        logo = _find_picture(settings, partner.logo, FILE_NAME) if partner.logo else ""
        if isinstance(logo, Refusal):
            place = Place(file_of("partners"), line_of(text, key, "logo"))
            findings.append(find(logo.code, place, **logo.facts))
            logo = ""
        partners[key] = replace(partner, logo=logo)
    return partners, findings


# --- pictures -------------------------------------------------------------------------------------


def _find_picture(settings: Settings, written: str, file: str) -> str | Refusal:
    """Return the path in the publication of a picture written in *file*, or why not."""
    if re.match(r"[A-Za-z][\w+.-]*:|//", written) and not re.match(r"[A-Za-z]:[\\/]", written):
        return Refusal("picture_remote", {"path": shorten(written)})
    path = written.replace("\\", "/")
    if path.startswith("/") or ":" in path or "\0" in path:
        return Refusal("picture_outside", {"path": shorten(written)})
    folder = (settings.root / file).parent
    for candidate in dict.fromkeys((path, unquote(path))):
        found = _look(folder / candidate)
        if found:
            return _judge_picture(settings, found, written)
    root = settings.root.resolve()
    try:
        inside = (folder / path).resolve().is_relative_to(root)
    except (OSError, RuntimeError, ValueError):
        inside = False
    if not inside:
        return Refusal("picture_outside", {"path": shorten(written)})
    return Refusal(
        "picture_missing", {"path": shorten(written), "nearest": _nearest_picture(folder, path)}
    )


def _look(path: Path) -> Path | None:
    """Find a file also when case or the composition of accents differ (Windows, macOS)."""
    try:
        if path.is_file():
            return path
        wanted = compose(path.name).casefold()
        names = sorted(path.parent.iterdir()) if path.parent.is_dir() else []
    except (OSError, ValueError):
        return None
    return next(
        (one for one in names if compose(one.name).casefold() == wanted and one.is_file()), None
    )


def _judge_picture(settings: Settings, path: Path, written: str) -> str | Refusal:
    shown = shorten(written)
    root = settings.root.resolve()
    try:
        real = path.resolve()
        size = real.stat().st_size
    except (OSError, RuntimeError):
        return Refusal("picture_missing", {"path": shown, "nearest": ""})
    if not real.is_relative_to(root):
        return Refusal("picture_outside", {"path": shown})
    if real.suffix.lower() not in PICTURES:
        return Refusal("picture_kind", {"path": shown})
    if size > MAX_PICTURE_BYTES:
        limit = MAX_PICTURE_BYTES // 1_000_000
        return Refusal(
            "picture_large", {"path": shown, "size": size // 1_000_000 + 1, "limit": limit}
        )
    if size == 0:
        return Refusal("picture_empty", {"path": shown})
    return real.relative_to(root).as_posix()


def _nearest_picture(folder: Path, path: str) -> str:
    pictures = folder / "images"
    try:
        names = [one.name for one in pictures.iterdir()] if pictures.is_dir() else []
    except OSError:
        names = []
    near = nearest(path.rpartition("/")[2], names)
    return f"images/{near}" if near else ""


def read_pictures(settings: Settings, issue: Issue) -> Mapping[str, bytes]:
    """Return the bytes of every picture the issue names, by path in the publication.

    A picture that has gone since the issue was read is left out.
    """
    templates, registries = open_templates(settings), load_registries(settings)
    nodes = [*issue.edito, *(node for story in issue.stories for node in story.nodes)]
    paths = dict.fromkeys(_named_pictures(nodes, templates.blocks, registries))
    pictures: dict[str, bytes] = {}
    for path in paths:
        try:
            pictures[path] = (settings.root / path).read_bytes()
        except OSError:
            continue
    return pictures


def _named_pictures(
    nodes: Iterable[Node],
    blocks: Mapping[str, BlockDeclaration],
    registries: Registries,
) -> Iterator[str]:
    for node in nodes:
        if not isinstance(node, Block):
            continue
        if node.convention in {Convention.FIGURE, Convention.THUMBNAIL}:
            yield str(node.fields["src"])
        elif node.convention is None and node.name in blocks:
            yield from _field_pictures(node, blocks[node.name], registries)
        yield from _named_pictures(node.body, blocks, registries)


def _field_pictures(
    block: Block, declaration: BlockDeclaration, registries: Registries
) -> Iterator[str]:
    for name, value in block.fields.items():
        kind = declaration.fields[name].kind
        if kind is Kind.IMAGE:
            yield str(value)
        elif kind is Kind.PARTNERS and isinstance(value, tuple):
            partners = (registries.partners.get(key) for key in value)
            yield from (partner.logo for partner in partners if partner and partner.logo)
