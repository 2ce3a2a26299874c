"""Which line opens a block, and which closes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.content.fences import scan_fences


def scan(text: str) -> list[tuple[str, str, int, int, int, bool]]:
    fences = scan_fences(text.split("\n"), 0).values()
    return [(f.name, f.title, f.start, f.end, f.depth, f.closed) for f in fences]


def test_a_block_inside_a_block_does_not_close_it():
    assert scan("::: a Un\n::: b\n:::\nx\n:::\n") == [
        ("a", "Un", 0, 4, 0, True),
        ("b", "", 1, 2, 1, True),
    ]


def test_a_forgotten_end_ends_where_the_next_block_begins():
    assert scan("::: a\nx\n::: b\n:::\ny") == [
        ("a", "", 0, 2, 0, False),
        ("b", "", 2, 3, 0, True),
    ]


def test_what_stands_in_code_is_no_block():
    assert scan("```\n::: a\n```\n::: b\n~~~\n:::\n~~~\n:::\n") == [("b", "", 3, 7, 0, True)]


@pytest.mark.parametrize("line", ["::: a Un", ":::a Un", "::::\u00a0a\u202fUn", "   ::: a  Un "])
def test_french_keyboards_and_more_colons_open_a_block(line: str):
    assert scan(f"{line}\n:::\n")[0][:2] == ("a", "Un")


@pytest.mark.parametrize("line", ["    ::: a", ":: a", "x ::: a", ": : : a"])
def test_this_opens_nothing(line: str):
    assert scan(f"{line}\n:::\n") == []


@given(st.lists(st.sampled_from(["::: a", ":::", "x", "```", "::: b T", "", "> y"]), max_size=30))
def test_blocks_are_nested_or_apart_never_crossed(lines: list[str]):
    fences = list(scan_fences(lines, 0).values())
    for one in fences:
        assert one.start < one.end <= len(lines)
        for other in fences:
            if one.start < other.start < one.end:
                assert other.end <= one.end
                assert other.depth > one.depth
