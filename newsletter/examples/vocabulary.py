"""A feed's words for objectives, scales, regions, profiles and SDGs → the publication's slugs.

In: the publication's taxonomy and a feed's words. Out: slugs, or ''. Never: a word of the taxonomy
known to this code, except which territories are scales.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from newsletter.config import Taxonomy, Term
from newsletter.content.slugs import slugify
from newsletter.examples.text import clip, fold_words, telling_words
from newsletter.model import Actor

# Of the territories of a taxonomy, these say how large; every other one says where.
SCALES = ("commune", "epci", "intercommunalite", "departement", "region", "national",
          "international")  # fmt: skip
_SAME_SCALE = {"epci": "intercommunalite", "intercommunalite": "epci"}
_GOALS = re.compile(
    r"\b(?:odd|sdg)s?\s*(?:n\s*(?:°|º|o\b|os\b)?\s*)?((?:\d{1,2}\D{0,4})+)", re.IGNORECASE
)
MAX_GOAL = 17
ACTORS = 12
ACTOR_LENGTH = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The taxonomy, ready for looking up: folded slug or label → slug."""

    objectives: dict[str, str]
    profiles: dict[str, str]
    scales: dict[str, str]
    regions: dict[str, str]


def build_vocabulary(taxonomy: Taxonomy) -> Vocabulary:
    scales = [term for term in taxonomy.territories if term.slug in SCALES]
    regions = [term for term in taxonomy.territories if term.slug not in SCALES]
    words = _words(scales)
    for scale, other in _SAME_SCALE.items():
        if scale not in words and other in words:
            words[scale] = words[other]
    return Vocabulary(
        objectives=_words(taxonomy.objectives),
        profiles=_words(taxonomy.profiles),
        scales=words,
        regions=_words(regions),
    )


def _words(terms: Iterable[Term]) -> dict[str, str]:
    return {fold_words(word): term.slug for term in terms for word in (term.label, term.slug)}


def find_slug(words: dict[str, str], value: str) -> str:
    """The slug of *value*: its slug, its label, or two or more words of one label only."""
    folded = fold_words(value)
    if folded in words:
        return words[folded]
    wanted = set(telling_words(value))
    if len(wanted) < 2:
        return ""
    found = {slug for label, slug in words.items() if wanted <= set(label.split())}
    return found.pop() if len(found) == 1 else ""


def find_first(words: dict[str, str], values: Iterable[str]) -> str:
    """The slug of the first of *values* that has one."""
    return next(filter(None, (find_slug(words, value) for value in values)), "")


def keep_slug(words: dict[str, str], value: str) -> str:
    """The slug of *value*; a publication without such a taxonomy keeps the feed's own word."""
    return find_slug(words, value) or ("" if words else slugify(clip(value, 40).rstrip("…")))


def read_goals(own: str, categories: Iterable[str]) -> tuple[int, ...]:
    """SDG numbers from our element (``8, 11``) and from categories such as « ODD 11 »."""
    numbers = [int(number) for number in re.findall(r"\d{1,2}", own)]
    for category in categories:
        for found in _GOALS.finditer(category[:100]):
            numbers += [int(number) for number in re.findall(r"\d{1,2}", found.group(1))]
    return tuple(sorted({number for number in numbers if 1 <= number <= MAX_GOAL}))


def read_actors(own: str, words: dict[str, str]) -> tuple[Actor, ...]:
    """``Ville de X | collectivite | porteur ; Y | association`` → actors, each name once."""
    found: dict[str, Actor] = {}
    for written in own.split(";"):
        name, profile, role = ([part.strip() for part in written.split("|")] + ["", ""])[:3]
        if name and len(found) < ACTORS:
            actor = Actor(
                name=clip(name, ACTOR_LENGTH),
                profile=keep_slug(words, profile),
                role=clip(role, 60),
            )
            found.setdefault(fold_words(name), actor)
    return tuple(found.values())
