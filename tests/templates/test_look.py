"""Facts about what a browser draws: the gallery of every block, narrow and wide, light and dark."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from axe_playwright_python.sync_playwright import Axe

from newsletter.content.files import load_registries, read_issue, read_pictures
from newsletter.mail import holes
from newsletter.mail.render import render_edition
from newsletter.model import Example, IssueId
from newsletter.templating import open_templates
from tests.waiting import PATIENCE_S

GALLERY = IssueId("2026-06-04")
EXAMPLE = Example(
    id="gare", title="Une épicerie dans la gare", summary="On y achète, on y répare.",
    source="La veille", link="https://veille.example/gare",
    feed_url="https://veille.example/feed", territory="Montrelay", objective="hybridation",
)  # fmt: skip
# Text that is drawn, below 14 px.
SMALL_TEXT = """() => {
  const small = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !parent.getClientRects().length) continue;
    if (parseFloat(getComputedStyle(parent).fontSize) < 14)
      small.push(walker.currentNode.data.trim().slice(0, 40));
  }
  return small;
}"""
LOW_BUTTONS = """() => [...document.querySelectorAll('.bo a, .bi a, a.bouton')]
  .filter(button => button.getBoundingClientRect().height < 44).map(button => button.innerText)"""


@pytest.fixture(scope="module")
def gallery(golden_publication):
    settings = golden_publication("gallery")
    issue = read_issue(settings, GALLERY).issue
    assert issue is not None
    issue = replace(issue, examples=(EXAMPLE,))
    return render_edition(
        issue,
        templates=open_templates(settings),
        settings=settings,
        pictures=read_pictures(settings, issue),
        registries=load_registries(settings),
        audience_rule="weekly",
    )


@pytest.fixture
def open_page(browser, gallery):
    """Return what opens the mail or the web copy, its pictures answered from the edition."""
    contexts = []

    def run(medium: str, width: int, scheme: str, *, pictures: bool = True):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_S * 1000)
        page = context.new_page()
        contents = {picture.name: picture.content for picture in gallery.pictures}
        source = holes.fill(gallery.html, {}, is_html=True) if medium == "mail" else gallery.web

        def answer(route):
            name = route.request.url.rpartition("/")[2]
            if name == "page":
                route.fulfill(body=source, content_type="text/html; charset=utf-8")
            elif pictures and name in contents:
                route.fulfill(body=contents[name])
            else:
                route.abort()

        page.route("**/*", answer)
        page.goto("https://lettre.example/page")
        return page

    yield run
    for context in contexts:
        context.close()


VIEWS = [("mail", 320), ("mail", 375), ("mail", 600), ("web", 320), ("web", 1000)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("medium", "width"), VIEWS)
def test_every_block_is_drawn_without_a_fault(open_page, medium, width, scheme):
    page = open_page(medium, width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(SMALL_TEXT) == []
    assert page.evaluate(LOW_BUTTONS) == []
    found = Axe().run(page).response["violations"]
    assert [(fault["id"], fault["nodes"][0]["html"]) for fault in found] == []


def test_the_mail_reads_without_its_pictures(open_page):
    page = open_page("mail", 600, "light", pictures=False)
    assert page.evaluate("document.documentElement.scrollWidth") <= 600
    assert page.get_by_alt_text("Quatre barres").count() == 1


def test_the_dark_scheme_is_the_themes(open_page):
    page = open_page("mail", 600, "dark")
    ground = page.evaluate("getComputedStyle(document.querySelector('.ca')).backgroundColor")
    assert ground == "rgb(24, 32, 41)"


def test_two_columns_stack_on_a_phone_in_the_order_of_the_file(open_page):
    """The first of two resources stands above the second, at the same left edge."""
    tops = """() => [...document.querySelectorAll('.co .mj-column-per-50')].slice(0, 2)
      .map(column => { const box = column.getBoundingClientRect(); return [box.left, box.top]; })"""
    narrow = open_page("mail", 375, "light").evaluate(tops)
    wide = open_page("mail", 600, "light").evaluate(tops)
    assert narrow[0][0] == narrow[1][0]
    assert narrow[0][1] < narrow[1][1]
    assert wide[0][1] == wide[1][1]


def test_the_way_out_can_be_reached_by_keyboard(open_page):
    page = open_page("mail", 600, "light")
    labels = []
    for _ in range(2):
        page.keyboard.press("Tab")
        labels.append(page.evaluate("document.activeElement.innerText"))
    assert labels == ["Lire en ligne", "Se désabonner"]


# A row of links that wraps must not leave a sign alone at the end of a line.
ENDS = """() => [...document.querySelectorAll('p, div')].filter(element => {
  const last = element.lastElementChild;
  return element.childElementCount > 1 && last && last.tagName === 'A'
    && [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim() === '·')
    && element.offsetHeight > 1.5 * parseFloat(getComputedStyle(element).lineHeight);
}).map(element => element.innerText)"""


def test_no_sign_stands_alone_between_links_that_wrap(open_page):
    assert open_page("mail", 320, "light").evaluate(ENDS) == []


def test_what_stands_side_by_side_shows_no_unequal_grounds(open_page):
    page = open_page("mail", 600, "light")
    assert page.locator(".co .pa").count() == 0
    assert page.locator(".co").count() > 0


def test_every_picture_keeps_its_place_before_it_arrives(gallery):
    pictures = re.findall(r"<img\b[^>]*>", gallery.html)
    assert pictures
    assert all(re.search(r'\bwidth="\d+" height="\d+"', picture) for picture in pictures)


def test_the_weight_of_a_file_stays_on_one_line_of_its_button(gallery):
    assert "(PDF,\u00a01,2\u00a0Mo)" in gallery.html


def test_figures_stand_on_the_line(open_page):
    """Georgia's digits hang below it, and its 10 reads as IO."""
    page = open_page("mail", 600, "light")
    face = page.get_by_text("62 t", exact=True).evaluate("e => getComputedStyle(e).fontFamily")
    assert face.startswith("Arial")
