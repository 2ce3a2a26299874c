"""Every sentence that editors or readers see has its French."""

import ast
import re
from importlib.resources import files
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from newsletter import words
from newsletter.content.typography import open_profile, typeset
from newsletter.model import Finding, Severity

PACKAGE = Path(str(files("newsletter")))


def catalogue():
    found = {}
    for path in sorted((PACKAGE / "locale" / "fr").glob("*.po")):
        with path.open("rb") as source:
            found |= {m.id: m.string for m in read_po(source, locale="fr") if m.id}
    return found


def finding_sentences():
    """The literal messages and remedies of every Finding made anywhere in the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            for keyword in node.keywords:
                value = keyword.value
                if (
                    keyword.arg in {"message", "remedy"}
                    and isinstance(value, ast.Constant)
                    and isinstance(value.value, str)
                    and getattr(node.func, "id", "") in {"Finding", "finding", "_finding"}
                ):
                    yield path.name, value.value


def test_every_finding_has_its_french():
    known = catalogue()
    missing = [f"{file}: {text}" for file, text in finding_sentences() if not known.get(text)]
    assert missing == []


def test_translations_use_only_the_facts_of_their_source():
    import string

    def names(sentence):
        return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}

    wrong = [text for text, french in catalogue().items() if not names(french) <= names(text)]
    assert wrong == []


def test_the_french_is_set_as_french_is():
    """No line breaks before a sign; a line to copy (« key: value ») has its colon as files do."""
    profile = open_profile("fr", nnbsp=False)
    copied = re.compile("«\u00a0[^«»]*: [^«»]*»")
    sentences = [copied.sub("", text) for text in map(str, catalogue().values())]
    assert [text for text in sentences if typeset(text, profile) != text] == []


def test_a_sentence_without_translation_stays_english():
    assert words.translate("no such sentence {x}", "fr", {"x": 1}) == "no such sentence 1"


def test_an_unknown_language_is_english():
    assert words.translate("hello", "xx") == "hello"


@pytest.mark.parametrize("language", ["../../etc", "", "fr/../fr"])
def test_a_language_cannot_lead_out_of_the_catalogues(language):
    assert words.translate("hello", language) == "hello"


def test_a_finding_is_said_with_its_facts():
    finding = Finding(
        severity=Severity.ERROR, code="x", message="a {b}", remedy="c {b}", facts={"b": 2}
    )
    said = words.say(finding, "en")
    assert (said.message, said.remedy) == ("a 2", "c 2")
