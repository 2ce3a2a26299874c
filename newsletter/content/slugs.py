"""Words compared as people compare them: without case, accents or ligatures.

In: any text. Out: a folded form for look-ups, a slug for addresses, the nearest known word.
Never: a text that a reader sees; folding is for comparing only (DOMAIN 5).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches

# NFKD does not take these apart; ’ and ' are the same letter to a reader.
LIGATURES = str.maketrans({"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "’": "'", "ʼ": "'"})


def fold(text: str) -> str:
    """Return *text* in small letters, without accents: « Œuvre » and « oeuvre » are one word."""
    small = unicodedata.normalize("NFKD", text).casefold().translate(LIGATURES)
    bare = unicodedata.normalize("NFKD", small)
    return "".join(letter for letter in bare if not unicodedata.combining(letter))


def slugify(text: str) -> str:
    """Return *text* as an address writes it: « L’Haÿ-les-Roses » gives ``l-hay-les-roses``."""
    return re.sub(r"[^a-z0-9]+", "-", fold(text)).strip("-")


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that *word* most resembles, or ''."""
    folded = {fold(name): name for name in known}
    close = get_close_matches(fold(word[:80]), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else ""
