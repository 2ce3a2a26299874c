"""An entry of a feed → an example worth keeping, or the reason why not (F4–F6).

In: a parsed entry, the publication's words, `now`. Out: a Sighting, or the report of a refusal.
Never: a network look-up, or a fault of one entry spread to the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from newsletter.examples.dates import OLDEST, is_credible, read_date
from newsletter.examples.identity import Sighting, content_hash, identities, similar_key
from newsletter.examples.links import LinkRefused, clean_link, link_key
from newsletter.examples.parse import ParsedEntry, ParsedFeed
from newsletter.examples.reports import EntryReport, Outcome, say
from newsletter.examples.vocabulary import (
    Vocabulary,
    find_first,
    keep_slug,
    read_actors,
    read_goals,
)
from newsletter.model import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every entry of a feed is judged with."""

    feed_url: str
    source: str  # the feed's name for readers
    vocabulary: Vocabulary
    zone: ZoneInfo
    now: datetime


def judge_feed(
    feed: ParsedFeed, bench: Bench
) -> tuple[tuple[Sighting, ...], tuple[EntryReport, ...]]:
    """Return what to keep and what is refused.

    The first published comes first: what repeats it later is the duplicate. Of two versions of one
    entry in the same document the later one counts, and the other follows at the end.
    """
    unsound = _unsound_guids(feed.entries)
    taken_back = set(feed.withdrawn)
    found: list[Sighting] = []
    refused: list[EntryReport] = []
    for entry in feed.entries:
        verdict = judge(entry, bench, guid_is_sound=entry.guid not in unsound)
        if isinstance(verdict, EntryReport):
            refused.append(verdict)
        elif entry.guid in taken_back and not verdict.withdrawn:
            found.append(replace(verdict, withdrawn=True))
        else:
            found.append(verdict)
    return _order(found), tuple(refused)


def judge(
    entry: ParsedEntry, bench: Bench, *, guid_is_sound: bool = True
) -> Sighting | EntryReport:
    """Return the example that *entry* shows, or the report of its refusal."""
    if not entry.title:
        return _refuse(entry, "no_title", bench)
    try:
        link = clean_link(entry.link)
    except LinkRefused as error:
        return _refuse(entry, error.code, bench)
    dates, doubt = _dates(entry, bench)
    example = _classify(
        Example(
            id="",
            title=entry.title,
            summary=entry.summary,
            link=link,
            source=bench.source,
            feed_url=bench.feed_url,
            territory=entry.territory,
            rights=entry.rights,
            image_url=_image(entry),
            published_at=dates[0] if dates else None,
            first_seen_at=bench.now,
        ),
        entry,
        bench.vocabulary,
    )
    codes = [*entry.repairs, *doubt]
    if not (entry.guid and guid_is_sound):
        codes.append("guid_reused" if entry.guid else "guid_missing")
    facts = {"title": entry.title, "date": entry.dates[0] if entry.dates else ""}
    return Sighting(
        example=example,
        identities=identities(example, entry.guid if guid_is_sound else ""),
        similar_key=similar_key(example),
        content_hash=content_hash(example),
        touched_at=max(dates, default=None),
        withdrawn=entry.withdrawn,
        repairs=tuple(say(code, file=bench.feed_url, **facts) for code in codes),
    )


def _classify(example: Example, entry: ParsedEntry, words: Vocabulary) -> Example:
    """Add what our namespace says; what it leaves out, from the categories."""
    scale, region, objective = (
        keep_slug(known, own) or find_first(known, entry.categories)
        for known, own in (
            (words.scales, entry.scale),
            (words.regions, entry.region),
            (words.objectives, entry.objective),
        )
    )
    return replace(
        example,
        scale=scale,
        region=region,
        objective=objective,
        sdgs=read_goals(entry.sdgs, entry.categories),
        actors=read_actors(entry.actors, words.profiles),
    )


def _dates(entry: ParsedEntry, bench: Bench) -> tuple[list[datetime], list[str]]:
    """The credible dates, publication first, and the code of a doubt when there is none (F6)."""
    read = [read_date(written, bench.zone) for written in entry.dates]
    found = [date for date in read if date is not None]
    credible = [date for date in found if is_credible(date, bench.now)]
    if credible or not entry.dates:
        return credible, []
    return [], ["date_incredible" if found else "date_unreadable"]


def _image(entry: ParsedEntry) -> str:
    try:
        return clean_link(entry.image_url)
    except LinkRefused:
        return ""


def _refuse(entry: ParsedEntry, code: str, bench: Bench) -> EntryReport:
    link = entry.link[:200]
    reason = say(code, file=bench.feed_url, title=entry.title, link=link)
    return EntryReport(outcome=Outcome.REFUSED, title=entry.title, link=link, reason=reason)


def _unsound_guids(entries: Iterable[ParsedEntry]) -> set[str]:
    """Identifiers that one document gives to several pages: they identify nothing."""
    pages = {(entry.guid, link_key(entry.link)) for entry in entries if entry.guid}
    met = Counter(guid for guid, _ in pages)
    return {guid for guid, times in met.items() if times > 1}


def _order(sightings: Iterable[Sighting]) -> tuple[Sighting, ...]:
    latest: dict[str, Sighting] = {}
    newest = sorted(sightings, key=lambda one: one.touched_at or OLDEST, reverse=True)
    superseded = [
        replace(one, superseded=True)
        for one in newest
        if latest.setdefault(one.identities[0], one) is not one
    ]
    first_published = sorted(
        latest.values(),
        key=lambda one: one.example.published_at or datetime.max.replace(tzinfo=UTC),
    )
    return (*first_published, *superseded)
