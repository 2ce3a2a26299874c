"""Asks Debian's hunspell about an issue's words, when it is there.

In: words, or an issue. Out: those the dictionary does not know, as advice. Never: a dictionary of
ours, a wait beyond a few seconds, a failure: a machine without hunspell gives no advice.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from newsletter.checks.checked import Checked
from newsletter.checks.words import misspelt_words, spelt_words
from newsletter.model import Finding

TIMEOUT_S = 10.0
# Shorter parts of a compound are prefixes, which no dictionary lists: « co- », « éco- », « bi- ».
PREFIX = 3
DICTIONARIES = {"fr": "fr_FR", "en": "en_US"}


def advise(checked: Checked) -> tuple[Finding, ...]:
    """Return what the machine's dictionary has to say of an issue."""
    return tuple(misspelt_words(checked, unknown_words(spelt_words(checked), checked.language)))


def unknown_words(words: Sequence[str], language: str) -> tuple[str, ...]:
    """Return the words that the language's dictionary does not have; none without hunspell."""
    hunspell = shutil.which("hunspell")
    dictionary = DICTIONARIES.get(language)
    if hunspell is None or dictionary is None or not words:
        return ()
    asked = sorted({*words, *(part for word in words for part in _parts(word))})
    unknown = _ask(hunspell, dictionary, asked)
    return tuple(sorted(word for word in unknown & set(words) if not _is_compound(word, unknown)))


def _parts(word: str) -> list[str]:
    """Return the parts of a compound that are words: « co-construire » has one."""
    return [part for part in word.split("-") if len(part) > PREFIX] if "-" in word else []


def _is_compound(word: str, unknown: set[str]) -> bool:
    """True when an unknown compound is made of known words: « éco-quartier »."""
    parts = _parts(word)
    return bool(parts) and unknown.isdisjoint(parts)


def _ask(hunspell: str, dictionary: str, words: Sequence[str]) -> set[str]:
    try:
        answer = subprocess.run(  # noqa: S603 - our own arguments, the words go in by stdin
            [hunspell, "-l", "-i", "utf-8", "-d", dictionary],
            input="\n".join(words),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return set()
    return set(answer.stdout.split())
