"""Facts about what a visitor sees first: the sample publication, its guide, the golden issues."""

from __future__ import annotations

import quopri
import re
import tomllib
from datetime import date
from pathlib import Path

import pytest

from newsletter import config
from newsletter.content.calendar import long_date
from newsletter.content.fences import FENCE
from newsletter.content.files import list_issues, load_registries, read_issue, read_pictures
from newsletter.mail.render import render_edition
from newsletter.model import Block, Edition, IssueId, Reading, Severity
from newsletter.templating import open_templates

SAMPLE = Path(__file__).parent.parent
GOLDEN = SAMPLE / "tests" / "golden"
FULL, SHORT = IssueId("2026-05-07"), IssueId("2026-05-13")
GALLERY, REFERENCE, TRAPS = IssueId("2026-06-04"), IssueId("2026-06-11"), IssueId("2026-10-29")
# RFC 2606; localhost stands in the editors' own machine.
RESERVED = re.compile(r"(?:^|\.)(?:example(?:\.(?:org|com|net))?|test|localhost)$")


@pytest.fixture(scope="module")
def sample() -> config.Settings:
    return config.load_settings(SAMPLE / "newsletter.toml", environ={})


def render(settings: config.Settings, issue_id: IssueId) -> tuple[Reading, Edition]:
    reading = read_issue(settings, issue_id)
    assert reading.issue is not None
    edition = render_edition(
        reading.issue,
        templates=open_templates(settings),
        settings=settings,
        pictures=read_pictures(settings, reading.issue),
        registries=load_registries(settings),
        audience_rule="weekly",
    )
    return reading, edition


@pytest.fixture(scope="module")
def full(sample: config.Settings) -> tuple[Reading, Edition]:
    return render(sample, FULL)


@pytest.fixture(scope="module")
def short(sample: config.Settings) -> tuple[Reading, Edition]:
    return render(sample, SHORT)


def encoded_kb(edition: Edition) -> float:
    return len(quopri.encodestring(edition.html.encode())) / 1024


def words_of(edition: Edition) -> int:
    """The words of the text part between the greeting and the notes or the foot, without links."""
    body = edition.text.partition("Vous recevez")[0].partition("Notes et sources")[0]
    body = body.partition("Bonjour")[2]
    body = re.sub(r"\[Image :[^\]]*\]|https?://\S+", " ", body)
    return len(re.findall(r"\w[\w’'-]*", body))


def blocks_of(reading: Reading) -> set[str]:
    assert reading.issue is not None
    found: set[str] = set()
    todo = [*reading.issue.edito, *(node for s in reading.issue.stories for node in s.nodes)]
    while todo:
        node = todo.pop()
        if isinstance(node, Block):
            found.add(node.convention or node.name)
            todo.extend(node.body)
    return found


def text_files() -> list[Path]:
    found = [SAMPLE / "newsletter.toml", *(SAMPLE / "docs").glob("*.md")]
    for folder in (SAMPLE / "issues", GOLDEN):
        found += [path for path in folder.rglob("*") if path.suffix in {".md", ".toml"}]
    return sorted(found)


# --- the settings --------------------------------------------------------------------------------


def test_the_sample_declares_the_four_objectives(sample):
    slugs = [term.slug for term in sample.taxonomy.objectives]
    assert slugs == ["equilibre", "hybridation", "innovation", "co-construction"]


def test_the_sample_has_a_whole_legal_notice(sample):
    notice = sample.publication
    assert all((notice.publisher, notice.address, notice.director, notice.contact, notice.host))


def test_the_sample_knows_the_eighteen_regions_and_the_scales(sample):
    assert len(sample.taxonomy.territories) == 18 + 6


def test_every_mark_of_an_objective_is_a_sign_besides_a_colour(sample):
    signs = [term.sign for term in sample.taxonomy.objectives]
    assert len(set(signs)) == len(signs)
    assert all(signs)


def test_somebody_can_approve_the_sample(sample):
    assert len(sample.people_with("approver")) >= 2


# --- the issues ----------------------------------------------------------------------------------


def test_the_sample_holds_the_two_issues_of_may(sample):
    assert set(list_issues(sample)) >= {FULL, SHORT}


@pytest.mark.parametrize("issue_id", [FULL, SHORT])
def test_reading_an_issue_of_the_sample_finds_nothing(sample, issue_id):
    assert read_issue(sample, issue_id).findings == ()


def test_the_full_issue_leaves_on_a_thursday_and_the_short_one_the_day_before_ascension():
    assert long_date(date.fromisoformat(FULL), "fr") == "jeudi 7 mai 2026"
    assert long_date(date.fromisoformat(SHORT), "fr") == "mercredi 13 mai 2026"


def test_the_full_issue_has_six_stories_and_the_short_one_three(full, short):
    assert [len(reading.issue.stories) for reading, _ in (full, short)] == [6, 3]


def test_the_full_issue_stays_light(full):
    _, edition = full
    assert encoded_kb(edition) <= 60
    assert len(edition.pictures) <= 5
    assert sum(len(picture.content) for picture in edition.pictures) <= 200 * 1024


def test_the_short_issue_stays_very_light(short):
    _, edition = short
    assert encoded_kb(edition) <= 30


def test_the_issues_have_about_450_and_250_words(full, short):
    assert 400 <= words_of(full[1]) <= 540
    assert 220 <= words_of(short[1]) <= 290


def test_the_web_copy_of_the_full_issue_tells_twice_as_much(full):
    _, edition = full
    prose = re.sub(r"<(style|head|script)\b.*?</\1>|<[^>]+>", " ", edition.web, flags=re.DOTALL)
    assert 850 <= len(re.findall(r"\w[\w’'-]*", prose)) <= 1200


def test_the_full_issue_uses_the_first_blocks_and_four_rows_of_partners(full):
    reading, _ = full
    first = {"chiffre", "ressource", "temoignage", "exemple", "partenaires", "evenement"}
    assert first | {"encadre", "suite", "exemples", "colonnes", "video"} <= blocks_of(reading)
    rows = [
        node for story in reading.issue.stories for node in story.nodes
        if isinstance(node, Block) and node.name == "partenaires"
    ]  # fmt: skip
    assert len(rows) == 4


def test_an_issue_of_the_sample_is_rendered_to_the_same_bytes_twice(sample, full):
    assert render(sample, FULL)[1] == full[1]


# --- the golden issues ---------------------------------------------------------------------------


def test_the_gallery_uses_every_block_and_every_convention(golden_publication):
    settings = golden_publication("gallery")
    reading = read_issue(settings, GALLERY)
    conventions = {"button", "figure", "thumbnail", "quote", "divider"}
    assert set(open_templates(settings).blocks) | conventions <= blocks_of(reading)
    assert reading.findings == ()


@pytest.mark.parametrize(
    ("name", "issue_id"),
    [("gallery", GALLERY), ("reference", REFERENCE), ("issue-c-clean", TRAPS)],
)
def test_a_golden_issue_reads_without_a_finding_and_renders(golden_publication, name, issue_id):
    reading, edition = render(golden_publication(name), issue_id)
    assert reading.findings == ()
    assert all((edition.html, edition.text, edition.web))


def test_the_reference_page_is_written_without_a_line_of_html():
    for path in (GOLDEN / "reference").rglob("*.md"):
        assert not re.search(r"</?[a-z]+[ >]", path.read_text(encoding="utf-8"))


NAMED = (
    "Les Jeudis de l'ODD 17", "faire alliance", "IMPACT-Alliances", "odd17.example",
    "Alliances & Territoires", "associations-gouv", "deux_heures", "quatre_heures", "douze_heures",
    "Acteur du faire alliance", "Dynamiques d'engagement", "::: video", "::: temoignage", "ANPP",
    "Oser les Territoires", "Projet de Territoire", "::: questions", "::: charte",
    "Observatoire des partenariats", "Comisis-OpinionWay", "fonds-odd-17", "le-rameau",
    "Élus locaux", "::: objectifs", "92 %", "90 %", "88 %", "64 %", "::: inscription",
    "Comment passer à l'action ?", "Se situer", "Pour aller plus loin", "Éclairer",
    "En pratiques", "Accélérer", "Premiers pas", "bonnes nouvelles des territoires",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_the_reference_page_holds_what_the_networks_page_names(name):
    files = [*(GOLDEN / "reference").rglob("*.md"), *(GOLDEN / "reference").rglob("*.toml")]
    assert any(name in path.read_text(encoding="utf-8") for path in files)


TRAP_LIST = tomllib.loads((GOLDEN / "issue-c" / "traps.toml").read_text(encoding="utf-8"))["trap"]


@pytest.mark.parametrize("trap", TRAP_LIST, ids=[trap["what"] for trap in TRAP_LIST])
def test_a_trap_names_a_line_of_issue_c(trap):
    if "file" in trap:
        lines = (GOLDEN / "issue-c" / trap["file"]).read_text(encoding="utf-8").splitlines()
        assert lines[trap["line"] - 1].strip()
    assert trap["severity"] in set(Severity)


# --- the editors' guide --------------------------------------------------------------------------


GUIDE = (SAMPLE / "docs" / "editors.md").read_text(encoding="utf-8")
GUIDE_BLOCKS = [
    found for found in re.findall(r"^```\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    if FENCE.match(found.partition("\n")[0])
]  # fmt: skip


@pytest.mark.parametrize("block", GUIDE_BLOCKS, ids=lambda block: block.partition("\n")[0])
def test_a_block_of_the_guide_can_be_copied_as_it_stands(block, guide_page):
    folder, settings = guide_page
    (folder / "10-le-guide.md").write_text(f"---\ntitre: Essai\n---\n{block}", encoding="utf-8")
    assert read_issue(settings, IssueId(folder.name)).findings == ()


def test_the_guide_shows_every_block(sample):
    shown = set(re.findall(r"^:{3,} ([\w-]+)", GUIDE, re.MULTILINE))
    assert shown == set(open_templates(sample).blocks)


@pytest.fixture
def guide_page(golden_publication):
    """A publication with one issue and the pictures that the guide's blocks name."""
    settings = golden_publication("gallery")
    folder = settings.issues_dir / FULL
    (folder / "images").mkdir(parents=True)
    picture = (SAMPLE / "issues" / SHORT / "images" / "etabli.png").read_bytes()
    for name in re.findall(r"images/([\w-]+\.png)", GUIDE):
        (folder / "images" / name).write_bytes(picture)
    (folder / "issue.md").write_text("---\nnumero: 1\nobjet: Essai\n---\n", encoding="utf-8")
    return folder, settings


# --- nothing real --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", text_files(), ids=lambda path: str(path.relative_to(SAMPLE)))
def test_every_address_leads_to_a_reserved_domain(path):
    text = path.read_text(encoding="utf-8")
    hosts = re.findall(r"https?://([\w.-]+)", text) + re.findall(
        r"[\w.+-]+@([\w-]+\.[\w.-]+)", text
    )
    strangers = {host.rstrip(".") for host in hosts} - {"127.0.0.1"}
    assert not {host for host in strangers if not RESERVED.search(host)}


@pytest.mark.parametrize(
    ("folder", "limit_kb"),
    [(SAMPLE / "issues", 120), (GOLDEN, 120), (SAMPLE / "issues" / "partenaires", 15)],
    ids=["issues", "golden", "logos"],
)  # fmt: skip
def test_pictures_are_light(folder, limit_kb):
    pictures = [path for path in folder.rglob("*") if path.suffix in {".png", ".jpg"}]
    assert pictures
    assert all(path.stat().st_size <= limit_kb * 1024 for path in pictures)
