"""What a sighting changes in what we know (F5). A table of decisions, without a database.

In: a sighting, and the example already known under one of its keys, if any. Out: the outcome and
what to write. Never: an example rewritten by another feed, or by an entry that merely repeats it:
these may only fill blanks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from newsletter.examples.identity import Sighting
from newsletter.examples.reports import Outcome
from newsletter.model import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An example of the store.

    ``lead`` is the identity of the entry that brought it, the only one it follows; ``identities``
    are those of the sighting that are already somebody's.
    """

    example: Example
    lead: str
    content_hash: str
    identities: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """``example`` is what to write, None to write nothing; ``content_hash`` None leaves it."""

    outcome: Outcome
    example: Example | None = None
    content_hash: str | None = None
    withdraw: bool = False


def decide(sighting: Sighting, known: Known | None) -> Decision:
    """Decide on one sighting; what was withdrawn before we knew it is refused."""
    if known is None:
        if sighting.withdrawn or sighting.superseded:
            return Decision(outcome=Outcome.REFUSED)
        return Decision(
            outcome=Outcome.NEW, example=sighting.example, content_hash=sighting.content_hash
        )
    if sighting.superseded:
        return Decision(outcome=Outcome.UNCHANGED)
    if known.lead != sighting.identities[0]:
        return _meet_again(sighting, known)
    return _follow(sighting, known)


def _meet_again(sighting: Sighting, known: Known) -> Decision:
    """Another entry shows it: fill the blanks, once; it can neither edit nor withdraw."""
    if sighting.withdrawn or set(sighting.identities) <= known.identities:
        return Decision(outcome=Outcome.UNCHANGED)
    return Decision(outcome=Outcome.MERGED, example=fill(known.example, sighting.example))


def _follow(sighting: Sighting, known: Known) -> Decision:
    """The entry that brought it: obey its edits, its withdrawal and its return."""
    is_out = known.example.withdrawn_at is not None
    if sighting.withdrawn:
        outcome = Outcome.UNCHANGED if is_out else Outcome.WITHDRAWN
        return Decision(outcome=outcome, withdraw=not is_out)
    if known.content_hash == sighting.content_hash and not is_out:
        return Decision(outcome=Outcome.UNCHANGED)
    edited = replace(
        fill(sighting.example, known.example),
        id=known.example.id,
        first_seen_at=known.example.first_seen_at,
        published_at=known.example.published_at or sighting.example.published_at,
    )
    return Decision(outcome=Outcome.UPDATED, example=edited, content_hash=sighting.content_hash)


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
