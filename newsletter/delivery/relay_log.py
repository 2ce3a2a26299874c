"""Postfix's log → which of our messages it took, and for which hours it can say so.

In: lines of a log, the Message-IDs in question, `now` and the zone of old-style times. Out: a
``RelayLog``. Never: a file, a clock; absence from a log that does not cover the moment proves
nothing.

A message was taken when one queue id has both ``cleanup … message-id=<…>`` and ``qmgr … (queue
active)``: the first is logged while the body still comes in, the second once it is on disk.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

_MESSAGE_ID = re.compile(r"/cleanup\[\d+\]: ([0-9A-Za-z]+): message-id=(<[^>]*>)")
_ACTIVE = re.compile(r"/qmgr\[\d+\]: ([0-9A-Za-z]+): from=.*\(queue active\)")
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)")
_OLD = re.compile(r"([A-Z][a-z]{2}) ([ \d]\d) (\d\d):(\d\d):(\d\d) ")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayLog:
    """What a log says: the Message-IDs taken, its first and its last instant."""

    taken: frozenset[str]
    first_at: datetime | None
    last_at: datetime | None

    def covers(self, start: datetime, end: datetime) -> bool:
        """True when nothing that happened between both instants can be missing."""
        if self.first_at is None or self.last_at is None:
            return False
        return self.first_at <= start and end <= self.last_at


def read_relay_log(
    lines: Iterable[str], wanted: Collection[str], *, now: datetime, zone: tzinfo
) -> RelayLog:
    """Read a log once, in any size; only what concerns the *wanted* Message-IDs is kept.

    Times are ISO 8601, or of the old style without a year and in *zone*: then the last such day
    before *now* is meant.
    """
    queued: dict[str, str] = {}  # queue id → Message-ID
    taken: set[str] = set()
    first_at: datetime | None = None
    last_line = ""
    for line in lines:
        if first_at is None:
            # Of the hour that a clock tells twice, the later: a log never covers more than it does.
            first_at = read_time(line, now=now, zone=zone, fold=1)
        last_line = line if _may_have_time(line) else last_line
        if found := _MESSAGE_ID.search(line):
            if found.group(2) in wanted:
                queued[found.group(1)] = found.group(2)
        elif (found := _ACTIVE.search(line)) and found.group(1) in queued:
            taken.add(queued[found.group(1)])
    last_at = read_time(last_line, now=now, zone=zone)
    return RelayLog(taken=frozenset(taken), first_at=first_at, last_at=last_at)


def _may_have_time(line: str) -> bool:
    return bool(_ISO.match(line) or _OLD.match(line))


def read_time(line: str, *, now: datetime, zone: tzinfo, fold: int = 0) -> datetime | None:
    """Return the instant at the head of a line, None when there is none."""
    if found := _ISO.match(line):
        return datetime.fromisoformat(found.group().replace(",", "."))
    found = _OLD.match(line)
    if found is None or found.group(1) not in _MONTHS:
        return None
    month = _MONTHS.index(found.group(1)) + 1
    day, hour, minute, second = (int(part) for part in found.groups()[1:])
    for year in (now.year, now.year - 1):
        try:
            at = datetime(year, month, day, hour, minute, second, tzinfo=zone, fold=fold)
        except ValueError:  # 29 February
            continue
        if at <= now + timedelta(days=1):
            return at
    return None
