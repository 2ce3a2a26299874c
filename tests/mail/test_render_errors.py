"""Whom an error of rendering names, and what hostile input comes to."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tuned
from hypothesis import strategies as st

from newsletter.errors import RenderingError
from newsletter.mail.lint import transfer_bytes
from tests.mail.scenery import EXAMPLE, ID, REPOSITORY, Publication


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return Publication(tmp_path_factory.mktemp("publication"))


# --- whom an error names -------------------------------------------------------------------------


BAD_BLOCKS = {
    "<mj-txt>oui</mj-txt>": "<mj-txt>",
    '<mj-text pading="0px">oui</mj-text>': "pading",
    '<mj-text padding="0 40px">oui</mj-text>': "bare 0",
    "<mj-column><mj-text>oui</mj-text></mj-column>": "inside <mj-column>",
    "<mj-text><p>oui</mj-text>": "well formed",
    "<mj-text>5 < 6</mj-text>": "bare <",
    '<mj-text><img src="x.png"></mj-text>': "alternative text",
    '<mj-text><a href="#">oui</a></mj-text>': "nowhere",
    '<mj-text color="#fff">oui</mj-text>': "#fff",
    "<mj-hero></mj-hero>": "<mj-hero>",
    "<mj-text>{{ block.absent }}</mj-text>": "templates/blocks/essai.j2 line 2",
    "<mj-text>{{ 1 / 0 }}</mj-text>": "division by zero",
    "<mj-text>{{ ().__class__ }}</mj-text>": "unsafe",
    '<mj-text><img width="900" alt="" src="x.png" /></mj-text>': "900 px wide",
    "<mj-text>{{ issue.picture('rien.png', 10).url }}</mj-text>": "no picture rien.png",
}  # fmt: skip


@pytest.mark.parametrize("mail", BAD_BLOCKS)
def test_an_error_names_the_block_the_file_and_the_line(publication, mail):
    publication.block("essai", mail)
    publication.write("Un texte.\n\n::: essai Titre\n:::")
    with pytest.raises(RenderingError) as caught:
        publication.render()
    error = caught.value
    assert (error.block, error.path, error.line) == ("essai", f"issues/{ID}/10-recit.md", 6)
    assert BAD_BLOCKS[mail] in error.message
    assert error.remedy
    assert "position" not in error.message


def test_a_block_that_would_lose_those_inside_it_says_so(publication):
    about = '{"help": "Un essai.", "role": "columns"}'
    publication.block("essai", "<mj-text>{{ block.title }}</mj-text>", about)
    publication.write("::: essai Dehors\n::: chiffre 92 %\noui\n:::\n:::")
    with pytest.raises(RenderingError, match="essai") as caught:
        publication.render()
    assert (caught.value.block, caught.value.line) == ("chiffre", 5)


def test_a_block_that_may_not_stand_inside_another_is_shown_after_it(publication):
    """Reading reports it as an error; editors can still look."""
    publication.write("::: encadre Dehors\nUn repère.\n\n::: chiffre 92 %\noui\n:::\n:::")
    html = publication.render().html
    assert html.index("Un repère.") < html.index("92\u00a0%")


def test_a_damaged_picture_names_the_file_that_shows_it(publication):
    publication.write("![Un établi](images/e.png)")
    folder = publication.folder / "issues" / ID / "images"
    folder.mkdir()
    good = (REPOSITORY / "issues" / "2026-05-13" / "images" / "etabli.png").read_bytes()
    (folder / "e.png").write_bytes(good)
    issue = publication.read()
    pictures = {f"issues/{ID}/images/e.png": good[:2000]}
    with pytest.raises(RenderingError, match="damaged") as caught:
        publication.render(issue, pictures=pictures)
    assert caught.value.line == 4


def test_picked_examples_are_never_lost_for_want_of_a_block(publication):
    (publication.folder / "templates" / "blocks" / "exemples.j2").unlink()
    publication.write("Un récit.")
    with pytest.raises(RenderingError, match="examples"):
        publication.render(examples=[EXAMPLE])


def test_a_message_without_a_way_out_is_refused(publication):
    for name in ("issue.mjml.j2", "structure.j2"):
        path = publication.folder / "templates" / "mail" / name
        path.write_text(
            path.read_text("utf-8").replace("issue.unsubscribe_url", "issue.url"), "utf-8"
        )
    publication.write("Un récit.")
    with pytest.raises(RenderingError, match="unsubscribe"):
        publication.render()


# --- hostile input -------------------------------------------------------------------------------


WORDS = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ue000\ue001"), max_size=60
)


@tuned(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(title=WORDS, summary=WORDS)
def test_any_words_of_a_feed_render_and_stay_words(shared, title, summary):
    shared.write("Un récit.")
    example = replace(EXAMPLE, title=title, summary=summary, territory=title)
    edition = shared.render(examples=[example])
    heading = re.findall(r"<h3[^>]*>(.*?)</h3>", edition.html, re.DOTALL)
    squeeze = lambda words: re.sub(r"\W", "", words)  # noqa: E731
    assert not heading or squeeze(unescape(heading[0])) == squeeze(title)


def test_a_block_without_a_required_field_is_left_out_and_the_rest_is_shown(publication):
    """Reading reports it as an error, so no run sends it; editors can still look."""
    publication.write("Avant.\n\n::: partenaires Avec\n:::\n\nAprès.")
    edition = publication.render()
    for page in (edition.html, edition.text, edition.web):
        assert "Avant." in page
        assert "Après." in page


def test_a_message_too_heavy_can_still_be_looked_at(publication):
    publication.write("\n\n".join(["Un mot de plus. " * 60] * 120))
    assert transfer_bytes(publication.render().html) > 95_000
