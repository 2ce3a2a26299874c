"""The registries: what they hold, and the line of each mistake."""

from __future__ import annotations

from datetime import date

import pytest

from newsletter.content.registries import cite, read_registries
from newsletter.model import GlossaryEntry, Partner, Source


def test_the_three_registries_are_read_by_id():
    registries = read_registries(
        {
            "partners": '[riveraine]\nname = "Fondation Riveraine"\nurl = "https://r.example"\n',
            "sources": '[impact]\ntitle = "Impact"\nvalid_until = "2027-01-01"\n',
            "glossary": '["Le RAMEAU"]\nvariants = ["Le Rameaux"]\n[odd]\nterm = "ODD 17"\n',
        }
    )
    assert registries.findings == ()
    assert registries.partners["riveraine"] == Partner(
        id="riveraine", name="Fondation Riveraine", url="https://r.example"
    )
    assert registries.sources["impact"] == Source(
        id="impact", title="Impact", valid_until=date(2027, 1, 1)
    )
    assert registries.glossary["Le RAMEAU"] == GlossaryEntry(
        term="Le RAMEAU", variants=("Le Rameaux",)
    )
    assert registries.protected == ("Le RAMEAU", "ODD 17")


def test_no_registry_is_an_empty_one():
    assert dict(read_registries({}).sources) == {}


MISTAKES = [
    ("sources", "[a]\ntitle = x\n", "bad_toml", 2),
    ("sources", '[a]\ntitle = "x"\n[b]\ntitel = "y"\n', "unknown_key", 4),
    ("sources", '[a]\n# rien\n[b]\ntitle = "y"\n', "missing_registry_key", 1),
    ("sources", '[a]\ntitle = "y"\nvalid_until = "bientôt"\n', "bad_registry_value", 3),
    ("sources", '[a]\ntitle = "y"\nurl = "y.example"\n', "bad_url", 3),
    ("sources", 'a = "y"\n', "bad_entry", 1),
    ("partners", "[a]\nname = 3\n", "bad_registry_value", 2),
    ("partners", '[a]\nname = ""\n', "missing_registry_key", 1),
    ("glossary", '[a]\nvariants = "x"\n', "bad_registry_value", 2),
]


@pytest.mark.parametrize(("name", "text", "code", "line"), MISTAKES)
def test_each_mistake_is_found_at_its_line(name: str, text: str, code: str, line: int):
    (finding, *others) = read_registries({name: text}).findings
    assert (finding.code, finding.file, finding.line) == (code, f"issues/{name}.toml", line)
    assert {said.code for said in others} <= {"missing_registry_key"}


def test_a_text_of_a_registry_cannot_open_a_hole():
    registries = read_registries({"partners": '[a]\nname = "x\ue000y\u0301"\n'})
    assert registries.partners["a"].name == "xý"


def test_a_citation_says_only_what_is_known():
    assert "".join(cite(Source(id="a", title="T"))) == "« T »."
    full = Source(id="a", title="T", institute="I", sponsor="S", sample="n",
                  fielded="2025", published="2026")  # fmt: skip
    assert "".join(cite(full)) == "I, S, « T », 2026 (n, 2025)."
