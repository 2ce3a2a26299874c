"""report, resolve: who received it, and what to do about those nobody knows of."""

from __future__ import annotations

from datetime import UTC
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from newsletter.cli import output
from newsletter.cli.app import app
from newsletter.cli.options import AsJson, ConfigPath, IssueArgument, Publication, now
from newsletter.cli.output import Exit
from newsletter.cli.sending import ASK_RELAY, say_how_to_go_on, show_doubts
from newsletter.errors import ConfigError
from newsletter.model import DeliveryState, IssueId

if TYPE_CHECKING:
    from sqlalchemy import Engine


class Breakdown(StrEnum):
    """What readers can be counted by, beside their state."""

    REASON = "reason"
    DOMAIN = "domain"


@app.command(rich_help_panel="After")
def report(
    issue_id: IssueArgument,
    *,
    state: Annotated[
        DeliveryState | None, typer.Option(help="Also list who is in this state, and why.")
    ] = None,
    by: Annotated[
        Breakdown | None, typer.Option(help="Also count the readers by reason or by domain.")
    ] = None,
    events: Annotated[
        bool, typer.Option("--events", help="Print the run's events instead, a JSON line each.")
    ] = False,
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Say who received it, who did not, and why."""
    from newsletter import running

    if events and (state or by):
        raise ConfigError(
            "--events prints every event, alone", key="events", remedy="drop --state and --by"
        )
    publication, name = Publication(config), IssueId(issue_id)
    engine = publication.engine
    if events:
        return _print_events(engine, name, as_json=as_json)
    document = running.report(engine, name, state=state) | _list_worries(engine, name)
    if by is not None:
        document[f"by_{by.value}"] = _break_down(engine, name, by)
    if as_json:
        output.show_json(document)
        return Exit.DONE
    show_report(document)
    _show_trouble(publication, name, document["trouble"])
    if by is not None:
        columns = {"readers": "READERS", "state": "STATE", by.value: by.value.upper()}
        output.table(document[f"by_{by.value}"], columns)
    return Exit.DONE


def _list_worries(engine: Engine, name: IssueId) -> dict[str, Any]:
    """Return what the run waits for, and what it could not believe."""
    from newsletter import running
    from newsletter.store import breakdown, database, trouble

    run = running.read(engine, name)
    with database.read(engine) as connection:
        known = trouble.find_trouble(connection, run)
        doubts = breakdown.list_doubts(connection, run.id)
    said = {"said": known.said, "since": known.since} if known else None
    return {"trouble": said, "doubts": doubts}


def _show_trouble(publication: Publication, name: IssueId, trouble: dict[str, Any] | None) -> None:
    """Say what the run waits for, in the relay's words, and the commands that go on."""
    from newsletter import running
    from newsletter.delivery.states import SELF_STOPS
    from newsletter.sending import say_instant

    run = running.read(publication.engine, name)
    if trouble is not None:
        output.say(f"    {trouble['said']}")
        since = say_instant(trouble["since"], publication.settings.publication.zone)
        output.say(f"    so since {since}")
        if not run.stopped:
            output.say(f"    {ASK_RELAY.format(issue=name)}")
    by_itself = run.stopped and run.reason in SELF_STOPS
    say_how_to_go_on(publication.engine, run.id, name, is_stopped=by_itself)
    if run.stopped and not by_itself:
        output.say(f"    newsletter send {name} goes on")


def _print_events(engine: Engine, name: IssueId, *, as_json: bool) -> int:
    from newsletter import running
    from newsletter.store import breakdown, database

    run_id = running.read(engine, name).id
    with database.read(engine) as connection:
        events = breakdown.stream_events(connection, run_id)
        if as_json:  # one document, held in memory; without, a line each, whatever their number
            output.show_json({"issue": name, "events": [*events]})
            return Exit.DONE
        for event in events:
            output.show_json_line(event)
    return Exit.DONE


def _break_down(engine: Engine, name: IssueId, by: Breakdown) -> list[dict[str, Any]]:
    from newsletter import running
    from newsletter.store import breakdown, database

    run_id = running.read(engine, name).id
    count = breakdown.count_by_reason if by is Breakdown.REASON else breakdown.count_by_domain
    with database.read(engine) as connection:
        counted = count(connection, run_id)
    return [
        {"state": state, by.value: what, "readers": readers} for state, what, readers in counted
    ]


def show_report(document: dict[str, Any]) -> None:
    """Print a report for people; it adds up on one line."""
    from newsletter.running import TALLY

    run_state = document["run"]
    reason = f" ({run_state['reason']})" if run_state["reason"] else ""
    output.say(f"{document['issue']}: {run_state['state']}{reason}")
    parts = [name for name in TALLY[1:9] if document[name]]
    total = " + ".join(f"{document[name]} {name}" for name in parts) or "0"
    output.say(f"    audience {document['audience']} = {total}")
    for name in TALLY[9:]:
        if document[name]:
            said = "settled as they are" if name == "left" else name
            output.say(f"    of them {document[name]} {said}")
    show_doubts(document["doubts"])
    for reader in document.get("readers", ()):
        shown = (reader["reason"], reader["reply"])
        output.say(f"    {reader['address'] or '(erased)'}  " + "  ".join(filter(None, shown)))
    if document["unknown"] > document["left"]:
        output.say(
            f"    newsletter resolve {document['issue']} settles the unknown, with one of: "
            "--relay-log FILE (by proof), --resend (some may get it twice), "
            "--leave (some may not have it)"
        )


@app.command(rich_help_panel="After")
def resolve(
    issue_id: IssueArgument,
    *,
    relay_log: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Settle by the relay's log: what it took was sent."),
    ] = None,
    resend: Annotated[
        bool, typer.Option("--resend", help="Send again to the unknown; some may get it twice.")
    ] = False,
    leave: Annotated[
        bool, typer.Option("--leave", help="Leave the unknown as they are, settled.")
    ] = False,
    retry: Annotated[
        str, typer.Option(metavar="REASON", help="Reopen the refused of this reason: policy, size…")
    ] = "",
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Settle those who may or may not have received it."""
    chosen = (relay_log is not None, resend, leave, bool(retry))
    if sum(chosen) != 1:
        raise ConfigError(
            "say how: one of --relay-log FILE, --resend, --leave, --retry REASON", key="resolve"
        )
    publication, name = Publication(config), IssueId(issue_id)
    if relay_log is not None:
        settled = _resolve_by_log(publication, name, relay_log)
    else:
        settled = _resolve_by_hand(publication, name, resend=resend, leave=leave, retry=retry)
    if as_json:
        output.show_json({"issue": issue_id, **settled})
    else:
        output.say(f"{issue_id}: " + ", ".join(f"{settled[name]} {name}" for name in settled))
        if settled.get("pending"):
            output.say(f"Next: newsletter send {issue_id}")
    return Exit.DECIDE if settled["unknown"] else Exit.DONE


def _resolve_by_log(publication: Publication, name: IssueId, file: Path) -> dict[str, int]:
    from newsletter import running
    from newsletter.delivery import resolving

    run_id = running.read(publication.engine, name).id
    try:
        # The relay writes the local time of its machine, without saying which.
        with file.open(encoding="utf-8", errors="replace") as lines:
            found = resolving.resolve_by_log(
                publication.engine,
                publication.keys,
                run_id,
                lines,
                now=now(),
                zone=now().astimezone().tzinfo or UTC,
            )
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=str(file)) from None
    for why, count in found.why.items():
        output.whisper(f"{count} unknown still: {why}")
    return {"sent": found.found, "pending": found.absent, "unknown": found.doubted}


def _resolve_by_hand(
    publication: Publication, name: IssueId, *, resend: bool, leave: bool, retry: str
) -> dict[str, int]:
    from newsletter import running
    from newsletter.delivery import resolving

    engine = publication.engine
    run_id = running.read(engine, name).id
    settled: dict[str, int] = {}
    if resend:
        settled["pending"] = resolving.resend(engine, run_id, now=now())
    elif leave:
        settled["left"] = resolving.leave(engine, run_id, now=now())
    else:
        settled["pending"] = resolving.retry(engine, run_id, retry, now=now())
    after = running.report(engine, name)
    return {**settled, "unknown": after["unknown"] - after["left"]}
