"""What an import has to say is said in French."""

import ast
from importlib.resources import files

import pytest

from newsletter.audience.remarks import ADDRESS_REMEDY, REFUSALS, WARNINGS, refusal
from newsletter.words import say, translate

SENTENCES = {text for pair in (*REFUSALS.values(), *WARNINGS.values()) for text in pair}


def said_in_code() -> set[str]:
    """Every sentence of a RowError or a Finding written in the package's sources."""
    found = set()
    for module in ("addresses", "sheets", "segments"):
        source = files("newsletter.audience").joinpath(f"{module}.py").read_text("utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"RowError", "Finding"}:
                spoken = [*node.args, *(k.value for k in node.keywords if k.arg in SPOKEN)]
                found |= {arg.value for arg in spoken if isinstance(arg, ast.Constant)}
    return found


SPOKEN = {"message", "remedy"}


@pytest.mark.parametrize("sentence", sorted(SENTENCES | said_in_code() | {ADDRESS_REMEDY}))
def test_every_sentence_has_its_french(sentence):
    assert translate(sentence, "fr") != sentence


def test_what_a_file_holds_is_quoted_short_and_harmless():
    finding = say(refusal("unknown-status", 3, value="a\x1b[31m" + "x" * 200, near="actif"), "fr")
    assert "\x1b" not in finding.message
    assert len(finding.message) < 130
    assert finding.remedy == "Écrivez par exemple «\u00a0actif\u00a0»."
