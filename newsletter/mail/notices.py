"""What the letters to editors say when something waits for them.

In: settings, a run, facts. Out: (subject, text) in the publication's language. Never: the blame on
anybody, an alarm without the command that ends it. Letters to readers: ``audience.correspondence``.

Each text is one English source string, whole, and its translation in ``locale/*/letters.po``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from newsletter.config import Settings
from newsletter.content.calendar import long_date, long_time
from newsletter.model import HeldReason, IssueId, Run, Tally
from newsletter.words import translate

Words = tuple[str, str]

_HELD_SUBJECT = "Held back: the issue of {day}"
_HELD_TEXTS = {
    HeldReason.NO_ISSUE: """\
Hello,

No issue is ready for {day} at {time}: the folder issues/{issue} does not exist, or it holds no \
issue.md. Nothing has left.

Until {until} you can still write one, and it will leave by itself as soon as it is approved:

    newsletter new {issue}
    newsletter check {issue}
    newsletter approve {issue} --by "First name Last name"

If no issue was meant for this day, say so and nobody will be reminded again:

    newsletter skip {issue} --reason "holidays"
""",
    HeldReason.NOT_APPROVED: """\
Hello,

The issue of {day} is written, but its approval is missing. Nothing has left.

Read it again, then approve it. Until {until} it will leave by itself as soon as that is done:

    newsletter preview {issue}
    newsletter approve {issue} --by "First name Last name"
""",
    HeldReason.CHANGED: """\
Hello,

The issue of {day} has changed since it was approved: what would leave is no longer what was \
read. Nothing has left.

Look at what changed. If the new text is right, approve it; until {until} it will leave by \
itself as soon as that is done:

    newsletter preview {issue}
    newsletter approve {issue} --by "First name Last name"
""",
    HeldReason.CHECKS: """\
Hello,

The issue of {day} has errors that would reach its readers. Nothing has left.

This lists them, with the file, the line and how to mend each:

    newsletter check {issue}

Once they are mended, approve the issue; until {until} it will leave by itself as soon as that \
is done:

    newsletter approve {issue} --by "First name Last name"
""",
    HeldReason.RESTORED: """\
Hello,

The database of this publication was copied or restored from a backup. Its list of who has \
received what may be out of date, so nothing leaves before somebody has looked.

Make sure that no other copy of this publication is running. If the issue of {day} has left \
already, after the backup was made, plan no other one:

    newsletter skip {issue} --reason "sent before the restore"

Then accept this database:

    newsletter adopt

The issue will leave by itself until {until}, unless it was skipped, or the database is an older \
state of the one that ran here. Then it waits for your word:

    newsletter send {issue} --now
""",
    HeldReason.NOT_PUBLIC: """\
Hello,

The web copy of the issue of {day} does not answer at {url}: its readers would find broken \
links and no pictures. Nothing has left.

Put the archive online, or start the web server again. As soon as the address answers, and until \
{until}, the issue will leave by itself:

    newsletter archive --out DIR
    newsletter serve
""",
    HeldReason.NOBODY: """\
Hello,

The issue of {day} is ready, but nobody on the list would receive it. Nothing has left.

Put its readers on the list. Until {until} it will leave by itself as soon as that is done:

    newsletter subscribers import FILE --apply

If no issue was meant for this day, say so and nobody will be reminded again:

    newsletter skip {issue} --reason "holidays"
""",
}

_MISSED_SUBJECT = "Missed: the issue of {day}"
_MISSED_TEXT = """\
Hello,

The issue of {day} did not leave: at {until}, the last hour for it to start, it was still held \
back. Nobody has received it, and it will not leave by itself any more.

You decide. To send it now, once it is approved:

    newsletter send {issue} --now

To do without it:

    newsletter skip {issue} --reason "a few words"

To know what held it back:

    newsletter report {issue}
"""

_REMINDER_SUBJECT = "Reminder: the issue of {day} is not approved yet"
_REMINDER_TEXT = """\
Hello,

The issue of {day} leaves at {time}, and nobody has approved it yet. {left}

    newsletter check {issue}
    newsletter preview {issue}
    newsletter approve {issue} --by "First name Last name"

If no issue is meant for this day, say so and there will be no other reminder:

    newsletter skip {issue} --reason "holidays"
"""

_HOURS_LEFT_TEXT = "{hours} hours are left."
_HOUR_LEFT_TEXT = "One hour is left."
_MINUTES_LEFT_TEXT = "Less than an hour is left."

_DONE_SUBJECT = "Sent: the issue of {day}"
_DONE_TEXT = """\
Hello,

The issue of {day} has been sent.

    audience:  {audience}
    sent:      {sent}
    refused:   {refused}
    cancelled: {cancelled}
    expired:   {expired}
    unknown:   {unknown}

Who and why:

    newsletter report {issue}
"""
_NOBODY_SUBJECT = "No message confirmed: the issue of {day}"
_NOBODY_TEXT = """\
Hello,

The sending of the issue of {day} is over, and the relay confirmed no message.

    audience:  {audience}
    sent:      {sent}
    refused:   {refused}
    cancelled: {cancelled}
    expired:   {expired}
    unknown:   {unknown}

Who and why:

    newsletter report {issue} --by reason
"""
_EXPIRED_SUBJECT = "Not sent to all: the issue of {day}"
_EXPIRED_TEXT = """\
Hello,

The issue of {day} could not be sent to all its readers within 24 hours. What was still waiting \
will not leave any more.

    audience:  {audience}
    sent:      {sent}
    refused:   {refused}
    cancelled: {cancelled}
    expired:   {expired}
    unknown:   {unknown}

Who was not reached, and why:

    newsletter report {issue} --state expired
"""
_UNKNOWN_TEXT = """\
For the readers below, the relay may have taken the message, but its answer was lost: they may \
have received the issue, or not. Nobody is written to twice without your word.

If you have the relay's log, it settles this by proof:

    newsletter resolve {issue} --relay-log FILE

Else choose: send again, and some will receive it twice; or leave it, and some will not have it:

    newsletter resolve {issue} --resend
    newsletter resolve {issue} --leave
"""

_STOPPED_SUBJECT = "Stopped: the issue of {day}"
_STOPPED_TEXT = """\
Hello,

The sending of the issue of {day} has been stopped, for going on would have done harm: {problem}

Sent: {sent} of {audience}. The other readers are waiting and nobody is lost. Once the cause is \
mended, this goes on where it stood:

    newsletter doctor
    newsletter send {issue}
"""
_REFUSED_TEXT = """\
Hello,

The sending of the issue of {day} has been stopped, for going on would have done harm: {problem}

Sent: {sent} of {audience}. Refused for a cause that can be mended: {reopenable}; nothing writes \
to them again until they are reopened. The other readers are waiting and nobody is lost. Once the \
cause is mended, this goes on where it stood:

    newsletter doctor
{retry}
    newsletter send {issue}
"""
_REOPEN_TEXT = """\
Refused for a cause that can be mended: {reopenable}. They do not have the issue, and nothing \
writes to them again until they are reopened. Once the cause is mended:

{retry}
    newsletter send {issue}
"""
_DOUBTS_TEXT = """\
So many addresses were refused at once that this may be a fault of their domain or of the relay. \
They did not get the issue, and nobody was struck off the list. Ask the postmaster of the domain, \
or whoever runs the relay.
"""


def held_letter(settings: Settings, run: Run, reason: HeldReason) -> Words:
    """Say why a run does not leave, and what ends it."""
    text = _say(settings, _HELD_TEXTS[reason], **_facts(settings, run.issue_id, run.slot_at))
    subject = _say(settings, _HELD_SUBJECT, **_facts(settings, run.issue_id, run.slot_at))
    return subject, text


def missed_letter(settings: Settings, run: Run) -> Words:
    """Say that a slot has passed, and that a person decides."""
    facts = _facts(settings, run.issue_id, run.slot_at)
    return _say(settings, _MISSED_SUBJECT, **facts), _say(settings, _MISSED_TEXT, **facts)


def reminder_letter(
    settings: Settings, issue_id: IssueId, slot_at: datetime, *, left: timedelta
) -> Words:
    """Say that nothing is approved, so long before the slot."""
    facts = {**_facts(settings, issue_id, slot_at), "left": _say_left(settings, left)}
    return _say(settings, _REMINDER_SUBJECT, **facts), _say(settings, _REMINDER_TEXT, **facts)


def _say_left(settings: Settings, left: timedelta) -> str:
    hour = timedelta(hours=1)
    if left < hour:
        return _say(settings, _MINUTES_LEFT_TEXT)
    hours = round(left / hour)
    return _say(settings, _HOURS_LEFT_TEXT if hours > 1 else _HOUR_LEFT_TEXT, hours=hours)


def finished_letter(
    settings: Settings,
    run: Run,
    tally: Tally,
    *,
    unknown: Sequence[str] = (),
    reopenable: Mapping[str, int] | None = None,
    doubts: Sequence[str] = (),
) -> Words:
    """Say how a run ended; name the readers of whom nobody knows, and what reopens the refused.

    *doubts*, as the events keep them: of a domain its name comes first, then a colon.
    """
    facts = {**_facts(settings, run.issue_id, run.slot_at), **_counts(tally)}
    subject, source = _words_of_end(tally)
    text = _say(settings, source, **facts)
    if reopenable:
        text += "\n" + _say(settings, _REOPEN_TEXT, **facts, **_retry(run, reopenable))
    if doubts:
        text += "\n" + _say(settings, _DOUBTS_TEXT, **facts)
        domains = [doubt.partition(": ")[0] for doubt in doubts if ": " in doubt]
        text += "".join(f"\n    {domain}" for domain in domains) + "\n" * bool(domains)
    if unknown:
        text += "\n" + _say(settings, _UNKNOWN_TEXT, **facts)
        text += "".join(f"\n    {address}" for address in unknown) + "\n"
    return _say(settings, subject, **facts), text


def _words_of_end(tally: Tally) -> Words:
    if tally.expired:
        return _EXPIRED_SUBJECT if tally.sent else _NOBODY_SUBJECT, _EXPIRED_TEXT
    return (_DONE_SUBJECT, _DONE_TEXT) if tally.sent else (_NOBODY_SUBJECT, _NOBODY_TEXT)


def stopped_letter(
    settings: Settings,
    run: Run,
    tally: Tally,
    *,
    problem: str,
    reopenable: Mapping[str, int] | None = None,
) -> Words:
    """Say that a run was stopped: by the circuit breaker, the canary, or a configuration fault."""
    facts = {**_facts(settings, run.issue_id, run.slot_at), **_counts(tally), "problem": problem}
    facts |= _retry(run, reopenable or {})
    text = _say(settings, _REFUSED_TEXT if reopenable else _STOPPED_TEXT, **facts)
    return _say(settings, _STOPPED_SUBJECT, **facts), text


def _retry(run: Run, reopenable: Mapping[str, int]) -> dict[str, str | int]:
    """How many were refused for each reason that ``resolve`` reopens, and its commands."""
    retry = [f"    newsletter resolve {run.issue_id} --retry {reason}" for reason in reopenable]
    return {"reopenable": sum(reopenable.values()), "retry": "\n".join(retry)}


def _facts(settings: Settings, issue_id: IssueId, slot_at: datetime) -> dict[str, str | int]:
    language, zone = settings.publication.language, settings.publication.zone
    slot = slot_at.astimezone(zone)
    until = (slot_at + timedelta(hours=settings.schedule.max_lateness_h)).astimezone(zone)
    return {
        "issue": issue_id,
        "day": long_date(slot.date(), language),
        "time": long_time(slot.time(), language),
        "until": long_time(until.time(), language),
        "url": f"{settings.publication.base_url}/{issue_id}/",
    }


def _counts(tally: Tally) -> dict[str, str | int]:
    return {
        "audience": tally.audience,
        "sent": tally.sent,
        "refused": tally.refused,
        "cancelled": tally.cancelled,
        "expired": tally.expired,
        "unknown": tally.unknown,
    }


def _say(settings: Settings, source: str, **facts: str | int) -> str:
    return translate(source, settings.publication.language, facts)
