"""What an import would do, before it is done."""

import pytest

from newsletter.audience.entries import Statement, read_entries
from newsletter.audience.importing import Kind, Known, make_plan
from newsletter.audience.sheets import read_sheet
from newsletter.model import Frequency, Subscriber, SubscriberState


@pytest.fixture
def plan(settings, now):
    def _plan(row: str, *, known: Known | None = None, suppressed: bool = False):
        header = "email;base;prenom;nom;frequence;statut\n"
        sheet = read_sheet((header + row).encode())
        return make_plan(
            read_entries(sheet, settings, Statement(), now),
            sheet,
            Statement(),
            known={"a@example.org": known} if known else {},
            suppressed={"a@example.org"} if suppressed else (),
        )

    return _plan


def known(state: SubscriberState = SubscriberState.ACTIVE, *, chose=False, **fields) -> Known:
    values = {"first_name": "Alix", "last_name": "Le Bihan", "basis": "contrat"} | fields
    person = Subscriber(id=7, address="a@example.org", state=state, **values)
    return Known(subscriber=person, chose=chose)


def test_a_new_person_is_added(plan):
    (fate,) = plan("a@example.org;contrat;Alix;;;").fates
    assert (fate.kind, fate.entry.first_name) == (Kind.ADDED, "Alix")


def test_the_same_row_again_changes_nothing(plan):
    assert plan("A@example.org;contrat;Alix;Le Bihan;;", known=known()).fates[0].kind == "unchanged"


def test_a_correction_updates_only_what_differs_and_never_empties(plan):
    (fate,) = plan("a@example.org;contrat;Alix;Le Goff;;", known=known()).fates
    assert (fate.kind, fate.values) == (Kind.UPDATED, {"last_name": "Le Goff"})
    assert plan("a@example.org;contrat;;;;", known=known()).fates[0].kind is Kind.UNCHANGED


def test_a_file_never_overrides_what_the_person_chose(plan):
    row = "a@example.org;contrat;;;mensuel;en pause"
    assert plan(row, known=known(chose=True)).fates[0].kind is Kind.UNCHANGED
    values = plan(row, known=known()).fates[0].values
    assert values == {"frequency": Frequency.MONTHLY, "state": SubscriberState.PAUSED}


@pytest.mark.parametrize("state", ["unsubscribed", "suppressed", "erased"])
def test_nobody_who_left_is_brought_back(plan, state):
    (fate,) = plan("a@example.org;contrat;;;;actif", known=known(SubscriberState(state))).fates
    assert fate.kind is Kind.PROTECTED


def test_a_fingerprint_protects_where_no_row_is_left(plan):
    (fate,) = plan("a@example.org;contrat;;;;actif", suppressed=True).fates
    assert fate.kind is Kind.PROTECTED


def test_no_list_confirms_in_the_place_of_the_person(plan):
    (fate,) = plan("a@example.org;contrat;;;;", known=known(SubscriberState.PENDING)).fates
    assert fate.kind is Kind.PROTECTED


def test_opposition_in_a_file_is_noted_once(plan):
    row = "a@example.org;;;;;désinscrite"
    assert plan(row).fates[0].kind is Kind.OPPOSED
    assert plan(row, known=known()).fates[0].kind is Kind.OPPOSED
    assert plan(row, suppressed=True).fates[0].kind is Kind.UNCHANGED
    left = known(SubscriberState.UNSUBSCRIBED)
    assert plan(row, known=left, suppressed=True).fates[0].kind is Kind.UNCHANGED


def test_the_counts_add_up_to_the_lines(plan):
    result = plan("a@example.org;contrat;;;;\nb@example.org;;;;;\nc@example.org;contrat;;;;plainte")
    assert result.counts == {
        "added": 1, "updated": 0, "unchanged": 0, "opposed": 1, "protected": 0,
        "refused": 1, "warnings": 0,
    }  # fmt: skip
