"""Tells the editors: held, missed, reminded, ended, stopped; each thing once.

In: a connection inside a transaction of the caller, a run, `now`. Out: letters queued, in that
transaction. Never: the same notice twice for one (run, reason), unless the run stopped itself again
after a person had let it go on; nor a letter to a reader.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from newsletter import running
from newsletter.config import Settings
from newsletter.content.calendar import Slot
from newsletter.letters import queue_for
from newsletter.mail import notices
from newsletter.mail.notices import Words
from newsletter.model import DeliveryState, Finding, HeldReason, Run, RunState
from newsletter.store import breakdown, ledger, runs
from newsletter.words import say, translate

# When nothing is approved so long before the slot, the editors are reminded.
REMINDERS = (timedelta(hours=3), timedelta(hours=24))
# How long after its end a run is still told of, should the process have died in between.
TOLD_WITHIN = timedelta(days=2)
# A letter names so many readers; `report` names all.
NAMED = 50


def addresses(settings: Settings) -> tuple[str, ...]:
    """Return whom to tell: editors and approvers, else everybody of the team, else Reply-To."""
    people = (*settings.people_with("editor"), *settings.people_with("approver"))
    chosen = tuple(person.address for person in people or settings.people)
    return tuple(dict.fromkeys(chosen)) or (settings.sender.reply_to,)


def tell_held(connection: Connection, settings: Settings, run: Run, now: datetime) -> None:
    words = notices.held_letter(settings, run, HeldReason(run.reason))
    _queue(connection, settings, ("held", f"{_name(run)}:{run.reason}"), words, now)


def tell_missed(connection: Connection, settings: Settings, run: Run, now: datetime) -> None:
    words = notices.missed_letter(settings, run)
    _queue(connection, settings, ("missed", f"{_name(run)}:{run.reason}"), words, now)


def remind(connection: Connection, settings: Settings, slot: Slot, now: datetime) -> None:
    """Remind of a slot that nothing is approved for; the caller has made sure of that."""
    words = notices.reminder_letter(settings, slot.issue_id, slot.at, left=slot.at - now)
    key = f"{slot.issue_id}:{reminder_of(slot, now)}"
    _queue(connection, settings, ("reminder", key), words, now)


def reminder_of(slot: Slot, now: datetime) -> str:
    """Return the name of the reminder due at *now*, '' when none is."""
    for before in REMINDERS:
        if timedelta(0) < slot.at - now <= before:
            return f"{before // timedelta(hours=1)}h"
    return ""


def has_endings(connection: Connection, now: datetime) -> bool:
    """True when ``tell_endings`` may have something to tell: most ticks write nothing."""
    return any(
        (run.stopped and run.reason in _PROBLEMS)
        or (run.state is RunState.DONE and runs.chore_done_at(connection, _told(run)) is None)
        for run in runs.ended_since(connection, now - TOLD_WITHIN)
    )


def tell_endings(connection: Connection, settings: Settings, now: datetime) -> None:
    """Tell how the runs of the last days ended, or why one was stopped by the machine."""
    for run in runs.ended_since(connection, now - TOLD_WITHIN):
        if run.state is RunState.DONE and runs.claim_once(connection, _told(run), now):
            _tell_finished(connection, settings, run, now)
        elif run.stopped and run.reason in _PROBLEMS:
            tally = breakdown.tally(connection, run.id)
            problem = translate(_PROBLEMS[run.reason], settings.publication.language)
            words = notices.stopped_letter(
                settings,
                run,
                tally,
                problem=problem,
                reopenable=running.count_reopenable(connection, run.id),
            )
            _queue(connection, settings, ("stopped", _name_stop(connection, run)), words, now)


def _name_stop(connection: Connection, run: Run) -> str:
    """Name this stop: the same reason once more, after a person let the run go on, is another."""
    count = ledger.count_stops(connection, run.id, run.reason)
    return f"{_name(run)}:{run.reason}" + (f":{count}" if count > 1 else "")


def _tell_finished(connection: Connection, settings: Settings, run: Run, now: datetime) -> None:
    tally = breakdown.tally(connection, run.id)
    unknown = []
    for reader in breakdown.readers(connection, run.id, DeliveryState.UNKNOWN):
        unknown.append(reader.address)
        if len(unknown) == NAMED:
            break
    words = notices.finished_letter(
        settings,
        run,
        tally,
        unknown=unknown,
        doubts=breakdown.list_doubts(connection, run.id),
        reopenable=running.count_reopenable(connection, run.id),
    )
    _queue(connection, settings, ("finished", _name(run)), words, now)


# Why a dispatcher stops a run by itself (DispatchResult.reason).
_PROBLEMS = {
    "policy": "the receiving servers refuse the message itself, or our standing with them.",
    "configuration": "the relay refuses our configuration: account, sender or relaying.",
    "canary": "too many of the first readers failed.",
    "unknown": "the answers at the end of messages are lost, and nobody is reached.",
}


def tell_feed(connection: Connection, settings: Settings, finding: Finding, now: datetime) -> None:
    """Tell that a feed is closed or has been missing for a week (F7)."""
    language = settings.publication.language
    said = say(finding, language)
    subject = translate("A feed of the watch needs you", language)
    text = f"{said.message}\n\n{said.remedy}\n"
    key = f"{finding.code}:{finding.file or finding.message}:{now:%Y-%m}"
    _queue(connection, settings, ("feed", key), (subject, text), now)


def _queue(
    connection: Connection, settings: Settings, name: tuple[str, str], words: Words, now: datetime
) -> None:
    kind, key = name
    queue_for(connection, addresses(settings), kind=kind, key=key, words=words, now=now)


def _name(run: Run) -> str:
    return f"{run.issue_id}:{run.kind}"


def _told(run: Run) -> str:
    return f"told:{run.id}"
