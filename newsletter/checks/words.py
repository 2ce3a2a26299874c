"""Words: the house's spellings, acronyms explained, and how long the mail takes to read."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from newsletter.checks.checked import Checked, passages
from newsletter.checks.faults import find
from newsletter.checks.french import without_glossary
from newsletter.checks.weight import ERROR_KB, encoded_kb
from newsletter.model import Finding, Place

# DOMAIN 1.3: 250–450 words in the mail; blocks' own labels and the footer come on top.
WORDS_LIMIT = 800
WORDS_PER_MINUTE = 200
_WORD = re.compile(r"\w+(?:[’'-]\w+)*")
_ADDRESS = re.compile(r"https?://\S+|\ue000[^\ue001]*\ue001")
# What holds a sign that no French word does: an address, a file's name, a domain.
_TECHNICAL = re.compile(r"\S*(?:@|://|\w\.\w|/\w+/|_)\S*")


def misspelt_names(checked: Checked) -> Iterator[Finding]:
    """Variants that the glossary knows to be wrong."""
    for passage in passages(checked):
        text = without_glossary(passage.text, checked).replace("’", "'")
        for entry in checked.glossary.values():
            for variant in sorted(entry.variants, key=len, reverse=True):
                wanted = re.escape(variant.replace("’", "'"))
                for match in re.finditer(rf"(?<!\w){wanted}(?!\w)", text):
                    place = passage.at(match.start())
                    yield find("misspelt_name", place, text=variant, right=entry.term)
                    text = text.replace(match.group(0), "¤" * len(match.group(0)))


def unexplained(checked: Checked) -> Iterator[Finding]:
    """Acronyms whose expansion the issue never gives."""
    everything = [(passage.text, passage) for passage in passages(checked)]
    whole = " ".join(_plain(text) for text, _ in everything)
    for entry in checked.glossary.values():
        if not entry.expansion or _plain(entry.expansion) in whole:
            continue
        for text, passage in everything:
            match = re.search(rf"(?<![\w.]){re.escape(entry.term)}(?!\w)", text)
            if match:
                place = passage.at(match.start())
                yield find("unexplained", place, term=entry.term, expansion=entry.expansion)
                break


def _plain(text: str) -> str:
    return " ".join(text.casefold().replace("’", "'").split())


def long_issue(checked: Checked) -> Iterator[Finding]:
    """Reading time weighs most in a large mailing (A4); nothing more of a mail that is cut (A5)."""
    if checked.edition is None or encoded_kb(checked.edition.html) > ERROR_KB:
        return
    count = count_words(checked.edition.text)
    if count > WORDS_LIMIT:
        minutes = max(1, round(count / WORDS_PER_MINUTE))
        yield find("long_issue", words=count, minutes=minutes, limit=WORDS_LIMIT)


def count_words(text: str) -> int:
    """Count the words that a reader reads: not addresses, not fields."""
    return len(_WORD.findall(_ADDRESS.sub(" ", text)))


def misspelt_words(checked: Checked, unknown: Collection[str]) -> Iterator[Finding]:
    """Findings from what the dictionary did not know, each word once."""
    places: Mapping[str, Place] = {
        match.group(0): passage.at(match.start())
        for passage in reversed(list(passages(checked)))
        for match in reversed(list(_WORD.finditer(passage.text)))
    }
    for word in sorted(set(unknown) & set(places)):
        yield find("spelling", places[word], word=word)


def spelt_words(checked: Checked) -> tuple[str, ...]:
    """Return the words for a dictionary: lower case only, names are nobody's business.

    The words of the taxonomy are the house's own.
    """
    found = {
        match.group(0)
        for passage in passages(checked)
        for match in _WORD.finditer(_TECHNICAL.sub(" ", without_glossary(passage.text, checked)))
    }
    own = _house_words(checked)
    return tuple(
        sorted(
            word
            for word in found
            if word.islower() and not any(map(str.isdigit, word)) and word not in own
        )
    )


def _house_words(checked: Checked) -> set[str]:
    """Return the slugs and the words of every objective, kind, profile and territory."""
    taxonomy = checked.settings.taxonomy
    terms = (*taxonomy.objectives, *taxonomy.kinds, *taxonomy.profiles, *taxonomy.territories)
    labels = " ".join(f"{term.slug} {term.label.casefold()}" for term in terms)
    return set(_WORD.findall(labels))
