"""A list of people → what an import would do, said before it is done.

In: the people of a file, and what the list already knows of the same addresses. Out: an
``ImportPlan``: added, updated, unchanged, opposed, protected, and findings. Never: a disk, a
database, somebody who left brought back (P11).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from newsletter.audience.entries import OPPOSED, Entry, Reading, Statement
from newsletter.audience.sheets import Sheet
from newsletter.model import Finding, Severity, Subscriber, SubscriberState

# What a file may correct, and what belongs to the person once they chose.
_FACTS = ("first_name", "last_name", "organisation", "profile", "region", "department")
_CHOICES = ("frequency", "depth", "objectives")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the list knows of an address: the person, and whether they chose their preferences."""

    subscriber: Subscriber
    chose: bool = False


class Kind(StrEnum):
    """What becomes of an entry."""

    ADDED = "added"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    OPPOSED = "opposed"  # the file tells us to leave this person alone
    PROTECTED = "protected"  # left, suppressed, erased or unconfirmed: no file changes that


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of one entry, and the columns that change."""

    kind: Kind
    entry: Entry
    subscriber: Subscriber | None = None
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPlan:
    """What an import would do, and what there is to say about the file."""

    statement: Statement
    encoding: str
    fates: tuple[Fate, ...]
    findings: tuple[Finding, ...]

    def of(self, kind: Kind) -> tuple[Fate, ...]:
        return tuple(fate for fate in self.fates if fate.kind is kind)

    @property
    def refused(self) -> tuple[Finding, ...]:
        """One for each line that stays out."""
        return tuple(f for f in self.findings if f.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.severity is Severity.WARNING)

    @property
    def counts(self) -> dict[str, int]:
        """How many entries of each kind, how many lines refused, how many warnings."""
        counted = Counter(fate.kind for fate in self.fates)
        return {kind.value: counted[kind] for kind in Kind} | {
            "refused": len(self.refused),
            "warnings": len(self.warnings),
        }


def make_plan(
    reading: Reading,
    sheet: Sheet,
    statement: Statement,
    *,
    known: Mapping[str, Known],
    suppressed: Collection[str],
) -> ImportPlan:
    """Decide what becomes of each entry.

    *known* has the people already on the list by address key, *suppressed* the address keys that
    are never to be written to again.
    """
    return ImportPlan(
        statement=statement,
        encoding=sheet.encoding,
        fates=tuple(
            _decide(entry, known.get(entry.address.key), suppressed=entry.address.key in suppressed)
            for entry in reading.entries
        ),
        findings=reading.findings,
    )


def _decide(entry: Entry, found: Known | None, *, suppressed: bool) -> Fate:
    subscriber = found.subscriber if found else None
    state = subscriber.state if subscriber else None
    gone = state in {*OPPOSED, SubscriberState.ERASED}
    if entry.state in OPPOSED:
        settled = gone or (suppressed and not found)
        kind = Kind.UNCHANGED if settled else Kind.OPPOSED
        return Fate(kind=kind, entry=entry, subscriber=subscriber)
    if gone or suppressed:
        return Fate(kind=Kind.PROTECTED, entry=entry)
    if found is None:
        return Fate(kind=Kind.ADDED, entry=entry)
    if state is SubscriberState.PENDING and entry.state is not SubscriberState.PENDING:
        # P7: only the person confirms; a list cannot do it for them.
        return Fate(kind=Kind.PROTECTED, entry=entry)
    values = _differences(entry, found)
    kind = Kind.UPDATED if values else Kind.UNCHANGED
    return Fate(kind=kind, entry=entry, subscriber=subscriber, values=values)


def _differences(entry: Entry, found: Known) -> dict[str, object]:
    """What the file says and the list does not; an empty cell never empties a column."""
    subscriber = found.subscriber
    names = _FACTS if found.chose else (*_FACTS, *_CHOICES)
    values = {
        name: getattr(entry, name)
        for name in names
        if getattr(entry, name) and getattr(entry, name) != getattr(subscriber, name)
    }
    if entry.state is SubscriberState.PAUSED and not found.chose:
        pause = {"state": entry.state, "paused_from": entry.paused_from}
        pause |= {"paused_until": entry.paused_until}
        values |= {name: new for name, new in pause.items() if new != getattr(subscriber, name)}
    if entry.basis and not subscriber.basis:
        values |= {"basis": entry.basis, "evidence": entry.evidence}
    return values
