import string
from datetime import UTC, datetime, timedelta

import pytest
from babel.messages.pofile import read_po

from newsletter.mail import notices
from newsletter.model import HeldReason, IssueId, Run, RunId, RunState, Tally

RUN = Run(
    id=RunId(1),
    issue_id=IssueId("2026-05-07"),
    kind="issue",
    slot_at=datetime(2026, 5, 7, 6, 0, tzinfo=UTC),
    state=RunState.HELD,
)
SOURCES = [
    *notices._HELD_TEXTS.values(),
    *(
        value
        for name, value in vars(notices).items()
        if name.endswith(("_TEXT", "_SUBJECT")) and isinstance(value, str)
    ),
]


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.fixture(scope="session")
def catalogue():
    from importlib.resources import files

    with (files("newsletter") / "locale/fr/letters.po").open("rb") as source:
        return {message.id: message.string for message in read_po(source) if message.id}


def test_every_letter_has_its_french_and_no_french_is_left_over(catalogue):
    assert set(catalogue) == set(SOURCES)


@pytest.mark.parametrize("source", SOURCES)
def test_a_translation_keeps_the_facts_and_the_commands(catalogue, source):
    french = catalogue[source]
    assert fields(french) == fields(source)
    commands = [line.split()[:3] for line in source.splitlines() if "    newsletter " in line]
    translated = [line.split()[:3] for line in french.splitlines() if "    newsletter " in line]
    assert translated == commands


@pytest.mark.parametrize("reason", HeldReason)
def test_a_held_letter_says_what_ends_it(settings, reason):
    subject, text = notices.held_letter(settings, RUN, reason)
    assert subject == "Retenu\u00a0: le numéro du jeudi 7 mai 2026"
    assert "\n    newsletter " in text
    assert "11\u00a0h" in text  # 08:00 and three hours of patience
    assert "{" not in text


def test_a_missed_issue_asks_a_person(settings):
    subject, text = notices.missed_letter(settings, RUN)
    assert subject.startswith("Manqué")
    assert "newsletter send 2026-05-07 --now" in text
    assert "newsletter skip 2026-05-07 --reason" in text


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        (24 * 60, "Il vous reste 24 heures."),
        (170, "Il vous reste 3 heures."),
        (89, "Il vous reste une heure."),
        (60, "Il vous reste une heure."),
        (59, "Il vous reste moins d’une heure."),
    ],
)
def test_a_reminder_says_how_long_is_left(settings, minutes, said):
    left = timedelta(minutes=minutes)
    subject, text = notices.reminder_letter(settings, RUN.issue_id, RUN.slot_at, left=left)
    assert subject == "Rappel\u00a0: le numéro du jeudi 7 mai 2026 n’est pas encore approuvé"
    assert f"part à 8\u00a0h, et personne ne l’a encore approuvé. {said}\n" in text


def test_a_finished_run_is_counted(settings):
    subject, text = notices.finished_letter(settings, RUN, Tally(audience=30, sent=29, refused=1))
    assert subject == "Envoyé\u00a0: le numéro du jeudi 7 mai 2026"
    assert "resolve" not in text
    assert "envoyés\u00a0:       29\n" in text


def test_the_uncertain_are_named_and_their_command_with_them(settings):
    tally = Tally(audience=3, sent=1, unknown=2)
    people = ["a@example.org", "b@example.org"]
    text = notices.finished_letter(settings, RUN, tally, unknown=people)[1]
    assert text.endswith("\n    a@example.org\n    b@example.org\n")
    assert "newsletter resolve 2026-05-07 --leave" in text
    assert "le relais a peut-être pris le message" in text


def test_an_expired_run_says_that_not_all_have_it(settings):
    subject, text = notices.finished_letter(settings, RUN, Tally(audience=3, sent=1, expired=2))
    assert subject.startswith("Pas envoyé à tout le monde")
    assert "newsletter report 2026-05-07 --state expired" in text


def test_a_stopped_run_gives_the_cause_and_the_way_on(settings):
    tally = Tally(audience=30, sent=10, pending=20)
    text = notices.stopped_letter(settings, RUN, tally, problem="550 5.7.1 (Gmail)")[1]
    assert "550 5.7.1 (Gmail)" in text
    assert "newsletter send 2026-05-07" in text


@pytest.mark.parametrize("state", ["refused", "unknown", "cancelled", "expired"])
def test_what_nobody_is_known_to_have_is_not_called_sent(settings, state):
    subject, text = notices.finished_letter(settings, RUN, Tally(audience=30, **{state: 30}))
    assert subject == "Aucun envoi confirmé\u00a0: le numéro du jeudi 7 mai 2026"
    assert "est envoyé" not in text


REFUSED = Tally(audience=30, sent=10, pending=12, refused=8)


@pytest.mark.parametrize("letter", ["stopped", "finished"])
def test_what_can_be_mended_names_the_command_that_reopens_the_refused(settings, letter):
    reopenable = {"policy": 5, "size": 2}
    if letter == "stopped":
        text = notices.stopped_letter(
            settings, RUN, REFUSED, problem="550 5.7.1", reopenable=reopenable
        )[1]
    else:
        text = notices.finished_letter(settings, RUN, REFUSED, reopenable=reopenable)[1]
    assert "se répare\u00a0: 7" in text
    assert (
        "\n    newsletter resolve 2026-05-07 --retry policy"
        "\n    newsletter resolve 2026-05-07 --retry size"
        "\n    newsletter send 2026-05-07\n"
    ) in text


def test_what_a_run_could_not_believe_is_asked_of_a_person(settings):
    doubt = "perdu.example: 22 addresses refused at once; nobody suppressed"
    text = notices.finished_letter(settings, RUN, REFUSED, doubts=[doubt])[1]
    assert "personne n’a été retiré de la liste" in text
    assert text.endswith("\n    perdu.example\n")


def test_english_letters_are_the_sources(settings):
    publication = settings.publication.model_copy(update={"language": "en"})
    english = settings.model_copy(update={"publication": publication})
    subject, text = notices.missed_letter(english, RUN)
    assert subject.startswith("Missed: the issue of Thursday, May 7, 2026")
    assert text.startswith("Hello,")
