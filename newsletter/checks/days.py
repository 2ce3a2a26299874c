"""Days: dates that agree with their weekday, events still ahead, one folder for each slot."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping

from newsletter.checks.checked import Checked, blocks, field_place, passages
from newsletter.checks.faults import find
from newsletter.content.calendar import (
    MONTHS_FR,
    WEEKDAYS_FR,
    WrittenDate,
    long_date,
    slot_leaving_on,
    slot_near,
    written_dates,
)
from newsletter.model import Block, Finding, IssueId, Place


def wrong_weekdays(checked: Checked) -> Iterator[Finding]:
    """« jeudi 30 octobre » must be a Thursday; without a year, the nearest one is meant."""
    if checked.language != "fr":
        return
    for passage in passages(checked):
        for written in written_dates(passage.text):
            place = passage.at(passage.text.find(written.text))
            day = written.resolve(checked.issue.day)
            if day is None:
                yield find("impossible_date", place, text=written.text)
            elif written.weekday is not None and written.weekday != day.weekday():
                yield _contradiction(written, day, place)


def _contradiction(written: WrittenDate, day: dt.date, place: Place) -> Finding:
    number = "1er" if day.day == 1 else day.day
    right = f"{WEEKDAYS_FR[day.weekday()]} {number} {MONTHS_FR[day.month - 1]}"
    return find(
        "wrong_weekday", place, text=written.text, weekday=WEEKDAYS_FR[day.weekday()], right=right
    )


def past_events(checked: Checked) -> Iterator[Finding]:
    """An event's day that is over on the day of departure, with nothing left to see of it."""
    for block in blocks(checked.issue):
        if checked.roles.get(block.name) != "event":
            continue
        types = checked.fields.get(block.name, {})
        for name, kind in types.items():
            day = block.fields.get(name)
            if kind != "date" or not isinstance(day, dt.date) or day >= checked.today:
                continue
            if not _has_replay(block, types):
                said = long_date(day, checked.language)
                yield find("past_event", field_place(block, name), day=said)


def _has_replay(block: Block, types: Mapping[str, str]) -> bool:
    """True when the last of several addresses that a block declares is given."""
    addresses = [name for name, kind in types.items() if kind == "url"]
    return len(addresses) > 1 and bool(block.fields.get(addresses[-1]))


def expired_stories(checked: Checked) -> Iterator[Finding]:
    """A story past its own ``expires``."""
    for story in checked.issue.stories:
        if story.expires is not None and story.expires < checked.today:
            day = long_date(story.expires, checked.language)
            place = checked.header("expires", story.place)
            yield find("expired_story", place, title=story.title, day=day)


def misplaced_folder(checked: Checked) -> Iterator[Finding]:
    """A folder on a holiday, or on a day on which nothing leaves (DESIGN 5.3)."""
    issue, settings = checked.issue, checked.settings
    if slot_leaving_on(issue.day, settings) is not None:
        return
    slot = slot_near(issue.day, settings)
    day = long_date(issue.day, checked.language)
    if issue.day == slot.nominal and slot.holiday and slot.moved:
        moved = long_date(slot.day, checked.language)
        yield find(
            "folder_on_holiday",
            issue.place,
            day=day,
            holiday=slot.holiday,
            moved=moved,
            folder=slot.issue_id,
        )
    else:
        yield find("no_slot", issue.place, day=day, folder=slot.issue_id, issue=issue.id)


def two_for_one_slot(checked: Checked) -> Iterator[Finding]:
    """Another folder that an editor meant for the same week's departure."""
    slot = slot_near(checked.issue.day, checked.settings)
    meant = {slot.nominal.isoformat(), slot.day.isoformat()}
    if checked.issue.id not in meant:
        return
    for other in checked.folders:
        if other in meant and other != checked.issue.id:
            yield find("two_for_one_slot", checked.issue.place, other=IssueId(other))
