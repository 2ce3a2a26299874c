"""subscribers import, export, add, show, pause, unsubscribe, erase."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from newsletter import words
from newsletter.cli import output
from newsletter.cli.app import app
from newsletter.cli.options import AsJson, ConfigPath, Publication, name_actor, now
from newsletter.cli.output import Exit
from newsletter.errors import ConfigError
from newsletter.model import Finding, Severity, SubscriberState

if TYPE_CHECKING:
    from newsletter.audience.importing import ImportPlan
    from newsletter.config import Settings

subscribers = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The people who receive, and their rights.",
)
app.add_typer(subscribers, name="subscribers", rich_help_panel="People")

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="Their address, in any spelling.")]
By = Annotated[
    str, typer.Option("--by", metavar="NAME", help="Who does it (default: your login name).")
]
Basis = Annotated[
    str, typer.Option(metavar="B", help="Legal basis: consentement, interet_legitime_pro…")
]
Evidence = Annotated[
    str, typer.Option(metavar="TEXT", help="What proves it: a form, a date, a signed list.")
]


# A wrong file has a finding in each of its lines: nobody reads half a million.
MOST_SHOWN = 100
MOST_PLACES = 10


@subscribers.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV: UTF-8, or Excel's own.")],
    *,
    basis: Basis = "",
    evidence: Evidence = "",
    apply: Annotated[
        bool, typer.Option("--apply", help="Do it; without this, only say what would be done.")
    ] = False,
    by: By = "",
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Plan an import; with --apply, do it.

    Nobody who left, was suppressed or erased comes back by an import.
    """
    from newsletter.membership import import_subscribers

    publication = Publication(config)
    plan = import_subscribers(
        publication.settings,
        publication.engine,
        publication.keys,
        _read(file),
        file=file.name,
        now=now(),
        basis=basis,
        evidence=evidence,
        by=name_actor(publication.settings, by),
        apply=apply,
    )
    if as_json:
        output.show_json(_plan_json(plan, publication.settings, applied=apply))
    else:
        _show_plan(plan, publication.settings, file, applied=apply)
    return Exit.DECIDE if plan.refused else Exit.DONE


def _read(file: Path) -> bytes:
    from newsletter.audience.sheets import MAX_BYTES

    try:
        with file.open("rb") as opened:  # a byte more says that it is too large, were it endless
            return opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=str(file)) from None


def _plan_json(plan: ImportPlan, settings: Settings, *, applied: bool) -> dict[str, Any]:
    language = settings.publication.language
    return {
        "applied": applied,
        "counts": plan.counts,
        "findings": [
            output.finding_json(words.say(finding, language)) for finding in plan.findings
        ],
    }


def _show_plan(plan: ImportPlan, settings: Settings, file: Path, *, applied: bool) -> None:
    language = settings.publication.language
    remarks = _gather(plan.findings)
    remarks.sort(key=lambda alike: alike[0].severity is not Severity.ERROR)
    for first, *others in sorted(remarks[:MOST_SHOWN], key=lambda alike: alike[0].line or 0):
        output.show_findings([words.say(first, language)])
        if others:
            output.say(f"    The same in {len(others)} more: {_spell_lines(others)}")
    if len(remarks) > MOST_SHOWN:
        more = sum(map(len, remarks[MOST_SHOWN:]))
        output.say(f"… and {more} more: --json lists them all.")
    done = "done" if applied else "would be done"
    counted = ", ".join(f"{name} {count}" for name, count in plan.counts.items())
    output.say(f"{file} ({plan.encoding}), {done}: {counted}")
    if not applied:
        output.say("Nothing was written. To do it, add --apply.")


def _gather(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Put together what is said of several lines in the same words."""
    remarks: dict[tuple[object, ...], list[Finding]] = {}
    for finding in findings:
        remarks.setdefault((finding.code, *finding.facts.items()), []).append(finding)
    return [*remarks.values()]


def _spell_lines(findings: Iterable[Finding]) -> str:
    """Spell where: "line 3, lines 5 to 9"."""
    stretches: list[list[int]] = []
    for line in (finding.line or 0 for finding in findings):
        if stretches and line == stretches[-1][-1] + 1:
            stretches[-1][1:] = [line]
        else:
            stretches.append([line])
    places = [
        f"lines {stretch[0]} to {stretch[-1]}" if len(stretch) > 1 else f"line {stretch[0]}"
        for stretch in stretches[:MOST_PLACES]
    ]
    return ", ".join(places) + ("…" if len(stretches) > MOST_PLACES else "")


@subscribers.command()
def export(
    *,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write (default: stdout).")
    ] = None,
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Write the list as CSV."""
    from newsletter.membership import export_subscribers

    lines = export_subscribers(Publication(config).engine)
    if out is None:
        if as_json:
            output.show_json({"people": [*csv.DictReader(lines)]})
        else:
            sys.stdout.writelines(lines)
        return Exit.DONE
    # The mark at the beginning tells Excel the encoding; the first line is the header.
    count = output.write_file(out, lines, encoding="utf-8-sig") - 1
    if as_json:
        output.show_json({"file": str(out), "people": count})
    else:
        output.say(f"{out}: {count} people")
    return Exit.DONE


@subscribers.command()
def add(
    address: Address,
    *,
    basis: Basis = "",
    evidence: Evidence = "",
    first_name: Annotated[str, typer.Option(help="Their first name.")] = "",
    last_name: Annotated[str, typer.Option(help="Their last name.")] = "",
    organisation: Annotated[str, typer.Option(help="Where they work.")] = "",
    by: By = "",
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Put one person on the list."""
    from newsletter.membership import add_subscriber

    publication = Publication(config)
    person = add_subscriber(
        publication.engine,
        publication.keys,
        address,
        basis=basis,
        evidence=evidence,
        by=name_actor(publication.settings, by),
        now=now(),
        first_name=first_name,
        last_name=last_name,
        organisation=organisation,
    )
    return _tell({"address": person.address, "state": person.state.value}, as_json=as_json)


@subscribers.command()
def show(address: Address, *, as_json: AsJson = False, config: ConfigPath = None) -> int:
    """Show everything we hold on a person."""
    from newsletter.membership import show_subscriber

    publication = Publication(config)
    held = show_subscriber(publication.engine, publication.keys, address)
    if as_json:
        output.show_json(held)
    else:
        _show_mapping(held)
    return Exit.DONE


def _show_mapping(held: dict[str, Any], indent: str = "") -> None:
    for name, value in held.items():
        if isinstance(value, dict):
            output.say(f"{indent}{name}:")
            _show_mapping(value, indent + "  ")
        elif isinstance(value, list):
            output.say(f"{indent}{name}: {len(value)}")
            for item in value:
                shown = item if isinstance(item, dict) else {"": item}
                output.say(f"{indent}  - " + ", ".join(f"{k} {v}" for k, v in shown.items() if v))
        elif value not in (None, ""):
            output.say(f"{indent}{name}: {value}")


@subscribers.command()
def pause(
    address: Address,
    *,
    until: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Last day without mail (default: no end)."),
    ] = None,
    by: By = "",
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Stop writing to a person until a day."""
    from newsletter.content.calendar import local_day
    from newsletter.membership import pause_subscriber

    publication = Publication(config)
    day: date | None = until.date() if until else None
    if day is not None and day < local_day(now(), publication.settings):
        raise ConfigError(f"{day} is over", key="until", remedy="give a day to come, or none")
    person = pause_subscriber(
        publication.engine,
        publication.keys,
        address,
        until=day,
        by=name_actor(publication.settings, by),
        now=now(),
    )
    told = {"address": person.address, "state": person.state.value, "until": str(day or "")}
    return _tell(told, as_json=as_json)


@subscribers.command()
def unsubscribe(
    address: Address, *, by: By = "", as_json: AsJson = False, config: ConfigPath = None
) -> int:
    """Let a person go, at once."""
    from newsletter.membership import unsubscribe_address

    publication = Publication(config)
    former = unsubscribe_address(
        publication.engine,
        publication.keys,
        address,
        by=name_actor(publication.settings, by),
        now=now(),
    )
    return _tell({"address": address, "state": _say_left(former)}, as_json=as_json)


def _say_left(former: SubscriberState | None) -> str:
    """Say what came of it, by what the person was: a mistyped address leaves the real one on."""
    if former is None:
        return "was not on the list; kept out from now on: check the spelling"
    if former in {SubscriberState.UNSUBSCRIBED, SubscriberState.SUPPRESSED}:
        return f"was {former.value} already"
    return "unsubscribed"


@subscribers.command()
def erase(address: Address, *, as_json: AsJson = False, config: ConfigPath = None) -> int:
    """Forget a person.

    Only a keyed fingerprint stays, so that no import brings them back.
    """
    from newsletter.membership import erase_address

    publication = Publication(config)
    known = erase_address(publication.engine, publication.keys, address, now=now())
    return _tell({"state": "erased" if known else "was not known"}, as_json=as_json)


def _tell(told: dict[str, str], *, as_json: bool) -> int:
    if as_json:
        output.show_json(told)
    else:
        output.say(", ".join(f"{name} {value}" for name, value in told.items() if value))
    return Exit.DONE
