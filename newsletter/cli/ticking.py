"""run: one tick of the schedule by hand, or what one would decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from newsletter.cli import output
from newsletter.cli.app import app
from newsletter.cli.options import AsJson, ConfigPath, Publication, now
from newsletter.cli.output import Exit
from newsletter.cli.sending import (
    RESOLVE,
    dispatch_code,
    run_json,
    show_result,
    stop_on_signal,
    whisper_problem,
)
from newsletter.delivery.states import hide_addresses
from newsletter.errors import ConfigError, TickFailed
from newsletter.model import HeldReason, RunId, RunState

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from newsletter.delivery.dispatch import DispatchResult
    from newsletter.schedule import Decision

# Which exit code speaks when a tick has several things to say (DESIGN 8).
PRECEDENCE = (Exit.OUTSIDE, Exit.UNFINISHED, Exit.DECIDE, Exit.DONE)
# So much of the calendar must stand on either side of an instant that is asked about.
CALENDAR_MARGIN = timedelta(days=400)


@app.command(rich_help_panel="Run")
def run(
    *,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="INSTANT",
            help="Only print what would be decided then: 2026-11-26T08:00, in the publication's "
            "time zone unless it says another.",
        ),
    ] = None,
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Do one tick of the schedule, or foresee one."""
    from newsletter import schedule

    publication = Publication(config)
    settings, engine = publication.settings, publication.engine
    zone = settings.publication.zone
    if at is not None:
        decisions = schedule.at(settings, engine, _instant(at, zone))
        return _show_decisions(engine, decisions, {}, zone=zone, as_json=as_json, began_at=now())
    from newsletter.delivery.dispatch import dispatch

    stop_flag = stop_on_signal()
    keys = publication.keys
    results: dict[RunId, DispatchResult] = {}

    def launch(run_id: RunId) -> None:
        results[run_id] = dispatch(settings, engine, keys, run_id, clock=now, stop=stop_flag)

    report = schedule.tick(settings, engine, keys, now(), launch=launch)
    if report.errors and not report.decisions:
        why = "; ".join(report.errors)
        raise TickFailed(why, remedy="mend that, then: newsletter run")
    decisions = tuple(report.decisions) or (
        schedule.find_elsewhere(settings, engine, report.at)
        or schedule.last_doubted(engine, report.at)
        or schedule.next_departure(settings, engine, report.at),
    )
    return _show_decisions(
        engine,
        decisions,
        results,
        zone=zone,
        as_json=as_json,
        began_at=report.at,
        problems=report.errors,
    )


def _instant(text: str, zone: ZoneInfo) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
        instant = instant if instant.tzinfo else instant.replace(tzinfo=zone)
        _ = (instant - CALENDAR_MARGIN, instant + CALENDAR_MARGIN)  # a week stands on either side
    except (ValueError, OverflowError):
        raise ConfigError(
            f"{text!r} is no instant", key="at", remedy="write for instance 2026-11-26T08:00"
        ) from None
    return instant


def _show_decisions(
    engine: Engine,
    decisions: Sequence[Decision],
    results: Mapping[RunId, DispatchResult],
    *,
    zone: ZoneInfo,
    as_json: bool,
    began_at: datetime,
    problems: Sequence[str] = (),
) -> int:
    told = [_decision_json(one, _result_of(one, results)) for one in decisions]
    if as_json:
        document = told[0] if len(told) == 1 else {"decisions": told}
        output.show_json(document | {"errors": [*problems]} if problems else document)
        for result in results.values():
            whisper_problem(result)
    else:
        for one in decisions:
            _show_decision(engine, one, _result_of(one, results), zone)
        for problem in problems:
            output.whisper(problem)
    _warn(decisions, results, began_at)
    codes = {_decision_code(one, _result_of(one, results)) for one in decisions}
    codes |= {Exit.OUTSIDE} if problems else set()
    return next(code for code in PRECEDENCE if code in codes)


def _warn(
    decisions: Sequence[Decision], results: Mapping[RunId, DispatchResult], since: datetime
) -> None:
    """Say on stderr what went wrong just now: cron throws stdout away, and mails that once.

    What has stopped itself, waits for its relay since this tick, or has expired.
    What turns held or missed stands there already: the schedule logs each turn as a warning.
    """
    from newsletter.delivery.states import SELF_STOPS
    from newsletter.store.trouble import RELAY

    for one in decisions:
        result = _result_of(one, results)
        if result is None:
            continue
        if result.reason in SELF_STOPS:
            output.whisper(f"run issue={one.issue_id} stopped itself reason={result.reason}")
        elif result.reason == RELAY and result.failing_since and result.failing_since >= since:
            said = hide_addresses(result.problem)
            output.whisper(f"run issue={one.issue_id} waits for the relay: {said}")
        elif result.finished and result.tally.expired:
            of = f"{result.tally.expired} of {result.tally.audience}"
            output.whisper(f"run issue={one.issue_id} is over: {of} readers expired, never sent")


def _result_of(
    decision: Decision, results: Mapping[RunId, DispatchResult]
) -> DispatchResult | None:
    return results.get(decision.run_id) if decision.run_id is not None else None


def _decision_json(decision: Decision, result: DispatchResult | None) -> dict[str, Any]:
    state, reason = decision.state, decision.reason
    if result is not None:
        state, reason = RunState.DONE if result.finished else state, result.reason
    return run_json(decision.issue_id, decision.slot_at, state, reason)


def _show_decision(
    engine: Engine, decision: Decision, result: DispatchResult | None, zone: ZoneInfo
) -> None:
    from newsletter.schedule import ELSEWHERE
    from newsletter.sending import say_instant

    if result is not None:
        show_result(engine, decision.issue_id, result, zone)
        return
    said = decision.reason
    if decision.state is RunState.DUE:
        said = say_instant(decision.slot_at, zone)
    elif decision.stopped:
        said = f"stopped: {said.removeprefix('stopped ')}"
    elif said == ELSEWHERE:
        said = "another process is sending it"
    elif decision.due_at:
        said = f"{decision.deferred} deferred until {say_instant(decision.due_at, zone)}"
    elif decision.doubted:
        said = f"{decision.doubted} may or may not have received it"
    output.say(f"{decision.issue_id}  {decision.state}  {said}".rstrip())
    remedy = _remedy(decision)
    if remedy:
        output.say(f"    → {remedy}")


def _remedy(decision: Decision) -> str:
    """What a person may do about a run that does not leave, or has left somebody in doubt."""
    from newsletter import running
    from newsletter.delivery.states import SELF_STOPS

    if decision.stopped:
        goes_on = f"newsletter send {decision.issue_id}"
        return f"mend the cause, then: {goes_on}" if decision.reason in SELF_STOPS else goes_on
    if decision.doubted:
        return RESOLVE.format(issue=decision.issue_id)
    match decision.state:
        case RunState.HELD:
            return running.held(HeldReason(decision.reason), decision.issue_id).remedy or ""
        case RunState.MISSED:
            issue = decision.issue_id
            return f"newsletter send {issue} --now, or: newsletter skip {issue} --reason TEXT"
        case _:
            return ""


def _decision_code(decision: Decision, result: DispatchResult | None) -> Exit:
    if decision.state in {RunState.HELD, RunState.MISSED} or decision.stopped or decision.doubted:
        return Exit.DECIDE
    return Exit.UNFINISHED if decision.deferred else dispatch_code(result)
