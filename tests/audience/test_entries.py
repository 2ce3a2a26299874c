"""One row of a list → one person."""

from datetime import UTC, date, datetime

import pytest

from newsletter.audience.entries import Statement, read_entries
from newsletter.audience.sheets import read_sheet
from newsletter.config import Taxonomy, Term
from newsletter.model import Frequency, Severity, SubscriberState


@pytest.fixture
def publication(settings):
    """Settings with a vocabulary."""
    taxonomy = Taxonomy(
        profiles=(
            Term(slug="collectivite", label="Élues, élus et collectivités"),
            Term(slug="media", label="Média"),
        ),
        objectives=(
            Term(slug="hybridation", label="Hybridation des modèles"),
            Term(slug="co-construction", label="Co-construction territoriale"),
        ),
        territories=(Term(slug="ile-de-france", label="Île-de-France"),),
    )
    return settings.model_copy(update={"taxonomy": taxonomy})


@pytest.fixture
def read(publication, now):
    def _read(header: str, *lines: str, **statement):
        sheet = read_sheet("\n".join([f"email;{header}", *lines]).encode())
        return read_entries(sheet, publication, Statement(**statement), now)

    return _read


@pytest.fixture
def read_one(read):
    """Read one row that has a basis; give its entry and its findings."""

    def _read(header: str, cells: str):
        reading = read(f"base_legale;{header}", f"a@example.org;consentement;{cells}")
        found = [f for f in reading.findings if f.code != "no-consent-date"]
        return (reading.entries[0] if reading.entries else None), found

    return _read


def test_a_row_without_basis_is_refused(read):
    reading = read("nom", "a@example.org;A")
    assert reading.entries == ()
    assert [(f.code, f.line, f.severity) for f in reading.findings] == [
        ("no-basis", 2, Severity.ERROR)
    ]


def test_an_operator_may_state_the_basis_of_a_whole_file(read):
    reading = read(
        "nom;base_legale",
        "a@example.org;A;",
        "b@example.org;B;intérêt légitime pro",
        basis="consentement",
        evidence="formulaire papier du 3 mai",
    )
    assert [entry.basis for entry in reading.entries] == ["consentement", "interet_legitime_pro"]
    assert {entry.evidence for entry in reading.entries} == {"formulaire papier du 3 mai"}


def test_a_basis_stated_for_a_whole_file_needs_evidence(read):
    reading = read(
        "preuve;base_legale;statut",
        "a@example.org;;;",
        "b@example.org;bulletin du 3 mai;;",
        "c@example.org;;contrat;",
        "d@example.org;;;désinscrit",
        basis="contrat",
    )
    assert [entry.address.text[0] for entry in reading.entries] == ["b", "c", "d"]
    (refused,) = reading.findings
    assert (refused.code, refused.line) == ("no-evidence", 2)


def test_somebody_opposed_needs_no_basis(read):
    (entry,) = read("statut", "a@example.org;désinscrite le 12/03/2026").entries
    assert (entry.state, entry.reason) == (SubscriberState.UNSUBSCRIBED, "unsubscribed")


@pytest.mark.parametrize(
    ("written", "state", "reason"),
    [
        ("", "active", ""),
        ("Actif", "active", ""),
        ("active", "active", ""),
        ("Abonnée", "active", ""),
        ("boîte pleine", "active", ""),
        ("rebond temporaire", "active", ""),
        ("en attente", "pending", ""),
        ("en pause", "paused", ""),
        ("désinscrit", "unsubscribed", "unsubscribed"),
        ("Désabonnée depuis le 2026-01-03", "unsubscribed", "unsubscribed"),
        ("plainte", "suppressed", "complaint"),
        ("rebond définitif", "suppressed", "bounce"),
        ("hard bounce", "suppressed", "bounce"),
    ],
)
def test_a_status_is_understood_as_people_write_it(read_one, written, state, reason):
    entry, findings = read_one("statut", written)
    assert (entry.state, entry.reason, findings) == (state, reason, [])


def test_a_pause_says_until_when(read_one):
    entry, _ = read_one("statut", "en pause jusqu'au 31/08/2026")
    assert (entry.paused_from, entry.paused_until) == (None, date(2026, 8, 31))
    entry, _ = read_one("statut", "en pause du 2026-08-01 au 2026-08-31")
    assert (entry.paused_from, entry.paused_until) == (date(2026, 8, 1), date(2026, 8, 31))


@pytest.mark.parametrize(
    ("header", "cell", "code"),
    [
        ("statut", "parti", "unknown-status"),
        ("statut", "en pause jusqu'au 31/02/2026", "bad-date"),
        ("frequence", "quotidienne", "unknown-frequency"),
        ("consent_at", "hier", "bad-date"),
        ("consent_at", "2027-01-01", "future-date"),
        ("consent_at", "0001-01-01T00:00:00+14:00", "bad-date"),
    ],
)
def test_what_would_change_the_mailing_refuses_the_row(read_one, header, cell, code):
    entry, findings = read_one(header, cell)
    assert entry is None
    assert [(f.code, f.severity) for f in findings] == [(code, Severity.ERROR)]


def test_an_unknown_basis_is_refused_with_the_nearest(read):
    (finding,) = read("base_legale", "a@example.org;consentment").findings
    assert (finding.code, finding.facts["near"]) == ("unknown-basis", "consentement")


@pytest.mark.parametrize(
    ("header", "cell", "code", "near"),
    [
        ("profil", "colectivité", "unknown-profile", "collectivite"),
        ("objectifs", "hybridasion", "unknown-objective", "hybridation"),
    ],
)
def test_an_unknown_word_is_a_warning_and_the_person_is_kept(read_one, header, cell, code, near):
    entry, findings = read_one(header, cell)
    assert (entry.profile, entry.objectives) == ("", ())
    assert [(f.code, f.severity, f.facts["near"]) for f in findings] == [
        (code, Severity.WARNING, near)
    ]


def test_labels_and_slugs_are_the_same_to_us(read_one):
    header = "profil;objectifs;region;departement;frequence;profondeur"
    cells = (
        "Élues, élus et collectivités;Co-construction territoriale, HYBRIDATION;"
        "Île de France;1;Mensuelle;4 min"
    )
    entry, findings = read_one(header, cells)
    assert findings == []
    assert (entry.profile, entry.region, entry.department) == (
        "collectivite",
        "ile-de-france",
        "01",
    )
    assert entry.objectives == ("co-construction", "hybridation")
    assert (entry.frequency, entry.depth) == (Frequency.MONTHLY, 4)


def test_a_publication_without_taxonomy_takes_any_word(settings, now):
    sheet = read_sheet("email,base,profil\na@example.org,consent,Élu local".encode())
    (entry,) = read_entries(sheet, settings, Statement(), now).entries
    assert entry.profile == "elu-local"


def test_instants_are_read_in_the_publications_zone(read_one):
    entry, _ = read_one("consent_at;confirmed_at;dernier_acte", "07/05/2025;2025-05-07T09:00Z;")
    assert entry.consented_at == datetime(2025, 5, 6, 22, 0, tzinfo=UTC)
    assert entry.confirmed_at == datetime(2025, 5, 7, 9, 0, tzinfo=UTC)
    assert entry.last_act_at is None


def test_consent_without_date_is_warned_of_once(read):
    reading = read("base", "a@example.org;consent", "b@example.org;consent", "c@x.test;contrat")
    assert [(f.code, f.line, f.facts["count"]) for f in reading.findings] == [
        ("no-consent-date", 2, 2)
    ]


def test_two_lines_of_one_person_become_one_and_fill_each_other(read):
    reading = read(
        "base;prenom;nom",
        "Alix@Example.org;contrat;;Le Bihan",
        "alix@example.org;contrat;Alix;Autre",
    )
    (entry,) = reading.entries
    assert (entry.line, entry.first_name, entry.last_name) == (2, "Alix", "Le Bihan")
    assert [(f.code, f.line, f.facts["first"]) for f in reading.findings] == [("duplicate", 3, 2)]


@pytest.mark.parametrize("first", ["actif", "désinscrit"])
def test_opposition_wins_over_any_other_line(read, first):
    second = {"actif": "désinscrit", "désinscrit": "actif"}[first]
    lines = (f"a@example.org;contrat;{status}" for status in (first, second))
    (entry,) = read("base;statut", *lines).entries
    assert (entry.state, entry.reason, entry.line) == ("unsubscribed", "unsubscribed", 2)


def test_roles_and_garbled_names_are_warned_of_and_disposable_ones_refused(read):
    reading = read(
        "base;nom",
        "contact@example.org;contrat;",
        "b@example.org;contrat;HÃ©lÃ¨ne",
        "c@jetable.example;contrat;",
    )
    assert [(f.code, f.line) for f in reading.findings] == [
        ("role-address", 2),
        ("garbled", 3),
        ("disposable", 4),
    ]
    assert len(reading.entries) == 2
