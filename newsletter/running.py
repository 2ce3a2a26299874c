"""The verbs of a run: may it leave, begin, pause, go on, plan none, adopt, report.

In: settings, the engine of the database, an issue's id, `now`. Out: what the doors show. Never: a
decision about time (``schedule``), a message (``delivery``); an edition once signed is never
rendered anew for sending: what was approved is what leaves (DESIGN 5.8).
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine

from newsletter.checks.catalogue import errors
from newsletter.config import Settings, require_passwords
from newsletter.content import files
from newsletter.content.calendar import local_day, slot_near, slots_between
from newsletter.delivery.signing import load_signer
from newsletter.delivery.states import RETRYABLE, SELF_STOPS
from newsletter.editions import Draft, draft_issue, read_frozen, wanted_json
from newsletter.errors import ConfigError, Conflict, Held, NotFound
from newsletter.model import DeliveryState, Edition, HeldReason, IssueId, Run, RunState
from newsletter.publishing import approval_state
from newsletter.store import (
    audience,
    breakdown,
    content,
    database,
    examples,
    identity,
    ledger,
    owners,
    runs,
    settling,
    trouble,
)

# Asks whether an address answers 200 to anybody.
Probe = Callable[[str], bool]


# --- leaving -------------------------------------------------------------------------------------


def edition_to_send(
    settings: Settings,
    engine: Engine,
    issue_id: IssueId,
    *,
    today: dt.date,
    probe: Probe | None = None,
) -> Edition:
    """Return the approved edition when it may leave on *today*; else raise Held with the reason.

    The files are rendered again with the stored picks: another digest holds the run (DESIGN 5.8).
    """
    if issue_id not in files.list_issues(settings):
        raise held(HeldReason.NO_ISSUE, issue_id)
    complete = [one for one in approval_state(settings, engine, issue_id) if one.complete]
    if not complete:
        raise held(HeldReason.NOT_APPROVED, issue_id)
    for signatures in complete:
        with database.read(engine) as connection:
            edition = content.read_edition(connection, signatures.digest)
            filed = content.read_filed(connection, signatures.digest)
            frozen = read_frozen(connection, signatures.digest)
        if edition is None or filed is None:
            continue
        draft = draft_issue(settings, engine, issue_id, today=today, frozen=frozen)
        if draft.edition is None or draft.issue is None:
            raise held(HeldReason.CHECKS, issue_id)
        asked = (filed.search or {}).get("wanted_examples")
        if draft.edition.digest == edition.digest and wanted_json(draft.issue) == asked:
            judge_draft(settings, draft, issue_id, probe)
            _require_readers(settings, engine, edition, today)
            return edition
    raise held(HeldReason.CHANGED, issue_id)


def judge_draft(settings: Settings, draft: Draft, issue_id: IssueId, probe: Probe | None) -> None:
    if errors(draft.findings):
        raise held(HeldReason.CHECKS, issue_id)
    if settings.all_loopback or probe is None:
        return
    if not probe(f"{settings.publication.base_url}/{issue_id}/"):
        raise held(HeldReason.NOT_PUBLIC, issue_id)


def _require_readers(settings: Settings, engine: Engine, edition: Edition, today: dt.date) -> None:
    """Refuse to begin with nobody: the run would be done, and its issue could never leave."""
    with database.read(engine) as connection:
        readers = audience.count_audience(connection, edition.audience_rule, settings, today)
    if not readers:
        raise held(HeldReason.NOBODY, edition.issue_id)


_REMEDIES = {
    HeldReason.NO_ISSUE: ("there is no issue {id}", "newsletter new {id}"),
    HeldReason.NOT_APPROVED: (
        "the issue {id} is not approved",
        "newsletter approve {id} --by NAME",
    ),
    HeldReason.CHANGED: (
        "the issue {id} has changed since it was approved",
        "read it again, then: newsletter approve {id} --by NAME",
    ),
    HeldReason.CHECKS: ("the issue {id} has errors", "newsletter check {id}"),
    HeldReason.RESTORED: (
        "this database is a copy, or was restored",
        "make sure that nobody else sends it, nor has sent this issue, then: newsletter adopt",
    ),
    HeldReason.NOT_PUBLIC: (
        "the web copy of the issue {id} does not answer",
        "start newsletter serve, and check publication.base_url",
    ),
    HeldReason.NOBODY: (
        "nobody on the list would receive the issue {id}",
        "newsletter subscribers import FILE --apply; for a proof, send --to ADDRESS",
    ),
}


def held(reason: HeldReason, issue_id: str) -> Held:
    """Return the refusal to raise: what holds the run, and the command that ends it."""
    message, remedy = (text.format(id=issue_id) for text in _REMEDIES[reason])
    return Held(message, reason=reason.value, remedy=remedy)


def start(
    settings: Settings,
    engine: Engine,
    edition: Edition,
    *,
    slot_at: dt.datetime,
    key_version: int,
    now: dt.datetime,
) -> Run:
    """Begin the run of an edition: its audience and its key are frozen, its examples featured.

    Raise Conflict when the run has begun already, here or elsewhere; ConfigError when messages
    could not be signed, or no password is known: its 24 h must not begin to run out for that.
    """
    require_passwords(settings)
    load_signer(settings)
    day = local_day(now, settings)
    with identity.advancing(settings, engine) as connection:
        run = runs.ensure_run(connection, edition.issue_id, slot_at=slot_at, now=now)
        ledger.start_run(
            connection,
            run.id,
            digest=edition.digest,
            select_audience=audience.select_audience(edition.audience_rule, settings, day),
            now=now,
        )
        runs.keep_key_version(connection, run.id, key_version)
        examples.mark_featured(connection, edition.issue_id, edition.picks, now)
        begun = runs.read_run_by_id(connection, run.id)
    assert begun is not None  # begun in this transaction
    return begun


def is_public(address: str) -> bool:
    """True when *address* answers 200 to anybody, without a redirection."""
    import httpx  # only a run towards real people asks

    try:
        return httpx.get(address, timeout=10, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def read(engine: Engine, issue_id: IssueId) -> Run:
    """Return the run of an issue; raise NotFound before there is one."""
    with database.read(engine) as connection:
        return _read_run(connection, issue_id)


def stop(engine: Engine, issue_id: IssueId, *, by: str, now: dt.datetime) -> Run:
    """Pause a run until somebody sends on. Raise Conflict when it is not leaving.

    One that stopped itself keeps its reason: what is to be mended is no less so.
    """
    with database.write(engine) as connection:
        run = _dispatching(connection, issue_id)
        if not (run.stopped and run.reason in SELF_STOPS):
            ledger.stop_run(connection, run.id, reason=f"stopped by {by}", now=now)
        return _read_run(connection, issue_id)


def go_on(engine: Engine, issue_id: IssueId) -> Run:
    """Let a stopped run be dispatched again."""
    with database.write(engine) as connection:
        ledger.go_on(connection, _dispatching(connection, issue_id).id)
        return _read_run(connection, issue_id)


def skip(
    settings: Settings,
    engine: Engine,
    issue_id: IssueId,
    *,
    reason: str,
    by: str,
    now: dt.datetime,
) -> Run:
    """Plan no issue for the slot of *issue_id*.

    Raise ConfigError when none leaves on that day, Conflict when it has begun to leave.
    """
    said = " ".join(f"by {by}: {reason}".split()).rstrip(":")
    with database.write(engine) as connection:
        known = runs.read_run(connection, issue_id)
        slot_at = known.slot_at if known else _slot_to_skip(settings, issue_id)
        run = runs.ensure_run(connection, issue_id, slot_at=slot_at, now=now)
        if not runs.settle(connection, run.id, RunState.SKIPPED, said, now=now):
            raise _not_skippable(run)
        ledger.add_event(connection, "run_skipped", run_id=run.id, now=now, detail=said)
        return _read_run(connection, issue_id)


def _slot_to_skip(settings: Settings, issue_id: IssueId) -> dt.datetime:
    if not files.is_issue_id(issue_id):
        raise ConfigError(f"{issue_id!r} is no day", remedy="write for instance 2026-11-26")
    day = dt.date.fromisoformat(issue_id)
    slot = slot_near(day, settings)
    if slot.day != day:
        raise ConfigError(
            f"no issue leaves on {issue_id}",
            remedy=f"the nearest slot is that of {slot.issue_id}",
        )
    return slot.at


def _not_skippable(run: Run) -> Conflict:
    if run.state is RunState.DONE:
        return Conflict(
            f"the issue {run.issue_id} was sent", remedy=f"newsletter report {run.issue_id}"
        )
    return Conflict(
        f"the issue {run.issue_id} has begun to leave",
        remedy=f"newsletter stop {run.issue_id} pauses it",
    )


def _dispatching(connection: Connection, issue_id: IssueId) -> Run:
    run = _read_run(connection, issue_id)
    if run.state is not RunState.DISPATCHING:
        raise Conflict(
            f"the issue {issue_id} is not leaving: {run.state}",
            remedy=f"see newsletter report {issue_id}",
        )
    return run


def _read_run(connection: Connection, issue_id: str) -> Run:
    run = runs.read_run(connection, IssueId(issue_id))
    if run is None:
        raise _no_run(issue_id)
    return run


def _no_run(issue_id: str) -> NotFound:
    """Return the refusal to raise; true before the slot and long after it."""
    if not files.is_issue_id(issue_id):
        return NotFound(f"{issue_id!r} is no issue", remedy="write its day, such as 2026-11-26")
    return NotFound(
        f"the issue {issue_id} has no run",
        remedy="one begins at its slot, when it is approved; when that is over, with: "
        f"newsletter send {issue_id} --now",
    )


# --- this database, or a copy of it --------------------------------------------------------------


def is_restored(settings: Settings, engine: Engine, now: dt.datetime) -> bool:
    """True when this database may not send: a copy, or restored (S5).

    A database that never ran, beside no file, is given its identity first.
    """
    path = identity.path_of(settings)
    with database.read(engine) as connection:
        fresh = runs.read_mark(connection) is None
    if fresh and not path.exists():
        with database.write(engine) as connection:
            runs.lock_instance(connection)
            if runs.read_mark(connection) is None and not path.exists():
                _give_identity(settings, connection, now)
    if identity.is_copy(settings, engine):
        return True
    identity.follow(settings, engine)
    return False


def _give_identity(settings: Settings, connection: Connection, now: dt.datetime) -> None:
    runs.write_instance(connection, secrets.token_hex(16), now)
    mark = runs.read_mark(connection)
    assert mark is not None  # written above
    identity.write_file(settings, mark)


def adopt(settings: Settings, engine: Engine, now: dt.datetime) -> bool:
    """Accept this database as the one that sends; False when it was that already.

    The new identity makes the database it was copied from a stranger here, should it come back.
    What another machine was sending becomes unknown: nobody sends there any more; and so does who
    waits in a begun run, for a backup does not say who was written to since. What was sent after it
    had runs of which nothing is known here: their ids are given to no other. A slot that has come
    is missed where the database is sure to be an older one, for its issue may have left. The file
    is written last: until all this is on the disk, it must tell the next try the same.
    """
    older, restored = identity.is_older(settings, engine), is_restored(settings, engine, now)
    with database.write(engine) as connection:
        given_up = owners.bury_strangers(connection, now=now)
        if restored:
            settling.doubt_waiting(connection, now=now)
            runs.lock_instance(connection)
            runs.write_instance(connection, secrets.token_hex(16), now)
            runs.skip_ids(connection)
        if older:
            _miss_what_came(settings, connection, now)
    if restored:
        identity.vouch(settings, engine)
    return restored or given_up > 0


def _miss_what_came(settings: Settings, connection: Connection, now: dt.datetime) -> None:
    since = now - dt.timedelta(hours=settings.schedule.max_lateness_h)
    came = [run for run in runs.runs_since(connection, since) if run.slot_at <= now]
    # The calendar's word counts for the tick: a run may stand at the time that its slot had before.
    came += [
        runs.ensure_run(connection, slot.issue_id, slot_at=slot.at, now=now)
        for slot in slots_between(settings, since, now)
        if not slot.skipped
    ]
    for run in came:
        if run.state in {RunState.DUE, RunState.HELD}:
            runs.settle(connection, run.id, RunState.MISSED, HeldReason.RESTORED, now=now)


def may_have_left(engine: Engine, now: dt.datetime) -> tuple[IssueId, ...]:
    """Return the issues that a backup says have not left, and that wait for a person's word."""
    with database.read(engine) as connection:
        lately = runs.runs_since(connection, now - dt.timedelta(days=1))
    return tuple(
        run.issue_id
        for run in lately
        if run.state is RunState.MISSED and run.reason == HeldReason.RESTORED
    )


def count_unsettled(engine: Engine) -> tuple[tuple[IssueId, int], ...]:
    """Return the issues under way in which readers are unknown and unsettled, and how many."""
    with database.read(engine) as connection:
        tallies = [
            (run.issue_id, breakdown.tally(connection, run.id))
            for run in runs.unfinished_runs(connection)
        ]
    in_doubt = ((issue_id, tally.unknown - tally.left) for issue_id, tally in tallies)
    return tuple((issue_id, readers) for issue_id, readers in in_doubt if readers)


# --- reporting -----------------------------------------------------------------------------------


def report(
    engine: Engine, issue_id: IssueId, *, state: DeliveryState | None = None, kind: str = "issue"
) -> dict[str, Any]:
    """Return where a run stands, as DESIGN 8 writes it; with *state* also who is in it.

    Raise NotFound before there is a run.
    """
    with database.read(engine) as connection:
        run = runs.read_run(connection, issue_id, kind=kind)
        if run is None:
            raise _no_run(issue_id)
        tally = breakdown.tally(connection, run.id)
        known = trouble.find_trouble(connection, run)
        document: dict[str, Any] = {
            "issue": run.issue_id,
            "digest": run.digest,
            "run": {"state": run.state.value, "reason": known.reason if known else run.reason},
            **{name: getattr(tally, name) for name in TALLY},
            "started_at": run.started_at,
            "finished_at": run.finished_at,
        }
        if state:
            document["readers"] = [
                {
                    "address": one.address,
                    "state": one.state,
                    "reason": one.reason,
                    "reply": one.reply,
                    "at": one.at,
                }
                for one in breakdown.readers(connection, run.id, state)
            ]
    return document


def count_reopenable(connection: Connection, run_id: int) -> dict[str, int]:
    """Return, by reason, how many of the refused only ``resolve --retry`` writes to again."""
    refused = breakdown.count_refused(connection, run_id)
    return {reason: readers for reason, readers in refused.items() if reason in RETRYABLE}


TALLY = (
    "audience", "pending", "sending", "deferred", "sent", "refused", "unknown", "cancelled",
    "expired", "bounced", "complained", "left",
)  # fmt: skip
