"""Choosing examples for an issue.

In: the examples we have, what the issue asks for, what the last issues featured. Out: the examples,
the same for the same input in whatever order it comes. Never: one already featured, unless an
editor names it; the clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from newsletter.content.slugs import nearest
from newsletter.errors import ContentError
from newsletter.examples.reports import say
from newsletter.model import Example, Finding

# Examples of one season are equally fresh: among them balance decides.
SEASON = timedelta(days=90)
_DAWN = datetime(1970, 1, 1, tzinfo=UTC)


def pick(
    candidates: Iterable[Example],
    wanted: int | Sequence[str],
    recent: Iterable[Example],
    *,
    objectives: Sequence[str],
    regions: Sequence[str],
) -> tuple[Example, ...]:
    """Return the examples an issue asks for: by their ids, or that many.

    A number takes, one by one, among the unused of the newest season, the objective and then the
    region that *recent* and this pick show least, then the freshest; fewer when there are not as
    many. *objectives* and *regions* are the publication's own: what has none of them comes last.
    Raise ContentError with one finding for each id that is unknown or was withdrawn.
    """
    if not isinstance(wanted, int):
        return _find(candidates, wanted)
    shown = list(recent)
    used = {example.id for example in shown}
    pool = [one for one in candidates if _is_free(one) and one.id not in used]
    objective_uses = Counter(example.objective for example in shown)
    region_uses = Counter(example.region for example in shown)
    newest = max(map(freshness, pool), default=_DAWN)
    picked: list[Example] = []
    while pool and len(picked) < wanted:
        best = min(
            pool,
            key=lambda one: (
                (newest - freshness(one)) // SEASON,
                one.objective not in objectives,
                objective_uses[one.objective],
                # Regions weigh only where the publication names them and the example has one.
                region_uses[one.region] if one.region in regions else 0,
                newest - freshness(one),
                one.id,
            ),
        )
        pool.remove(best)
        picked.append(best)
        objective_uses[best.objective] += 1
        region_uses[best.region] += 1
    return tuple(picked)


def freshness(example: Example) -> datetime:
    """When it was published, else first seen (F6)."""
    return example.published_at or example.first_seen_at or _DAWN


def _is_free(example: Example) -> bool:
    return not example.featured_in and example.withdrawn_at is None


def _find(candidates: Iterable[Example], ids: Sequence[str]) -> tuple[Example, ...]:
    known = {example.id: example for example in candidates}
    asked = tuple(dict.fromkeys(ids))
    findings = tuple(finding for one in asked if (finding := _doubt(one, known)) is not None)
    if findings:
        raise ContentError("the issue names examples that cannot be featured", findings=findings)
    return tuple(known[one] for one in asked)


def _doubt(example_id: str, known: dict[str, Example]) -> Finding | None:
    if example_id not in known:
        close = nearest(example_id, known)
        if close:
            return say("unknown_example_near", id=example_id, nearest=close)
        return say("unknown_example", id=example_id)
    if known[example_id].withdrawn_at is not None:
        return say("withdrawn_example", id=example_id)
    return None
