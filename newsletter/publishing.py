"""The verbs of editors: begin, check, approve, proof, correct.

In: settings, the engine of the database, an issue's id, `now`. Out: what the doors show. Never: a
decision about time (``schedule``), a message (``delivery``), a run begun (``running``).
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape

from sqlalchemy import Connection, Engine

from newsletter.checks.catalogue import errors, in_order
from newsletter.checks.checked import every_node
from newsletter.config import Settings, find_person
from newsletter.content import files
from newsletter.content.calendar import Slot, local_day, long_date, next_free_slot, slot_near
from newsletter.content.headers import alias
from newsletter.editions import (
    Draft,
    draft_issue,
    freeze,
    read_frozen,
    read_number,
    render_web,
    wanted_json,
)
from newsletter.errors import ChecksFailed, ConfigError, Conflict, FileError, NotApproved, NotFound
from newsletter.model import (
    Approval,
    Block,
    Digest,
    Edition,
    Finding,
    Issue,
    IssueId,
)
from newsletter.spelling import advise
from newsletter.store import audience, content, database, runs
from newsletter.store.content import Correction, Filed
from newsletter.words import translate

# --- approving -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Signatures:
    """Who has signed what: ``complete`` when enough people signed this digest."""

    digest: Digest
    by: tuple[str, ...]
    needed: int

    @property
    def complete(self) -> bool:
        return len(self.by) >= self.needed


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """What came of one signature."""

    signatures: Signatures
    picks: tuple[str, ...]
    readers: int  # how many would receive it today
    findings: tuple[Finding, ...]


def approve(
    settings: Settings, engine: Engine, issue_id: IssueId, *, by: str, now: dt.datetime
) -> Approved:
    """Freeze the edition as it stands, and sign its digest.

    Raise NotFound when there is no such folder, ChecksFailed when the checks find an error,
    NotApproved when *by* may not sign, Conflict when the issue has begun to leave.
    """
    name = find_person(settings, by)
    _require_folder(settings, issue_id)
    draft = draft_issue(settings, engine, issue_id)
    issue, edition = _sound(draft, issue_id)
    _check_author(settings, issue, name)
    with database.write(engine) as connection:
        _refuse_begun(connection, issue_id)
        content.save_edition(connection, edition, _file(issue), now)
        content.add_approval(
            connection, Approval(issue_id=issue_id, digest=edition.digest, by=name, at=now)
        )
        signatures = _signatures(connection, settings, edition.digest, issue_id)
        readers = audience.count_audience(connection, edition.audience_rule, settings, issue.day)
    return Approved(
        signatures=signatures, picks=edition.picks, readers=readers, findings=draft.findings
    )


def withdraw(
    settings: Settings, engine: Engine, issue_id: IssueId, *, by: str, now: dt.datetime
) -> int:
    """Void every signature of an issue; return how many. Raise Conflict once it leaves."""
    find_person(settings, by)
    with database.write(engine) as connection:
        _refuse_begun(connection, issue_id)
        return content.withdraw_approvals(connection, issue_id, now)


def _check_author(settings: Settings, issue: Issue, name: str) -> None:
    if settings.approval.author_may_approve:
        return
    if not issue.author:  # else leaving the line out would lift the rule
        key = alias("author", settings.publication.language)
        raise NotApproved(
            f"the issue {issue.id} does not say who wrote it",
            remedy=f"write « {key}: NAME » in its header: [approval] author_may_approve is off",
        )
    if issue.author.casefold() == name.casefold():
        raise NotApproved(
            f"{name} wrote this issue and may not approve it",
            remedy="ask somebody else: [approval] author_may_approve is off",
        )


def _refuse_begun(connection: Connection, issue_id: IssueId) -> None:
    run = runs.read_run(connection, issue_id)
    if run is not None and run.started_at is not None:
        raise Conflict(
            f"the issue {issue_id} has begun to leave",
            remedy=f"correct its web copy: newsletter correct {issue_id} --note TEXT --by NAME",
        )


def _sound(draft: Draft, issue_id: IssueId) -> tuple[Issue, Edition]:
    """Return the issue and the edition of a draft without errors."""
    wrong = errors(draft.findings)
    if wrong or draft.issue is None or draft.edition is None:
        raise ChecksFailed(
            f"the issue {issue_id} has {len(wrong)} error(s)",
            findings=draft.findings,
            remedy=f"see them with: newsletter check {issue_id}",
        )
    return draft.issue, draft.edition


def _signatures(
    connection: Connection, settings: Settings, digest: Digest, issue_id: IssueId
) -> Signatures:
    given = content.read_approvals(connection, issue_id)
    by = tuple(dict.fromkeys(approval.by for approval in given if approval.digest == digest))
    return Signatures(digest=digest, by=by, needed=settings.approval.needed)


def approval_state(settings: Settings, engine: Engine, issue_id: IssueId) -> tuple[Signatures, ...]:
    """Return the signatures of an issue, one for each digest signed, the newest first."""
    with database.read(engine) as connection:
        given = content.read_approvals(connection, issue_id)
        digests = dict.fromkeys(approval.digest for approval in reversed(given))
        return tuple(_signatures(connection, settings, one, issue_id) for one in digests)


def _file(issue: Issue) -> Filed:
    """What the archive searches, and what the next rendering must know."""
    stories = issue.stories
    return Filed(
        number=issue.number,
        author=issue.author,
        search={
            "wanted_examples": wanted_json(issue),
            "examples": freeze(issue.examples),
            "theme": issue.theme,
            "titles": [story.title for story in stories],
            "kinds": _distinct(story.kind for story in stories),
            "objectives": _distinct(name for story in stories for name in story.objectives),
            "sdgs": sorted({goal for story in stories for goal in story.sdgs}),
            "territories": _distinct(story.territory for story in stories),
            "profiles": _distinct(name for story in stories for name in story.profiles),
            "blocks": _distinct(n.name for n in every_node(issue) if isinstance(n, Block)),
        },
    )


def _distinct(words: Iterable[str]) -> list[str]:
    return [word for word in dict.fromkeys(words) if word]


# --- checking and proofing -----------------------------------------------------------------------


def check(
    settings: Settings, engine: Engine, issue_id: IssueId, *, extra: Sequence[Finding] = ()
) -> Draft:
    """Return the issue as it stands, its spelling too; *extra* findings join the others.

    Raise NotFound when there is no such folder.
    """
    _require_folder(settings, issue_id)
    draft = draft_issue(settings, engine, issue_id)
    spelling = advise(draft.checked) if draft.checked else ()
    found = in_order((*draft.findings, *extra, *spelling))
    return replace(draft, findings=found)


def require_rendering(draft: Draft, issue_id: IssueId) -> tuple[Issue, Edition]:
    """Return the issue and the edition of a draft; raise ChecksFailed when there is none."""
    if draft.edition is None or draft.issue is None:
        raise ChecksFailed(
            f"the issue {issue_id} cannot be rendered",
            findings=draft.findings,
            remedy=f"newsletter check {issue_id}",
        )
    return draft.issue, draft.edition


def _require_folder(settings: Settings, issue_id: IssueId) -> None:
    if issue_id not in files.list_issues(settings):
        known = files.is_issue_id(issue_id)
        raise NotFound(
            f"there is no issue {issue_id}",
            remedy=f"newsletter new {issue_id}" if known else "write its day, such as 2026-11-26",
        )


def proof_number(engine: Engine, edition: Edition, issue: Issue, now: dt.datetime) -> int:
    """Keep an edition that is proofed, and return N of [BAT vN] (DESIGN 7)."""
    with database.write(engine) as connection:
        content.save_edition(connection, edition, _file(issue), now)
        return content.number_proof(connection, edition.issue_id, edition.digest, now)


# --- correcting ----------------------------------------------------------------------------------


def correct(
    settings: Settings,
    engine: Engine,
    issue_id: IssueId,
    *,
    note: str,
    by: str,
    now: dt.datetime,
) -> Correction:
    """Render the web copy again with a dated note below its title; the original is kept.

    Raise ConfigError for an empty note, Conflict before the issue has left: until then one edits
    it.
    """
    name = find_person(settings, by)
    if not note.strip():
        raise ConfigError("a correction says what was wrong", key="note", remedy="--note TEXT")
    with database.read(engine) as connection:
        run = runs.read_run(connection, issue_id)
        edition = content.read_edition(connection, run.digest) if run and run.digest else None
        frozen = read_frozen(connection, edition.digest) if edition else ()
        earlier = content.read_corrections(connection, issue_id)
    if run is None or run.started_at is None or edition is None:
        raise Conflict(
            f"the issue {issue_id} has not left yet",
            remedy="correct its files, and have it approved again",
        )
    web = render_web(settings, engine, issue_id, frozen=frozen)
    notes = [(one.at, one.note) for one in earlier] + [(now, note)]
    correction = Correction(
        issue_id=issue_id, at=now, by=name, note=note, web=_with_notes(web, notes, settings)
    )
    with database.write(engine) as connection:
        content.add_correction(connection, correction)
    return correction


def _with_notes(web: str, notes: Sequence[tuple[dt.datetime, str]], settings: Settings) -> str:
    language = settings.publication.language
    said = "".join(
        '<p class="correction" role="note">'
        + escape(
            translate(
                "Corrected on {day}: {note}",
                language,
                {"day": long_date(local_day(at, settings), language), "note": note},
            )
        )
        + "</p>"
        for at, note in notes
    )
    return web.replace("</h1>", f"</h1>{said}", 1)


# --- beginning -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A new issue's folder: what was written, and when it leaves."""

    issue_id: IssueId
    files: tuple[str, ...]
    slot: Slot
    why: str = ""  # why it does not leave on its usual day, or not by itself


def new_issue(
    settings: Settings, engine: Engine, now: dt.datetime, issue_id: str | None = None
) -> Begun:
    """Write ``issues/ID/`` for the next free slot, or for the day asked for.

    Raise ConfigError when ID is no day, Conflict when its folder is there already, FileError when
    it cannot be written.
    """
    taken = files.list_issues(settings)
    with database.read(engine) as connection:
        settled = runs.settled_since(connection, now)
    if issue_id is not None and not files.is_issue_id(issue_id):
        raise ConfigError(f"{issue_id!r} is no day", remedy="write for instance 2026-11-26")
    if issue_id is None:
        slot = next_free_slot(settings, {*taken, *settled}, now)
    else:
        slot = slot_near(dt.date.fromisoformat(issue_id), settings)
    name = IssueId(issue_id or slot.issue_id)
    folder = settings.issues_dir / name
    if folder.exists():
        raise Conflict(f"there is an issue {name} already", remedy=f"newsletter check {name}")
    number = max((read_number(settings, one) or 0 for one in taken), default=0) + 1
    written = {"issue.md": _issue_text(settings, number), **_story_text(settings)}
    try:
        (folder / "images").mkdir(parents=True)
        for file, text in written.items():
            (folder / file).write_text(text, encoding="utf-8")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)  # half an issue would be in the next one's way
        raise FileError(
            f"cannot be written: {error.strerror}",
            path=str(folder),
            remedy="make room or mend its rights, then run it again",
        ) from None
    return Begun(
        issue_id=name,
        files=tuple(f"issues/{name}/{file}" for file in written),
        slot=slot,
        why=_why(settings, name, slot, settled),
    )


def _why(settings: Settings, name: IssueId, slot: Slot, settled: Collection[IssueId]) -> str:
    language = settings.publication.language
    if name not in settled and slot.moved and name in {slot.issue_id, slot.nominal.isoformat()}:
        facts = {
            "day": long_date(slot.nominal, language),
            "holiday": slot.holiday,
            "moved": long_date(slot.day, language),
        }
        return translate("{day} is a holiday ({holiday}): it leaves on {moved}.", language, facts)
    if slot.skipped or slot.issue_id != name or name in settled:
        day = long_date(dt.date.fromisoformat(name), language)
        return translate("No issue leaves on {day} by itself.", language, {"day": day})
    return ""


def _issue_text(settings: Settings, number: int) -> str:
    language = settings.publication.language
    header = (
        ("number", str(number)),
        ("subject", translate("The subject of your issue", language)),
        ("preheader", translate("One line that completes the subject.", language)),
        ("examples", "0"),
    )
    greeting = "{{ %s | %s }}," % (  # noqa: UP031 - braces are the field's own
        alias("first_name", language),
        translate("Hello", language),
    )
    body = translate("Your editorial, in a few lines.", language)
    return _file_text(settings, header, f"{greeting}\n\n{body}\n")


def _story_text(settings: Settings) -> dict[str, str]:
    language = settings.publication.language
    header = (("title", translate("Your first story", language)),)
    body = translate("Write here, in Markdown: paragraphs, links, pictures, blocks.", language)
    return {f"10-{translate('story', language)}.md": _file_text(settings, header, f"{body}\n")}


def _file_text(settings: Settings, header: Sequence[tuple[str, str]], body: str) -> str:
    language = settings.publication.language
    lines = "".join(f"{alias(name, language)}: {value}\n" for name, value in header)
    return f"---\n{lines}---\n{body}"
