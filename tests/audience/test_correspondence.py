"""Letters to one reader."""

import pytest

from newsletter.audience import correspondence
from newsletter.words import translate

LETTERS = [
    correspondence.CONFIRMATION,
    correspondence.ALREADY,
    correspondence.WELCOME,
    correspondence.RENEWAL,
]


@pytest.mark.parametrize("letter", LETTERS)
def test_every_letter_has_its_french_with_the_same_fields(letter):
    import string

    def fields(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    for part in letter:
        assert translate(part, "fr") != part
        assert fields(translate(part, "fr")) == fields(part)


@pytest.mark.parametrize("letter", LETTERS)
def test_a_letter_names_the_publisher_and_whom_to_answer(settings, letter):
    written = correspondence.write(letter, settings, link="L", latest="N")
    assert "Association d'essai" in written.text
    assert "contact@example.org" in written.text
    assert "\n" not in written.subject
    assert not {"{", "}"} & set(written.subject + written.text)
