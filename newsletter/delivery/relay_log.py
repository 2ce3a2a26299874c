"""Postfix's log → what became of a run's messages in it, and for which hours it can say so.

In: lines of a log, whose message a Message-ID is, the readers in question, `now` and the zone of
old-style times. Out: a ``RelayLog``. Never: a file, a clock; absence from a log that does not
cover the moment proves nothing.

A message was taken when one queue id has both ``cleanup … message-id=<…>`` and ``qmgr … (queue
active)``: the first is logged while the body still comes in, the second once it is on disk. It was
cut when ``smtpd`` lost the client while it still read the content under that id: Postfix says
``(… bytes)`` then, and nothing of the kind once it has read the dot. With neither it has begun: it
may lie in the incoming queue until the active one has room.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from heapq import merge

_MESSAGE_ID = re.compile(r"/cleanup\[\d+\]: ([0-9A-Za-z]+): message-id=<?([^@>\s]*)")
_ACTIVE = re.compile(r"/qmgr\[\d+\]: ([0-9A-Za-z]+): from=.*\(queue active\)")
# What a process of smtpd receives, or that it receives for another client now.
_RECEIVING = re.compile(r"/smtpd\[(\d+)\]: (?:([0-9A-Za-z]+): client=|(?:dis)?connect from )")
_CUT = re.compile(r"/smtpd\[(\d+)\]: (?:lost connection|timeout) after (?:DATA|BDAT) \(\d+ bytes\)")
# Postfix began anew, and with it perhaps the machine; a logger confesses to have dropped lines.
_HOLE = re.compile(r"/master\[\d+\]: daemon started|messages lost|: Suppressed \d+ messages")
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)")
_OLD = re.compile(r"([A-Z][a-z]{2}) ([ \d]\d) (\d\d):(\d\d):(\d\d) ")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SORTED_AT_ONCE = 50_000


class Ids:
    """Readers' ids, 8 octets each whatever their number, read in ascending order."""

    def __init__(self) -> None:
        self._fresh: list[int] = []
        self._sorted: list[array[int]] = []

    def add(self, reader: int) -> None:
        self._fresh.append(reader)
        if len(self._fresh) == _SORTED_AT_ONCE:
            self._sorted.append(array("q", sorted(self._fresh)))
            self._fresh.clear()

    def __iter__(self) -> Iterator[int]:
        return merge(*self._sorted, sorted(self._fresh))


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayLog:
    """What a log says.

    ``seen``: the readers of the run whose message it names; of those in question, ``taken`` and
    ``begun``; its first and its last instant, and those at which lines may be missing.
    """

    seen: Iterable[int]
    taken: frozenset[int]
    begun: frozenset[int]
    first_at: datetime | None
    last_at: datetime | None
    holes: tuple[datetime, ...] = ()

    def covers(self, start: datetime, end: datetime) -> bool:
        """True when the log begins before and ends after what happened between both instants."""
        if self.first_at is None or self.last_at is None:
            return False
        return self.first_at <= start and end <= self.last_at

    def has_hole(self, start: datetime, end: datetime) -> bool:
        """True when lines between both instants may be missing all the same."""
        return any(start <= hole <= end for hole in self.holes)


@dataclass(slots=True)
class _Fates:
    """What became of the messages in question, queue id by queue id."""

    named: dict[str, int] = field(default_factory=dict)  # queue id → reader
    receiving: dict[str, str] = field(default_factory=dict)  # process of smtpd → queue id
    cut: set[str] = field(default_factory=set)  # queue ids
    untold: set[int] = field(default_factory=set)  # readers whose queue id is another's now
    taken: set[int] = field(default_factory=set)  # readers

    def name(self, queue_id: str, reader: int | None) -> None:
        """Note whose message has a queue id now; None: of nobody in question."""
        before = self.named.pop(queue_id, None)
        if before is not None and queue_id not in self.cut:
            self.untold.add(before)
        self.cut.discard(queue_id)
        if reader is not None:
            self.named[queue_id] = reader

    def begun(self) -> frozenset[int]:
        uncut = {reader for queue_id, reader in self.named.items() if queue_id not in self.cut}
        return frozenset((uncut | self.untold) - self.taken)

    def read(self, line: str) -> None:
        """Note what smtpd and qmgr say."""
        if found := _ACTIVE.search(line):
            if found.group(1) in self.named:
                self.taken.add(self.named[found.group(1)])
        elif found := _RECEIVING.search(line):
            self.receiving.pop(found.group(1), None)
            if found.group(2):
                self.receiving[found.group(1)] = found.group(2)
        elif found := _CUT.search(line):
            queue_id = self.receiving.pop(found.group(1), "")
            if queue_id in self.named:
                self.cut.add(queue_id)


def read_relay_log(
    lines: Iterable[str],
    reader_of: Callable[[str], int | None],
    wanted: Collection[int],
    *,
    now: datetime,
    zone: tzinfo,
) -> RelayLog:
    """Read a log once, in any size; of each message of the run only its reader's id is kept.

    *reader_of* says whose message of the run the local part of a Message-ID is, or None; *wanted*
    are the readers in question. Times are ISO 8601, or of the old style without a year and in
    *zone*: then the last such day before *now* is meant.
    """
    seen, fates = Ids(), _Fates()
    first_at: datetime | None = None
    last_line = ""
    holes: list[datetime] = []
    for line in lines:
        if first_at is None:
            # Of the hour that a clock tells twice, the later: a log never covers more than it does.
            first_at = read_time(line, now=now, zone=zone, fold=1)
        last_line = line if _may_have_time(line) else last_line
        if found := _MESSAGE_ID.search(line):
            reader = reader_of(found.group(2))
            if reader is not None:
                seen.add(reader)
            fates.name(found.group(1), reader if reader in wanted else None)
        elif _HOLE.search(line):
            times = (read_time(line, now=now, zone=zone, fold=fold) for fold in (0, 1))
            holes += [at for at in times if at is not None]
        else:
            fates.read(line)
    last_at = read_time(last_line, now=now, zone=zone)
    return RelayLog(
        seen=seen,
        taken=frozenset(fates.taken),
        begun=fates.begun(),
        first_at=first_at,
        last_at=last_at and min(last_at, now),  # no log knows what is still to come
        holes=tuple(holes),
    )


def _may_have_time(line: str) -> bool:
    return bool(_ISO.match(line) or _OLD.match(line))


def read_time(line: str, *, now: datetime, zone: tzinfo, fold: int = 0) -> datetime | None:
    """Return the instant at the head of a line, None when there is none."""
    if found := _ISO.match(line):
        try:
            return datetime.fromisoformat(found.group().replace(",", "."))
        except ValueError:  # the 45th of a month
            return None
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
