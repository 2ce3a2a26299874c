"""Who an issue is for, as a rule in words and as a test on one person.

In: an issue's header, the settings' ``[segments]``, a subscriber, a day. Out: the audience rule (a
part of the digest, so that approving an issue approves its audience) and yes or no. Never: SQL;
``store.audience.select_audience`` says the same as ``matches`` to the database.

A rule is ``weekly`` or ``monthly``, then perhaps the segment, spelt out:
``weekly;segment=elus(profiles=collectivite)``.
"""

from __future__ import annotations

from datetime import date
from difflib import get_close_matches

from newsletter.config import Segment, Settings
from newsletter.errors import ConfigError, ContentError
from newsletter.model import Finding, Frequency, Issue, Severity, Subscriber, SubscriberState

# What an editor may write in `segment:` for the readers of the monthly digest, and for the others.
FREQUENCY_WORDS = {
    "weekly": Frequency.WEEKLY,
    "hebdo": Frequency.WEEKLY,
    "hebdomadaire": Frequency.WEEKLY,
    "monthly": Frequency.MONTHLY,
    "mensuel": Frequency.MONTHLY,
    "mensuelle": Frequency.MONTHLY,
}
MAILED_STATES = (SubscriberState.ACTIVE, SubscriberState.PAUSED)
_MARK = ";segment="


def parse_rule(settings: Settings, issue: Issue) -> str:
    """Return the audience rule of an issue: weekly readers unless its header says otherwise.

    ``segment: mensuel`` is for the readers of the monthly digest (nobody receives both),
    ``segment: elus`` for a segment of the settings, ``segment: mensuel, elus`` for both at once.
    Raise ContentError with the finding when a word is neither.
    """
    frequency, name = Frequency.WEEKLY, ""
    for word in filter(None, (part.strip() for part in issue.segment.split(","))):
        if word.casefold() in FREQUENCY_WORDS:
            frequency = FREQUENCY_WORDS[word.casefold()]
        elif word not in settings.segments:
            raise _refusal(_unknown(word, settings, issue))
        elif name:
            raise _refusal(_second(word, name, issue))
        else:
            name = word
    return _spell(frequency, name, settings)


def resolve(rule: str, settings: Settings) -> tuple[Frequency, Segment]:
    """Return what a rule asks for: how often its readers are written to, and the segment.

    Raise ConfigError when the settings no longer define the segment as the rule spells it.
    """
    frequency, _, segment = rule.partition(_MARK)
    name = segment.partition("(")[0]
    known = frequency in {*Frequency} and (not name or name in settings.segments)
    if not known or _spell(Frequency(frequency), name, settings) != rule:
        raise ConfigError(
            f"the audience rule {rule!r} is not what [segments] says now",
            key=f"segments.{name}" if name else "segments",
            remedy="put the segment back as it was, or approve the issue again",
        )
    return Frequency(frequency), settings.segments.get(name, Segment())


def matches(rule: str, subscriber: Subscriber, settings: Settings, day: date) -> bool:
    """True when this person receives an issue of this rule on that day.

    A legal basis is required (P1); a pause holds from its first to its last day, both included,
    and is over by itself afterwards.
    """
    frequency, segment = resolve(rule, settings)
    return (
        subscriber.state in MAILED_STATES
        and bool(subscriber.basis)
        and subscriber.frequency is frequency
        and not is_paused(subscriber, day)
        and (not segment.profiles or subscriber.profile in segment.profiles)
        and (not segment.regions or subscriber.region in segment.regions)
        and (not segment.objectives or not {*segment.objectives}.isdisjoint(subscriber.objectives))
    )


def is_paused(subscriber: Subscriber, day: date) -> bool:
    """True inside a person's pause; PAUSED without a last day has no end."""
    if subscriber.paused_until is None:
        return subscriber.state is SubscriberState.PAUSED
    begun = subscriber.paused_from is None or subscriber.paused_from <= day
    return begun and day <= subscriber.paused_until


def _spell(frequency: Frequency, name: str, settings: Settings) -> str:
    if not name:
        return frequency.value
    segment = settings.segments[name]
    parts = (
        f"{key}={','.join(sorted(values))}"
        for key, values in (
            ("profiles", segment.profiles),
            ("regions", segment.regions),
            ("objectives", segment.objectives),
        )
        if values
    )
    return f"{frequency.value}{_MARK}{name}({';'.join(parts)})"


def _refusal(finding: Finding) -> ContentError:
    return ContentError(finding.message.format_map(finding.facts), findings=(finding,))


def _second(word: str, first: str, issue: Issue) -> Finding:
    return Finding(
        severity=Severity.ERROR,
        code="two-segments",
        message="“{word}” is a second segment beside “{first}”.",
        remedy="Keep one; to join two, define a third in newsletter.toml.",
        file=issue.place.file,
        line=issue.place.line,
        facts={"word": word, "first": first},
    )


def _unknown(word: str, settings: Settings, issue: Issue) -> Finding:
    known = (*settings.segments, "mensuel")
    close = get_close_matches(word, known, n=1)
    return Finding(
        severity=Severity.ERROR,
        code="unknown-segment",
        message="“{word}” is not a segment of newsletter.toml.",
        remedy="Write for instance “segment: {near}”, or take the line out.",
        file=issue.place.file,
        line=issue.place.line,
        facts={"word": word, "near": close[0] if close else known[0]},
    )
