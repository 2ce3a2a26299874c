"""new, check, render, approve, correct: what editors do with an issue."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from newsletter import words
from newsletter.cli import output
from newsletter.cli.app import app
from newsletter.cli.options import AsJson, ConfigPath, IssueArgument, Publication, name_actor, now
from newsletter.cli.output import Exit
from newsletter.errors import ChecksFailed, ConfigError
from newsletter.model import IssueId, RunState, Severity

if TYPE_CHECKING:
    from newsletter.editions import Draft
    from newsletter.model import Finding

By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who says so.")]


@app.command(rich_help_panel="Write")
def new(
    issue_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="The day it leaves (default: next free).")
    ] = None,
    *,
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Begin an issue, for the next free slot or a day."""
    from newsletter.publishing import new_issue

    publication = Publication(config)
    begun = new_issue(publication.settings, publication.engine, now(), issue_id)
    if as_json:
        output.show_json(
            {"issue": begun.issue_id, "files": begun.files, "slot": begun.slot.at, "why": begun.why}
        )
        return Exit.DONE
    for file in begun.files:
        output.say(file)
    if begun.why:
        output.say(begun.why)
    output.say(
        f"Next: write (newsletter blocks shows how), then: newsletter check {begun.issue_id}"
    )
    return Exit.DONE


@app.command(rich_help_panel="Write")
def check(
    issue_id: IssueArgument,
    *,
    online: Annotated[
        bool, typer.Option("--online", help="Also ask each link whether it answers.")
    ] = False,
    sarif: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the findings as SARIF.")
    ] = None,
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Say everything wrong or doubtful in an issue.

    Each finding has its file, its line and a remedy; the exit code is 1 when one is an error.
    """
    from newsletter.publishing import check as check_issue

    publication = Publication(config)
    name = IssueId(issue_id)
    draft = check_issue(publication.settings, publication.engine, name)
    if online:
        draft = check_issue(
            publication.settings,
            publication.engine,
            name,
            extra=_ask_links(publication, draft),
        )
    findings = _said(draft.findings, publication)
    if sarif is not None:
        _write_sarif(sarif, findings)
    wrong = any(finding.severity is Severity.ERROR for finding in findings)
    digest = draft.edition.digest if draft.edition else None
    if as_json:
        output.show_json(
            {
                "issue": issue_id,
                "digest": digest,
                "findings": [output.finding_json(finding) for finding in findings],
            }
        )
    else:
        output.show_findings(findings)
        output.say(_summary(issue_id, draft))
        if draft.edition and not wrong:
            _say_next(publication, name)
    return Exit.DECIDE if wrong else Exit.DONE


def _say_next(publication: Publication, name: IssueId) -> None:
    """Name the step after a sound check; there is none once the issue has begun to leave."""
    from newsletter.store import database, runs

    with database.read(publication.engine) as connection:
        run = runs.read_run(connection, name)
    if run is None or run.started_at is None:
        by = " --by NAME" if publication.settings.people else ""
        output.say(f"Next: newsletter preview {name}, then: newsletter approve {name}{by}")


def _ask_links(publication: Publication, draft: Draft) -> tuple[Finding, ...]:
    from newsletter.checks.online import ask_links

    return ask_links(draft.issue, publication.settings) if draft.issue else ()


def _said(findings: tuple[Finding, ...], publication: Publication) -> list[Finding]:
    language = publication.settings.publication.language
    return [words.say(finding, language) for finding in findings]


def _write_sarif(file: Path, findings: list[Finding]) -> None:
    from importlib.metadata import version

    from newsletter.checks.sarif import to_sarif

    document = json.dumps(to_sarif(findings, version("newsletter")), ensure_ascii=False, indent=2)
    output.write_file(file, [document, "\n"])


def _summary(issue_id: str, draft: Draft) -> str:
    counts = {
        severity: sum(finding.severity is severity for finding in draft.findings)
        for severity in Severity
    }
    said = ", ".join(_count(counts[severity], severity) for severity in Severity)
    if not draft.edition:
        return f"{issue_id}: {said}; it cannot be rendered yet"
    return f"{issue_id}: {said}; digest {draft.edition.digest[:12]}"


def _count(number: int, severity: Severity) -> str:
    plural = "s" if number != 1 and severity is not Severity.ADVICE else ""
    return f"{number} {severity.value}{plural}"


@app.command(rich_help_panel="Write")
def render(
    issue_id: IssueArgument,
    *,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to write (default: out/ID).")
    ] = None,
    inline_images: Annotated[
        bool, typer.Option("--inline-images", help="Put the pictures into the page itself.")
    ] = False,
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Write the issue as files that open by a click.

    index.html, web.html, issue.txt, issue.eml, social.txt, edition.json and the pictures.
    """
    from newsletter.publishing import check as check_issue
    from newsletter.publishing import require_rendering
    from newsletter.rendering import write_rendering

    publication = Publication(config)
    draft = check_issue(publication.settings, publication.engine, IssueId(issue_id))
    issue, edition = require_rendering(draft, IssueId(issue_id))
    folder = out or publication.settings.root / "out" / issue_id
    written = write_rendering(
        publication.settings,
        issue,
        edition,
        folder,
        inline_images=inline_images,
    )
    if as_json:
        output.show_json(
            {
                "issue": issue_id,
                "digest": edition.digest,
                "files": [str(path) for path in written],
            }
        )
        return Exit.DONE
    output.show_findings(_said(draft.findings, publication))
    for path in written:
        output.say(str(path))
    return Exit.DONE


@app.command(rich_help_panel="Send")
def approve(
    issue_id: IssueArgument,
    *,
    by: By = "",
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Void the signatures instead of adding one.")
    ] = False,
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Sign the issue as it stands now.

    These very bytes leave; one comma changed afterwards voids the signature.
    """
    from newsletter import publishing

    publication = Publication(config)
    settings, engine, name = publication.settings, publication.engine, IssueId(issue_id)
    if settings.people and not by:
        asked = "who withdraws?" if withdraw else "who approves?"
        raise ConfigError(asked, key="by", remedy="say it: --by NAME")
    who = name_actor(settings, by)
    if withdraw:
        count = publishing.withdraw(settings, engine, name, by=who, now=now())
        told: dict[str, Any] = {"issue": issue_id, "withdrawn": count}
        output.show_json(told) if as_json else output.say(f"{issue_id}: {count} signature(s) void")
        return Exit.DONE
    try:
        approved = publishing.approve(settings, engine, name, by=who, now=now())
    except ChecksFailed as failed:
        if not as_json:
            output.show_findings(_said(failed.findings, publication))
        raise
    signatures = approved.signatures
    if as_json:
        output.show_json(
            {
                "issue": issue_id,
                "digest": signatures.digest,
                "by": signatures.by,
                "needed": signatures.needed,
                "complete": signatures.complete,
                "picks": approved.picks,
                "readers": approved.readers,
            }
        )
        return Exit.DONE if signatures.complete else Exit.DECIDE
    output.show_findings(_said(approved.findings, publication))
    output.say(f"{issue_id} approved by {', '.join(signatures.by)} ({signatures.digest[:12]})")
    output.say(_say_readers(approved.readers))
    missing = signatures.needed - len(signatures.by)
    if missing > 0:
        output.say(f"{missing} more signature(s) needed before it may leave.")
        return Exit.DECIDE
    output.say(_next_departure(publication, name))
    return Exit.DONE


def _say_readers(count: int) -> str:
    if count:
        return f"{count} people would receive it today."
    return (
        "! nobody on the list would receive it: it will be held until somebody does\n"
        "    → newsletter subscribers import FILE --apply"
    )


def _next_departure(publication: Publication, issue_id: IssueId) -> str:
    from newsletter.content.calendar import slot_leaving_on
    from newsletter.delivery.departure import Step, next_step
    from newsletter.sending import say_instant
    from newsletter.store import database, runs

    settings = publication.settings
    with database.read(publication.engine) as connection:
        run = runs.read_run(connection, issue_id)
    if run is not None and run.state is RunState.SKIPPED:
        return f"Skipped ({run.reason}): it leaves only by newsletter send {issue_id} --now"
    slot = slot_leaving_on(date.fromisoformat(issue_id), settings)
    if slot is None:
        return f"No issue leaves on that day by itself. Next: newsletter send {issue_id} --now"
    lateness = timedelta(hours=settings.schedule.max_lateness_h)
    match next_step(run, now(), slot_at=slot.at, max_lateness=lateness):
        case Step.WAIT:
            leaves = say_instant(slot.at, settings.publication.zone)
            return f"It leaves on {leaves}. Sooner: newsletter send {issue_id} --now"
        case Step.JUDGE:
            return f"Its time has come. Next: newsletter send {issue_id}"
        case _:
            return f"Its time is over. Next: newsletter send {issue_id} --now"


@app.command(rich_help_panel="After")
def correct(
    issue_id: IssueArgument,
    *,
    note: Annotated[str, typer.Option(metavar="TEXT", help="What was wrong, for readers.")],
    by: By,
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Correct the web copy, with a dated note."""
    from newsletter import publishing

    publication = Publication(config)
    correction = publishing.correct(
        publication.settings, publication.engine, IssueId(issue_id), note=note, by=by, now=now()
    )
    if as_json:
        output.show_json(
            {"issue": issue_id, "at": correction.at, "by": correction.by, "note": correction.note}
        )
    else:
        output.say(f"{issue_id}: the web copy is corrected; the original is kept.")
    return Exit.DONE
