from hypothesis import given
from hypothesis import strategies as st

from newsletter.examples import text

INVISIBLE = "\x00\x07\u061c\u200b\u200e\u202e\u2066\u2028\u2029\ue000\ue001\ufeff\ud800\ufffe"


def test_markup_goes_and_words_stay_apart():
    assert text.plain("<p>Trois communes</p><p>une <b>cuisine</b></p>") == (
        "Trois communes une cuisine"
    )


def test_scripts_go_with_their_content():
    assert text.plain("<script>alert(1)</script>Titre<style>p{}</style>") == "Titre"


def test_the_comment_that_fooled_feedparser_is_inert():
    for attack in ("<!--><img src=x onerror=a()>-->", "<!-- --!><img src=x onerror=a()> -->"):
        assert "<" not in text.plain(attack)


def test_entities_are_undone_once():
    assert text.plain("caf&amp;eacute; &amp;amp; th&eacute;") == "caf&eacute; &amp; thé"


def test_a_lone_less_than_is_no_markup():
    assert text.plain("prix < 5 € et > 3 €") == "prix < 5 € et > 3 €"


def test_templates_arrive_as_the_characters_they_are():
    assert text.plain("{{7*7}} {% raw %}") == "{{7*7}} {% raw %}"


def test_invisible_characters_go():
    assert text.clean(f"a{INVISIBLE}b") == "ab"


def test_a_no_break_space_alone_stays_and_a_run_is_one_space():
    assert text.clean("12\u202f000\u00a0€") == "12\u202f000\u00a0€"
    assert text.clean("a \u00a0\n\tb") == "a b"


@given(st.text())
def test_plain_text_holds_nothing_invisible_and_can_be_stored(value):
    found = text.plain(value)
    assert not set(found) & set(INVISIBLE)
    found.encode()
    assert text.clean(found) == found


@given(st.text(max_size=200), st.integers(10, 100))
def test_a_clip_is_never_longer_than_asked(value, length):
    assert len(text.clip(value, length)) <= length


def test_a_clip_ends_at_a_sentence_when_one_is_near():
    assert text.clip("Une phrase entière. Puis une autre bien plus longue.", 30) == (
        "Une phrase entière."
    )


def test_a_clip_ends_between_words_otherwise():
    assert text.clip("Des communes, des associations et des voisins", 32) == (
        "Des communes, des associations…"
    )


def test_double_encoding_is_undone():
    for broken, right in (
        ("SolidaritÃ©", "Solidarité"),
        ("lâ€™eau", "l’eau"),
        ("cÅ“ur", "cœur"),
        ("12 â‚¬", "12 €"),
        ("Ã  la ferme".replace(" ", "\u00a0", 1), "à la ferme"),
    ):
        assert text.undo_double_encoding(broken) == right


def test_right_french_is_left_alone():
    for right in ("QUALITÉ\u00a0»", "Île-de-France", "PÂTÉ À L’ŒUVRE", "« Ô »", "Ñandú", "L’Haÿ"):
        assert text.undo_double_encoding(right) == right


@given(st.text(alphabet="abcéèàçœŒ’«» –€ \u00a0", min_size=1))
def test_double_encoding_round_trips(value):
    assert text.undo_double_encoding(text.encode_twice(value)) == value


def test_words_are_told_without_accents_articles_or_case():
    assert text.telling_words("L’Œuvre de l’ÉTÉ") == ("oeuvre", "ete")
    assert text.telling_words("de la") == ("de", "la")
