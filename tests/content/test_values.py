"""Values mean what they say, or are refused."""

from __future__ import annotations

import contextlib
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.content.values import BadValue, Kind, is_web_address, read_value

GOOD = [
    (Kind.INT, "1 000", 1000),
    (Kind.INT, "1\u202f000", 1000),
    (Kind.INT, "-3", -3),
    (Kind.DATE, "2026-11-26", date(2026, 11, 26)),
    (Kind.DATE, "26/11/2026", date(2026, 11, 26)),
    (Kind.DATE, "jeudi 1er octobre 2026", date(2026, 10, 1)),
    (Kind.DATE, "5 Août 2026", date(2026, 8, 5)),
    (Kind.BOOL, "Oui", True),
    (Kind.BOOL, "no", False),
    (Kind.LIST, "a, b,,c ", ("a", "b", "c")),
    (Kind.SDGS, "2, 17", (2, 17)),
    (Kind.EXAMPLES, "0", 0),
    (Kind.EXAMPLES, "ab12, cd34", ("ab12", "cd34")),
    (Kind.URL, "https://exemple.example/à?x=1&y", "https://exemple.example/à?x=1&y"),
    (Kind.URL, "mailto:a@b.example", "mailto:a@b.example"),
]
BAD = [
    (Kind.INT, "1,5"),
    (Kind.INT, "12 ans"),
    (Kind.INT, ""),
    (Kind.COUNT, "0"),
    (Kind.DATE, "2026-02-30"),
    (Kind.DATE, "26/13/2026"),
    (Kind.DATE, "1700000000"),
    (Kind.DATE, "demain"),
    (Kind.BOOL, "peut-être"),
    (Kind.LIST, " , "),
    (Kind.SDGS, "0"),
    (Kind.SDGS, "18"),
    (Kind.EXAMPLES, "-1"),
    (Kind.EXAMPLES, "2,5"),
    (Kind.EXAMPLES, "a b"),
    (Kind.URL, "odd17.org"),
    (Kind.URL, "https://a b"),
    (Kind.URL, "http://[::1"),
    (Kind.TEXT, "  "),
]


@pytest.mark.parametrize(("kind", "text", "value"), GOOD)
def test_a_value_is_understood(kind: Kind, text: str, value: object):
    assert read_value(kind, text) == value


@pytest.mark.parametrize(("kind", "text"), BAD)
def test_a_wrong_value_is_refused(kind: Kind, text: str):
    with pytest.raises(BadValue):
        read_value(kind, text)


@given(st.sampled_from(Kind), st.text(max_size=40))
def test_no_text_raises_anything_else(kind: Kind, text: str):
    with contextlib.suppress(BadValue):
        read_value(kind, text)


@given(st.text(max_size=40))
def test_no_web_address_can_split_a_line_or_an_attribute(text: str):
    if is_web_address("https://a.example/" + text):
        assert not set(text) & set(' \t\r\n"<>\x00\x7f\u2028\u00a0')
