"""English source strings → the publication's language.

In: a message and its facts. Out: the same sentence in French, or in English where no translation
exists. The catalogues are plain ``locale/<language>/*.po`` files, one for each area, read once.
Never: a sentence built from translated pieces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files

from newsletter.model import Finding


def translate(message: str, language: str, facts: Mapping[str, str | int] | None = None) -> str:
    """Return *message* in *language*, its ``{names}`` filled from *facts*."""
    sentence = _catalogue(language.partition("-")[0]).get(message, message)
    return sentence.format_map(facts) if facts else sentence


def say(finding: Finding, language: str) -> Finding:
    """Return the finding with its message and its remedy in *language*, facts filled in."""
    return replace(
        finding,
        message=translate(finding.message, language, finding.facts),
        remedy=translate(finding.remedy, language, finding.facts),
        facts={},
    )


@cache
def _catalogue(language: str) -> dict[str, str]:
    from babel.messages.pofile import read_po  # heavy, and English needs none

    sentences: dict[str, str] = {}
    folder = files("newsletter") / "locale" / language
    if not language.isalpha() or not folder.is_dir():
        return sentences
    for catalogue in sorted(folder.iterdir(), key=lambda file: file.name):
        if catalogue.name.endswith(".po"):
            with catalogue.open("rb") as source:
                sentences |= {
                    str(message.id): str(message.string)
                    for message in read_po(source, locale=language)
                    if message.id and message.string
                }
    return sentences
