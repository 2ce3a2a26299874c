"""The verbs of those who keep the list, on both databases."""

import csv
import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from newsletter import config, membership
from newsletter.audience.addresses import read_address
from newsletter.audience.importing import Kind
from newsletter.errors import ConfigError, Conflict, NotFound, RowError
from newsletter.model import Frequency, SubscriberState
from newsletter.store import audience, consent, database

ROOT = Path(__file__).parent.parent
THURSDAY = date(2026, 5, 7)
HEADER = "email;prenom;nom;base_legale;statut\n"


@pytest.fixture
def sample_settings(tmp_path):
    """The settings of the sample publication."""
    path = tmp_path / "sample.toml"
    path.write_bytes((ROOT / "newsletter.toml").read_bytes())
    return config.load_settings(path, environ={})


@pytest.fixture
def load(engine, keys, settings, now):
    """Import a text or a sample file; give the plan."""

    def _load(content: bytes | str, *, apply=True, publication=settings, **statement):
        data = content.encode() if isinstance(content, str) else content
        return membership.import_subscribers(
            publication,
            engine,
            keys,
            data,
            file="liste.csv",
            now=now,
            apply=apply,
            **statement,
        )

    return _load


def sample(name: str) -> bytes:
    return (ROOT / "subscribers" / name).read_bytes()


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(content.decode().splitlines()))


def audience_of(engine, settings, rule="weekly", day=THURSDAY) -> set[str]:
    with database.read(engine) as connection:
        ids = set(connection.scalars(audience.select_audience(rule, settings, day)))
        return {person.address for person in audience.stream(connection) if person.id in ids}


def people_of(engine) -> dict[str, SubscriberState]:
    with database.read(engine) as connection:
        return {person.address: person.state for person in audience.stream(connection)}


def chain_holds(engine, keys) -> bool:
    with database.read(engine) as connection:
        return consent.find_break(connection, keys) is None


# --- the sample ------------------------------------------------------------------------------


def test_the_sample_says_of_each_person_what_the_audience_is(load, engine, keys, sample_settings):
    content = sample("sample.csv")
    load(content, publication=sample_settings)
    rows = rows_of(content)
    said = {read_address(r["email"]).text for r in rows if r["pourquoi"].startswith("reçoit :")}
    assert audience_of(engine, sample_settings) == said
    assert (len(rows), len(said)) == (60, 43)
    assert all(r["pourquoi"].startswith(("reçoit :", "ne reçoit pas :")) for r in rows)
    assert chain_holds(engine, keys)


def test_the_sample_is_imported_without_a_remark(load, sample_settings):
    plan = load(sample("sample.csv"), publication=sample_settings)
    assert plan.findings == ()
    assert (plan.counts["added"], plan.counts["opposed"]) == (52, 8)


def test_the_samples_groups_receive_when_they_should(load, engine, sample_settings):
    load(sample("sample.csv"), publication=sample_settings)
    assert len(audience_of(engine, sample_settings, "monthly")) == 6
    assert len(audience_of(engine, sample_settings, day=date(2026, 8, 6))) == 41
    rule = "weekly;segment=elus(profiles=collectivite)"
    assert len(audience_of(engine, sample_settings, rule)) == 10


def test_the_same_people_saved_by_excel_change_nothing(load, engine, sample_settings):
    load(sample("sample.csv"), publication=sample_settings)
    before = people_of(engine)
    plan = load(sample("sample-excel.csv"), publication=sample_settings)
    assert plan.encoding == "cp1252"
    assert {kind: len(plan.of(kind)) for kind in Kind if plan.of(kind)} == {
        Kind.UNCHANGED: 24,
        Kind.PROTECTED: 1,
    }
    assert people_of(engine) == before


def test_the_wrong_rows_are_refused_with_line_and_reason_and_the_others_kept(load, engine):
    plan = load(sample("invalid-rows.csv"))
    assert {finding.line: finding.code for finding in plan.refused} == {
        2: "address",
        3: "address",
        4: "address",
        5: "quotation-mark",
        6: "address",
        7: "formula",
        8: "address",
        9: "disposable",
        10: "address",
        11: "no-basis",
        12: "unknown-status",
        13: "bad-date",
        14: "address",
    }
    assert set(people_of(engine)) == {"Noe.Petit@example.org", "contact@example.org"}


def test_only_reserved_domains_are_in_the_samples():
    for name in ("sample.csv", "invalid-rows.csv"):
        for row in rows_of(sample(name)):
            domain = row["email"].rpartition("@")[2].casefold()
            reserved = ("example.org", "example.com", "example.net", ".example", "exemple")
            assert not domain or domain.endswith(reserved)


# --- import ----------------------------------------------------------------------------------


def test_a_plan_writes_nothing(load, engine):
    plan = load(HEADER + "a@example.org;A;B;contrat;\n", apply=False)
    assert plan.counts["added"] == 1
    assert people_of(engine) == {}


def test_importing_twice_is_importing_once(load, engine, keys):
    text = HEADER + "a@example.org;A;B;contrat;\nb@example.org;C;D;consent;en attente\n"
    load(text)
    before = people_of(engine)
    assert load(text).counts["unchanged"] == 2
    assert people_of(engine) == before == {"a@example.org": "active", "b@example.org": "pending"}
    assert chain_holds(engine, keys)


def test_the_proof_leads_back_to_file_line_operator_and_hash(load, engine, keys):
    load(
        "email\na@example.org\n",
        basis="consentement",
        evidence="registre du forum",
        by="Théo Lacombe",
    )
    held = membership.show_subscriber(engine, keys, "A@example.org")
    (event,) = held["consent"]
    assert event["act"] == "imported"
    detail = event["detail"]
    assert len(detail.pop("sha256")) == 64
    assert detail == {
        "basis": "consentement",
        "evidence": "registre du forum",
        "by": "Théo Lacombe",
        "file": "liste.csv",
        "line": 2,
    }
    assert held["subscriber"]["evidence"].startswith("registre du forum · liste.csv:2 sha256:")


@pytest.mark.parametrize("gone", ["unsubscribe", "erase", "complaint"])
def test_no_import_brings_back_who_left(load, engine, keys, now, gone):
    text = HEADER + "a@example.org;A;B;contrat;actif\n"
    load(text)
    if gone == "unsubscribe":
        membership.unsubscribe_address(engine, keys, "a@example.org", by="Théo", now=now)
    elif gone == "erase":
        membership.erase_address(engine, keys, "a@example.org", now=now)
    else:
        load(HEADER + "A@EXAMPLE.ORG;;;;plainte\n")
    before = people_of(engine)
    plan = load(text)
    assert plan.counts["protected"] == 1
    assert people_of(engine) == before
    assert chain_holds(engine, keys)


def test_a_file_may_tell_us_that_somebody_left(load, engine, settings):
    load(HEADER + "a@example.org;A;B;contrat;actif\nb@example.org;;;contrat;actif\n")
    plan = load(HEADER + "a@example.org;;;;désinscrite\nz@example.org;;;;rebond définitif\n")
    assert plan.counts["opposed"] == 2
    assert people_of(engine)["a@example.org"] is SubscriberState.UNSUBSCRIBED
    assert "z@example.org" not in people_of(engine)
    assert audience_of(engine, settings) == {"b@example.org"}


def test_an_import_that_fails_leaves_nothing(load, engine, keys, settings, now):
    text = HEADER + "".join(f"a{n}@example.org;;;contrat;\n" for n in range(3))
    with pytest.raises(Exception, match=r"UNIQUE|unique"):
        membership.import_subscribers(
            settings, engine, keys, text.encode(), file="x", now=now, apply=True,
            random_bytes=lambda size: b"\x01" * size,  # the same id three times
        )  # fmt: skip
    assert people_of(engine) == {}


def test_a_file_that_is_no_list_is_named(load):
    with pytest.raises(ConfigError) as raised:
        load(b"\x89PNG\r\n")
    assert (raised.value.path, raised.value.line) == ("liste.csv", 1)


def test_a_correction_is_written_and_noted(load, engine, keys):
    load(HEADER + "a@example.org;A;B;contrat;\n")
    assert load(HEADER + "a@example.org;A;C;contrat;\n").counts["updated"] == 1
    held = membership.show_subscriber(engine, keys, "a@example.org")
    assert held["subscriber"]["last_name"] == "C"
    assert held["consent"][-1]["detail"]["columns"] == ["last_name"]


# --- export ----------------------------------------------------------------------------------


def test_an_export_is_imported_back_as_it_was(load, engine, keys, sample_settings, now):
    load(sample("sample.csv"), publication=sample_settings)
    exported = "".join(membership.export_subscribers(engine)).encode()
    before = people_of(engine)
    plan = load(exported, publication=sample_settings)
    assert plan.findings == ()
    assert plan.counts["unchanged"] == len(before) == 52


def test_an_export_holds_no_formula(engine, keys, now):
    membership.add_subscriber(
        engine, keys, "=x@example.org", basis="contrat", evidence="bulletin", by="Théo", now=now,
        first_name="=HYPERLINK(1)", organisation="@SUM(1)", last_name="-1+1",
    )  # fmt: skip
    lines = list(csv.reader("".join(membership.export_subscribers(engine)).splitlines()))
    assert [cell for cell in lines[1] if cell[:1] in {"=", "+", "-", "@"}] == []
    assert lines[1][0] == "'=x@example.org"


# --- one person ------------------------------------------------------------------------------


@pytest.fixture
def alix(engine, keys, now):
    return membership.add_subscriber(
        engine, keys, "Alix@example.org", basis="consentement", evidence="bulletin du 7 mai",
        by="Théo Lacombe", now=now, frequency=Frequency.WEEKLY,
    )  # fmt: skip


def test_adding_by_hand_needs_basis_and_evidence(engine, keys, now):
    with pytest.raises(RowError, match="evidence"):
        membership.add_subscriber(
            engine, keys, "a@example.org", basis="consentement", evidence="", by="", now=now
        )


def test_adding_by_hand_knows_the_bases_that_a_list_may_name(engine, keys, now):
    def add(address, basis):
        return membership.add_subscriber(
            engine, keys, address, basis=basis, evidence="bulletin", by="", now=now
        ).basis

    with pytest.raises(RowError, match="“consentment” is not a legal basis") as refused:
        add("a@example.org", "consentment")
    assert "“consentement”" in refused.value.remedy
    assert add("a@example.org", "Intérêt légitime pro") == "interet_legitime_pro"


@pytest.mark.parametrize(
    ("field", "text"),
    [("first_name", "Alix\r\nBcc: x"), ("organisation", "x" * 1_001), ("evidence", "a\x00b")],
)
def test_no_hand_adds_what_no_list_may_hold(engine, keys, now, field, text):
    values = {"basis": "consentement", "evidence": "x", field: text}
    with pytest.raises(RowError, match=field):
        membership.add_subscriber(engine, keys, "a@example.org", by="", now=now, **values)


def test_adding_somebody_twice_is_a_conflict(alix, engine, keys, now):
    with pytest.raises(Conflict, match="already"):
        membership.add_subscriber(
            engine, keys, "ALIX@example.org", basis="contrat", evidence="x", by="", now=now
        )


def test_adding_somebody_who_left_is_a_conflict(alix, engine, keys, now):
    membership.erase_address(engine, keys, "alix@example.org", now=now)
    with pytest.raises(Conflict, match="erased"):
        membership.add_subscriber(
            engine, keys, "alix@example.org", basis="contrat", evidence="x", by="", now=now
        )


def test_show_is_json_and_finds_any_spelling(alix, engine, keys):
    held = membership.show_subscriber(engine, keys, "ALIX@Example.org")
    assert json.loads(json.dumps(held)) == held
    assert held["subscriber"]["id"] == alix.id
    assert held["suppressed"] is None


def test_show_of_a_stranger_is_not_found_and_of_an_erased_one_says_erased(alix, engine, keys, now):
    with pytest.raises(NotFound):
        membership.show_subscriber(engine, keys, "b@example.org")
    membership.erase_address(engine, keys, "alix@example.org", now=now)
    held = membership.show_subscriber(engine, keys, "alix@example.org")
    assert (held["suppressed"], held["subscriber"]) == ("erased", None)


def test_a_pause_ends_by_itself(alix, engine, keys, settings, now):
    membership.pause_subscriber(
        engine, keys, "alix@example.org", until=date(2026, 5, 7), by="Théo", now=now
    )
    assert audience_of(engine, settings) == set()
    assert audience_of(engine, settings, day=date(2026, 5, 8)) == {"Alix@example.org"}


def test_who_left_cannot_be_paused(alix, engine, keys, now):
    membership.unsubscribe_address(engine, keys, "alix@example.org", by="Théo", now=now)
    with pytest.raises(Conflict):
        membership.pause_subscriber(
            engine, keys, "alix@example.org", until=None, by="Théo", now=now
        )


def test_an_unknown_address_that_opposes_is_remembered(load, engine, keys, now):
    assert not membership.unsubscribe_address(engine, keys, "z@example.org", by="Théo", now=now)
    assert load(HEADER + "z@example.org;;;contrat;\n").counts["protected"] == 1


def test_letting_go_says_what_they_were(load, alix, engine, keys, now):
    load(HEADER + "b@example.org;;;contrat;\n" + "c@example.org;;;contrat;\n")
    load(HEADER + "c@example.org;;;;rebond\n")

    def let_go(address):
        return membership.unsubscribe_address(engine, keys, address, by="Théo", now=now)

    addresses = ("b@example.org", "b@example.org", "c@example.org")
    assert [let_go(address) for address in addresses] == ["active", "unsubscribed", "suppressed"]
    assert people_of(engine)["c@example.org"] is SubscriberState.SUPPRESSED


def test_erasing_twice_says_no_the_second_time(alix, engine, keys, now):
    assert membership.erase_address(engine, keys, "alix@example.org", now=now)
    assert not membership.erase_address(engine, keys, "alix@example.org", now=now)


def test_ids_are_random_and_wide(engine, keys, now):
    ids = [
        membership.add_subscriber(
            engine, keys, f"a{n}@example.org", basis="contrat", evidence="x", by="", now=now
        ).id
        for n in range(5)
    ]
    assert len(set(ids)) == 5
    assert all(0 < number < 2**63 for number in ids)
    assert max(ids) > 2**48


def test_instants_of_people_are_aware(alix, now):
    assert alix.created_at == now
    assert alix.created_at.tzinfo is not None
    assert datetime(2026, 5, 7, 6, tzinfo=UTC) == alix.last_act_at
