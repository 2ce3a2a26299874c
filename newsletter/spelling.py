"""Asks Debian's hunspell about an issue's words, when it is there.

In: words. Out: those the dictionary does not know. Never: a dictionary of ours, a wait beyond a
few seconds, a failure: spelling is advice, and a machine without hunspell gives none.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

TIMEOUT_S = 10.0
DICTIONARIES = {"fr": "fr_FR", "en": "en_US"}


def unknown_words(words: Sequence[str], language: str) -> tuple[str, ...]:
    """Return the words that the language's dictionary does not have; none without hunspell."""
    hunspell = shutil.which("hunspell")
    dictionary = DICTIONARIES.get(language)
    if hunspell is None or dictionary is None or not words:
        return ()
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
        return ()
    return tuple(sorted({word for word in answer.stdout.split() if word in set(words)}))
