"""docs/checks.md names every finding, and its examples are true."""

import re
import shutil

import pytest

from newsletter import config, words
from newsletter.checks.faults import FAULTS
from newsletter.content.faults import FAULTS as READING_FAULTS
from newsletter.editions import draft_issue
from newsletter.model import IssueId
from newsletter.store import database, schema
from tests.pressroom import REPOSITORY, add_example

PAGE = (REPOSITORY / "docs" / "checks.md").read_text("utf-8")
SECTION = re.compile(r"^### `(\w+)` — .*?(?=^### `|^## L|\Z)", re.MULTILINE | re.DOTALL)
EXAMPLE = re.compile(
    r"^```markdown (mauvais|bon) (article|en-tête)\n(.*?)\n```$", re.MULTILINE | re.DOTALL
)
ISSUE = IssueId("2026-05-07")
HEADER = {
    "numero": "141",
    "objet": "Des légumes partagés",
    "accroche": "Trois communes et une cuisine.",
    "exemples": "0",
}


def sections():
    return {match.group(1): match.group(0) for match in SECTION.finditer(PAGE)}


def examples():
    for code, text in sections().items():
        for quality, kind, example in EXAMPLE.findall(text):
            yield pytest.param(code, quality, kind, example, id=f"{code}-{quality}")


@pytest.fixture(scope="module")
def publication(tmp_path_factory):
    """The sample's settings, templates and registries, with one example and no issue."""
    root = tmp_path_factory.mktemp("publication")
    shutil.copytree(REPOSITORY / "templates", root / "templates")
    (root / "issues").mkdir()
    for registry in (REPOSITORY / "issues").glob("*.toml"):
        shutil.copy(registry, root / "issues")
    shutil.copytree(REPOSITORY / "issues" / "partenaires", root / "issues" / "partenaires")
    shutil.copy(REPOSITORY / "newsletter.toml", root)
    engine = database.open_engine(f"sqlite:///{root / 'newsletter.db'}")
    schema.metadata.create_all(engine)
    with database.write(engine) as connection:
        add_example(connection, "legumerie")
    yield config.load_settings(root / "newsletter.toml", environ={}), engine
    engine.dispose()


def codes_of(publication, kind, example):
    settings, engine = publication
    folder = settings.issues_dir / ISSUE
    shutil.rmtree(folder, ignore_errors=True)
    golden = REPOSITORY / "tests" / "golden" / "issue-c-clean" / "issues" / "2026-10-29" / "images"
    shutil.copytree(golden, folder / "images")
    header, story = dict(HEADER), f"---\ntitre: Une cuisine pour trois\n---\n{example}\n"
    if kind == "en-tête":
        header |= dict(line.split(": ", 1) if ": " in line else (line.rstrip(":"), "")
                       for line in example.splitlines())  # fmt: skip
        story = "---\ntitre: Une cuisine\n---\nTrois communes ont une cuisine.\n"
    elif example.startswith("---") or example == "Un texte sans en-tête.":
        story = example + "\n"
    lines = "".join(f"{key}: {value}\n" for key, value in header.items())
    (folder / "issue.md").write_text(f"---\n{lines}---\nBonjour.\n", "utf-8")
    (folder / "10-cuisine.md").write_text(story, "utf-8")
    return {finding.code for finding in draft_issue(settings, engine, ISSUE).findings}


def test_every_code_is_documented():
    assert set(sections()) == set(FAULTS) | set(READING_FAULTS)


def test_no_code_means_two_things():
    assert set(FAULTS).isdisjoint(READING_FAULTS)


def test_every_section_has_a_bad_and_a_good_example():
    for code, text in sections().items():
        assert text.count("```markdown mauvais") == 1, code
        assert text.count("```markdown bon") == 1, code


@pytest.mark.parametrize(("code", "quality", "kind", "example"), list(examples()))
def test_the_bad_example_gives_the_finding_and_the_good_one_does_not(
    publication, code, quality, kind, example
):
    assert (code in codes_of(publication, kind, example)) == (quality == "mauvais")


@pytest.mark.parametrize("code", sorted(FAULTS))
def test_every_finding_speaks_french(code):
    fault = FAULTS[code]
    for sentence in (fault.message, fault.remedy):
        french = words.translate(sentence, "fr")
        assert french != sentence or sentence == "{remedy}"
        assert sorted(set(re.findall(r"{\w+}", french))) == sorted(
            set(re.findall(r"{\w+}", sentence))
        )
