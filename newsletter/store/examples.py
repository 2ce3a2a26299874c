"""The examples of the watch, every key they were met under, and where they were featured.

In: sightings judged by ``examples``, issue ids. Out: examples as values. Never: a decision about
what is new, edited or a duplicate; ``examples.merge`` decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    exists,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from newsletter.examples.identity import Sighting, name_example, similar_key
from newsletter.examples.merge import Decision, Known, decide
from newsletter.examples.reports import EntryReport, Outcome, say
from newsletter.examples.text import fold_words
from newsletter.model import Actor, Example
from newsletter.store.feeds import lock_watch
from newsletter.store.schema import example, example_identity, featured

# --- writing what feeds show ---------------------------------------------------------------------


def keep_sightings(
    connection: Connection, sightings: Iterable[Sighting], now: datetime
) -> tuple[EntryReport, ...]:
    """Apply the sightings of one document in their order; return what became of each."""
    lock_watch(connection)
    return tuple(_keep(connection, sighting, now) for sighting in sightings)


def _keep(connection: Connection, sighting: Sighting, now: datetime) -> EntryReport:
    known = find_known(connection, sighting)
    decision = decide(sighting, known)
    example_id = _apply(connection, sighting, known, decision, now)
    if example_id:
        _insert_missing(
            connection,
            example_identity,
            [{"identity": key, "example_id": example_id} for key in sighting.identities],
        )
    title, link = sighting.example.title, sighting.example.link
    kept = decision.outcome in {Outcome.NEW, Outcome.UPDATED, Outcome.MERGED}
    refused = decision.outcome is Outcome.REFUSED
    return EntryReport(
        outcome=decision.outcome,
        title=title,
        link=link,
        example_id=example_id,
        reason=say("withdrawn", file=sighting.example.feed_url, title=title) if refused else None,
        # What is mended in the same entry at every poll is told once.
        repairs=sighting.repairs if kept else (),
    )


def find_known(connection: Connection, sighting: Sighting) -> Known | None:
    """The example that *sighting* shows again: by its keys, strongest first, else by likeness."""
    rows = connection.execute(
        select(example_identity).where(example_identity.c.identity.in_(sighting.identities))
    )
    owners = {row.identity: row.example_id for row in rows}
    found = next((owners[key] for key in sighting.identities if key in owners), None)
    if found is None and sighting.similar_key:
        found = connection.scalar(
            select(example.c.id)
            .where(example.c.similar_key == sighting.similar_key)
            .order_by(example.c.first_seen_at, example.c.id)
            .limit(1)
        )
    if found is None:
        return None
    row = connection.execute(select(example).where(example.c.id == found)).one()
    return Known(
        example=_example(row),
        lead=row.lead,
        content_hash=row.content_hash,
        # A key that belongs to another example is not one to gain: it never becomes news again.
        identities=frozenset(owners),
    )


def _apply(
    connection: Connection,
    sighting: Sighting,
    known: Known | None,
    decision: Decision,
    now: datetime,
) -> str:
    """Write the decision; return the example's id, '' when there is none."""
    if known is None:
        if decision.example is None:
            return ""
        example_id = name_example(decision.example, lambda name: _is_taken(connection, name))
        connection.execute(
            insert(example).values(
                id=example_id,
                first_seen_at=now,
                updated_at=now,
                lead=sighting.identities[0],
                content_hash=sighting.content_hash,
                **_content(decision.example),
            )
        )
        return example_id
    changes: dict[str, Any] = _content(decision.example) if decision.example else {}
    if decision.content_hash:
        changes["content_hash"] = decision.content_hash
    if decision.withdraw:
        changes["withdrawn_at"] = now
    if changes:
        connection.execute(
            update(example)
            .where(example.c.id == known.example.id)
            .values(updated_at=now, **changes)
        )
    return known.example.id


def _is_taken(connection: Connection, name: str) -> bool:
    """An id once printed in an issue is never given to another example."""
    return bool(
        connection.scalar(
            select(
                exists().where(example.c.id == name) | exists().where(featured.c.example_id == name)
            )
        )
    )


def _content(shown: Example) -> dict[str, Any]:
    searched = [shown.title, shown.summary, shown.territory, shown.region, shown.source]
    return {
        "feed_url": shown.feed_url,
        "source": shown.source,
        "title": shown.title,
        "summary": shown.summary,
        "link": shown.link,
        "territory": shown.territory,
        "scale": shown.scale,
        "region": shown.region,
        "actors": [
            {"name": actor.name, "profile": actor.profile, "role": actor.role}
            for actor in shown.actors
        ],
        "objective": shown.objective,
        "sdgs": list(shown.sdgs),
        "rights": shown.rights,
        "image_url": shown.image_url,
        "published_at": shown.published_at,
        "withdrawn_at": shown.withdrawn_at,
        "similar_key": similar_key(shown),
        "words": fold_words(" ".join(searched + [actor.name for actor in shown.actors])),
    }


# --- reading -------------------------------------------------------------------------------------


def list_examples(
    connection: Connection,
    *,
    unused: bool = False,
    objective: str = "",
    search: str = "",
    withdrawn: bool = False,
) -> tuple[Example, ...]:
    """The examples that match, the freshest first; without the withdrawn ones unless asked.

    *search*: every word must be found, accents and case aside, in title, summary, territory,
    region, actors or source.
    """
    wanted: list[ColumnElement[bool]] = []
    if unused:
        wanted.append(~exists().where(featured.c.example_id == example.c.id))
    if objective:
        wanted.append(example.c.objective == objective)
    if not withdrawn:
        wanted.append(example.c.withdrawn_at.is_(None))
    wanted += [
        example.c.words.contains(word, autoescape=True) for word in fold_words(search).split()
    ]
    return _read(connection, select(example).where(*wanted))


def candidates(connection: Connection) -> tuple[Example, ...]:
    """Every example, for ``curate.pick``, which names the withdrawn and passes the featured."""
    return list_examples(connection, withdrawn=True)


def recent_features(connection: Connection, issues: int) -> tuple[Example, ...]:
    """The examples of the last *issues*, the latest issue first: what a pick must balance."""
    last = (
        select(featured.c.issue_id)
        .group_by(featured.c.issue_id)
        .order_by(featured.c.issue_id.desc())
        .limit(issues)
    )
    ids = set(
        connection.scalars(select(featured.c.example_id).where(featured.c.issue_id.in_(last)))
    )
    found = _read(connection, select(example).where(example.c.id.in_(ids)))
    return tuple(sorted(found, key=lambda one: (max(one.featured_in), one.id), reverse=True))


def _read(connection: Connection, query: Select[Any]) -> tuple[Example, ...]:
    fresh = func.coalesce(example.c.published_at, example.c.first_seen_at).desc()
    rows = connection.execute(query.order_by(fresh, example.c.id)).all()
    used: dict[str, list[str]] = {}
    for row in connection.execute(select(featured).order_by(featured.c.issue_id)):
        used.setdefault(row.example_id, []).append(row.issue_id)
    return tuple(_example(row, used.get(row.id, ())) for row in rows)


def _example(row: Any, featured_in: Sequence[str] = ()) -> Example:
    return Example(
        id=row.id,
        title=row.title,
        summary=row.summary,
        link=row.link,
        source=row.source,
        feed_url=row.feed_url,
        territory=row.territory,
        scale=row.scale,
        region=row.region,
        actors=tuple(Actor(**actor) for actor in row.actors),
        objective=row.objective,
        sdgs=tuple(row.sdgs),
        rights=row.rights,
        image_url=row.image_url,
        published_at=row.published_at,
        first_seen_at=row.first_seen_at,
        withdrawn_at=row.withdrawn_at,
        featured_in=tuple(featured_in),
    )


# --- featuring -----------------------------------------------------------------------------------


def mark_featured(
    connection: Connection, issue_id: str, example_ids: Iterable[str], now: datetime
) -> None:
    """Note that an issue features these examples; noting it twice changes nothing."""
    rows = [{"example_id": one, "issue_id": issue_id, "at": now} for one in example_ids]
    if rows:
        _insert_missing(connection, featured, rows)


def _insert_missing(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """INSERT … ON CONFLICT DO NOTHING, in the words of this database."""
    if connection.dialect.name == "sqlite":
        connection.execute(sqlite.insert(table).on_conflict_do_nothing(), rows)
    else:
        connection.execute(postgresql.insert(table).on_conflict_do_nothing(), rows)
