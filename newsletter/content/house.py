"""What a publication decides about its texts, handed to the pure parsers as one value.

In: settings, block declarations, registries, a way to look for pictures. Out: ``House``.
Never: the disk; the one look-up that needs it, ``find_picture``, is a parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from newsletter.content.blocks import BlockDeclaration
from newsletter.content.registries import Registries
from newsletter.content.typography import Profile

if TYPE_CHECKING:
    from newsletter.config import Term


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a picture cannot be used: a code of ``faults`` and its facts."""

    code: str
    facts: Mapping[str, str | int] = field(default_factory=dict)


def find_no_picture(path: str, _: str) -> str | Refusal:
    """Refuse every picture: for texts that have none."""
    return Refusal("picture_missing", {"path": path, "nearest": ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """The rules of one publication.

    ``profile`` sets texts, ``plain`` subjects (no U+202F). ``find_picture`` takes a path as
    written and the file it is written in; it returns the path relative to the publication.
    ``terms`` are the known values of a story's key; without any, every value is good.
    """

    language: str = "fr"
    profile: Profile | None = None
    plain: Profile | None = None
    blocks: Mapping[str, BlockDeclaration] = field(default_factory=dict)
    registries: Registries = field(default_factory=Registries)
    terms: Mapping[str, Sequence[Term]] = field(default_factory=dict)
    segments: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    find_picture: Callable[[str, str], str | Refusal] = find_no_picture
