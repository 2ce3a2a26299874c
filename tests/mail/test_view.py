"""Facts about what templates see."""

import pytest

from newsletter.mail.view import bind_words


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("Les Jeudis de l’ODD 17", "Les\u00a0Jeudis de\u00a0l’ODD\u00a017"),
        ("La Lettre", "La\u00a0Lettre"),
        ("Passerelles", "Passerelles"),
        ("Territoires en transition", "Territoires en\u00a0transition"),
    ],
)
def test_no_line_of_a_name_ends_on_a_small_word_nor_begins_with_a_lone_number(name, bound):
    assert bind_words(name) == bound
