"""``send``: one issue by the hand of a person, at its time or now; a rehearsal; a proof.

In: settings, engine, keys, an issue's id, `now`. Out: what came of it. Never: another rule than the
tick's about when an issue may leave, except what ``--now`` sets aside: slot, lateness, pause and
holiday; never approval, errors or a restored database (DESIGN 8).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from newsletter import running
from newsletter.audience.addresses import read_address
from newsletter.config import Keys, Person, Settings
from newsletter.content import files
from newsletter.content.calendar import local_day, long_date, slot_near
from newsletter.delivery.departure import Step, next_step
from newsletter.delivery.dispatch import DispatchResult, dispatch
from newsletter.delivery.pages import StopFlag
from newsletter.delivery.signing import load_signer
from newsletter.delivery.smtp import submit_one
from newsletter.delivery.states import Reply
from newsletter.errors import ConfigError, Conflict, Held, NotFound, RowError
from newsletter.mail.compose import Reader, compile_message
from newsletter.mail.proofs import Summary, add_summary
from newsletter.mail.single import Letter, compose_single, make_proof
from newsletter.model import (
    Edition,
    HeldReason,
    IssueId,
    Run,
    RunId,
    RunState,
    Tally,
)
from newsletter.publishing import approval_state, check, proof_number, require_rendering
from newsletter.running import Probe, is_public
from newsletter.store import audience, breakdown, database, runs

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What came of one ``send`` of a run.

    ``result`` is None when it was done before: ``tally`` says how it ended.
    """

    run_id: RunId
    issue_id: IssueId
    slot_at: datetime
    state: RunState
    reason: str = ""
    result: DispatchResult | None = None
    tally: Tally = field(default_factory=Tally)


def send(
    settings: Settings,
    engine: Engine,
    keys: Keys,
    issue_id: IssueId,
    *,
    clock: Clock,
    at_once: bool = False,
    probe: Probe = is_public,
    progress: Callable[[Tally], None] | None = None,
    stop: StopFlag | None = None,
) -> Sent:
    """Start the run of an issue, or go on with it; raise Held when it may not leave.

    ``at_once`` is ``--now``.
    """
    now = clock()
    if running.is_restored(settings, engine, now):
        raise running.held(HeldReason.RESTORED, issue_id)
    with database.read(engine) as connection:
        run = runs.read_run(connection, issue_id)
    if run is None or run.started_at is None:
        run = _begin(settings, engine, keys, issue_id, run, now=now, at_once=at_once, probe=probe)
    if run.state is RunState.DONE:
        with database.read(engine) as connection:
            tally = breakdown.tally(connection, run.id)
        return Sent(
            run_id=run.id,
            issue_id=issue_id,
            slot_at=run.slot_at,
            state=RunState.DONE,
            reason="already sent",
            tally=tally,
        )
    if run.stopped:
        running.go_on(engine, issue_id)
    result = dispatch(settings, engine, keys, run.id, clock=clock, progress=progress, stop=stop)
    with database.read(engine) as connection:
        after = runs.read_run_by_id(connection, run.id) or run
    return Sent(
        run_id=run.id,
        issue_id=issue_id,
        slot_at=after.slot_at,
        state=after.state,
        reason=result.reason or after.reason,
        result=result,
    )


def _begin(
    settings: Settings,
    engine: Engine,
    keys: Keys,
    issue_id: IssueId,
    run: Run | None,
    *,
    now: datetime,
    at_once: bool,
    probe: Probe,
) -> Run:
    if not files.is_issue_id(issue_id):
        raise NotFound(f"{issue_id!r} is no issue", remedy="write its day, such as 2026-11-26")
    slot = slot_near(date.fromisoformat(issue_id), settings)
    if not at_once:
        step = next_step(
            run,
            now,
            slot_at=slot.at,
            max_lateness=timedelta(hours=settings.schedule.max_lateness_h),
            skipped=bool(slot.skipped),
        )
        _require_its_time(settings, step, slot.at, run, issue_id)
    today = local_day(now, settings)
    edition = running.edition_to_send(settings, engine, issue_id, today=today, probe=probe)
    try:
        return running.start(
            settings, engine, edition, slot_at=slot.at, key_version=keys.current, now=now
        )
    except Conflict:  # another was first since we looked; its lease decides who dispatches
        return running.read(engine, issue_id)


def _require_its_time(
    settings: Settings, step: Step, slot_at: datetime, run: Run | None, issue_id: str
) -> None:
    by_hand = f"newsletter send {issue_id} --now"
    match step:
        case Step.JUDGE:
            return
        case Step.WAIT if issue_id not in files.list_issues(settings):
            raise running.held(HeldReason.NO_ISSUE, issue_id)
        case Step.WAIT:
            leaves = say_instant(slot_at, settings.publication.zone)
            raise Held(
                f"the issue {issue_id} leaves on {leaves}",
                reason="waiting",
                remedy=f"leave it to the schedule, or now: {by_hand}",
            )
        case Step.SKIP:
            raise Held(
                f"no issue is planned for {issue_id}", reason="skipped", remedy=f"or: {by_hand}"
            )
        case _:
            state = run.state.value if run else RunState.MISSED.value
            why = f" ({run.reason})" if run and run.reason else ""
            raise Held(f"the issue {issue_id} is {state}{why}", reason=state, remedy=by_hand)


def say_instant(instant: datetime, zone: ZoneInfo) -> str:
    """Return an instant as people of the publication read it, in English."""
    local = instant.astimezone(zone)
    return f"{long_date(local.date(), 'en')}, {local:%H:%M} ({zone.key})"


# --- a rehearsal ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What composing every reader's message gave."""

    readers: int
    size_bytes: int  # of the largest message


def rehearse(
    settings: Settings,
    engine: Engine,
    keys: Keys,
    issue_id: IssueId,
    *,
    now: datetime,
    progress: Callable[[int, int], None] | None = None,
) -> Rehearsal:
    """Compose the message of every reader who would receive the issue today; send none."""
    _, edition = require_rendering(check(settings, engine, issue_id), issue_id)
    compiled = compile_message(edition, settings=settings, keys=keys, run_id=0, date=now)
    day = local_day(now, settings)
    size, count = 0, 0
    with database.read(engine) as connection:
        total = audience.count_audience(connection, edition.audience_rule, settings, day)
        people = audience.stream_audience(connection, edition.audience_rule, settings, day)
        for count, person in enumerate(people, start=1):
            size = max(size, compiled.compose(Reader.of(person.id, person)).size)
            if progress:
                progress(count, total)
    return Rehearsal(readers=count, size_bytes=size)


# --- a proof -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Proofed:
    """A proof sent: its number, and the relay's answer for each address."""

    number: int
    replies: Sequence[tuple[str, Reply]]


def send_proof(
    settings: Settings,
    engine: Engine,
    keys: Keys,
    issue_id: IssueId,
    *,
    to: Sequence[str],
    now: datetime,
) -> Proofed:
    """Send ``[BAT vN]`` to people of the team, outside the ledger (DESIGN 7).

    ``approvers`` among the addresses stands for everybody who may approve. Raise ConfigError when
    one of them is none.
    """
    recipients = _proof_recipients(settings, to)
    draft = check(settings, engine, issue_id)
    issue, edition = require_rendering(draft, issue_id)
    number = proof_number(engine, edition, issue, now)
    signed = _signed_by(settings, engine, edition)
    summary = Summary(
        issue_id=issue_id,
        number=number,
        digest=edition.digest,
        findings=draft.findings,
        signed=signed,
        needed=settings.approval.needed,
        waiting=[person.name for person in _approvers(settings) if person.name not in signed],
    )
    proof = add_summary(
        make_proof(edition, settings=settings, number=number),
        summary,
        language=settings.publication.language,
    )
    signer = load_signer(settings)
    replies = []
    for address in recipients:
        letter = Letter(
            id=number, address=address, subject=proof.subject, text=proof.text, html=proof.html
        )
        message = compose_single(letter, settings=settings, keys=keys, date=now, signer=signer)
        reply = submit_one(
            settings,
            sender=message.sender,
            recipient=message.recipient,
            content=message.content,
        )
        replies.append((address, reply))
    return Proofed(number=number, replies=replies)


def _approvers(settings: Settings) -> list[Person]:
    return [person for person in settings.people if "approver" in person.roles]


def _proof_recipients(settings: Settings, to: Sequence[str]) -> tuple[str, ...]:
    """Return the addresses of *to*, each once, the word ``approvers`` replaced by people."""
    asked = [
        address
        for word in to
        for address in (
            [person.address for person in _approvers(settings)] if word == "approvers" else [word]
        )
    ]
    if not asked:
        raise ConfigError(
            "nobody has the role approver",
            key="people",
            remedy='give somebody of [[people]] the roles ["approver"], or name an address',
        )
    return tuple(dict.fromkeys(map(_read_recipient, asked)))


def _read_recipient(address: str) -> str:
    """All of them before the first proof leaves: a wrong one must not leave half of them."""
    try:
        return read_address(address).text
    except RowError as error:
        raise ConfigError(
            f"{address!r} cannot be written to: {error.message}",
            key="to",
            remedy="write it as name@example.org",
        ) from None


def _signed_by(settings: Settings, engine: Engine, edition: Edition) -> tuple[str, ...]:
    known = approval_state(settings, engine, edition.issue_id)
    return next((found.by for found in known if found.digest == edition.digest), ())
