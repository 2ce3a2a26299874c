"""One row of a list → one person as the file tells of them.

In: the rows of a sheet, the publication's vocabulary, the clock's reading. Out: entries, one for
each address, and findings (an error refuses its row, a warning keeps it). Never: a disk, a
database, a row without legal basis accepted (P1), two entries of one person.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime
from difflib import get_close_matches
from zoneinfo import ZoneInfo

from newsletter.audience.addresses import Address, read_address
from newsletter.audience.remarks import REFUSALS, bad_address, refusal, warning
from newsletter.audience.segments import FREQUENCY_WORDS
from newsletter.audience.sheets import Sheet, SheetRow, fold
from newsletter.config import Settings, Term
from newsletter.errors import RowError
from newsletter.model import Finding, Frequency, SubscriberState

# What a person may be asked to prove: why we may write to them (RGPD art. 6; P1).
BASES: Mapping[str, str] = {
    "consentement": "consentement",
    "consent": "consentement",
    "opt_in": "consentement",
    "interet_legitime": "interet_legitime",
    "legitimate_interest": "interet_legitime",
    "interet_legitime_pro": "interet_legitime_pro",
    "contrat": "contrat",
    "contract": "contrat",
    "adhesion": "contrat",
    "mission_interet_public": "mission_interet_public",
    "public_task": "mission_interet_public",
}
_ACTIVE, _PENDING = SubscriberState.ACTIVE, SubscriberState.PENDING
_PAUSED, _LEFT = SubscriberState.PAUSED, SubscriberState.UNSUBSCRIBED
_SUPPRESSED = SubscriberState.SUPPRESSED
# The word of the column “statut”, folded, feminine ending off → state, reason, soft bounces so far.
STATUSES: Mapping[str, tuple[SubscriberState, str, int]] = {
    "actif": (_ACTIVE, "", 0),
    "active": (_ACTIVE, "", 0),
    "abonne": (_ACTIVE, "", 0),
    "inscrit": (_ACTIVE, "", 0),
    "subscribed": (_ACTIVE, "", 0),
    "boite_pleine": (_ACTIVE, "", 0),
    "rebond_temporaire": (_ACTIVE, "", 1),
    "soft_bounce": (_ACTIVE, "", 1),
    "en_attente": (_PENDING, "", 0),
    "attente": (_PENDING, "", 0),
    "pending": (_PENDING, "", 0),
    "en_pause": (_PAUSED, "", 0),
    "pause": (_PAUSED, "", 0),
    "paused": (_PAUSED, "", 0),
    "desinscrit": (_LEFT, "unsubscribed", 0),
    "desabonne": (_LEFT, "unsubscribed", 0),
    "unsubscribed": (_LEFT, "unsubscribed", 0),
    "opposition": (_LEFT, "unsubscribed", 0),
    "plainte": (_SUPPRESSED, "complaint", 0),
    "complaint": (_SUPPRESSED, "complaint", 0),
    "complained": (_SUPPRESSED, "complaint", 0),
    "rebond": (_SUPPRESSED, "bounce", 0),
    "rebond_definitif": (_SUPPRESSED, "bounce", 0),
    "bounce": (_SUPPRESSED, "bounce", 0),
    "hard_bounce": (_SUPPRESSED, "bounce", 0),
    "suppressed": (_SUPPRESSED, "bounce", 0),
}
# People whom a file tells us to leave alone: their row needs no basis.
OPPOSED = (_LEFT, _SUPPRESSED)
DEPTHS = (2, 4, 12)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}|\d{1,2}/\d{1,2}/\d{4}")
_LINKING_WORDS = {"le", "du", "au", "jusqu", "depuis", "until", "from", "to", "since", "on"}
_GARBLED = re.compile("[ÃÂ][\u0080-\u00bf]|â€")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """The basis that an operator states for rows without one, and where the file comes from."""

    basis: str = ""
    evidence: str = ""
    by: str = ""
    file: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One person as a file tells of them; empty where it says nothing."""

    line: int
    address: Address
    state: SubscriberState = SubscriberState.ACTIVE
    reason: str = ""  # why they are opposed: unsubscribed, complaint, bounce
    soft_bounces: int = 0
    first_name: str = ""
    last_name: str = ""
    organisation: str = ""
    profile: str = ""
    region: str = ""
    department: str = ""
    frequency: Frequency | None = None
    depth: int | None = None
    objectives: tuple[str, ...] = ()
    paused_from: date | None = None
    paused_until: date | None = None
    basis: str = ""
    evidence: str = ""
    source: str = ""
    notice_version: str = ""
    consented_at: datetime | None = None
    confirmed_at: datetime | None = None
    last_act_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The people of a file, one entry each, and what there is to say about its lines."""

    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...]


class _Refused(Exception):
    """Stops the reading of a row; carries why."""

    def __init__(self, code: str, **facts: str | int) -> None:
        super().__init__(code)
        self.code = code
        self.facts = facts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """What every row is read against."""

    statement: Statement
    zone: ZoneInfo
    now: datetime
    profiles: Mapping[str, str]
    objectives: Mapping[str, str]
    territories: Mapping[str, str]


def read_entries(sheet: Sheet, settings: Settings, statement: Statement, now: datetime) -> Reading:
    """Read every row; the wrong ones become findings, two of one person become one entry."""
    frame = _Frame(
        statement=statement,
        zone=settings.publication.zone,
        now=now,
        profiles=_index(settings.taxonomy.profiles),
        objectives=_index(settings.taxonomy.objectives),
        territories=_index(settings.taxonomy.territories),
    )
    findings = list(sheet.findings)
    entries: dict[str, Entry] = {}
    for row in sheet.rows:
        entry = _read_row(row, frame, findings)
        if entry is None:
            continue
        first = entries.get(entry.address.key)
        if first is not None:
            findings.append(warning("duplicate", entry.line, first=first.line))
        entries[entry.address.key] = entry if first is None else _merge(first, entry)
    findings += _undated(entries.values())
    findings.sort(key=lambda finding: finding.line or 0)
    return Reading(entries=tuple(entries.values()), findings=tuple(findings))


def _index(terms: Iterable[Term]) -> dict[str, str]:
    return {fold(name): term.slug for term in terms for name in (term.label, term.slug)}


def _read_row(row: SheetRow, frame: _Frame, findings: list[Finding]) -> Entry | None:
    try:
        address = read_address(row.cells.get("address", ""))
        entry, notes = _read_entry(row, address, frame)
    except RowError as error:
        findings.append(bad_address(error, row.line))
        return None
    except _Refused as refused:
        findings.append(refusal(refused.code, row.line, **refused.facts))
        return None
    findings += notes
    return entry


def _read_entry(row: SheetRow, address: Address, frame: _Frame) -> tuple[Entry, list[Finding]]:
    cells = row.cells
    if address.is_disposable:
        raise _Refused("disposable", address=address.text)
    state, reason, soft_bounces, pause = _read_status(cells.get("status", ""))
    profile, notes = _read_terms(cells, "profile", frame.profiles, row.line)
    objectives, others = _read_terms(cells, "objectives", frame.objectives, row.line)
    depth, minutes = _read_depth(cells.get("depth", ""), row.line)
    entry = Entry(
        line=row.line,
        address=address,
        state=state,
        reason=reason,
        soft_bounces=soft_bounces,
        first_name=cells.get("first_name", ""),
        last_name=cells.get("last_name", ""),
        organisation=cells.get("organisation", ""),
        profile="".join(profile[:1]),
        region=_read_region(cells.get("region", ""), frame.territories),
        department=_read_department(cells.get("department", "")),
        frequency=_read_frequency(cells.get("frequency", "")),
        depth=depth,
        objectives=objectives,
        paused_from=pause[0],
        paused_until=pause[1],
        basis=_read_basis(cells, state, frame.statement),
        evidence=cells.get("evidence", "") or frame.statement.evidence,
        source=cells.get("source", ""),
        notice_version=cells.get("notice_version", ""),
        consented_at=_read_instant(cells.get("consented_at", ""), frame),
        confirmed_at=_read_instant(cells.get("confirmed_at", ""), frame),
        last_act_at=_read_instant(cells.get("last_act_at", ""), frame),
    )
    return entry, [*notes, *others, *minutes, *_look_at(entry)]


def _look_at(entry: Entry) -> list[Finding]:
    """Warn of what is allowed and strange."""
    names = (entry.first_name, entry.last_name, entry.organisation)
    notes = [warning("garbled", entry.line, value=name) for name in names if _GARBLED.search(name)]
    if entry.address.is_role:
        notes.append(warning("role-address", entry.line, address=entry.address.text))
    return notes


def _undated(entries: Iterable[Entry]) -> list[Finding]:
    """One warning for all who agreed at a time unknown: the proof of P6 is thin."""
    lines = [
        entry.line
        for entry in entries
        if entry.basis == "consentement" and not entry.consented_at and not entry.confirmed_at
    ]
    return [warning("no-consent-date", lines[0], count=len(lines))] if lines else []


def read_basis(word: str) -> str:
    """Return our word for a legal basis. Raise RowError, with the nearest, when it is none."""
    if fold(word) not in BASES:
        message, remedy = REFUSALS["unknown-basis"]
        facts = {"value": word, "near": _nearest(word, BASES)}
        raise RowError(message.format(**facts), remedy=remedy.format(**facts))
    return BASES[fold(word)]


def _read_basis(cells: Mapping[str, str], state: SubscriberState, statement: Statement) -> str:
    """Read the row's own basis, or that of the operator, who must say what proves it (P1)."""
    own = cells.get("basis", "")
    word = own or statement.basis
    if not word and state not in OPPOSED:
        raise _Refused("no-basis")
    if word and fold(word) not in BASES:
        raise _Refused("unknown-basis", value=word, near=_nearest(word, BASES))
    proof = own or cells.get("evidence") or statement.evidence
    if not proof and state not in OPPOSED:
        raise _Refused("no-evidence")
    return BASES[fold(word)] if word else ""


def _read_status(
    text: str,
) -> tuple[SubscriberState, str, int, tuple[date | None, date | None]]:
    """Read ``désinscrite le 12/03/2026`` or ``en pause du 2026-08-01 au 2026-08-31``."""
    words = [w for w in fold(_DATE.sub(" ", text)).split("_") if w and w not in _LINKING_WORDS]
    word = "_".join(words)
    if not text:
        return (*STATUSES["actif"], (None, None))
    known = STATUSES.get(word) or STATUSES.get(word.removesuffix("e"))
    if known is None:
        raise _Refused("unknown-status", value=text, near=_nearest(word, STATUSES))
    days = [_read_day(day) for day in _DATE.findall(text)]
    if known[0] is not _PAUSED or not days:
        return (*known, (None, None))
    return (*known, (days[0] if len(days) > 1 else None, days[-1]))


def _read_frequency(text: str) -> Frequency | None:
    if not text:
        return None
    if fold(text) not in FREQUENCY_WORDS:
        raise _Refused("unknown-frequency", value=text)
    return FREQUENCY_WORDS[fold(text)]


def _read_terms(
    cells: Mapping[str, str], column: str, known: Mapping[str, str], line: int
) -> tuple[tuple[str, ...], list[Finding]]:
    """Return the slugs of a cell; what the taxonomy does not know is left out, and said."""
    found: dict[str, None] = {}
    notes = []
    code = f"unknown-{column.removesuffix('s')}"
    cell = cells.get(column, "")
    words = [cell] if fold(cell) in known else re.split(r"[,;|]", cell)
    for word in filter(str.strip, words):
        if not known:  # a publication without taxonomy takes any word
            found[fold(word).replace("_", "-")] = None
        elif fold(word) in known:
            found[known[fold(word)]] = None
        else:
            notes.append(warning(code, line, value=word, near=known[_near_key(word, known)]))
    return tuple(found), notes


def _read_depth(text: str, line: int) -> tuple[int | None, list[Finding]]:
    number = re.sub(r"\s*min(utes?)?\.?$", "", text)
    if not text or (number.isdecimal() and int(number) in DEPTHS):
        return (int(number) if text else None), []
    return None, [warning("unknown-depth", line, value=text)]


def _read_region(text: str, known: Mapping[str, str]) -> str:
    return known.get(fold(text), text)


def _read_department(text: str) -> str:
    """Give back the zero that spreadsheets take from 01 to 09."""
    return f"0{text}" if len(text) == 1 and text.isdecimal() else text


def _read_instant(text: str, frame: _Frame) -> datetime | None:
    """Read an instant, or a day (its midnight in the publication's zone), as UTC."""
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        when = datetime.combine(_read_day(text), datetime.min.time())
    if when.tzinfo is None:
        when = when.replace(tzinfo=frame.zone)
    try:
        when = when.astimezone(UTC)
    except OverflowError:
        raise _Refused("bad-date", value=text) from None
    if when > frame.now:
        raise _Refused("future-date", value=text)
    return when


def _read_day(text: str) -> date:
    try:
        if "/" in text:
            day, month, year = text.split("/")
            return date(int(year), int(month), int(day))
        return date.fromisoformat(text)
    except ValueError:
        raise _Refused("bad-date", value=text) from None


def _nearest(word: str, known: Iterable[str]) -> str:
    return _near_key(word, known).replace("_", " ")


def _near_key(word: str, known: Iterable[str]) -> str:
    names = list(known)
    return (get_close_matches(fold(word), names, n=1, cutoff=0.4) or names)[0]


def _merge(first: Entry, second: Entry) -> Entry:
    """Two lines of one person: the first counts, the second fills its gaps; opposition wins."""
    kept, other = (second, first) if second.state in OPPOSED else (first, second)
    gaps = {
        name.name: getattr(other, name.name)
        for name in fields(Entry)
        if not getattr(kept, name.name) and not name.name.startswith("paused_")
    }
    gaps |= {"line": first.line, "reason": kept.reason, "soft_bounces": kept.soft_bounces}
    return replace(kept, **gaps)
