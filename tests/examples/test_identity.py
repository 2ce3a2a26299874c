from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from newsletter.examples.identity import content_hash, identities, name_example, similar_key
from newsletter.model import Example

ONE = Example(
    id="",
    title="Une légumerie partagée à Val-de-Lise",
    summary="",
    link="https://a.example/legumerie",
    source="A",
    feed_url="https://a.example/rss",
    territory="Val-de-Lise",
)


def free(_name):
    return False


def test_the_guid_of_its_feed_comes_before_the_link():
    assert identities(ONE, "g") == (
        "guid:https://a.example/rss:g",
        "link:a.example/legumerie",
    )


def test_without_guid_and_page_the_title_and_day_stand_for_it():
    home = replace(ONE, link="https://a.example/")
    (only,) = identities(home, "")
    assert only.startswith("title:")
    assert identities(replace(home, title="Autre"), "") != (only,)


def test_no_key_is_too_long_for_an_index():
    long = replace(ONE, title="mot" * 100 + " é" * 300, link="https://a.example/" + "x" * 1900)
    assert all(len(key) <= 400 for key in (*identities(long, "g" * 2000), similar_key(long)))


def test_near_duplicates_have_one_key():
    other = replace(ONE, title="LA LÉGUMERIE PARTAGÉE !", territory="Val de Lise", link="")
    assert similar_key(other) == similar_key(ONE)


def test_another_place_is_another_example():
    assert similar_key(replace(ONE, territory="Orbe")) != similar_key(ONE)


def test_a_title_alone_proves_nothing():
    assert similar_key(replace(ONE, territory="")) == ""


def test_an_edit_changes_the_hash_and_our_own_dates_do_not(now):
    assert content_hash(replace(ONE, summary="x")) != content_hash(ONE)
    assert content_hash(replace(ONE, id="x", first_seen_at=now, published_at=now)) == (
        content_hash(ONE)
    )


def test_an_id_is_short_and_readable():
    assert name_example(ONE, free) == "legumerie-partagee-val"


def test_equal_titles_are_parted_by_a_few_digits():
    taken = {"legumerie-partagee-val"}
    name = name_example(ONE, taken.__contains__)
    assert name.startswith("legumerie-partagee-val-")
    assert len(name) == len("legumerie-partagee-val-") + 3


@given(st.text(min_size=1))
def test_an_id_is_never_a_number_and_fits_a_header(title):
    name = name_example(replace(ONE, title=title), free)
    assert name
    assert not name.isdigit()
    assert "," not in name
    assert " " not in name
    assert len(name) <= 80
    assert name_example(replace(ONE, title=title), free) == name
