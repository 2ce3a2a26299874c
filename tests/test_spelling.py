import os
import sys

import pytest

from newsletter import publishing
from newsletter.model import IssueId
from newsletter.spelling import unknown_words
from tests.pressroom import open_publication, write_issue

# What hunspell -l does: print the words it does not know.
STAND_IN = f"""#!{sys.executable}
import sys
assert sys.argv[1:] == ["-l", "-i", "utf-8", "-d", "fr_FR"], sys.argv
for word in sys.stdin.read().split():
    if word in ("tabblée", "cuisinne"):
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
