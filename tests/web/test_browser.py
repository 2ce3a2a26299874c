"""The public pages in a real browser: without a script, by keyboard, on a phone, light and dark."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from newsletter.model import Frequency, SubscriberState
from tests.ports import open_port
from tests.serving import serve
from tests.waiting import PATIENCE_S


@pytest.fixture
def site(app):
    """The address of the pages, served on loopback."""
    with serve(open_port(), lambda _: app) as address:
        yield address


@pytest.fixture
def visit(browser, site):
    """Open a path in a fresh visitor's window; no script of the page may run."""
    contexts = []

    def _visit(path: str, **options):
        context = browser.new_context(**{"java_script_enabled": False} | options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_S * 1000)
        page = context.new_page()
        page.goto(site + path)
        return page

    yield _visit
    for context in contexts:
        context.close()


def test_a_person_joins_without_a_script_and_by_keyboard(visit, site, clock, link_of, person):
    page = visit("/")
    clock.turn(seconds=5)
    page.get_by_label("Votre adresse électronique").focus()
    page.keyboard.type("noe@example.org")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.get_by_role("heading", level=1).inner_text() == "Regardez votre boîte aux lettres"
    page.goto(site + link_of("confirmation"))
    with page.expect_navigation():
        page.get_by_role("button", name="Oui, je m’abonne").press("Enter")
    assert "C’est fait" in page.get_by_role("status").inner_text()
    assert person("noe@example.org").state is SubscriberState.ACTIVE


def test_a_person_chooses_then_leaves(visit, site, reader, leave_url, preferences_url, person):
    page = visit(preferences_url)
    page.get_by_label("Une fois par mois, l’essentiel").check()
    page.get_by_label("Pas de lettre en août").check()
    with page.expect_navigation():
        page.get_by_role("button", name="Enregistrer mes choix").click()
    assert "C’est noté" in page.get_by_role("status").inner_text()
    assert person().frequency is Frequency.MONTHLY
    page.goto(site + leave_url)
    with page.expect_navigation():
        page.get_by_role("button", name="Me désabonner").click()
    assert person().state is SubscriberState.UNSUBSCRIBED


def test_a_mistake_is_said_and_what_was_typed_is_kept(visit, clock):
    page = visit("/")
    clock.turn(seconds=5)
    field = page.get_by_label("Votre adresse électronique")
    field.fill("noé@example.org")
    page.locator("form").evaluate("form => form.noValidate = true")
    with page.expect_navigation():
        page.get_by_role("button", name="M’abonner gratuitement").click()
    assert "accent" in page.get_by_role("alert").inner_text()
    assert field.input_value() == "noé@example.org"


PATHS = ("/", "preferences", "leave", "/archive/", "/zz", "/proof", "/c/x")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible_and_fits_a_phone(
    visit, site, leave_url, preferences_url, *, scheme
):
    # axe is a script: the policy that forbids ours is set aside to run it.
    window = {"bypass_csp": True, "java_script_enabled": True, "color_scheme": scheme}
    page = visit("/", viewport={"width": 375, "height": 700}, **window)
    named = {"preferences": preferences_url, "leave": leave_url}
    for path in PATHS:
        page.goto(site + named.get(path, path))
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.locator("h1").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        written = "p,li,label,select,button,a,span,input[type=email],input[type=text]"
        texts = f"[...document.querySelectorAll('{written}')]"
        smallest = f"Math.min(...{texts}.map(e => parseFloat(getComputedStyle(e).fontSize)))"
        assert page.evaluate(smallest) >= 14
        short = "[...document.querySelectorAll('button,select')].filter(e => e.offsetHeight < 44)"
        assert page.evaluate(f"{short}.length") == 0


def test_nothing_is_loaded_from_elsewhere(visit, site, preferences_url):
    page = visit("/")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    for path in ("/", preferences_url, "/archive/"):
        page.goto(site + path)
    assert [url for url in asked if not url.startswith(site)] == []
