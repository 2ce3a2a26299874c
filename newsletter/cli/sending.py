"""send, stop, skip, adopt: an issue on its way."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from newsletter.cli import output
from newsletter.cli.app import app
from newsletter.cli.options import AsJson, ConfigPath, IssueArgument, Publication, name_actor, now
from newsletter.cli.output import Exit
from newsletter.errors import ConfigError
from newsletter.model import IssueId, Run, RunState, Tally

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from sqlalchemy import Engine

    from newsletter.delivery.dispatch import DispatchResult
    from newsletter.sending import Sent


# What a person may do about a relay that cannot be used; the next tick tries it again.
ASK_RELAY = "newsletter doctor asks the relay; newsletter send {issue} goes on"
# What a person may do about readers of whom nobody knows whether they were written to.
RESOLVE = (
    "newsletter report {issue} --state unknown, then: "
    "newsletter resolve {issue} --relay-log FILE, --resend or --leave"
)

By = Annotated[
    str, typer.Option("--by", metavar="NAME", help="Who says so (default: your login name).")
]


@app.command(rich_help_panel="Send")
def send(
    issue_id: IssueArgument,
    *,
    at_once: Annotated[
        bool,
        typer.Option(
            "--now",
            help="Ignore slot, lateness, pause and holiday; never approval, errors or a copy.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Compose every reader's message, send none.")
    ] = False,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="ADDR",
            help="Send a proof [BAT vN] there; --to approvers: to all.",
        ),
    ] = None,
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Send at its time, go on, or say when it leaves."""
    if to and (at_once or dry_run):
        raise ConfigError("--to sends a proof, alone", key="to", remedy="drop --now and --dry-run")
    publication = Publication(config)
    name = IssueId(issue_id)
    if to:
        return _send_proof(publication, name, to, as_json=as_json)
    if dry_run:
        return _rehearse(publication, name, as_json=as_json)
    from newsletter.sending import send as send_issue

    stop = stop_on_signal()
    with output.progress_bar(f"sending {issue_id}") as progress:
        sent = send_issue(
            publication.settings,
            publication.engine,
            publication.keys,
            name,
            clock=now,
            at_once=at_once,
            progress=lambda tally: progress(_settled(tally), tally.audience, ""),
            stop=stop,
        )
        if sent.result is not None:  # the last reports came before the last answers
            progress(_settled(sent.result.tally), sent.result.tally.audience, "")
    if as_json:
        output.show_json(run_json(sent.issue_id, sent.slot_at, sent.state, sent.reason))
        whisper_problem(sent.result)
    else:
        _show_sent(publication.engine, sent, publication.settings.publication.zone)
    return dispatch_code(sent.result) if sent.result else end_code(sent.tally)


def run_json(issue_id: str, slot_at: datetime, state: RunState, reason: str) -> dict[str, Any]:
    """Return where a run stands as DESIGN 8 writes it."""
    return {"issue": issue_id, "slot": slot_at, "state": state.value, "reason": reason}


def stop_on_signal() -> threading.Event:
    """Let SIGTERM or Ctrl-C end a dispatch cleanly: nobody more is claimed, exit 4 (DESIGN 6).

    A second Ctrl-C ends it at once, and leaves in doubt whoever is being written to.
    """
    stop = threading.Event()

    def end(number: int, _: object) -> None:
        stop.set()
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            # Not print: the signal may have come in the middle of another line.
            os.write(2, b"\nstopping: waiting for answers, at most 8 s\n")

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    return stop


def _settled(tally: Tally) -> int:
    return tally.audience - tally.pending - tally.sending - tally.deferred


def dispatch_code(result: DispatchResult | None) -> Exit:
    """Return the exit code of a dispatch (DESIGN 8); of none at all: done."""
    from newsletter.delivery.states import SELF_STOPS

    if result is None or result.reason == "elsewhere":
        return Exit.DONE
    if result.reason == "relay":
        return Exit.OUTSIDE
    if result.reason in SELF_STOPS:
        return Exit.DECIDE
    if not result.finished:
        return Exit.UNFINISHED
    return end_code(result.tally)


def end_code(tally: Tally) -> Exit:
    """Return the exit code of a run that is done: 1 while unknown readers are not settled."""
    return Exit.DECIDE if tally.unknown > tally.left else Exit.DONE


def whisper_problem(result: DispatchResult | None) -> None:
    """Say beside the JSON, which has one word for it, what the relay's fault is."""
    if result is not None and result.problem:
        output.whisper(f"newsletter: {result.reason}: {result.problem}")


def _show_sent(engine: Engine, sent: Sent, zone: ZoneInfo) -> None:
    result = sent.result
    if result is None:
        output.say(f"{sent.issue_id}: already sent: {_say_end(sent.tally)}")
        _say_remedies(engine, sent.run_id, sent.issue_id)
        _say_doubted(sent.issue_id, sent.tally.unknown - sent.tally.left)
    else:
        show_result(engine, sent.issue_id, result, zone)


def show_result(engine: Engine, issue_id: str, result: DispatchResult, zone: ZoneInfo) -> None:
    """Say how a dispatch ended, and what is left to a person."""
    from newsletter.delivery.states import SELF_STOPS
    from newsletter.sending import say_instant

    if result.reason == "elsewhere":
        output.say(f"{issue_id}: another process is sending it; nothing to do here")
        return
    output.say(f"{issue_id}: {_say_tally(result.tally)}")
    if result.problem:
        output.say(f"    {result.reason}: {result.problem}")
    if result.reason == "canary":
        output.say(f"    newsletter report {issue_id} --state refused says why")
    if result.reason == "relay":
        output.say(f"    {ASK_RELAY.format(issue=issue_id)}")
    if result.reason == "queued":
        output.say(
            f"    handed to the workers; newsletter report {issue_id} shows how far they are"
        )
    _say_remedies(engine, result.run_id, issue_id, is_stopped=result.reason in SELF_STOPS)
    if not result.finished and result.reason in {"terminated", "stopped"}:
        output.say(f"    newsletter send {issue_id} goes on")
    if result.due_at:
        output.say(f"    the next deferred reader is due {say_instant(result.due_at, zone)}")
    _say_doubted(issue_id, result.tally.unknown - result.tally.left)


def _say_remedies(engine: Engine, run_id: int, issue_id: str, *, is_stopped: bool = False) -> None:
    """Show what could not be believed, and how to go on."""
    from newsletter.store import breakdown, database

    with database.read(engine) as connection:
        doubts = breakdown.list_doubts(connection, run_id)
    show_doubts(doubts)
    say_how_to_go_on(engine, run_id, issue_id, is_stopped=is_stopped)


def say_how_to_go_on(engine: Engine, run_id: int, issue_id: str, *, is_stopped: bool) -> None:
    """Name the commands that go on once the cause is mended: ``send`` alone reopens nobody."""
    from newsletter import running
    from newsletter.store import database

    with database.read(engine) as connection:
        reopenable = running.count_reopenable(connection, run_id)
    for reason, readers in reopenable.items():
        output.say(f"    {readers} refused for {reason}: send alone does not write to them again")
    if reopenable or is_stopped:
        steps = [f"newsletter resolve {issue_id} --retry {reason}" for reason in reopenable]
        steps.append(f"newsletter send {issue_id}")
        output.say("    mend it, then: " + " and ".join(steps))


def show_doubts(doubts: Iterable[str]) -> None:
    """Ask a person about what a run could not believe."""
    for doubt in doubts:
        output.say(f"    in doubt: {doubt} — ask its postmaster, or whoever runs the relay")


def _say_doubted(issue_id: str, count: int) -> None:
    if count:
        output.say(
            f"    {count} may or may not have received it: "
            f"newsletter report {issue_id} --state unknown"
        )


def _say_tally(tally: Tally) -> str:
    names = (
        "sent", "pending", "sending", "deferred", "refused", "unknown", "cancelled", "expired",
    )  # fmt: skip
    return f"{tally.audience} readers: {_say_counts(tally, names) or 'nobody'}"


def _say_end(tally: Tally) -> str:
    others = _say_counts(tally, ("refused", "unknown", "cancelled", "expired"))
    return "; ".join(filter(None, (f"{tally.sent} of {tally.audience}", others)))


def _say_counts(tally: Tally, names: Iterable[str]) -> str:
    return ", ".join(f"{getattr(tally, name)} {name}" for name in names if getattr(tally, name))


def _rehearse(publication: Publication, name: IssueId, *, as_json: bool) -> int:
    from newsletter.sending import rehearse

    with output.progress_bar("composing") as progress:
        rehearsal = rehearse(
            publication.settings,
            publication.engine,
            publication.keys,
            name,
            now=now(),
            progress=lambda done, total: progress(done, total, ""),
        )
    told = {
        "issue": name,
        "readers": rehearsal.readers,
        "message_bytes": rehearsal.size_bytes,
        "sent": 0,
    }
    if as_json:
        output.show_json(told)
    else:
        output.say(
            f"{name}: {rehearsal.readers} messages composed, at most {rehearsal.size_bytes} bytes "
            "each; none was sent"
        )
    return Exit.DONE


def _send_proof(publication: Publication, name: IssueId, to: list[str], *, as_json: bool) -> int:
    from newsletter.sending import send_proof

    proofed = send_proof(
        publication.settings, publication.engine, publication.keys, name, to=to, now=now()
    )
    refused = [address for address, reply in proofed.replies if not 200 <= reply.code < 300]
    if as_json:
        output.show_json(
            {
                "issue": name,
                "proof": proofed.number,
                "replies": [
                    {"address": address, "reply": str(reply)} for address, reply in proofed.replies
                ],
            }
        )
    else:
        for address, reply in proofed.replies:
            output.say(f"[BAT v{proofed.number}] {address}: {reply}")
    return Exit.OUTSIDE if refused else Exit.DONE


@app.command(rich_help_panel="Send")
def stop(
    issue_id: IssueArgument, *, by: By = "", as_json: AsJson = False, config: ConfigPath = None
) -> int:
    """Pause a run; send goes on."""
    from newsletter import running
    from newsletter.delivery.states import SELF_STOPS

    publication = Publication(config)
    who = name_actor(publication.settings, by)
    run = running.stop(publication.engine, IssueId(issue_id), by=who, now=now())
    if run.reason in SELF_STOPS:
        output.whisper(f"it has stopped itself already; why: newsletter report {issue_id}")
    return _tell_run(run, as_json=as_json)


@app.command(rich_help_panel="Send")
def skip(
    issue_id: IssueArgument,
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why there is no issue.")],
    by: By = "",
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Plan no issue for a slot."""
    from newsletter import running

    if not reason.strip():
        raise ConfigError("say why there is no issue", key="reason", remedy="--reason TEXT")
    publication = Publication(config)
    run = running.skip(
        publication.settings,
        publication.engine,
        IssueId(issue_id),
        reason=reason,
        by=name_actor(publication.settings, by),
        now=now(),
    )
    return _tell_run(run, as_json=as_json)


def _tell_run(run: Run, *, as_json: bool) -> int:
    if as_json:
        output.show_json(run_json(run.issue_id, run.slot_at, run.state, run.reason))
    else:
        output.say(f"{run.issue_id}: {run.state}" + (f" ({run.reason})" if run.reason else ""))
    return Exit.DONE


@app.command(rich_help_panel="Run")
def adopt(*, as_json: AsJson = False, config: ConfigPath = None) -> int:
    """Accept a restored or copied database."""
    from newsletter import running

    publication = Publication(config)
    adopted = running.adopt(publication.settings, publication.engine, now())
    for issue_id in running.may_have_left(publication.engine, now()) if adopted else ():
        output.whisper(
            f"the issue {issue_id} may have left after the backup was made; "
            f"if it has not: newsletter send {issue_id} --now"
        )
    for issue_id, readers in running.count_unsettled(publication.engine) if adopted else ():
        output.whisper(
            f"{readers} readers of the issue {issue_id} are unknown, "
            f"and nothing is sent to them before you settle them: {RESOLVE.format(issue=issue_id)}"
        )
    if as_json:
        output.show_json({"adopted": adopted})
    else:
        output.say(
            "adopted: runs go on here" if adopted else "nothing to adopt: it is ours already"
        )
    return Exit.DONE
