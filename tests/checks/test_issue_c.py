"""Issue C hides one trap after another; its clean twin is the same issue, mended."""

import shutil
import tomllib
from pathlib import Path

import pytest

from newsletter import config
from newsletter.checks.online import judge_links
from newsletter.editions import draft_issue
from newsletter.model import IssueId
from newsletter.store import database
from tests.pressroom import REPOSITORY, add_example

GOLDEN = REPOSITORY / "tests" / "golden"
ISSUE = IssueId("2026-10-29")
TRAPS = tomllib.loads((GOLDEN / "issue-c" / "traps.toml").read_text("utf-8"))["trap"]


def open_issue(root: Path, issues: Path) -> config.Settings:
    """Lay issues over the sample publication: its settings, templates and registries."""
    shutil.copytree(REPOSITORY / "templates", root / "templates")
    (root / "issues").mkdir()
    for registry in (REPOSITORY / "issues").glob("*.toml"):
        shutil.copy(registry, root / "issues")
    shutil.copytree(REPOSITORY / "issues" / "partenaires", root / "issues" / "partenaires")
    shutil.copytree(issues, root / "issues", dirs_exist_ok=True)
    shutil.copy(REPOSITORY / "newsletter.toml", root)
    return config.load_settings(root / "newsletter.toml", environ={})


def told(findings):
    return {
        (finding.code, finding.severity.value, finding.file, finding.line) for finding in findings
    }


def expected(*, online=False):
    return {
        (trap["code"], trap["severity"], trap.get("file"), trap.get("line"))
        for trap in TRAPS
        if trap.get("online", False) is online
    }


@pytest.fixture
def trapped(tmp_path, sqlite_engine):
    settings = open_issue(tmp_path, GOLDEN / "issue-c" / "issues")
    with database.write(sqlite_engine) as connection:
        if "unknown_example" not in {trap["code"] for trap in TRAPS}:
            add_example(connection, "four-a-pain-de-brevanges")
    return draft_issue(settings, sqlite_engine, ISSUE)


def test_every_trap_gives_exactly_its_finding(trapped):
    assert told(trapped.findings) == expected()
    assert len(trapped.findings) == len(expected())


def test_the_dead_link_is_found_when_links_are_asked(trapped):
    answers = {"https://page-disparue.example/cafe": "404"}
    assert told(judge_links(trapped.issue, answers)) == expected(online=True)


def test_the_clean_twin_gives_none(tmp_path, sqlite_engine):
    settings = open_issue(tmp_path, GOLDEN / "issue-c-clean" / "issues")
    draft = draft_issue(settings, sqlite_engine, ISSUE)
    assert told(draft.findings) == set()
    assert draft.edition is not None


@pytest.mark.parametrize("issue_id", ["2026-05-07", "2026-05-13"])
def test_the_sample_issues_have_nothing_worse_than_advice(tmp_path, sqlite_engine, issue_id):
    settings = open_issue(tmp_path, REPOSITORY / "issues")
    with database.write(sqlite_engine) as connection:
        add_example(connection, "une", objective="hybridation")
        add_example(connection, "autre", objective="innovation")
    draft = draft_issue(settings, sqlite_engine, IssueId(issue_id))
    worse = [finding for finding in draft.findings if finding.severity.value != "advice"]
    assert worse == []
