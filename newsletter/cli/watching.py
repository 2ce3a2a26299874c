"""collect, examples: the watch."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from newsletter import words
from newsletter.cli import output
from newsletter.cli.app import app
from newsletter.cli.options import AsJson, ConfigPath, Publication, now
from newsletter.cli.output import Exit
from newsletter.errors import ConfigError

if TYPE_CHECKING:
    from newsletter.examples.reports import CollectReport, EntryReport, FeedReport
    from newsletter.model import Finding


@app.command(rich_help_panel="Write")
def collect(*, as_json: AsJson = False, config: ConfigPath = None) -> int:
    """Poll the feeds and keep the examples they show."""
    from newsletter.examples import fetch

    publication = Publication(config)
    with output.progress_bar("feeds") as progress:
        report = fetch.collect(
            publication.settings,
            publication.engine,
            now(),
            lambda done, total, feed: progress(done, total, feed.title or feed.url),
        )
    language = publication.settings.publication.language
    if as_json:
        output.show_json(collect_json(report, language))
    else:
        _show_collect(report, language)
    return Exit.OUTSIDE if report.failed else Exit.DONE


def collect_json(report: CollectReport, language: str) -> dict[str, Any]:
    """Return the report of a collection as one JSON document."""

    def said(finding: Finding | None) -> dict[str, Any] | None:
        return output.finding_json(words.say(finding, language)) if finding else None

    def entry(one: EntryReport) -> dict[str, Any]:
        return {
            "outcome": one.outcome.value,
            "title": one.title,
            "link": one.link,
            "example": one.example_id,
            "reason": said(one.reason),
            "repairs": [said(repair) for repair in one.repairs],
        }

    return {
        "counts": report.counts,
        "feeds": [
            {
                "url": feed.url,
                "title": feed.title,
                "outcome": feed.outcome.value,
                "reason": said(feed.reason),
                "repairs": [said(repair) for repair in feed.repairs],
                "entries": [entry(one) for one in feed.entries],
            }
            for feed in report.feeds
        ],
        "findings": [said(finding) for finding in report.findings],
    }


def _show_collect(report: CollectReport, language: str) -> None:
    for feed in report.feeds:
        output.say(f"{feed.title or feed.url}: {feed.outcome.value}")
        _show_feed(feed, language)
    output.show_findings(words.say(finding, language) for finding in report.findings)
    output.say(", ".join(f"{name} {count}" for name, count in report.counts.items()))


def _show_feed(feed: FeedReport, language: str) -> None:
    if feed.reason:
        output.show_findings([words.say(feed.reason, language)])
    for repair in feed.repairs:
        output.say(f"  repaired: {words.say(repair, language).message}")
    for entry in feed.entries:
        if entry.outcome.value == "unchanged":
            continue
        output.say(f"  {entry.outcome.value:<9} {entry.example_id or '—':<32} {entry.title}")
        for repair in entry.repairs:
            output.say(f"            {words.say(repair, language).message}")
        if entry.reason:
            said = words.say(entry.reason, language)
            output.say(f"            {said.message} → {said.remedy}")


@app.command(rich_help_panel="Write")
def examples(
    *,
    unused: Annotated[
        bool, typer.Option("--unused", help="Only those never featured in an issue.")
    ] = False,
    objective: Annotated[str, typer.Option(help="Only those of this objective (slug).")] = "",
    search: Annotated[str, typer.Option(metavar="TEXT", help="Only those with these words.")] = "",
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """List what was collected, the freshest first."""
    from newsletter.store import database
    from newsletter.store.examples import list_examples

    publication = Publication(config)
    _know_objective(publication, objective)
    with database.read(publication.engine) as connection:
        found = list_examples(connection, unused=unused, objective=objective, search=search)
    if as_json:
        output.show_json({"examples": [asdict(example) for example in found]})
        return Exit.DONE
    output.table(
        (
            {
                "id": example.id,
                "objective": example.objective,
                "territory": example.territory,
                "featured": ", ".join(example.featured_in),
                "title": example.title,
            }
            for example in found
        ),
        {
            "id": "ID",
            "objective": "OBJECTIVE",
            "territory": "TERRITORY",
            "featured": "FEATURED IN",
            "title": "TITLE",
        },
    )
    output.say(f"{len(found)} examples")
    return Exit.DONE


def _know_objective(publication: Publication, objective: str) -> None:
    """A misspelt slug would answer that there are no examples."""
    known = [term.slug for term in publication.settings.taxonomy.objectives]
    if objective and objective not in known:
        raise ConfigError(
            f"{objective!r} is no objective of newsletter.toml",
            key="objective",
            remedy=f"one of: {', '.join(known)}" if known else "drop --objective",
        )
