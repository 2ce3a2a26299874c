"""Facts about the preview: what it shows, how it follows, what it refuses."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from babel.messages.pofile import read_po
from sqlalchemy import func, select

from newsletter import config
from newsletter.errors import ConfigError, NotFound
from newsletter.model import IssueId
from newsletter.preview import ASSETS, create_app, open_port
from newsletter.previewing.page import VIEWS, describe
from newsletter.previewing.screen import Screen
from newsletter.store import database, schema
from tests.pressroom import open_publication, write_issue
from tests.serving import serve
from tests.waiting import PATIENCE_S

ISSUE, EARLIER = IssueId("2026-05-13"), IssueId("2026-05-07")
NOON = datetime(2026, 5, 12, 10, 0, tzinfo=UTC)
HOSTILE = """\
---
titre: <script>document.title = "volé"</script>
---
Un mot <script>document.title = "volé"</script> et <img src=x onerror="document.title='volé'">.

[Un lien](javascript:document.title='volé')
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    engine = database.open_engine(f"sqlite:///{tmp_path_factory.mktemp('store') / 'letter.db'}")
    schema.metadata.create_all(engine)
    yield engine
    engine.dispose()


def lay_out(root: Path) -> config.Settings:
    settings = open_publication(root)
    write_issue(settings, EARLIER, number=1)
    write_issue(settings, ISSUE, number=2)
    return settings


def open_screen(settings: config.Settings, store, issue_id: IssueId = ISSUE) -> Screen:
    file = settings.root / config.FILE_NAME
    return Screen(lambda: config.load_settings(file, environ={}), store, issue_id, lambda: NOON)


@pytest.fixture
def screen(tmp_path, store) -> Screen:
    """A screen whose files a test may change."""
    return open_screen(lay_out(tmp_path), store)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory, store) -> Screen:
    """A screen that all tests of this module look at and none changes."""
    return open_screen(lay_out(tmp_path_factory.mktemp("quiet")), store)


def save(screen: Screen, text: str, name: str = "10-cuisine.md") -> Path:
    path = screen.root / "issues" / ISSUE / name
    path.write_text(text, encoding="utf-8")
    return path


def served(screen: Screen):
    """Serve the preview on a free port, in a thread of its own."""
    return serve(open_port(0), lambda stopping: create_app(screen, stopping=stopping))


# --- the screen -----------------------------------------------------------------------------------


def test_an_issue_that_does_not_exist_is_refused(quiet, store):
    with pytest.raises(NotFound, match="2026-12-03"):
        open_screen(quiet.shown.settings, store, IssueId("2026-12-03"))


def test_a_save_gives_the_next_version(screen):
    save(screen, "---\ntitre: Un autre titre\n---\nDes mots neufs.")
    screen.refresh()
    assert screen.shown.version == 2
    assert "Des mots neufs." in screen.shown.edition.html


def test_an_error_keeps_the_last_good_rendering_and_says_when_it_was(screen):
    block = screen.root / "templates" / "blocks" / "chiffre.j2"
    block.write_text(block.read_text("utf-8") + "{% oups", "utf-8")
    screen.refresh()
    page = describe(screen.shown)
    assert screen.shown.edition is not None
    assert page["stale_at"] == "12:00:00"
    assert page["findings"][0]["place"].startswith("templates/blocks/chiffre.j2:")
    assert page["findings"][0]["line"] == "{% oups"


def test_settings_that_cannot_be_read_are_a_finding(screen):
    (screen.root / config.FILE_NAME).write_text("[publication", "utf-8")
    screen.refresh()
    finding = describe(screen.shown)["findings"][0]
    assert finding["place"] == "newsletter.toml:1"
    assert screen.shown.edition is not None


def test_an_issue_folder_that_goes_away_is_a_finding(screen):
    for path in (screen.root / "issues" / ISSUE).iterdir():
        path.unlink()
    screen.refresh()
    assert screen.shown.draft.edition is None
    assert describe(screen.shown)["counts"][0]["severity"] == "error"


def test_a_finding_stands_beside_the_line_it_speaks_of(screen):
    save(screen, "---\ntitre: Un titre\n---\nVoir [ici](https://a.example/).")
    screen.refresh()
    found = {one["code"]: one for one in describe(screen.shown)["findings"]}["vague_label"]
    assert found["place"] == f"issues/{ISSUE}/10-cuisine.md:4"
    assert found["line"] == "Voir [ici](https://a.example/)."
    assert found["words"] == "Voir ici."


def test_a_file_outside_the_publication_is_never_read(screen, tmp_path):
    outside = tmp_path.parent / "secret.md"
    outside.write_text("secret", "utf-8")
    story = screen.root / "issues" / ISSUE / "20-lien.md"
    story.symlink_to(outside)
    screen.refresh()
    assert all(one["line"] != "secret" for one in describe(screen.shown)["findings"])


def test_the_issue_before_is_what_one_compares_with(quiet):
    page = describe(quiet.shown)
    assert EARLIER in page["changes"]["before"]
    assert {figure["change"] for figure in page["figures"]} <= {"=", "+0,1", "−0,1"}


def test_the_oldest_issue_has_nothing_to_compare_with(quiet, store):
    screen = open_screen(quiet.shown.settings, store, EARLIER)
    assert describe(screen.shown)["changes"]["before"] == ""


def test_the_inbox_line_has_sender_subject_and_preheader(quiet):
    inbox = describe(quiet.shown)["inbox"]
    assert inbox["sender"] == "La Lettre d'essai"
    assert inbox["subject"] == "Des légumes partagés"
    assert inbox["preheader"] == "Trois communes et une cuisine."


def test_a_long_text_is_shown_whole(screen):
    save(screen, "---\ntitre: Long\n---\n" + "\n\n".join(f"Paragraphe {n}." for n in range(3000)))
    screen.refresh()
    assert "Paragraphe 2999." in describe(screen.shown)["text"]


# --- the answers ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(quiet):
    with served(quiet) as base:
        yield base


@pytest.fixture
def site(address):
    with httpx.Client(base_url=address) as client:
        yield client


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", "localhost", "[::1]"])
def test_a_foreign_host_is_refused(site, host):
    """A name of somebody else that leads to 127.0.0.1 (DNS rebinding)."""
    assert site.get("/", headers={"Host": host}).status_code == 421


def test_nothing_is_taken_from_elsewhere_and_nothing_inline_runs(site):
    policy = site.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe-inline" not in policy


@pytest.mark.parametrize(
    "path", ["/mail/light", "/mail/dark", "/mail/forced", "/mail/bare", "/web"]
)
def test_a_frame_may_run_nothing(site, path):
    answer = site.get(path)
    policy = answer.headers["content-security-policy"]
    assert answer.status_code == 200
    assert "script-src" not in policy
    assert "default-src 'none'" in policy
    assert re.search(r"sandbox (?!.*allow-(scripts|forms))", policy)


@pytest.mark.parametrize("path", ["/mail/other", "/media/x.png", "/assets/page.html.j2", "/etc"])
def test_anything_else_is_missing(site, path):
    assert site.get(path).status_code == 404


@pytest.mark.parametrize("path", ["/", "/mail/light", "/assets/page.js", "/nothing"])
def test_every_answer_is_locked(site, path):
    headers = site.get(path).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"


def test_a_post_is_refused(site):
    assert site.post("/").status_code == 405


def test_it_listens_on_loopback_only():
    with open_port(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_a_setting_to_change():
    with open_port(0) as taken, pytest.raises(ConfigError, match="cannot be used"):
        open_port(taken.getsockname()[1])


def test_the_preview_writes_no_row(site, quiet, store):
    def rows() -> int:
        with database.read(store) as connection:
            tables = schema.metadata.sorted_tables
            return sum(connection.scalar(select(func.count()).select_from(t)) for t in tables)

    before = rows()
    for path in ("/", "/mail/light", "/web"):
        site.get(path)
    quiet.refresh()
    assert rows() == before == 0


# --- in a browser ---------------------------------------------------------------------------------


@pytest.fixture
def open_page(browser):
    contexts = []

    def run(base: str, scheme: str = "light", **options):
        context = browser.new_context(
            viewport={"width": 1280, "height": 900},
            color_scheme=scheme,
            reduced_motion="reduce",  # axe would meet colours on their way to others
            **options,
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_S * 1000)
        page = context.new_page()
        page.goto(base)
        mail(page).locator("h1").wait_for()
        return page

    yield run
    for context in contexts:
        context.close()


def mail(page):
    return page.frame_locator("iframe >> nth=0")


def test_the_page_follows_a_save_and_says_so(screen, open_page):
    with served(screen) as base:
        page = open_page(base)
        save(screen, "---\ntitre: Un titre\n---\nDes mots tout neufs.")
        mail(page).get_by_text("Des mots tout neufs.").wait_for()
        page.locator("#said", has_text="Aperçu à jour").wait_for(state="attached")
        # The inline styles of what was put in place are those of the mail.
        font = mail(page).locator("h1").evaluate("title => getComputedStyle(title).fontFamily")
    assert font.startswith("Georgia")


def test_the_page_keeps_its_place_while_it_follows(screen, open_page):
    with served(screen) as base:
        page = open_page(base)
        root = mail(page).locator("html")
        root.evaluate("root => { root.scrollTop = 90 }")
        save(screen, "---\ntitre: Un titre\n---\nDes mots tout neufs.\n\n" + "Encore.\n\n" * 50)
        mail(page).get_by_text("Des mots tout neufs.").wait_for()
        page.locator("#said", has_text="Aperçu à jour").wait_for(state="attached")
        assert root.evaluate("root => root.scrollTop") == 90


def test_the_page_follows_while_the_issue_has_errors(screen, open_page):
    with served(screen) as base:
        page = open_page(base)
        header = screen.root / "issues" / ISSUE / "issue.md"
        text = header.read_text("utf-8")
        header.write_text("---\nobjet\n", "utf-8")
        page.locator("#head .stale").wait_for()
        assert mail(page).get_by_text("Trois communes ont ouvert une cuisine.").count() == 1
        header.write_text(text, "utf-8")
        page.locator("#head .stale").wait_for(state="detached")


def test_the_page_follows_the_settings(screen, open_page):
    with served(screen) as base:
        page = open_page(base)
        file = screen.root / config.FILE_NAME
        file.write_text(file.read_text("utf-8").replace("La Lettre d'essai", "L'Autre"), "utf-8")
        page.locator(".above", has_text="L'Autre").wait_for()


def test_nothing_of_an_issue_runs(screen, open_page):
    save(screen, HOSTILE)
    screen.refresh()
    with served(screen) as base:
        page = open_page(base)
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        for _, _, key in VIEWS:
            page.keyboard.press(key)
        page.reload()
        page.wait_for_load_state("networkidle")
        titles = {frame.evaluate("document.title") for frame in page.frames[1:] if frame.url}
        assert "volé" not in {page.title(), *titles}
        assert all(url.startswith(base) for url in asked)


def test_every_view_is_reached_by_its_key_and_by_the_arrows(address, open_page):
    chosen = "document.querySelector('[role=tab][aria-selected=true]').dataset.key"
    page = open_page(address)
    for _, _, key in VIEWS:
        page.keyboard.press(key)
        assert page.evaluate(chosen) == key
        assert page.locator("[role=tabpanel]:not([hidden])").count() == 1
    page.keyboard.press("ArrowRight")
    assert page.evaluate(chosen) == "1"
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(chosen) == "0"
    page.keyboard.press("Home")
    assert page.evaluate("document.activeElement.id") == "tab-desktop"


def test_the_first_tab_stop_leads_past_the_head(address, open_page):
    page = open_page(address)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Aller au numéro"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "views"


def test_a_finding_shows_its_passage(screen, open_page):
    save(screen, "---\ntitre: Un titre\n---\nVoir [ici](https://a.example/).")
    screen.refresh()
    with served(screen) as base:
        page = open_page(base)
        page.get_by_role("button", name="Montrer dans le numéro").first.click()
        page.locator("#said", has_text="montré").wait_for(state="attached")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_any_view(screen, open_page, scheme):
    save(screen, f"---\ntitre: Un titre\n---\nVoir [ici](http://a.example/{'long' * 40}).\n")
    screen.refresh()
    with served(screen) as base:
        # axe is a script of another place: the page's policy is set aside to run it.
        page = open_page(base, scheme, bypass_csp=True)
        for name, _, key in VIEWS:
            page.keyboard.press(key)
            faults = Axe().run(page).response["violations"]
            found = [(name, fault["id"], fault["nodes"][0]["html"]) for fault in faults]
            assert found == []
            assert page.evaluate("document.documentElement.scrollWidth") <= 1280
            assert page.locator("aside").evaluate("a => a.scrollWidth <= a.clientWidth")


def test_a_page_left_alone_says_that_the_preview_has_stopped(screen, open_page):
    with served(screen) as base:
        page = open_page(base)
    page.locator("#lost").wait_for()


# --- words ----------------------------------------------------------------------------------------


def test_every_sentence_of_the_page_has_its_french():
    catalogue = Path(config.__file__).parent.parent / "locale" / "fr" / "preview.po"
    with catalogue.open("rb") as source:
        known = {str(message.id) for message in read_po(source, locale="fr") if message.string}
    template = (ASSETS / "page.html.j2").read_text("utf-8")
    asked = set(re.findall(r'say\("([^"]+)"', template)) | {label for _, label, _ in VIEWS}
    assert asked <= known


def test_the_preview_says_what_the_dictionary_says(tmp_path, store):
    settings = lay_out(tmp_path)
    story = "---\ntitre: À table\n---\nUne tabblée.\n"
    write_issue(settings, ISSUE, number=2, story=story)
    found = open_screen(settings, store).shown.draft.findings
    assert ("spelling", 4) in [(one.code, one.line) for one in found]
