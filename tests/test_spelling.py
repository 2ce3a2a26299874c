import os
import shutil
import sys

import pytest

from newsletter import config, publishing
from newsletter.model import IssueId
from newsletter.spelling import unknown_words
from tests.pressroom import REPOSITORY, open_publication, write_issue

# What hunspell -l does: print the words it does not know.
STAND_IN = f"""#!{sys.executable}
import sys
assert sys.argv[1:] == ["-l", "-i", "utf-8", "-d", "fr_FR"], sys.argv
for word in sys.stdin.read().split():
    if word in ("tabblée", "cuisinne", "co-cuisiner", "co-cuisinne"):
        print(word)
"""


@pytest.fixture
def hunspell(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "hunspell"
    program.write_text(STAND_IN, encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return program


def test_unknown_words_are_listed_once(hunspell):
    assert unknown_words(["tabblée", "table", "tabblée"], "fr") == ("tabblée",)


def test_a_compound_of_known_words_is_known(hunspell):
    assert unknown_words(["co-cuisiner", "co-cuisinne"], "fr") == ("co-cuisinne",)


def test_without_hunspell_nothing_is_said(monkeypatch):
    monkeypatch.setenv("PATH", os.devnull)
    assert unknown_words(["tabblée"], "fr") == ()


def test_a_language_without_dictionary_is_not_judged(hunspell):
    assert unknown_words(["tabblée"], "br") == ()


def test_a_failing_hunspell_says_nothing(hunspell):
    hunspell.write_text("#!/bin/false\n", encoding="utf-8")
    assert unknown_words(["tabblée"], "fr") == ()


def test_checking_an_issue_advises_on_its_spelling(hunspell, tmp_path, sqlite_engine):
    settings = open_publication(tmp_path)
    story = "---\ntitre: À table\n---\nUne tabblée à Cuisinne,\nune cuisinne.\n"
    write_issue(settings, "2026-05-07", story=story)
    draft = publishing.check(settings, sqlite_engine, IssueId("2026-05-07"))
    found = [(one.facts["word"], one.line) for one in draft.findings if one.code == "spelling"]
    assert found == [("tabblée", 4), ("cuisinne", 5)]


@pytest.mark.parametrize(
    "words",
    ["cuisinne@tabblée.example", "www.cuisinne.example", "docs/cuisinne/", "cuisinne.pdf",
     "la_cuisinne", "cuisinne42"],
)  # fmt: skip
def test_addresses_and_names_of_files_are_not_spelt(hunspell, words, tmp_path, sqlite_engine):
    settings = open_publication(tmp_path)
    write_issue(settings, "2026-05-07", story=f"---\ntitre: À table\n---\nVoyez {words} là.\n")
    draft = publishing.check(settings, sqlite_engine, IssueId("2026-05-07"))
    assert "spelling" not in {one.code for one in draft.findings}


@pytest.mark.parametrize("name", ["2026-05-07", "2026-05-13"])
def test_debian_s_dictionary_has_nothing_to_say_of_the_sample(name, tmp_path, sqlite_engine):
    shutil.copytree(REPOSITORY / "templates", tmp_path / "templates")
    shutil.copytree(REPOSITORY / "issues", tmp_path / "issues")
    shutil.copy(REPOSITORY / "newsletter.toml", tmp_path)
    settings = config.load_settings(tmp_path / "newsletter.toml", environ={})
    draft = publishing.check(settings, sqlite_engine, IssueId(name))
    assert [one.facts["word"] for one in draft.findings if one.code == "spelling"] == []
