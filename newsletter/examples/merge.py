"""What a sighting changes in what we know (F5). A table of decisions, without a database.

In: a sighting, and the example already known under one of its keys, if any. Out: the outcome and
what to write. Never: an example of one feed rewritten by another feed: it may only fill blanks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from newsletter.examples.identity import Sighting
from newsletter.examples.reports import Outcome
from newsletter.model import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An example of the store, and the keys it was met under among those of the sighting."""

    example: Example
    content_hash: str
    identities: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """``example`` is what to write, None to write nothing; ``content_hash`` None leaves it."""

    outcome: Outcome
    example: Example | None = None
    content_hash: str | None = None
    withdraw: bool = False


def decide(sighting: Sighting, known: Known | None, *, settled: bool = False) -> Decision:
    """Decide on one sighting; ``settled``: a later version of it stood in the same document."""
    if known is None:
        if sighting.withdrawn:
            return Decision(outcome=Outcome.WITHDRAWN)
        return Decision(
            outcome=Outcome.NEW, example=sighting.example, content_hash=sighting.content_hash
        )
    again = set(sighting.identities) <= known.identities
    met = Outcome.UNCHANGED if again else Outcome.MERGED
    if known.example.feed_url != sighting.example.feed_url:
        return _meet_elsewhere(sighting, known, met)
    if settled:
        return Decision(outcome=met)
    return _follow_source(sighting, known, met)


def _meet_elsewhere(sighting: Sighting, known: Known, met: Outcome) -> Decision:
    """Another feed shows it: fill the blanks, once; it can neither edit nor withdraw."""
    if sighting.withdrawn or met is Outcome.UNCHANGED:
        return Decision(outcome=Outcome.UNCHANGED)
    return Decision(outcome=met, example=fill(known.example, sighting.example))


def _follow_source(sighting: Sighting, known: Known, met: Outcome) -> Decision:
    is_out = known.example.withdrawn_at is not None
    if sighting.withdrawn:
        return Decision(
            outcome=Outcome.UNCHANGED if is_out else Outcome.WITHDRAWN, withdraw=not is_out
        )
    if known.content_hash == sighting.content_hash and not is_out:
        return Decision(outcome=met)
    edited = replace(
        fill(sighting.example, known.example),
        id=known.example.id,
        first_seen_at=known.example.first_seen_at,
        published_at=known.example.published_at or sighting.example.published_at,
        withdrawn_at=None,
    )
    outcome = met if met is Outcome.MERGED else Outcome.UPDATED
    return Decision(outcome=outcome, example=edited, content_hash=sighting.content_hash)


def fill(example: Example, other: Example) -> Example:
    """*example* with the classification it lacks taken from *other*."""
    return replace(
        example,
        territory=example.territory or other.territory,
        scale=example.scale or other.scale,
        region=example.region or other.region,
        actors=example.actors or other.actors,
        objective=example.objective or other.objective,
        sdgs=example.sdgs or other.sdgs,
    )
