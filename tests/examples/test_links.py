import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.examples.links import LinkRefused, clean_link, link_key


def test_tracking_parameters_go_and_the_others_stay():
    assert clean_link("https://a.example/p?utm_source=x&id=4&fbclid=y#haut") == (
        "https://a.example/p?id=4#haut"
    )


@pytest.mark.parametrize(
    ("link", "code"),
    [
        ("", "link_missing"),
        ("javascript:alert(1)", "link_scheme"),
        ("data:text/html,x", "link_scheme"),
        ("ftp://a.example/x", "link_scheme"),
        ("//a.example/x", "link_scheme"),
        ("http://192.168.1.20/x", "link_private"),
        ("http://localhost:8000/", "link_private"),
        ("https://banque.example@pirate.example/", "link_odd"),
        ("https://a.example:99999/", "link_odd"),
        ("https://[::1/", "link_odd"),
        ("https://a.example/" + "x" * 3000, "link_odd"),
    ],
)
def test_what_readers_cannot_follow_safely_is_refused_with_its_reason(link, code):
    with pytest.raises(LinkRefused) as refused:
        clean_link(link)
    assert refused.value.code == code


def test_what_would_end_an_attribute_is_escaped():
    assert clean_link("https://a.example/a b\"c'<d>") == "https://a.example/a%20b%22c%27%3Cd%3E"


@pytest.mark.parametrize(
    "other",
    [
        "http://A.example/Page/",
        "https://www.a.example/page?utm_campaign=x",
        "https://a.example:443/page#haut",
    ],
)
def test_spellings_of_one_page_have_one_key(other):
    assert link_key(other) == link_key("https://a.example/page")


def test_different_pages_have_different_keys():
    keys = {link_key(f"https://a.example/{page}") for page in ("?p=1", "?p=2", "a", "b", "a?p=1")}
    assert len(keys) == 5


def test_the_order_of_a_query_does_not_count():
    assert link_key("https://a.example/?b=2&a=1") == link_key("https://a.example/?a=1&b=2")


def test_a_home_page_tells_nothing():
    assert link_key("https://a.example/") == ""


@given(st.text())
def test_any_text_is_a_clean_link_or_refused(value):
    try:
        link = clean_link(value)
    except LinkRefused:
        link_key(value)
        return
    assert link.startswith(("http://", "https://"))
    assert not set(link) & set(" \"'<>\n")
    assert clean_link(link) == link
