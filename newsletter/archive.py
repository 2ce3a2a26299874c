"""Issues that left → plain files that any web server can show, or a double click.

In: settings, the database, a folder. Out: ``ID/index.html``, ``index.html``, ``feed.xml`` (Atom,
RFC 4287), ``search.json``, ``media/*``; the same issues give the same bytes. Never: an issue that
has not left, an issue rendered on the way, a file taken away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from sqlalchemy import Connection, Engine, select

from newsletter.config import Settings
from newsletter.content.calendar import long_date
from newsletter.errors import ConfigError
from newsletter.mail import holes
from newsletter.mail.daily import read_on
from newsletter.model import RunState
from newsletter.store import content, database
from newsletter.store.schema import edition, run
from newsletter.templating import blaming, open_templates

ATOM = "http://www.w3.org/2005/Atom"
LEFT = (RunState.DISPATCHING, RunState.DONE)
_MEDIA_NAME = r"[0-9a-f]{64}\.[a-z]+"
_ARTICLE = re.compile(r"<article\b.*</article>", re.DOTALL)
# What an archive without issues says of its age.
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """One issue that left; ``web`` is its last correction when it was corrected."""

    id: str
    number: int
    subject: str
    preheader: str
    web: str
    mail: str  # as it was sent, to nobody in particular
    left_at: datetime
    changed_at: datetime
    corrected: bool
    media: tuple[str, ...]
    search: Mapping[str, Any]

    @property
    def day(self) -> date:
        return date.fromisoformat(self.id)


def write_archive(
    settings: Settings, engine: Engine, out: Path, *, today: date
) -> tuple[Path, ...]:
    """Write the whole archive and return its files; what has not changed is left untouched.

    Raise ConfigError when the folder cannot be written.
    """
    with database.read(engine) as connection:
        issues = tuple(_read_issues(connection, today))
        files = dict(_files(settings, issues))
        files |= _read_media(connection, (name for issue in issues for name in issue.media))
    for name, octets in files.items():
        _write(out / name, octets)
    return tuple(out / name for name in sorted(files))


def _write(path: Path, octets: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_bytes() != octets:
            path.write_bytes(octets)
    except OSError as error:
        raise ConfigError(
            f"cannot be written: {error.strerror}",
            path=str(path),
            remedy="make room or mend its rights, or name another with --out",
        ) from None


# --- what left -----------------------------------------------------------------------------------


def _read_issues(connection: Connection, today: date) -> Iterator[Archived]:
    """Yield the issues that left, the newest first."""
    query = (
        select(edition, run.c.started_at)
        .join_from(run, edition, run.c.digest == edition.c.digest)
        .where(run.c.kind == "issue", run.c.state.in_(LEFT), run.c.started_at.is_not(None))
        .order_by(run.c.issue_id.desc())
    )
    for row in connection.execute(query).all():
        corrections = content.read_corrections(connection, row.issue_id)
        last = corrections[-1] if corrections else None
        web = read_on(last.web if last else row.web, today)
        yield Archived(
            id=row.issue_id,
            number=row.number,
            subject=row.subject,
            preheader=row.preheader,
            web=web,
            mail=holes.fill(row.html, {}, is_html=True),
            left_at=row.started_at,
            changed_at=last.at if last else row.started_at,
            corrected=last is not None,
            media=tuple(dict.fromkeys((*row.pictures, *_named_media(web)))),
            search=row.search or {},
        )


def _named_media(web: str) -> list[str]:
    return re.findall(rf"/media/({_MEDIA_NAME})", web)


def _read_media(connection: Connection, names: Iterable[str]) -> dict[str, bytes]:
    found = (content.read_picture(connection, name) for name in sorted(set(names)))
    return {f"media/{picture.name}": picture.content for picture in found if picture}


# --- the files -----------------------------------------------------------------------------------


def _files(settings: Settings, issues: tuple[Archived, ...]) -> Iterator[tuple[str, bytes]]:
    for issue in issues:
        yield f"{issue.id}/index.html", _localise(issue.web, settings).encode()
        yield f"{issue.id}/mail.html", _localise(issue.mail, settings).encode()
    yield "index.html", _index(settings, issues).encode()
    yield "feed.xml", _feed(settings, issues)
    yield "search.json", _search(settings, issues).encode()


def _localise(web: str, settings: Settings) -> str:
    """Point pictures, and the list of issues, at the files beside the page."""
    base = re.escape(settings.publication.base_url)
    web = re.sub(rf"{base}/media/({_MEDIA_NAME})", r"../media/\1", web)
    return re.sub(rf'href="{base}/archive/"', 'href="../index.html"', web)


def _index(settings: Settings, issues: tuple[Archived, ...]) -> str:
    """Render the list: by month, then by theme."""
    language = settings.publication.language
    entries = [_entry(issue, settings) for issue in issues]
    path = "web/archive.html.j2"
    templates = open_templates(settings)
    with blaming(settings.root, path=f"templates/{path}"):
        return templates.html.get_template(path).render(
            publication=settings.publication.model_dump(),
            look=templates.theme,
            language=language,
            home_url=f"{settings.publication.base_url}/",
            archive_url="index.html",
            months=[
                {"label": label, "issues": list(those)}
                for label, those in groupby(entries, lambda entry: entry["month"])
            ],
            themes=_by_theme(entries),
        )


def _entry(issue: Archived, settings: Settings) -> dict[str, Any]:
    day = long_date(issue.day, settings.publication.language)
    return {
        "id": issue.id,
        "url": f"{issue.id}/index.html",
        "number": issue.number,
        "subject": issue.subject,
        "preheader": issue.preheader,
        "day_label": day,
        "month": " ".join(day.split(" ")[2:]),
        "theme": _theme(issue, settings),
        "corrected": issue.corrected,
    }


def _theme(issue: Archived, settings: Settings) -> str:
    """The label of an objective, or the theme as it was written."""
    theme = str(issue.search.get("theme") or "")
    labels = {term.slug: term.label for term in settings.taxonomy.objectives}
    return labels.get(theme, theme)


def _by_theme(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    themes = sorted({entry["theme"] for entry in entries if entry["theme"]})
    return [
        {"label": theme, "issues": [entry for entry in entries if entry["theme"] == theme]}
        for theme in themes
    ]


def _search(settings: Settings, issues: tuple[Archived, ...]) -> str:
    """Return what a page of search needs, the newest first."""
    kept = ("titles", "kinds", "objectives", "sdgs", "territories", "profiles")
    rows = [
        {
            "id": issue.id,
            "number": issue.number,
            "subject": issue.subject,
            "preheader": issue.preheader,
            "theme": _theme(issue, settings),
            "url": f"{settings.publication.base_url}/{issue.id}/",
            **{name: issue.search.get(name, []) for name in kept},
        }
        for issue in issues
    ]
    return json.dumps({"issues": rows}, ensure_ascii=False, indent=1) + "\n"


# --- the feed ------------------------------------------------------------------------------------


def _feed(settings: Settings, issues: tuple[Archived, ...]) -> bytes:
    """Return the Atom feed (RFC 4287), each entry with its whole article."""
    publication = settings.publication
    home = f"{publication.base_url}/"
    feed = ET.Element(
        "feed", {"xmlns": ATOM, "{http://www.w3.org/XML/1998/namespace}lang": publication.language}
    )
    _add(feed, "id", home)
    _add(feed, "title", publication.name)
    if publication.description:
        _add(feed, "subtitle", publication.description)
    _add(feed, "updated", _instant(max((one.changed_at for one in issues), default=_NEVER)))
    _add(_add(feed, "author"), "name", publication.publisher or publication.name)
    _add(feed, "link", href=home)
    _add(feed, "link", rel="self", type="application/atom+xml", href=f"{home}feed.xml")
    for issue in issues:
        _add_entry(feed, issue, settings)
    ET.indent(feed, " ")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(feed, "unicode")}\n'.encode()


def _add_entry(feed: ET.Element, issue: Archived, settings: Settings) -> None:
    url = f"{settings.publication.base_url}/{issue.id}/"
    entry = _add(feed, "entry")
    _add(entry, "id", url)
    _add(entry, "title", issue.subject)
    _add(entry, "published", _instant(issue.left_at))
    _add(entry, "updated", _instant(issue.changed_at))
    _add(entry, "link", href=url)
    theme = str(issue.search.get("theme") or "")
    if theme:
        _add(entry, "category", term=theme, label=_theme(issue, settings))
    if issue.preheader:
        _add(entry, "summary", issue.preheader)
    article = _ARTICLE.search(issue.web)
    if article:
        _add(entry, "content", _plain(article[0]), type="html")


def _add(parent: ET.Element, name: str, text: str | None = None, **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, name, attributes)
    child.text = text
    return child


def _plain(text: str) -> str:
    """Leave out what XML 1.0 cannot carry (section 2.2)."""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "", text)


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
