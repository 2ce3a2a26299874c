"""The dates of feeds, as people and programs write them (F6).

In: the text of a date, and the zone to read it in when it names none. Out: an aware UTC datetime,
or None. Never: a guess beyond what is written, or the clock.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo

from newsletter.examples.text import fold_words

_MONTHS = {
    month: number
    for number, names in enumerate(
        (
            "janvier janv jan january", "fevrier fevr fev february feb", "mars march mar",
            "avril avr april apr", "mai may", "juin june jun", "juillet juil july jul",
            "aout august aug", "septembre sept sep september", "octobre oct october",
            "novembre nov november", "decembre dec december",
        ),
        start=1,
    )
    for month in names.split()
}  # fmt: skip
# feedparser reads CET as UTC, one hour off; the standard library knows only American names.
_ZONES = {"cet": 1, "met": 1, "cest": 2, "mest": 2, "utc": 0, "gmt": 0, "z": 0, "wet": 0, "west": 1}
_WRITTEN = re.compile(
    r"(?:[a-z]{2,9} )?(?:le )?(\d{1,2})(?:er)? ([a-z]{3,9}) (\d{4})"
    r"(?: (?:a )?(\d{1,2})(?: ?h ?| )(\d{2})?(?: (\d{2}))?)?(?: ([a-z]{1,4}))?"
)
_NUMERIC = re.compile(r"(\d{1,2})[/.](\d{1,2})[/.](\d{4})(?:\D+(\d{1,2})[:h](\d{2}))?")
_EPOCH = re.compile(r"\d{9,10}|\d{12,13}")
_OFFSET = re.compile(r"[+-]\d{2}:?\d{2}\s*$")
OLDEST = datetime(2000, 1, 1, tzinfo=UTC)
AHEAD = timedelta(hours=24)


def read_date(value: str, zone: ZoneInfo) -> datetime | None:
    """Read an ISO 8601, RFC 5322, epoch or French date; None when it is none of these."""
    value = value.strip()[:80]
    for reader in (_read_epoch, _read_iso, _read_written, _read_numeric, _read_mail):
        try:
            found = reader(value, zone)
            if found is not None:
                return found.astimezone(UTC)
        except (ValueError, OverflowError, TypeError, IndexError):
            continue  # 31 February, hour 25, year 0
    return None


def is_credible(instant: datetime, now: datetime) -> bool:
    """F6: not before 2000, not more than 24 h ahead."""
    return OLDEST <= instant <= now + AHEAD


def _read_epoch(value: str, _zone: ZoneInfo) -> datetime | None:
    if not _EPOCH.fullmatch(value):
        return None
    seconds = int(value) / (1000 if len(value) > 10 else 1)
    return datetime.fromtimestamp(seconds, tz=UTC)


def _read_iso(value: str, zone: ZoneInfo) -> datetime | None:
    if not re.match(r"\d{4}-?\d{2}", value):
        return None
    found = datetime.fromisoformat(value.replace(" +", "+").replace(" Z", "Z"))
    return found if found.tzinfo else found.replace(tzinfo=zone)


def _read_written(value: str, zone: ZoneInfo) -> datetime | None:
    """``jeu. 14 mai 2026``, ``Thu, 14 May 2026 08:00:00 CET``, ``1er avril 2026 à 8 h 30``."""
    if _OFFSET.search(value):
        return None  # the mail reader knows offsets
    found = _WRITTEN.fullmatch(fold_words(value))
    if found is None:
        return None
    day, month, year, hour, minute, second, name = found.groups()
    if month not in _MONTHS or (name and name not in _ZONES):
        return None
    where = timezone(timedelta(hours=_ZONES[name])) if name else zone
    clock = (int(hour or 0), int(minute or 0), int(second or 0))
    return datetime(int(year), _MONTHS[month], int(day), *clock, tzinfo=where)


def _read_numeric(value: str, zone: ZoneInfo) -> datetime | None:
    """``14/05/2026 08:30``: day first, as in France."""
    found = _NUMERIC.fullmatch(value)
    if found is None:
        return None
    day, month, year, hour, minute = (int(part or 0) for part in found.groups())
    return datetime(year, month, day, hour, minute, tzinfo=zone)


def _read_mail(value: str, zone: ZoneInfo) -> datetime | None:
    found = parsedate_to_datetime(value)
    return found if found.tzinfo else found.replace(tzinfo=zone)
