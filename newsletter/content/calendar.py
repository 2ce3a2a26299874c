"""The publication's civil calendar: weekly slots, holidays, pauses, and dates in French.

In: the schedule's settings, a zone, days and instants. Out: slots (which day, which instant, why
moved or skipped), and dates as people read them. Never: the clock, the database, or a slot kept as
a UTC instant: every slot is computed anew from civil time (S2), so that a change of rules or of
summer time cannot lose a week.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from zoneinfo import ZoneInfo

from newsletter.config import Schedule, Settings
from newsletter.errors import ConfigError
from newsletter.model import IssueId

WEEK = dt.timedelta(days=7)
DAY = dt.timedelta(days=1)
# A slot moves by at most so many days: seven nominal days never share a day of departure.
FARTHEST_MOVE_D = 3
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
WEEKDAYS_FR = ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche")
MONTHS_FR = (
    "janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre",
    "octobre", "novembre", "décembre",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One week's departure.

    ``nominal`` is the weekday of the settings; ``day`` the day it leaves, which names the issue's
    folder; ``at`` its instant. ``holiday`` names the holiday that moved or cancelled it;
    ``skipped`` is '' or ``holiday`` or ``pause``, and ``why`` the pause's own reason.
    """

    nominal: dt.date
    day: dt.date
    at: dt.datetime
    holiday: str = ""
    skipped: str = ""
    why: str = ""

    @property
    def issue_id(self) -> IssueId:
        return IssueId(self.day.isoformat())

    @property
    def moved(self) -> bool:
        return self.day != self.nominal


# --- instants ------------------------------------------------------------------------------------


def instant(day: dt.date, time: dt.time, zone: ZoneInfo) -> dt.datetime:
    """Return the UTC instant at which clocks of *zone* show *time* on *day*.

    Where they never show it (spring), the first valid instant after; where they show it twice
    (autumn), the first of the two (DESIGN 5.3).
    """
    civil = dt.datetime.combine(day, time, tzinfo=zone)
    found = civil.astimezone(dt.UTC)
    if found.astimezone(zone).replace(tzinfo=None) == civil.replace(tzinfo=None):
        return found
    # In a gap fold=0 reads the offset before it, fold=1 the one after: they enclose its end.
    return _end_of_gap(civil.replace(fold=1).astimezone(dt.UTC), found, zone)


def _end_of_gap(before: dt.datetime, after: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    new = after.astimezone(zone).utcoffset()
    low, high = 0, int((after - before).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        moment = before + dt.timedelta(seconds=middle)
        if moment.astimezone(zone).utcoffset() == new:
            high = middle
        else:
            low = middle
    return before + dt.timedelta(seconds=high)


def local_day(moment: dt.datetime, settings: Settings) -> dt.date:
    """The publication's civil day at an instant."""
    return moment.astimezone(settings.publication.zone).date()


# --- holidays and pauses -------------------------------------------------------------------------


def holiday(day: dt.date, schedule: Schedule) -> str:
    """Return the name of the legal holiday on *day*, or ''."""
    if not schedule.holidays_of:
        return ""
    return _holidays(schedule.holidays_of, day.year).get(day, "")


@cache
def _holidays(where: str, year: int) -> dict[dt.date, str]:
    import holidays  # 0.1 s, and most commands ask for no date

    country, _, subdivision = where.partition("-")
    region = subdivision or None
    try:
        # Without a language the names would follow the machine's own locale.
        language = holidays.country_holidays(country, subdiv=region).default_language
        found = holidays.country_holidays(country, region, years=year, language=language)
    except NotImplementedError:  # how `holidays` says that it knows no such country
        raise ConfigError(
            f"the holidays of {where!r} are not known",
            key="schedule.holidays_of",
            remedy='write a country such as "FR", or a subdivision of it such as "FR-57"',
        ) from None
    return {day: name for day, name in found.items() if day.year == year}


def is_working_day(day: dt.date, schedule: Schedule) -> bool:
    """True from Monday to Friday, except on a holiday."""
    return day.weekday() < 5 and not holiday(day, schedule)


def _pause(day: dt.date, schedule: Schedule) -> str | None:
    for pause in schedule.pauses:
        if pause.start <= day <= pause.end:
            return pause.reason
    return None


# --- slots ---------------------------------------------------------------------------------------


def nominal_days(schedule: Schedule, start: dt.date) -> Iterator[dt.date]:
    """Yield the weekly days of *schedule* from *start* on, until the calendar ends."""
    day = start + DAY * ((WEEKDAYS.index(schedule.day) - start.weekday()) % 7)
    while True:
        yield day
        if day > dt.date.max - WEEK:
            return
        day += WEEK


def slot_of(nominal: dt.date, schedule: Schedule, zone: ZoneInfo) -> Slot:
    """Return the slot of one nominal day, moved or skipped as the settings say."""
    day, skipped, why = nominal, "", ""
    name = holiday(nominal, schedule)
    if name and schedule.holidays == "skip":
        skipped = "holiday"
    elif name and schedule.holidays != "keep":
        moved_to = _nearest_working_day(nominal, schedule)
        day, skipped = (moved_to, "") if moved_to else (nominal, "holiday")
    for candidate in (nominal, day):
        reason = _pause(candidate, schedule)
        if reason is not None:
            day, skipped, why = nominal, "pause", reason
    at = instant(day, schedule.time, zone)
    return Slot(nominal=nominal, day=day, at=at, holiday=name, skipped=skipped, why=why)


def _nearest_working_day(nominal: dt.date, schedule: Schedule) -> dt.date | None:
    """The nearest working day on the side the settings want, else on the other, else none."""
    steps = range(1, FARTHEST_MOVE_D + 1)
    wanted = -1 if schedule.holidays == "advance" else 1
    for direction in (wanted, -wanted):
        for step in steps:
            day = nominal + DAY * (step * direction)
            if is_working_day(day, schedule):
                return day
    return None


def slots_between(settings: Settings, start: dt.datetime, end: dt.datetime) -> Iterator[Slot]:
    """Yield the slots whose instant lies in [*start*, *end*], in order."""
    margin = DAY * (FARTHEST_MOVE_D + 1)
    zone = settings.publication.zone
    for nominal in nominal_days(settings.schedule, local_day(start, settings) - margin):
        slot = slot_of(nominal, settings.schedule, zone)
        if slot.at > end and nominal - margin > local_day(end, settings):
            return
        if start <= slot.at <= end:
            yield slot


def slot_near(day: dt.date, settings: Settings) -> Slot:
    """Return the one slot whose nominal day is *day* or within three days of it."""
    nominal = next(nominal_days(settings.schedule, day - DAY * FARTHEST_MOVE_D))
    return slot_of(nominal, settings.schedule, settings.publication.zone)


def slot_leaving_on(day: dt.date, settings: Settings) -> Slot | None:
    """Return the slot whose issue is the folder of *day*; None when none leaves that day."""
    slot = slot_near(day, settings)
    return slot if slot.day == day and not slot.skipped else None


def next_free_slot(settings: Settings, taken: Collection[str], now: dt.datetime) -> Slot:
    """Return the first slot after *now* that is neither skipped nor in *taken*."""
    start = local_day(now, settings) - DAY * FARTHEST_MOVE_D
    for nominal in nominal_days(settings.schedule, start):
        slot = slot_of(nominal, settings.schedule, settings.publication.zone)
        if slot.at > now and not slot.skipped and slot.issue_id not in taken:
            return slot
    raise ConfigError("no slot is free until the end of the calendar", key="schedule.pauses")


# --- dates as people read them -------------------------------------------------------------------


def long_date(day: dt.date, language: str = "fr") -> str:
    """Return *day* in full: « jeudi 1er octobre 2026 », month and weekday in lower case."""
    if language.partition("-")[0] == "fr":
        first = "1er" if day.day == 1 else str(day.day)
        return f"{WEEKDAYS_FR[day.weekday()]} {first} {MONTHS_FR[day.month - 1]} {day.year}"
    from babel.dates import format_date

    return format_date(day, format="full", locale=language.replace("-", "_"))


def long_time(time: dt.time, language: str = "fr") -> str:
    """Return a time in full: « 8 h », « 14 h 30 », with no-break spaces."""
    if language.partition("-")[0] == "fr":
        hours = f"{time.hour}\u00a0h"
        return f"{hours}\u00a0{time.minute:02}" if time.minute else hours
    from babel.dates import format_time

    return format_time(time, format="short", locale=language.replace("-", "_"))


_WRITTEN = re.compile(
    rf"(?:\b({'|'.join(WEEKDAYS_FR)})\s+)?\b(\d{{1,2}}|1er)\s+({'|'.join(MONTHS_FR)})\b"
    r"(?:\s+(\d{4}))?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenDate:
    """A date found in prose; ``weekday`` is 0–6 or None, ``year`` None when none is written."""

    text: str
    weekday: int | None
    day: int
    month: int
    year: int | None

    def resolve(self, around: dt.date) -> dt.date | None:
        """Return the date meant near *around*; None when no calendar has it (31 avril)."""
        years = (self.year,) if self.year else (around.year, around.year + 1, around.year - 1)
        dates = [date for year in years if (date := _date(year, self.month, self.day))]
        return min(dates, key=lambda date: abs(date - around), default=None)


def written_dates(prose: str) -> Iterator[WrittenDate]:
    """Yield the French dates of *prose*: « jeudi 30 octobre », « 1er mai 2026 »."""
    for match in _WRITTEN.finditer(prose):
        weekday, day, month, year = match.groups()
        yield WrittenDate(
            text=match.group(0),
            weekday=WEEKDAYS_FR.index(weekday.lower()) if weekday else None,
            day=1 if day.lower() == "1er" else int(day),
            month=MONTHS_FR.index(month.lower()) + 1,
            year=int(year) if year else None,
        )


def _date(year: int, month: int, day: int) -> dt.date | None:
    try:
        return dt.date(year, month, day)
    except ValueError:
        return None
