import errno
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from newsletter import publishing, running
from newsletter.errors import (
    ChecksFailed,
    ConfigError,
    Conflict,
    FileError,
    Held,
    NotApproved,
    NotFound,
)
from newsletter.model import IssueId, RunState, Severity
from newsletter.store import content, database, examples, identity, ledger, runs, schema
from tests.delivery.scenery import claim_as, start_run, states_of
from tests.pressroom import add_example, add_reader, open_publication, write_issue

ISSUE = IssueId("2026-05-07")
CAMILLE, DOMINIQUE = "Camille Exemple", "Dominique Essai"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def settings(tmp_path):
    return open_publication(tmp_path)


@pytest.fixture
def engine(engine):
    """A database with one reader: to nobody no issue leaves."""
    with database.write(engine) as connection:
        add_reader(connection, 1)
    return engine


@pytest.fixture
def issue(settings):
    return write_issue(settings, ISSUE)


def approve(settings, engine, now, by=CAMILLE, issue=ISSUE):
    return publishing.approve(settings, engine, issue, by=by, now=now)


def to_send(settings, engine, now, **options):
    return running.edition_to_send(settings, engine, ISSUE, today=now.date(), **options)


def why_held(settings, engine, now, **options):
    with pytest.raises(Held) as caught:
        to_send(settings, engine, now, **options)
    return caught.value.reason


# --- approving ----------------------------------------------------------------------------------


def test_approving_freezes_the_edition_and_says_how_many_would_receive_it(
    settings, engine, issue, now
):
    with database.write(engine) as connection:
        add_reader(connection, 2)
        add_reader(connection, 3, frequency="monthly")
    approved = approve(settings, engine, now)
    assert approved.signatures.complete
    assert approved.signatures.by == (CAMILLE,)
    assert approved.readers == 2
    edition = to_send(settings, engine, now)
    assert edition.digest == approved.signatures.digest
    assert edition.subject == "Des légumes partagés"


def test_the_same_files_give_the_same_digest(settings, engine, issue, now):
    first = publishing.check(settings, engine, ISSUE)
    again = publishing.check(settings, engine, ISSUE)
    assert first.edition.digest == again.edition.digest
    assert [finding.code for finding in first.findings] == ["no_example"]


def test_an_issue_with_errors_is_not_approved(settings, engine, now):
    write_issue(settings, ISSUE, story="---\ntitre: Un lien\n---\n[Lire la charte](#)\n")
    with pytest.raises(ChecksFailed) as caught:
        approve(settings, engine, now)
    assert "empty_link" in {finding.code for finding in caught.value.findings}


def test_only_people_of_the_settings_approve(settings, engine, issue, now):
    with pytest.raises(ConfigError) as caught:
        approve(settings, engine, now, by="Camile Exemple")
    assert CAMILLE in caught.value.remedy
    assert approve(settings, engine, now, by="camille exemple").signatures.by == (CAMILLE,)


def test_anybody_approves_when_the_settings_name_nobody(settings, engine, issue, now):
    settings = settings.model_copy(update={"people": ()})
    assert approve(settings, engine, now, by=" Alix ").signatures.by == ("Alix",)


def test_two_people_are_needed_when_the_settings_say_so(tmp_path, engine, now):
    settings = open_publication(tmp_path, "[approval]\nneeded = 2\n")
    write_issue(settings, ISSUE)
    approve(settings, engine, now)
    approve(settings, engine, now + MINUTE)
    assert why_held(settings, engine, now) == "not_approved"
    assert approve(settings, engine, now, by=DOMINIQUE).signatures.complete
    assert to_send(settings, engine, now)


def test_the_author_may_be_kept_from_approving(tmp_path, engine, now):
    settings = open_publication(tmp_path, "[approval]\nauthor_may_approve = false\n")
    write_issue(settings, ISSUE)
    with pytest.raises(NotApproved):
        approve(settings, engine, now)
    assert approve(settings, engine, now, by=DOMINIQUE).signatures.complete


def test_leaving_the_author_out_does_not_lift_the_rule(tmp_path, engine, now):
    settings = open_publication(tmp_path, "[approval]\nauthor_may_approve = false\n")
    header = write_issue(settings, ISSUE) / "issue.md"
    text = header.read_text("utf-8").replace(f"auteur: {CAMILLE}\n", "")
    header.write_text(text, encoding="utf-8")
    with pytest.raises(NotApproved, match="does not say who wrote it"):
        approve(settings, engine, now, by=DOMINIQUE)


def test_withdrawing_holds_the_issue_until_it_is_approved_again(settings, engine, issue, now):
    approve(settings, engine, now)
    assert publishing.withdraw(settings, engine, ISSUE, by=CAMILLE, now=now) == 1
    assert why_held(settings, engine, now) == "not_approved"
    approve(settings, engine, now + MINUTE)
    assert to_send(settings, engine, now)


def test_nothing_is_withdrawn_nor_approved_once_the_run_has_begun(settings, engine, issue, now):
    approve(settings, engine, now)
    running.start(
        settings, engine, to_send(settings, engine, now), key_version=1, slot_at=now, now=now
    )
    with pytest.raises(Conflict):
        publishing.withdraw(settings, engine, ISSUE, by=CAMILLE, now=now)
    with pytest.raises(Conflict):
        approve(settings, engine, now, by=DOMINIQUE)


# --- what holds an issue back -------------------------------------------------------------------


def test_no_folder_holds_the_run(settings, engine, now):
    assert why_held(settings, engine, now) == "no_issue"


def test_an_issue_nobody_signed_is_held(settings, engine, issue, now):
    assert why_held(settings, engine, now) == "not_approved"


def test_one_changed_comma_holds_the_run(settings, engine, issue, now):
    approve(settings, engine, now)
    story = issue / "10-cuisine.md"
    story.write_text(story.read_text("utf-8").replace("communes ont", "communes, ont"), "utf-8")
    assert why_held(settings, engine, now) == "changed"
    story.write_text(story.read_text("utf-8").replace("communes, ont", "communes ont"), "utf-8")
    assert to_send(settings, engine, now)


def test_going_back_to_a_text_approved_earlier_is_approved(settings, engine, issue, now):
    first = approve(settings, engine, now)
    story = issue / "10-cuisine.md"
    text = story.read_text("utf-8")
    story.write_text(text.replace("Trois communes", "Quatre communes"), "utf-8")
    approve(settings, engine, now + MINUTE)
    story.write_text(text, "utf-8")
    assert to_send(settings, engine, now).digest == first.signatures.digest


def test_an_approved_issue_that_no_longer_reads_is_held_for_its_checks(
    settings, engine, issue, now
):
    approve(settings, engine, now)
    (issue / "issue.md").write_text("", encoding="utf-8")
    assert why_held(settings, engine, now) == "checks"


def test_an_event_that_is_over_on_the_day_of_departure_holds_the_run(settings, engine, now):
    story = "---\ntitre: À table\n---\n::: evenement Tablée\ndate: 2026-05-07\n\nVenez.\n:::\n"
    write_issue(settings, ISSUE, story=story)
    approve(settings, engine, now)
    assert to_send(settings, engine, now)
    assert why_held(settings, engine, now + timedelta(days=1)) == "checks"


def test_a_run_to_real_people_waits_for_its_public_web_copy(settings, engine, issue, now):
    approve(settings, engine, now)
    asked = []

    def probe(address):
        asked.append(address)
        return False

    assert to_send(settings, engine, now, probe=probe)
    assert asked == []
    relay = settings.relay.model_copy(update={"url": "smtp://relais.example:587"})
    real = settings.model_copy(update={"relay": relay})
    # Reserved addresses are errors towards real people: judge the probe alone.
    draft = publishing.check(settings, engine, ISSUE)
    clean = draft.__class__(issue=draft.issue, edition=draft.edition)
    with pytest.raises(Held) as caught:
        running.judge_draft(real, clean, ISSUE, probe)
    assert caught.value.reason == "not_public"
    assert asked == ["http://127.0.0.1:8017/2026-05-07/"]
    running.judge_draft(real, clean, ISSUE, lambda _: True)


# --- picks --------------------------------------------------------------------------------------


@pytest.fixture
def with_example(settings, engine):
    with database.write(engine) as connection:
        add_example(connection, "legumerie", day=1)
    return write_issue(settings, ISSUE, examples="1")


def test_a_later_collect_changes_nothing_that_is_approved(settings, engine, with_example, now):
    approved = approve(settings, engine, now)
    assert approved.picks == ("legumerie",)
    with database.write(engine) as connection:
        add_example(connection, "plus-fraiche", day=20)
    assert to_send(settings, engine, now).picks == ("legumerie",)
    # The second signature is for the same digest, and a preview shows the same pick.
    again = approve(settings, engine, now, by=DOMINIQUE)
    assert again.signatures.by == (CAMILLE, DOMINIQUE)


def test_an_example_edited_at_its_source_leaves_as_it_was_signed(
    settings, engine, with_example, now
):
    signed = approve(settings, engine, now).signatures.digest
    with database.write(engine) as connection:
        connection.execute(update(schema.example).values(title="Un tout autre titre"))
    assert to_send(settings, engine, now).digest == signed


def test_asking_for_more_examples_picks_anew(settings, engine, with_example, now):
    approve(settings, engine, now)
    with database.write(engine) as connection:
        add_example(connection, "plus-fraiche", day=20)
    write_issue(settings, ISSUE, examples="2")
    assert why_held(settings, engine, now) == "changed"
    assert approve(settings, engine, now).picks == ("plus-fraiche", "legumerie")


def issues_with_the_example(engine):
    with database.read(engine) as connection:
        (example,) = examples.list_examples(connection)
    return example.featured_in


def test_examples_are_featured_when_the_run_begins_and_never_again(
    settings, engine, with_example, now
):
    approve(settings, engine, now)
    assert issues_with_the_example(engine) == ()
    running.start(
        settings, engine, to_send(settings, engine, now), key_version=1, slot_at=now, now=now
    )
    assert issues_with_the_example(engine) == (ISSUE,)
    write_issue(settings, "2026-05-13", number=2, examples="legumerie")
    draft = publishing.check(settings, engine, IssueId("2026-05-13"))
    assert "featured_example" in {finding.code for finding in draft.findings}
    # Its own issue still says nothing of it.
    assert "featured_example" not in {
        finding.code for finding in publishing.check(settings, engine, ISSUE).findings
    }


def test_an_unknown_example_is_a_finding_at_the_line_that_asks_for_it(settings, engine):
    write_issue(settings, ISSUE, examples="inconnu")
    draft = publishing.check(settings, engine, ISSUE)
    (found,) = [one for one in draft.findings if one.code.startswith("unknown_example")]
    assert (found.file, found.line) == ("issues/2026-05-07/issue.md", 5)


# --- runs ---------------------------------------------------------------------------------------


def test_a_run_begins_once_and_freezes_its_audience(settings, engine, issue, now):
    approve(settings, engine, now)
    edition = to_send(settings, engine, now)
    run = running.start(settings, engine, edition, key_version=1, slot_at=now, now=now)
    assert (run.state, run.digest, run.audience) == (RunState.DISPATCHING, edition.digest, 1)
    with pytest.raises(Conflict):
        running.start(settings, engine, edition, key_version=1, slot_at=now, now=now)
    report = running.report(engine, ISSUE)
    assert report["run"] == {"state": "dispatching", "reason": ""}
    assert (report["audience"], report["pending"]) == (1, 1)
    assert set(report) == {
        "issue", "digest", "run", "audience", "pending", "sending", "deferred", "sent", "refused",
        "unknown", "cancelled", "expired", "bounced", "complained", "left", "started_at",
        "finished_at",
    }  # fmt: skip
    (reader,) = running.report(engine, ISSUE, state="pending")["readers"]
    assert set(reader) == {"address", "state", "reason", "reply", "at"}


def test_a_run_that_stopped_itself_keeps_its_reason_when_a_person_stops_it(
    settings, engine, issue, now
):
    approve(settings, engine, now)
    running.start(
        settings, engine, to_send(settings, engine, now), key_version=1, slot_at=now, now=now
    )
    with database.write(engine) as connection:
        ledger.stop_run(connection, running.read(engine, ISSUE).id, reason="policy", now=now)
    stopped = running.stop(engine, ISSUE, by=CAMILLE, now=now)
    assert (stopped.stopped, stopped.reason) == (True, "policy")


@pytest.mark.parametrize(
    ("issue_id", "remedy"),
    [("jeudi", "such as 2026-11-26"), ("2020-01-02", "newsletter send 2020-01-02 --now")],
)
def test_an_issue_without_a_run_says_what_can_be_done(engine, issue_id, remedy):
    for ask in (running.report, running.read):
        with pytest.raises(NotFound) as caught:
            ask(engine, IssueId(issue_id))
        assert remedy in caught.value.remedy


def test_a_run_is_stopped_and_goes_on(settings, engine, issue, now):
    approve(settings, engine, now)
    with pytest.raises(NotFound):
        running.stop(engine, ISSUE, by=CAMILLE, now=now)
    running.start(
        settings, engine, to_send(settings, engine, now), key_version=1, slot_at=now, now=now
    )
    stopped = running.stop(engine, ISSUE, by=CAMILLE, now=now)
    assert (stopped.stopped, stopped.reason) == (True, f"stopped by {CAMILLE}")
    assert not running.go_on(engine, ISSUE).stopped
    with pytest.raises(Conflict):
        running.skip(settings, engine, ISSUE, reason="trop tard", by=CAMILLE, now=now)


def test_a_slot_is_skipped_by_name(settings, engine, now):
    run = running.skip(settings, engine, ISSUE, reason="vacances", by=CAMILLE, now=now)
    assert (run.state, run.reason) == (RunState.SKIPPED, f"by {CAMILLE}: vacances")
    with pytest.raises(ConfigError):
        running.skip(settings, engine, IssueId("jeudi"), reason="", by=CAMILLE, now=now)
    with pytest.raises(Conflict):
        running.stop(engine, ISSUE, by=CAMILLE, now=now)


@pytest.mark.parametrize(
    "fault",
    ['[relay.dkim]\nselector = "s"\nkey_file = "none.pem"\n',
     '[relay]\nurl = "smtp://compte@relais.example.org"\n'],
    ids=["no key", "no password"],
)  # fmt: skip
def test_a_run_that_could_not_be_signed_or_handed_over_does_not_begin(tmp_path, engine, now, fault):
    settings = open_publication(tmp_path)
    write_issue(settings, ISSUE)
    approve(settings, engine, now)
    edition = to_send(settings, engine, now)
    faulty = open_publication(tmp_path, fault)
    with pytest.raises(ConfigError):
        running.start(faulty, engine, edition, key_version=1, slot_at=now, now=now)
    with pytest.raises(NotFound):
        running.read(engine, ISSUE)


@pytest.mark.parametrize(
    ("written", "readers"),
    [("mensuel", 2), ("Mensuelle, ELUS", 1), ("elus", 1), ("hebdo", 2)],
)
def test_an_issue_goes_to_those_whom_its_header_names(tmp_path, engine, now, written, readers):
    extra = '[segments.elus]\nprofiles = ["collectivite"]\n'
    settings = open_publication(tmp_path, extra)
    header = write_issue(settings, ISSUE) / "issue.md"
    text = header.read_text("utf-8").replace("exemples:", f"segment: {written}\nexemples:")
    header.write_text(text, encoding="utf-8")
    with database.write(engine) as connection:
        add_reader(connection, 2, frequency="monthly")
        add_reader(connection, 3, frequency="monthly", profile="collectivite")
        add_reader(connection, 4, profile="collectivite")
    approve(settings, engine, now)
    run = running.start(
        settings, engine, to_send(settings, engine, now), key_version=1, slot_at=now, now=now
    )
    assert run.audience == readers


def test_an_unknown_segment_is_said_once(settings, engine, now):
    header = write_issue(settings, ISSUE) / "issue.md"
    text = header.read_text("utf-8").replace("exemples:", "segment: mensuell\nexemples:")
    header.write_text(text, encoding="utf-8")
    found = publishing.check(settings, engine, ISSUE).findings
    (told,) = [finding for finding in found if "segment" in finding.code]
    assert (told.line, told.facts["nearest"]) == (5, "mensuelle")


@pytest.mark.parametrize(
    ("header", "told"),
    [("", "no_header"), ("---\nnumero: 1\naccroche: Bonjour\nexemples: 0\n---\n", "missing_key")],
)
def test_an_issue_without_its_subject_is_told_once(settings, engine, now, header, told):
    (write_issue(settings, ISSUE) / "issue.md").write_text(header + "Bonjour à tous.\n", "utf-8")
    findings = publishing.check(settings, engine, ISSUE).findings
    found = [(finding.severity, finding.code) for finding in findings]
    assert [code for severity, code in found if severity is Severity.ERROR] == [told]
    assert {"no_preheader", "rendering"}.isdisjoint(code for _, code in found)


@pytest.mark.parametrize("day", ["2026-05-14", "2026-05-16"])  # Ascension; a Saturday
def test_a_day_on_which_nothing_leaves_is_not_skipped(settings, engine, now, day):
    with pytest.raises(ConfigError, match=f"no issue leaves on {day}") as refused:
        running.skip(settings, engine, IssueId(day), reason="pont", by=CAMILLE, now=now)
    assert "2026-05-13" in refused.value.remedy


def test_a_reason_to_skip_is_one_line(settings, engine, now):
    run = running.skip(settings, engine, ISSUE, reason="pont\nBcc: x", by=CAMILLE, now=now)
    assert run.reason == f"by {CAMILLE}: pont Bcc: x"


# --- identity -----------------------------------------------------------------------------------


def test_a_new_database_gets_its_identity_once(settings, engine, now):
    assert not identity.is_copy(settings, engine)
    assert not running.is_restored(settings, engine, now)
    known = (settings.var_dir / "instance").read_text("ascii")
    assert not running.is_restored(settings, engine, now)
    assert not running.adopt(settings, engine, now)
    assert (settings.var_dir / "instance").read_text("ascii") == known


@pytest.mark.parametrize("accident", ["lost", "other", "emptied"])
def test_a_copy_is_found_out_and_can_be_adopted(settings, engine, now, accident):
    running.is_restored(settings, engine, now)
    file = settings.var_dir / "instance"
    if accident == "lost":
        file.unlink()
    elif accident == "other":
        file.write_text("0" * 32, encoding="ascii")
    else:
        with database.write(engine) as connection:
            connection.exec_driver_sql("DELETE FROM instance")
    assert identity.is_copy(settings, engine)
    assert running.is_restored(settings, engine, now)
    assert running.adopt(settings, engine, now)
    assert not identity.is_copy(settings, engine)


def test_adopting_gives_no_run_the_id_of_one_that_was_lost(settings, engine, now):
    running.is_restored(settings, engine, now)
    (settings.var_dir / "instance").unlink()
    ids = []
    for issue_id in ("2026-05-07", "2026-05-14"):
        with database.write(engine) as connection:
            ids.append(runs.ensure_run(connection, issue_id, slot_at=now, now=now).id)
        assert running.adopt(settings, engine, now) is (issue_id == ISSUE)
    with database.write(engine) as connection:
        again = runs.ensure_run(connection, "2026-05-14", slot_at=now, now=now)
        third = runs.ensure_run(connection, "2026-05-21", slot_at=now, now=now)
    assert again.id == ids[1] >= ids[0] + runs.LOST_RUNS
    assert ids[1] < third.id < ids[1] + runs.LOST_RUNS


def test_a_new_database_beside_an_old_file_gives_no_old_id_again(settings, engine, now):
    identity.write_file(settings, runs.Mark("0" * 32, 5))
    assert running.adopt(settings, engine, now)
    with database.write(engine) as connection:
        run = runs.ensure_run(connection, ISSUE, slot_at=now, now=now)
    assert run.id > runs.LOST_RUNS


def test_adopting_gives_up_what_another_machine_was_sending(settings, sqlite_engine, now):
    running.is_restored(settings, sqlite_engine, now)
    run_id = start_run(sqlite_engine, now, readers=2)
    claim_as(sqlite_engine, run_id, "file:another-machine:its-boot:word", now)
    assert running.adopt(settings, sqlite_engine, now)  # its identity was ours already
    assert sorted(states_of(sqlite_engine, run_id).values()) == ["pending", "unknown"]
    assert not running.adopt(settings, sqlite_engine, now)


def test_adopting_a_backup_of_a_begun_run_makes_unknown_who_waited_in_it(settings, engine, now):
    running.is_restored(settings, engine, now)
    run_id = start_run(engine, now, readers=2)
    (settings.var_dir / "instance").unlink()
    assert running.adopt(settings, engine, now)
    assert set(states_of(engine, run_id).values()) == {"unknown"}
    ((issue_id, readers),) = running.count_unsettled(engine)
    assert (issue_id, readers) == (ISSUE, len(states_of(engine, run_id)))


# --- proofs and corrections ---------------------------------------------------------------------


def test_a_proof_is_numbered_by_what_it_shows(settings, engine, issue, now):
    first = publishing.check(settings, engine, ISSUE)
    assert publishing.proof_number(engine, first.edition, first.issue, now) == 1
    assert publishing.proof_number(engine, first.edition, first.issue, now) == 1
    write_issue(settings, ISSUE, number=2)
    second = publishing.check(settings, engine, ISSUE)
    assert publishing.proof_number(engine, second.edition, second.issue, now) == 2
    with database.read(engine) as connection:
        assert content.read_edition(connection, second.edition.digest)


def test_a_correction_shows_on_the_web_copy_and_keeps_the_original(settings, engine, issue, now):
    with pytest.raises(Conflict):
        publishing.correct(settings, engine, ISSUE, note="34 %", by=CAMILLE, now=now)
    approve(settings, engine, now)
    edition = to_send(settings, engine, now)
    running.start(settings, engine, edition, key_version=1, slot_at=now, now=now)
    story = issue / "10-cuisine.md"
    story.write_text(story.read_text("utf-8").replace("Trois", "Quatre"), "utf-8")
    publishing.correct(settings, engine, ISSUE, note="Quatre & non trois.", by=CAMILLE, now=now)
    later = publishing.correct(
        settings, engine, ISSUE, note="Merci.", by=DOMINIQUE, now=now + timedelta(days=1)
    )
    assert "Quatre communes" in later.web
    assert "jeudi 7 mai 2026" in later.web
    assert "Quatre &amp; non trois." in later.web
    assert later.web.index("non trois") < later.web.index("Merci.")
    with database.read(engine) as connection:
        kept = content.read_edition(connection, runs.read_run(connection, ISSUE).digest)
    assert "Trois communes" in kept.web


# --- beginning ----------------------------------------------------------------------------------


def test_a_new_issue_takes_the_next_free_slot_and_can_leave_unedited(settings, engine, now):
    write_issue(settings, ISSUE, number=141)
    begun = publishing.new_issue(settings, engine, now)
    assert begun.issue_id == "2026-05-13"
    assert begun.why.replace("\u00a0", " ") == (
        "Le jeudi 14 mai 2026 est férié (Ascension) : le numéro part le mercredi 13 mai 2026."
    )
    assert begun.files == ("issues/2026-05-13/issue.md", "issues/2026-05-13/10-article.md")
    text = (settings.root / begun.files[0]).read_text("utf-8")
    assert text.startswith("---\nnumero: 142\nobjet: ")
    assert "Écrivez ici" in (settings.root / begun.files[1]).read_text("utf-8")
    found = publishing.check(settings, engine, begun.issue_id).findings
    assert {finding.code for finding in found} == {"no_example"}
    assert approve(settings, engine, now, issue=begun.issue_id).signatures.complete


@pytest.mark.parametrize(
    ("day", "why"),
    [
        ("2026-05-21", ""),
        ("2026-05-14", "férié (Ascension)"),
        ("2026-05-16", "Aucun numéro ne part de lui-même le samedi 16 mai 2026."),
    ],
)
def test_a_new_issue_says_when_it_does_not_leave_on_its_day(settings, engine, now, day, why):
    begun = publishing.new_issue(settings, engine, now, day)
    assert why in begun.why
    assert bool(why) == bool(begun.why)


def test_a_new_issue_takes_no_slot_that_is_skipped_or_whose_issue_has_left(
    settings, engine, issue, now
):
    approve(settings, engine, now)
    earlier = now - timedelta(days=1)
    running.start(
        settings, engine, to_send(settings, engine, now), key_version=1, slot_at=now, now=earlier
    )
    shutil.rmtree(issue)
    pont = IssueId("2026-05-13")
    running.skip(settings, engine, pont, reason="pont", by=CAMILLE, now=earlier)
    assert publishing.new_issue(settings, engine, earlier).issue_id == "2026-05-21"
    asked = publishing.new_issue(settings, engine, earlier, pont)
    assert asked.why == "Aucun numéro ne part de lui-même le mercredi 13 mai 2026."


def test_a_new_issue_that_cannot_be_written_leaves_nothing(settings, engine, now, monkeypatch):
    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(FileError, match="No space left"):
        publishing.new_issue(settings, engine, now, ISSUE)
    assert not (settings.issues_dir / ISSUE).exists()


def test_a_new_issue_overwrites_nothing(settings, engine, issue, now):
    with pytest.raises(Conflict):
        publishing.new_issue(settings, engine, now, ISSUE)
    with pytest.raises(ConfigError):
        publishing.new_issue(settings, engine, now, "jeudi")


def test_checking_an_issue_that_is_not_there_says_how_to_begin_it(settings, engine):
    with pytest.raises(NotFound) as caught:
        publishing.check(settings, engine, ISSUE)
    assert caught.value.remedy == f"newsletter new {ISSUE}"
