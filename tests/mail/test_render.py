"""Facts about an edition: what it holds, what it is made of."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from newsletter.content.files import load_registries, read_issue, read_pictures
from newsletter.mail import holes
from newsletter.mail.lint import transfer_bytes
from newsletter.mail.render import count_minutes, digest_of, render_edition
from newsletter.model import IssueId
from newsletter.templating import open_templates
from tests.mail.scenery import EXAMPLE, ID, REPOSITORY


@pytest.fixture(scope="module")
def sample(golden_publication):
    """The two issues of the sample, rendered."""
    settings = golden_publication("sample")
    editions = {}
    for issue_id in (ID, IssueId("2026-05-13")):
        issue = read_issue(settings, issue_id).issue
        assert issue is not None
        examples = (EXAMPLE, replace(EXAMPLE, id="b")) if issue.wanted_examples else ()
        issue = replace(issue, examples=examples)
        editions[issue_id] = render_edition(
            issue,
            templates=open_templates(settings),
            settings=settings,
            pictures=read_pictures(settings, issue),
            registries=load_registries(settings),
            audience_rule="weekly",
        )
    return editions


class Outline(HTMLParser):
    """Collects what a screen reader would go by."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str):
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def headings(self) -> list[int]:
        return [int(name[1]) for name, _ in self.tags if re.fullmatch("h[1-6]", name)]


# --- the same input, the same bytes --------------------------------------------------------------


def test_an_issue_renders_to_the_same_edition_twice(publication):
    publication.write("Un récit.")
    assert publication.render() == publication.render()


BASE = {
    "subject": "s", "preheader": "p", "sender": "x", "html": "h", "text": "t",
    "audience_rule": "weekly",
}  # fmt: skip


@pytest.mark.parametrize("part", BASE)
def test_the_digest_covers_each_part(part):
    assert digest_of(**BASE) != digest_of(**{**BASE, part: BASE[part] + "."})


def test_the_digest_does_not_confuse_a_part_with_its_neighbour():
    moved = {**BASE, "subject": "sp", "preheader": ""}
    assert digest_of(**{**BASE, "subject": "s", "preheader": "p"}) != digest_of(**moved)


def test_the_audience_rule_is_part_of_the_digest(publication):
    publication.write("Un récit.")
    assert publication.render().digest != publication.render(rule="monthly").digest


def test_one_comma_changes_the_digest(publication):
    publication.write("Un récit.")
    first = publication.render().digest
    publication.write("Un récit,")
    assert publication.render().digest != first


def test_an_edition_names_its_picks(publication):
    publication.write("Un récit.")
    assert publication.render(examples=[EXAMPLE]).picks == ("gare",)


# --- what readers receive ------------------------------------------------------------------------


def test_the_full_issue_weighs_at_most_60_kb_and_the_short_one_30(sample):
    weights = [transfer_bytes(edition.html) for edition in sample.values()]
    assert weights[0] <= 60_000
    assert weights[1] <= 30_000


def test_the_sample_shows_at_most_five_pictures_of_200_kb_in_all(sample):
    for edition in sample.values():
        assert len(edition.pictures) <= 5
        assert sum(len(picture.content) for picture in edition.pictures) <= 200_000


def test_a_message_has_one_title_and_no_heading_is_skipped(sample):
    for edition in sample.values():
        for page in (edition.html, edition.web):
            levels = Outline(page).headings
            assert levels[0] == 1
            assert levels.count(1) == 1
            assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_picture_has_its_words_and_its_width(sample):
    for edition in sample.values():
        for attrs in Outline(edition.html).all("img"):
            assert "alt" in attrs
            assert int(attrs["width"]) <= 600


def test_every_table_is_layout_or_data(sample):
    for edition in sample.values():
        for part in edition.html.split("<table")[1:]:
            own = part.split("<table")[0]
            assert 'role="presentation"' in part.split(">")[0] or "<th" in own


def test_a_message_says_its_language_its_title_and_its_role(sample):
    html = sample[ID].html
    assert '<html lang="fr" dir="ltr"' in html
    assert "<title>Jeudi de l’ODD\u00a017\u00a0: trois communes, une cuisine</title>" in html
    assert 'aria-label="Jeudi de l’ODD\u00a017\u00a0: trois communes, une cuisine"' in html
    assert 'role="article"' in html


def test_no_font_no_script_and_no_foreign_style_is_fetched(sample):
    for edition in sample.values():
        assert not re.search(r"<script|<link|@import|@font-face|<form", edition.html)
        assert "<script" not in edition.web


def test_no_picture_belongs_to_one_reader(sample):
    """P2: no pixel; a picture's address is that of its bytes."""
    for edition in sample.values():
        for attrs in Outline(edition.html).all("img"):
            assert re.fullmatch(r"https://[^/]+/media/[0-9a-f]{64}\.(png|jpg)", str(attrs["src"]))
            assert int(attrs["width"]) > 20


def test_the_preheader_comes_first_and_is_padded(sample):
    html = sample[ID].html
    body = html[html.index("<body") :]
    first = body.index("Une légumerie partagée")
    assert first < body.index("Lire en ligne")
    assert body.count("&#847;&zwnj;&nbsp;") >= 50
    hidden = body[body.rindex("<div", 0, first) : first]
    assert "display:none" in hidden
    assert "mso-hide:all" in hidden


def test_unsubscribe_stands_at_the_top_and_at_the_foot_as_a_hole(sample):
    html = sample[ID].html
    named = [piece.name for piece in holes.split(html) if not isinstance(piece, str)]
    assert named.count("unsubscribe_url") == 2
    assert named.count("preferences_url") == 1
    assert html.index("unsubscribe_url") < html.index("<h1")


def test_a_hole_in_an_attribute_and_a_no_break_space_cross_the_engine(publication):
    picture = (REPOSITORY / "issues" / "2026-05-13" / "images" / "etabli.png").read_bytes()
    publication.write("![Un \\ atelier : l'établi 👩‍🔧 ⟦a0⟧](images/e.png)")
    folder = publication.folder / "issues" / ID / "images"
    folder.mkdir()
    (folder / "e.png").write_bytes(picture)
    html = publication.render().html
    assert "\\u{" not in html
    assert 'alt="Un \\ atelier\u00a0: l’établi 👩‍🔧 ⟦a0⟧"' in html
    assert f'href="{holes.OPEN}unsubscribe_url|' in html


def test_the_header_gives_the_date_the_number_and_the_way_online(sample):
    edition = sample[ID]
    for page in (edition.html, edition.text, edition.web):
        assert "jeudi 7 mai 2026" in page
        assert "n°\u00a0141" in page
    assert edition.html.index("Lire en ligne") < edition.html.index("<h1")


def test_the_first_of_a_month_is_an_ordinal(publication):
    publication.write("::: evenement Un rendez-vous\ndate: 2026-10-01\n:::")
    assert "jeudi 1er octobre 2026" in publication.render().text


def test_the_foot_carries_the_legal_notice(sample):
    """P13: publisher, address, director, contact, host; in the mail, its text and the page."""
    edition = sample[ID]
    for page in (edition.html, edition.text, edition.web):
        words = " ".join(re.sub(r"<[^>]+>", "", unescape(page)).split())
        for part in ("Le Pas de côté", "12 rue des", "Solène", "bonjour@", "Hébergeur"):
            assert part in words


def test_a_link_is_the_one_the_editor_wrote(publication):
    link = "https://exemple.example/A%20b/é?utm=1&x=%C3%A9#Ancre"
    publication.write(f"Un [lien]({link}) et\n\n[un bouton]({link})")
    edition = publication.render()
    for page in (edition.html, edition.web):
        hrefs = [attrs["href"] for attrs in Outline(page).all("a")]
        assert hrefs.count(link) == 2
    assert edition.text.count(link) == 2


def test_a_feeds_words_arrive_as_they_are(publication):
    publication.write("Un récit.")
    edition = publication.render(examples=[EXAMPLE])
    assert "{{7*7}} &amp; &lt;b&gt;plus&lt;/b&gt;" in edition.html
    assert "{{7*7}} & <b>plus</b>" in edition.text
    assert 'href="https://veille.example/gare?a=1&amp;b=2"' in edition.html


def test_a_feed_cannot_open_a_hole(publication):
    publication.write("Un récit.")
    words = f"{holes.OPEN}first_name|x{holes.CLOSE} ⟦e000⟧first_name|y⟦e001⟧"
    edition = publication.render(examples=[replace(EXAMPLE, title=words, summary=words)])
    for part in (edition.html, edition.text):
        assert "first_name" not in {
            piece.name for piece in holes.split(part) if not isinstance(piece, str)
        }


def test_examples_that_nobody_placed_come_after_the_last_story(publication):
    publication.write("Un récit.")
    edition = publication.render(examples=[EXAMPLE])
    for page in (edition.html, edition.text, edition.web):
        assert page.index("Un récit.") < page.index("Une épicerie dans la gare")


def test_examples_stand_where_their_block_stands(publication):
    publication.write("::: exemples\n:::\n\nLa fin.")
    edition = publication.render(examples=[EXAMPLE])
    for page in (edition.html, edition.text, edition.web):
        assert page.index("Une épicerie dans la gare") < page.index("La fin.")
        assert page.count("Une épicerie dans la gare") == edition.html.count(
            "Une épicerie dans la gare"
        )


def test_the_rest_of_a_story_is_a_link_in_the_mail_and_the_text_on_the_page(publication):
    publication.write("::: suite Comment ils ont fait\nTout commence par une panne.\n:::")
    edition = publication.render()
    anchor = "#suite-recit"
    assert "Tout commence" not in edition.html
    assert "Tout commence" not in edition.text
    assert f"/{ID}/{anchor}" in edition.html
    assert f"/{ID}/{anchor}" in edition.text
    assert 'id="suite-recit"' in edition.web
    assert "Tout commence par une panne." in edition.web


def test_blocks_in_the_rest_of_a_story_show_on_the_page_only(publication):
    kept = "Du texte.\n\n::: chiffre 84 %\ndes maires\n:::\n\nEt la fin."
    publication.write(f":::: suite Les détails\n{kept}\n::::")
    edition = publication.render()
    for hidden in ("84\u00a0%", "des maires", "Du texte.", "Et la fin."):
        assert hidden not in edition.html
        assert hidden not in edition.text
        assert hidden in edition.web
    order = [edition.web.index(said) for said in ("Du texte.", "84\u00a0%", "Et la fin.")]
    assert order == sorted(order)


def test_a_note_called_only_in_the_rest_is_listed_on_the_page_only(publication):
    publication.write(
        "Un fait[^a].\n\n::: suite\nUn détail[^b], encore[^a].\n:::\n\nEt ceci[^c].\n\n"
        "[^a]: La première.\n[^b]: La cachée.\n[^c]: La dernière."
    )
    edition = publication.render()
    assert [line[:3] for line in edition.text.split("\n") if line.startswith("[")] == ["[1]", "[3]"]
    assert "La cachée." not in edition.html + edition.text
    assert 'id="note-2"' not in edition.html
    assert 'id="note-3"' in edition.html
    shown = [item["id"] for item in Outline(edition.web).all("li") if item.get("id")]
    assert shown == ["note-1", "note-2", "note-3"]


def test_a_note_that_another_note_calls_is_listed_with_it(publication):
    publication.write("Un fait[^a].\n\n[^a]: Voir aussi[^b].\n[^b]: L'autre.")
    edition = publication.render()
    assert "[2] L’autre." in edition.text
    assert 'href="#note-ref-2"' in edition.web


def test_no_note_in_the_mail_means_no_list_of_notes(publication):
    publication.write("::: suite\nUn détail[^b].\n:::\n\n[^b]: La cachée.")
    edition = publication.render()
    assert "Notes et sources" not in edition.html + edition.text
    assert "Notes et sources" in edition.web


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("des maires le font.", "84\u00a0% des maires le font."),
        ("Les maires le font.", "84\u00a0% — Les maires le font."),
        ("", "84\u00a0%\n"),
    ],
)
def test_a_figure_reads_as_a_sentence_in_the_text_part(publication, body, said):
    publication.write(f"::: chiffre 84 %\n{body}\n:::")
    assert said in publication.render().text


def test_columns_stack_in_the_order_of_the_file(publication):
    two = "".join(
        f"::: ressource Kit {n}\nlien: https://exemple.example/{n}\n:::\n" for n in (1, 2)
    )
    publication.write(f":::: colonnes\n{two}::::")
    html = publication.render().html
    assert html.index("Kit 1") < html.index("Kit 2")
    assert html.count("mj-column-per-50") >= 2


def test_notes_are_numbered_and_lead_back(publication):
    publication.write("Un fait[^un]. Encore[^un].\n\n[^un]: La *note*.")
    edition = publication.render()
    assert "[1] La note." in edition.text
    assert 'id="note-1"' in edition.html
    backs = [a["href"] for a in Outline(edition.web).all("a") if "note-ref" in str(a["href"])]
    calls = [a["id"] for a in Outline(edition.web).all("a") if a.get("id")]
    assert backs == [f"#{call}" for call in calls]
    assert len(backs) == 2


def test_a_personal_field_is_a_hole_in_the_mail_and_its_fallback_on_the_page(publication):
    publication.write("Un récit.", edito="{{ prenom | Bonjour }},")
    edition = publication.render()
    assert f"{holes.OPEN}first_name|Bonjour{holes.CLOSE}" in edition.html
    assert f"{holes.OPEN}first_name|Bonjour{holes.CLOSE}" in edition.text
    assert holes.OPEN not in edition.web
    assert "Bonjour," in edition.web


@pytest.mark.parametrize(
    ("today", "said"),
    [
        (date(2026, 5, 20), "À venir"),
        (date(2026, 5, 21), "Aujourd’hui"),
        (date(2026, 5, 22), "Passé"),
    ],
)
def test_an_event_shows_its_state_of_the_day_on_the_page(publication, today, said):
    publication.write(
        "::: evenement La tablée\ndate: 2026-05-21\nlien: https://a.example/venir\n"
        "replay: https://a.example/revoir\n:::"
    )
    page = publication.web_on(today)
    assert said in page
    assert ("revoir" in page) is (today > date(2026, 5, 21))
    assert ("venir" in page.replace("à venir", "")) is (today <= date(2026, 5, 21))


def test_headings_in_a_story_stand_below_its_title(publication):
    publication.write("# Un\n\nTexte.\n\n## Deux", "#### Quatre\n\nTexte.")
    assert Outline(publication.render().html).headings == [1, 2, 3, 4, 2, 3]


def test_the_text_part_keeps_to_76_columns(sample):
    for edition in sample.values():
        text = holes.fill(edition.text, {}, is_html=False)
        assert [line for line in text.split("\n") if len(line) > 76 and "://" not in line] == []


def test_the_text_part_has_every_link_of_the_html(sample):
    for edition in sample.values():
        for attrs in Outline(edition.html).all("a"):
            href = str(attrs["href"])
            if href.startswith("https://"):
                assert href in edition.text


def test_the_reading_time_counts_words_not_addresses():
    assert count_minutes("un deux " * 110 + "https://a.example/b " * 500) == 1
    assert count_minutes("mot " * 221) == 2
    assert count_minutes("") == 1
