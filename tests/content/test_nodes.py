"""What plain conventions mean, and what they do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.config import Settings
from newsletter.content.files import _find_picture
from newsletter.content.house import Refusal
from newsletter.content.markdown import render_text
from newsletter.model import Block, Convention, Prose

from .conftest import ISSUE_ID, Read


def nodes_of(read: Read, story: str, *, codes: tuple[str, ...] = ()):
    reading = read(story=story)
    assert tuple(finding.code for finding in reading.findings) == codes
    return reading.issue.stories[0].nodes


def kinds(nodes) -> list[str]:
    return ["prose" if isinstance(node, Prose) else node.convention or node.name for node in nodes]


def test_pictures_on_following_lines_are_as_many_figures(read: Read):
    story = "![Un](images/legumerie.png)\n![Deux](images/legumerie.png)\n"
    nodes = nodes_of(read, story)
    assert kinds(nodes) == ["figure", "figure"]
    assert [node.place.line for node in nodes] == [4, 5]


@pytest.mark.parametrize(
    "text",
    [
        "[Un](https://a.example) et [deux](https://b.example)",
        "[Un](https://a.example)\n[Deux](https://b.example)",
        "Voir [ici](https://a.example)",
        "- [Un](https://a.example)",
        "Écrire à <contact@example.org>",
        "<contact@example.org>",
    ],
)
def test_a_link_in_company_stays_in_the_text(read: Read, text: str):
    assert kinds(nodes_of(read, text)) == ["prose"]


def test_conventions_work_inside_a_block(read: Read):
    (block,) = nodes_of(read, "::: encadre T\nA\n\n[B](https://b.example)\n\n---\n:::\n")
    assert kinds(block.body) == ["prose", "button", "divider"]


@pytest.mark.parametrize(
    ("quote", "said", "by"),
    [
        ("> Oui.\n> — Jeanne, maire", "Oui.", "Jeanne, maire"),
        ("> Oui.\n>\n> – Jeanne", "Oui.", "Jeanne"),
        ("> Oui.\n> --\u00a0Jeanne", "Oui.", "Jeanne"),
        ("> Oui.\n> Non.", "Oui. Non.", ""),
        ("> — Dialogue", "— Dialogue", ""),
        ("> - a\n> - b", "- a\n- b", ""),
    ],
)
def test_a_quotation_s_last_line_may_say_who_spoke(read: Read, quote: str, said: str, by: str):
    (node,) = nodes_of(read, quote)
    assert node.convention is Convention.QUOTE
    assert node.fields == {"attribution": by}
    assert render_text(node.body[0].tokens) == said


def test_an_unknown_block_is_named_and_its_text_kept(read: Read):
    nodes = nodes_of(read, "::: temoignge X\nqui: Y\n\nTexte.\n:::\n", codes=("unknown_block",))
    assert kinds(nodes) == ["prose"]


def test_a_picture_that_is_missing_leaves_the_rest(read: Read):
    nodes = nodes_of(read, "A\n\n![B](images/b.png)\n\nC\n", codes=("picture_missing",))
    assert kinds(nodes) == ["prose", "prose"]


def test_a_field_has_no_place_in_a_button(read: Read):
    nodes_of(read, "[Pour {{ prenom | vous }}](https://a.example)", codes=("leftover_braces",))


def test_a_block_s_name_may_carry_accents_and_capitals(read: Read):
    (block,) = nodes_of(read, "::: Encadré T\nx\n:::\n")
    assert isinstance(block, Block)
    assert block.name == "encadre"


@given(path=st.text(st.sampled_from("./\\:%20eFa~\0é-x#?images"), max_size=30))
def test_no_path_leaves_the_publication(publication_of_this_module: Settings, path: str):
    found = _find_picture(publication_of_this_module, path, f"issues/{ISSUE_ID}/10-a.md")
    if not isinstance(found, Refusal):
        assert (publication_of_this_module.root / found).is_file()
        assert ".." not in found


@pytest.fixture(scope="module")
def publication_of_this_module(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    root = tmp_path_factory.mktemp("publication")
    folder = root / "issues" / ISSUE_ID / "images"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(b"x")
    return Settings.model_validate(
        {
            "root": root,
            "publication": {"name": "x", "list_id": "x.example"},
            "sender": {"name": "x", "address": "x@example.org"},
        }
    )
