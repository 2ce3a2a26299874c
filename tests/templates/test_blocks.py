"""Facts about each block of the sample: it explains itself, and its own example works."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from newsletter import config
from newsletter.content.files import load_registries, read_issue, read_pictures
from newsletter.mail import holes
from newsletter.mail.render import render_edition
from newsletter.model import Example, IssueId
from newsletter.templating import open_templates

REPOSITORY = Path(__file__).parent.parent.parent
ID = IssueId("2026-05-07")
NAMES = sorted(path.stem for path in (REPOSITORY / "templates" / "blocks").glob("*.j2"))
EXAMPLE = Example(
    id="gare", title="Une épicerie dans la gare", summary="On y achète.", source="La veille",
    link="https://veille.example/gare", feed_url="https://veille.example/feed",
)  # fmt: skip


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("publication")
    shutil.copy(REPOSITORY / "newsletter.toml", folder)
    shutil.copytree(REPOSITORY / "templates", folder / "templates")
    shutil.copytree(REPOSITORY / "issues", folder / "issues", ignore=shutil.ignore_patterns("20*"))
    return config.load_settings(folder / "newsletter.toml", environ={})


@pytest.fixture(scope="module")
def declarations(settings):
    return open_templates(settings).blocks


@pytest.fixture
def render(settings):
    """Return what makes an edition of one story."""

    def run(story: str):
        home = settings.issues_dir / ID
        shutil.rmtree(home, ignore_errors=True)
        (home / "images").mkdir(parents=True)
        picture = REPOSITORY / "issues" / "2026-05-13" / "images" / "etabli.png"
        for name in re.findall(r"images/([\w.-]+)", story):
            shutil.copy(picture, home / "images" / Path(name).with_suffix(".png").name)
        story = re.sub(r"(images/[\w-]+)\.jpg", r"\1.png", story)
        (home / "issue.md").write_text("---\nnumero: 1\nobjet: Essai\n---\nÉdito.", "utf-8")
        (home / "10-a.md").write_text(f"---\ntitre: Récit\n---\n{story}", "utf-8")
        reading = read_issue(settings, ID)
        assert reading.issue is not None
        issue = reading.issue
        if "::: exemples" in story:
            issue = replace(issue, examples=(EXAMPLE,))
        edition = render_edition(
            issue,
            templates=open_templates(settings),
            settings=settings,
            pictures=read_pictures(settings, issue),
            registries=load_registries(settings),
            audience_rule="weekly",
        )
        return reading.findings, edition

    return run


def test_the_vocabulary_is_that_of_the_design():
    """DOMAIN 6.2; ordinary text and notes are plain Markdown, two resources stand in columns."""
    assert set(NAMES) == {
        "appel", "chapo", "charte", "chiffre", "chiffres", "citation", "colonnes", "encadre",
        "etude", "evenement", "exemple", "exemples", "inscription", "liens", "objectifs",
        "parcours", "partenaires", "podcast", "questions", "recit", "rectificatif", "ressource",
        "suite", "temoignage", "transfert", "video",
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_block_explains_itself_and_its_fields_in_french(declarations, name):
    block = declarations[name]
    assert block.help.endswith(".")
    assert block.example.startswith("::")
    assert all(known.help for known in block.fields.values())


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_block_works_in_all_three_media(declarations, render, name):
    findings, edition = render(declarations[name].example)
    assert findings == ()
    title = re.match(r":+ \w+ ?(.*)", declarations[name].example).group(1)
    words = re.findall(r"\w{4,}", title)
    for page in (edition.html, edition.text, edition.web):
        assert all(word in page for word in words)


@pytest.mark.parametrize("name", NAMES)
def test_a_block_needs_only_its_required_fields(declarations, render, name):
    block = declarations[name]
    required = "".join(
        f"{key}: {SAMPLES[known.kind]}\n" for key, known in block.fields.items() if known.required
    )
    inside = "::: chiffre 3\noui\n:::\n" if name in {"chiffres", "colonnes"} else "Des mots.\n"
    _, edition = render(f":::: {name} Un titre\n{required}\n{inside}::::")
    assert edition.web
    assert "None" not in edition.html + edition.text + edition.web


SAMPLES = {
    "url": "https://exemple.example/page", "date": "2026-05-21", "image": "images/a.png",
    "partners": "grand-panier", "text": "Un mot", "source": "barometre",
}  # fmt: skip


HOSTILE = "&lt;b> \" ' & {{ 1234*4321 }} {% if %} -- ]]> é"


@pytest.mark.parametrize("name", NAMES)
def test_hostile_words_in_a_block_stay_words(declarations, render, name):
    block = declarations[name]
    fields = "".join(
        f"{key}: {HOSTILE if known.kind == 'text' else SAMPLES.get(known.kind, '1')}\n"
        for key, known in block.fields.items()
        if known.kind not in {"bool", "list"}
    )
    inside = f"::: chiffre {HOSTILE}\noui\n:::" if name in {"chiffres", "colonnes"} else HOSTILE
    _, edition = render(f":::: {name} {HOSTILE}\n{fields}\n{inside}\n::::")
    for page in (edition.html, edition.web):
        assert "<b> " not in page
        assert "5332114" not in page
    assert holes.OPEN not in edition.web


@pytest.mark.parametrize("name", NAMES)
def test_two_bare_blocks_give_the_same_bytes(declarations, render, name):
    assert render(declarations[name].example)[1] == render(declarations[name].example)[1]


def test_each_button_of_two_resources_has_its_own_name(render):
    two = "".join(
        f"::: ressource Kit {n}\nlien: https://exemple.example/{n}\nformat: PDF\n:::\n"
        for n in "AB"
    )
    _, edition = render(two)
    for page in (edition.html, edition.web):
        labels = re.findall(r">(Télécharger[^<]*)<", page)
        assert len(set(labels)) == len(labels) == 2


def test_partners_without_a_logo_show_their_name(render):
    _, edition = render("::: partenaires Avec\npartenaires: communes-lise, grand-panier\n:::")
    assert "Communes du val de Lise" in edition.html
    assert 'alt="Le Grand Panier"' in edition.html


def test_an_objective_is_never_shown_by_its_colour_alone(render):
    _, edition = render("::: objectifs\n:::")
    for page in (edition.html, edition.web):
        assert page.count("◆") == 1
        assert "Co-construction territoriale" in page
