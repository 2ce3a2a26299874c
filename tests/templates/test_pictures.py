"""Facts about every sample issue as it is drawn: narrow and wide, light, dark, turned, bare.

``test_look`` holds the gallery of all blocks to the same; here stand the issues that are read.
"""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe

from newsletter.previewing.looks import Look, as_seen
from tests.golden.rendering import EXPECTED
from tests.waiting import PATIENCE_S

ISSUES = ["issue-a", "issue-b", "reference"]
WIDTHS = [375, 600]
# Elements drawn beyond the right edge, and text below 14 px: each with a few of its words.
FAULTS = """width => {
  const faults = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const say = (what, element) => faults.push(what + ': ' + element.outerHTML.slice(0, 120));
  for (const element of document.body.querySelectorAll('*')) {
    const box = element.getBoundingClientRect();
    if (box.width && (box.right > width + .5 || box.left < -.5)) say('overflow', element);
  }
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !parent.getClientRects().length) continue;
    if (parseFloat(getComputedStyle(parent).fontSize) < 14) say('small', parent);
  }
  return faults;
}"""
# Of the words that stand for pictures, those that need more lines than their place has.
CUT_ALTERNATIVES = """() => {
  const ruler = document.createElement('canvas').getContext('2d');
  return [...document.querySelectorAll('img[alt]:not([alt=""])')].filter(image => {
    const box = image.getBoundingClientRect(), style = getComputedStyle(image);
    ruler.font = style.font;
    const across = box.width - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const lines = Math.ceil(ruler.measureText(image.alt).width / across);
    return lines * parseFloat(style.lineHeight) > box.height + 1;
  }).map(image => image.alt);
}"""


@pytest.fixture
def draw(browser):
    """Return what draws one page at a width, no picture being fetched."""
    pages = []

    def run(html: str, width: int):
        page = browser.new_page(viewport={"width": width, "height": 900})
        pages.append(page)
        page.set_default_timeout(PATIENCE_S * 1000)
        page.route("http*://**", lambda route: route.abort())
        page.set_content(html)
        return page

    yield run
    for page in pages:
        page.close()


def mail(name: str, look: Look) -> str:
    return as_seen((EXPECTED / name / "index.html").read_text(encoding="utf-8"), look)


def violations(page) -> list[tuple[str, str]]:
    found = Axe().run(page).response["violations"]
    return [(fault["id"], node["html"][:160]) for fault in found for node in fault["nodes"]]


@pytest.mark.parametrize("look", [Look.LIGHT, Look.DARK])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ISSUES)
def test_an_issue_fits_is_large_enough_and_can_be_read(draw, name, width, look):
    page = draw(mail(name, look), width)
    assert page.evaluate(FAULTS, width) == []
    assert violations(page) == []


@pytest.mark.parametrize("name", [*ISSUES, "gallery"])
def test_an_issue_survives_a_client_that_turns_its_colours(draw, name):
    page = draw(mail(name, Look.FORCED), 375)
    assert violations(page) == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", [*ISSUES, "gallery"])
def test_an_issue_can_be_read_without_its_pictures(draw, name, width):
    page = draw(mail(name, Look.BARE), width)
    assert page.evaluate(FAULTS, width) == []
    assert page.evaluate(CUT_ALTERNATIVES) == []
    assert violations(page) == []


@pytest.mark.parametrize("name", ISSUES)
def test_the_web_copy_of_an_issue_fits_a_small_phone(draw, name):
    html = (EXPECTED / name / "web.html").read_text(encoding="utf-8")
    for look in (Look.LIGHT, Look.DARK):
        page = draw(as_seen(html, look), 320)
        skip = ".evitement"
        faults = page.evaluate(FAULTS, 320)
        assert [fault for fault in faults if skip[1:] not in fault] == []
        assert violations(page) == []
