"""Facts about French: what a proofreader marks, and what he leaves alone."""

from datetime import date

import pytest

from newsletter.checks import catalogue
from newsletter.checks.checked import Checked
from tests.checks.test_catalogue import an_issue
from tests.pressroom import open_publication


@pytest.fixture
def said(tmp_path):
    """Return what gives the findings of one paragraph, as (code, right spelling or quoted text)."""
    settings = open_publication(tmp_path)

    def run(text: str) -> list[tuple[str, object]]:
        checked = Checked(
            issue=an_issue(text),
            settings=settings,
            today=date(2026, 5, 7),
            roles={"exemples": "examples"},
        )
        found = catalogue.run_checks(checked)
        return [(one.code, one.facts.get("right") or one.facts.get("text")) for one in found]

    return run


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("VENEZ NOMBREUX : les ELUS LOCAUX.", ("all_capitals", "VENEZ NOMBREUX")),
        ("Les RENCONTRES de mai.", ("all_capitals", "RENCONTRES")),
        ("Ca va, dit l'Etat.", ("missing_accents", "Ça, État")),
        ("Editeurs et Evitez cela.", ("missing_accents", "Éditeurs, Évitez")),
        ("La 7éme et la 2nde.", ("ordinal", "7e")),
        ("Au XXIème siècle.", ("ordinal", "XXIe")),
        ("Voir le no 12.", ("number_sign", "n°\u00a012")),
        ("Rendez-vous le 21/05/2026.", ("date_form", "21 mai 2026")),
        ("Rendez-vous le 31/02/2026.", ("impossible_date", "31/02/2026")),
        ("Une table , douze chaises.", ("misplaced_space", "table ,")),
        ("Une table,douze chaises.", ("misplaced_space", "table,douze")),
        ("C'est fini .", ("misplaced_space", "fini .")),
        ("Les citoyen.ne.s et nous.", ("inclusive_point", "citoyen.ne.s")),
        ("Les élu·es et nous.", ("inclusive_point", "élu·es")),
        ("Une charte de de coopération.", ("repeated_word", "de")),
    ],
)
def test_a_slip_is_said_with_its_correction(said, text, expected):
    assert expected in said(text)


def test_a_passage_that_shouts_twice_is_told_once(said):
    assert len([code for code, _ in said("VENEZ NOMBREUX aux ELUS LOCAUX.")
                if code == "all_capitals"]) == 1  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "Autour de la table : CCAS, CAF, MSA et DREAL ; plus loin, l'ADEME, EDF et l'URSSAF.",
        "Edith Morvan et Evita Lopes ont lu The Economist.",
        "C'est en en parlant que l'idée est venue ; il fallait faire faire le travail.",
        "Oui oui, nous nous y sommes mis, et vous vous y mettrez.",
        "Les vendredi 3 et samedi 4 juillet, puis du lundi 6 au mercredi 8 juillet 2026.",
        "Le numéro vert répond 24 h/24 et 7 j/7 ; comptez 1/3 d'heure.",
        "Au XIXe siècle déjà, la IIIe République votait la loi de 1901.",
        "Il y a 1,5 million d'habitants, 12 M€ de budget et 1 250 000 € de subventions.",
        "Bonjour {{ prenom | Camille }}, le fichier `liste.csv`, et la suite.",
        "Écrivez à lettre@example.org, ou lisez [la page](https://example.org/a,b).",
        "Voir odd17.org, www.example.ne et documents.trice.example.",
        "A-t-on le droit d'essayer ? La loi 3DS, votée en 2022, élargit l'expérimentation locale.",
        "« Tout seul, on va plus vite », dit le proverbe… à condition de s'accorder.",
        "Le budget participatif – 50 000 € en 2026 – a retenu neuf projets.",
        "M. Diallo et Mme Le Gall, adjointe, sont venus de 18 h à 20 h 30.",
        "Le 1er juin, puis le 2 juillet et le 29 février 2028.",
        "À l'école Jules-Ferry, en CM2, dans l'Aisne (84 p.) : n° 5, 3e étage, 2de chance.",
        "Des crèmes, les mêmes, et le Ve arrondissement.",
    ],
)
def test_correct_french_is_left_alone(said, text):
    assert said(text) == []
