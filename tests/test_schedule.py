"""Every state and reason of a run, reached by ticks at simulated instants."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, update

from newsletter import publishing, running, schedule
from newsletter.delivery.dispatch import dispatch
from newsletter.errors import StoreError
from newsletter.model import IssueId, RunState
from newsletter.store import database, identity, ledger, runs, schema
from tests.pressroom import add_reader, open_publication, write_issue

PARIS = ZoneInfo("Europe/Paris")
ISSUE = IssueId("2026-05-07")
CAMILLE = "Camille Exemple"
SECOND, MINUTE, HOUR, DAY = (
    timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1),
)  # fmt: skip


def paris(text):
    return datetime.fromisoformat(text).replace(tzinfo=PARIS).astimezone(UTC)


SLOT = paris("2026-05-07T08:00")


@pytest.fixture
def settings(tmp_path):
    return open_publication(tmp_path)


@pytest.fixture
def readers(engine):
    with database.write(engine) as connection:
        for number in (1, 2, 3):
            add_reader(connection, number)


@pytest.fixture
def born(settings, engine, readers):
    """A database that first ran on Tuesday, with three readers."""
    running.is_restored(settings, engine, paris("2026-05-05T09:00"))


@pytest.fixture
def approved(settings, engine, born):
    folder = write_issue(settings, ISSUE)
    publishing.approve(settings, engine, ISSUE, by=CAMILLE, now=paris("2026-05-06T17:00"))
    return folder


class Desk:
    """Ticks with a dispatch that only notes which runs were launched."""

    def __init__(self, settings, engine, keys):
        self.settings, self.engine, self.keys = settings, engine, keys
        self.launched = []

    def tick(self, now, **options):
        options.setdefault("launch", self.launched.append)
        return schedule.tick(
            self.settings, self.engine, self.keys, now, aside=self.aside, **options
        )

    def aside(self, name, chore):
        if name not in {"feeds", "letters"}:  # no network in these tests
            chore()

    def run(self, issue_id=ISSUE):
        with database.read(self.engine) as connection:
            return runs.read_run(connection, IssueId(issue_id))

    def letters(self, kind=None):
        table = schema.letter
        query = select(table.c.kind, table.c.address, table.c.subject).order_by(table.c.id)
        with database.read(self.engine) as connection:
            return [row for row in connection.execute(query) if kind in {None, row.kind}]

    def text_of(self, kind):
        query = select(schema.letter.c.text).where(schema.letter.c.kind == kind)
        with database.read(self.engine) as connection:
            return connection.scalars(query).first()

    def state(self, issue_id=ISSUE):
        run = self.run(issue_id)
        return run and (run.state.value, run.reason)


@pytest.fixture
def desk(settings, engine, keys, born):
    return Desk(settings, engine, keys)


# --- leaving ------------------------------------------------------------------------------------


def test_an_approved_issue_leaves_at_its_slot_and_not_a_second_before(desk, approved):
    assert desk.tick(SLOT - SECOND).decisions == []
    (decision,) = desk.tick(SLOT).decisions
    assert decision.state is RunState.DISPATCHING
    run = desk.run()
    assert desk.launched == [run.id]
    assert (run.state, run.audience, run.slot_at) == (RunState.DISPATCHING, 3, SLOT)


def test_the_whole_week_leaves_one_message_for_each_reader(settings, engine, keys, desk, approved):
    def launch(run_id):
        dispatch(settings, engine, keys, run_id, clock=lambda: SLOT)

    desk.tick(SLOT, launch=launch)
    assert desk.state() == ("done", "")
    assert len(list((settings.var_dir / "mailbox" / "new").iterdir())) == 3
    for minutes in (1, 30, 600):
        report = desk.tick(SLOT + minutes * MINUTE)
        assert (report.decisions, report.errors) == ([], [])
    assert [letter.address for letter in desk.letters("finished")] == [
        "camille@example.org", "dominique@example.org",
    ]  # fmt: skip


def test_an_approval_at_twenty_past_eight_leaves_at_twenty_past_eight(settings, engine, desk):
    write_issue(settings, ISSUE)
    assert desk.tick(SLOT).decisions[0].reason == "not_approved"
    publishing.approve(settings, engine, ISSUE, by=CAMILLE, now=SLOT + 20 * MINUTE)
    desk.tick(SLOT + 20 * MINUTE)
    assert desk.launched == [desk.run().id]
    assert desk.run().started_at == SLOT + 20 * MINUTE


def test_ascension_leaves_on_wednesday(settings, engine, desk):
    write_issue(settings, "2026-05-13")
    moved = IssueId("2026-05-13")
    publishing.approve(settings, engine, moved, by=CAMILLE, now=paris("2026-05-12T17:00"))
    desk.tick(SLOT + DAY)  # the issue of the 7th was missed
    desk.tick(paris("2026-05-13T08:00"))
    assert desk.state(moved) == ("dispatching", "")
    assert desk.run("2026-05-14") is None


# --- held, each reason --------------------------------------------------------------------------


def test_no_issue_holds_then_misses(desk):
    desk.tick(SLOT)
    assert desk.state() == ("held", "no_issue")
    desk.tick(SLOT + 3 * HOUR)
    assert desk.state() == ("held", "no_issue")
    desk.tick(SLOT + 3 * HOUR + SECOND)
    assert desk.state() == ("missed", "no_issue")
    assert desk.tick(SLOT + 4 * HOUR).decisions == []
    assert desk.launched == []


def test_each_notice_goes_to_the_editors_once_for_each_reason(settings, engine, desk):
    for minutes in range(5):
        desk.tick(SLOT + minutes * MINUTE)
    write_issue(settings, ISSUE)
    for minutes in range(5, 9):
        desk.tick(SLOT + minutes * MINUTE)
    desk.tick(SLOT + 4 * HOUR)
    desk.tick(SLOT + 5 * HOUR)
    held = desk.letters("held")
    assert [letter.address for letter in held] == 2 * [
        "camille@example.org", "dominique@example.org",
    ]  # fmt: skip
    assert held[0].subject == "Retenu\u00a0: le numéro du jeudi 7 mai 2026"
    assert len(desk.letters("missed")) == 2


def test_a_change_after_approval_holds_until_it_is_undone(desk, approved):
    story = approved / "10-cuisine.md"
    text = story.read_text("utf-8")
    story.write_text(text.replace("ont ouvert", "ont rouvert"), "utf-8")
    desk.tick(SLOT)
    assert desk.state() == ("held", "changed")
    story.write_text(text, "utf-8")
    desk.tick(SLOT + MINUTE)
    assert desk.state() == ("dispatching", "")


def test_errors_hold(desk, approved):
    (approved / "issue.md").write_text("", "utf-8")
    desk.tick(SLOT)
    assert desk.state() == ("held", "checks")


@pytest.mark.parametrize("first", ["", '[relay]\nurl = "smtp://127.0.0.1:25"\n'])
def test_a_web_copy_that_nobody_can_read_holds_a_run_to_real_people(
    tmp_path, engine, keys, born, monkeypatch, first
):
    # Every name here is reserved, which is an error towards real people: look away from that.
    for module in ("links", "envelope"):
        monkeypatch.setattr(f"newsletter.checks.{module}.is_reserved", lambda _: False)
    section = "[[relays]]" if first else "[relay]"
    settings = open_publication(tmp_path, f'{first}{section}\nurl = "smtp://relais.example:587"\n')
    write_issue(settings, ISSUE)
    publishing.approve(settings, engine, ISSUE, by=CAMILLE, now=SLOT - DAY)
    desk = Desk(settings, engine, keys)
    desk.tick(SLOT, probe=lambda _: False)
    assert desk.state() == ("held", "not_public")
    desk.tick(SLOT + MINUTE, probe=lambda _: True)
    assert desk.state() == ("dispatching", "")


def test_an_issue_that_nobody_would_receive_is_held_until_somebody_is_on_the_list(
    engine, desk, approved
):
    with database.write(engine) as connection:
        connection.execute(update(schema.subscriber).values(state="unsubscribed"))
    desk.tick(SLOT)
    assert desk.state() == ("held", "nobody")
    assert "personne sur la liste" in desk.text_of("held")
    with database.write(engine) as connection:
        add_reader(connection, 4)
    desk.tick(SLOT + MINUTE)
    assert desk.state() == ("dispatching", "")
    assert desk.run().audience == 1


def test_a_restored_copy_holds_everything_until_it_is_adopted(settings, engine, desk, approved):
    (settings.var_dir / "instance").write_text("0" * 32, "ascii")
    desk.tick(SLOT)
    assert desk.state() == ("held", "restored")
    desk.tick(SLOT + MINUTE)
    assert len(desk.letters("held")) == 2
    assert running.adopt(settings, engine, SLOT + MINUTE)
    desk.tick(SLOT + 2 * MINUTE)
    assert desk.state() == ("dispatching", "")


def test_every_tick_makes_the_backups_before_it_older_ones(settings, engine, desk):
    desk.tick(SLOT - DAY)
    with database.read(engine) as connection:
        backed_up = runs.read_mark(connection)
    desk.tick(SLOT - DAY + MINUTE)
    assert not identity.is_copy(settings, engine)
    with database.write(engine) as connection:
        connection.execute(update(schema.instance).values(generation=backed_up.generation))
    assert identity.is_older(settings, engine)
    desk.tick(SLOT)
    assert desk.state() == ("held", "restored")


def test_an_issue_that_may_have_left_since_a_backup_waits_for_a_persons_word(
    settings, engine, desk, approved
):
    desk.tick(SLOT - MINUTE)
    with database.write(engine) as connection:  # the departure is not in it
        connection.execute(update(schema.instance).values(generation=0))
    assert running.adopt(settings, engine, SLOT + HOUR)
    assert desk.state() == ("missed", "restored")
    assert running.may_have_left(engine, SLOT + HOUR) == (ISSUE,)
    assert desk.tick(SLOT + HOUR).decisions == []


def test_an_adoption_that_fails_does_not_make_the_next_one_forget_that_it_is_a_backup(
    settings, engine, desk, approved, monkeypatch
):
    desk.tick(SLOT - MINUTE)
    with database.write(engine) as connection:
        connection.execute(update(schema.instance).values(generation=0))
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(runs, "skip_ids", lambda _: 1 / 0)
        running.adopt(settings, engine, SLOT + HOUR)
    assert running.adopt(settings, engine, SLOT + HOUR)
    assert desk.state() == ("missed", "restored")


def test_an_adoption_whose_file_cannot_be_written_is_done_by_the_next_one(
    settings, engine, desk, approved, monkeypatch
):
    desk.tick(SLOT - MINUTE)
    with database.write(engine) as connection:
        connection.execute(update(schema.instance).values(generation=0))
    in_the_way = identity.path_of(settings).with_name("instance.new")
    in_the_way.mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        running.adopt(settings, engine, SLOT + HOUR)
    in_the_way.rmdir()
    assert running.is_restored(settings, engine, SLOT + HOUR)
    assert running.adopt(settings, engine, SLOT + HOUR)
    assert not running.is_restored(settings, engine, SLOT + HOUR)
    assert desk.state() == ("missed", "restored")


def test_an_issue_whose_slot_was_moved_may_have_left_since_a_backup_as_well(
    settings, engine, desk, approved
):
    desk.tick(SLOT - MINUTE)
    with database.write(engine) as connection:
        runs.ensure_run(connection, ISSUE, slot_at=SLOT - DAY / 2, now=SLOT - MINUTE)
        connection.execute(update(schema.instance).values(generation=0))
    assert running.adopt(settings, engine, SLOT + HOUR)
    assert desk.state() == ("missed", "restored")


def test_an_older_state_adopted_before_the_slot_leaves_at_it(settings, engine, desk, approved):
    desk.tick(SLOT - MINUTE)
    with database.write(engine) as connection:
        connection.execute(update(schema.instance).values(generation=0))
    assert running.adopt(settings, engine, SLOT - MINUTE)
    desk.tick(SLOT)
    assert desk.state() == ("dispatching", "")


def test_what_a_person_skipped_stays_so_whatever_is_adopted(settings, engine, desk, approved):
    desk.tick(SLOT - MINUTE)
    running.skip(settings, engine, ISSUE, reason="sent before", by="Camille", now=SLOT)
    with database.write(engine) as connection:
        connection.execute(update(schema.instance).values(generation=0))
    assert running.adopt(settings, engine, SLOT + HOUR)
    assert desk.state()[0] == "skipped"


def test_a_restored_copy_resumes_no_begun_run(settings, engine, desk, approved):
    desk.tick(SLOT)
    (settings.var_dir / "instance").unlink()
    (decision,) = desk.tick(SLOT + HOUR).decisions
    assert (decision.state, decision.reason) == (RunState.HELD, "restored")
    assert len(desk.launched) == 1
    assert desk.state() == ("dispatching", "")


def test_a_restored_copy_sends_its_own_alarm_and_no_other_letter(settings, engine, keys, desk):
    with database.write(engine) as connection:
        from newsletter.store import letters

        letters.queue(
            connection, kind="confirmation", key="1", address="a@example.org", subject="s",
            text="t", now=SLOT - DAY,
        )  # fmt: skip
    (settings.var_dir / "instance").unlink()
    schedule.tick(settings, engine, keys, SLOT, launch=desk.launched.append)
    with database.read(engine) as connection:
        states = connection.execute(select(schema.letter.c.kind, schema.letter.c.state)).all()
    assert sorted(map(tuple, states)) == [
        ("confirmation", "queued"), ("held", "sent"), ("held", "sent"),
    ]  # fmt: skip


# --- missed, skipped ----------------------------------------------------------------------------


def test_a_machine_that_was_down_misses_its_slot_and_says_so(desk, approved):
    desk.tick(SLOT + 3 * HOUR + MINUTE)
    assert desk.state() == ("missed", "late")
    assert len(desk.letters("missed")) == 2


def test_three_weeks_down_are_three_missed_slots_and_no_sending(desk, approved):
    desk.tick(SLOT + 20 * DAY)
    assert [desk.state(day) for day in (ISSUE, "2026-05-13", "2026-05-21")] == 3 * [
        ("missed", "late")
    ]
    assert desk.launched == []


def test_slots_before_the_first_run_of_a_database_concern_nobody(settings, engine, keys):
    desk = Desk(settings, engine, keys)
    assert desk.tick(SLOT + MINUTE).decisions == []
    assert desk.run() is None


def test_what_was_approved_before_the_first_tick_leaves_at_that_tick(
    settings, engine, keys, readers
):
    write_issue(settings, ISSUE)
    publishing.approve(settings, engine, ISSUE, by=CAMILLE, now=SLOT - DAY)
    desk = Desk(settings, engine, keys)
    desk.tick(SLOT + 5 * MINUTE)
    assert desk.state() == ("dispatching", "")


def test_what_was_approved_before_a_first_tick_that_comes_too_late_is_missed(
    settings, engine, keys
):
    write_issue(settings, ISSUE)
    publishing.approve(settings, engine, ISSUE, by=CAMILLE, now=SLOT - DAY)
    desk = Desk(settings, engine, keys)
    desk.tick(SLOT + 5 * DAY)
    assert desk.state() == ("missed", "late")
    assert desk.run("2026-05-13") is None


def test_a_fresh_database_where_another_has_run_raises_the_alarm(settings, engine, keys):
    (settings.var_dir / "instance").write_text("0" * 32, "ascii")
    desk = Desk(settings, engine, keys)
    desk.tick(SLOT + MINUTE)
    assert desk.state() == ("held", "restored")
    assert len(desk.letters("held")) == 2


def test_a_pause_is_skipped_without_an_alarm(tmp_path, engine, keys, born):
    settings = open_publication(
        tmp_path, "[[schedule.pauses]]\nstart = 2026-05-04\nend = 2026-05-10\nreason = 'congés'\n"
    )
    desk = Desk(settings, engine, keys)
    desk.tick(SLOT - 2 * HOUR)
    desk.tick(SLOT)
    assert desk.state() == ("skipped", "pause")
    desk.tick(SLOT + 5 * HOUR)
    assert desk.letters() == []


def test_a_holiday_is_skipped_when_the_settings_say_so(tmp_path, engine, keys, born):
    settings = open_publication(tmp_path, '[schedule]\nholidays = "skip"\n')
    desk = Desk(settings, engine, keys)
    desk.tick(paris("2026-05-14T08:00"))
    assert desk.state("2026-05-14") == ("skipped", "holiday")


def test_a_slot_skipped_by_name_stays_so(settings, engine, desk, approved):
    running.skip(settings, engine, ISSUE, reason="grève", by=CAMILLE, now=SLOT - HOUR)
    desk.tick(SLOT)
    assert desk.state() == ("skipped", f"by {CAMILLE}: grève")
    assert desk.launched == []
    assert desk.letters() == []


def test_a_missed_issue_can_be_skipped_and_no_longer_waits(settings, engine, desk, approved):
    desk.tick(SLOT + 5 * HOUR)
    running.skip(settings, engine, ISSUE, reason="", by=CAMILLE, now=SLOT + 6 * HOUR)
    desk.tick(SLOT + 7 * HOUR)
    assert desk.state() == ("skipped", f"by {CAMILLE}")


# --- going on -----------------------------------------------------------------------------------


def crash(desk, at):
    """A dispatcher took the run and died: its lease runs out after a minute."""
    with database.write(desk.engine) as connection:
        lease = ledger.claim_lease(
            connection, desk.run().id, "dead", now=at, until=at + MINUTE, is_dead=lambda _: False
        )
    assert lease


def test_a_run_that_crashed_at_five_past_eight_goes_on_at_three_in_the_afternoon(desk, approved):
    desk.tick(SLOT)
    crash(desk, SLOT + 5 * MINUTE)
    desk.tick(SLOT + 5 * MINUTE + 30 * SECOND)
    assert len(desk.launched) == 1
    desk.tick(paris("2026-05-07T15:00"))
    assert desk.launched == [desk.run().id] * 2


def test_after_a_day_what_is_left_expires_and_the_editors_are_told(
    settings, engine, keys, desk, approved
):
    desk.tick(SLOT)
    later = SLOT + DAY

    def launch(run_id):
        dispatch(settings, engine, keys, run_id, clock=lambda: later)

    desk.tick(later, launch=launch)
    desk.tick(later + MINUTE)
    report = running.report(engine, ISSUE)
    assert (report["run"]["state"], report["expired"], report["sent"]) == ("done", 3, 0)
    assert [letter.subject for letter in desk.letters("finished")] == 2 * [
        "Aucun envoi confirmé\u00a0: le numéro du jeudi 7 mai 2026"
    ]


def test_a_stopped_run_waits_for_a_person_and_still_expires(settings, engine, keys, desk, approved):
    desk.tick(SLOT)
    running.stop(engine, ISSUE, by=CAMILLE, now=SLOT)
    (decision,) = desk.tick(SLOT + HOUR).decisions
    assert (decision.stopped, decision.reason) == (True, f"stopped by {CAMILLE}")
    assert len(desk.launched) == 1
    later = SLOT + DAY
    desk.tick(
        later, launch=lambda run_id: dispatch(settings, engine, keys, run_id, clock=lambda: later)
    )
    assert running.report(engine, ISSUE)["expired"] == 3


def test_a_run_whose_readers_are_all_deferred_is_left_until_one_is_due(engine, desk, approved):
    desk.tick(SLOT)
    due_at = SLOT + 15 * MINUTE
    with database.write(engine) as connection:
        connection.execute(
            update(schema.delivery).values(state="deferred", not_before=due_at, tries=1)
        )
    (decision,) = desk.tick(due_at - SECOND).decisions
    assert (decision.deferred, decision.due_at) == (3, due_at)
    assert len(desk.launched) == 1
    desk.tick(due_at)
    assert len(desk.launched) == 2


def test_two_schedulers_at_once_begin_one_run(settings, engine, keys, approved, desk):
    """Both have judged before either begins: one INSERT and one start win."""
    scene = schedule.Scene(
        settings=settings, engine=engine, now=SLOT, sends=True, probe=lambda _: True
    )
    (one,), (other,) = schedule.list_due(scene), schedule.list_due(scene)
    for due in (one, other):
        schedule.carry_out(scene, due, keys, desk.launched.append)
        assert len(desk.launched) == 1
    with database.read(engine) as connection:
        assert len(connection.execute(select(schema.run)).all()) == 1
        assert len(connection.execute(select(schema.delivery)).all()) == 3


# --- reminders, settings, failures --------------------------------------------------------------


def test_reminders_come_a_day_and_three_hours_before_when_nothing_is_approved(settings, desk):
    write_issue(settings, ISSUE)
    counts = []
    for before in (25 * HOUR, 24 * HOUR, 20 * HOUR, 3 * HOUR, HOUR):
        desk.tick(SLOT - before)
        counts.append(len(desk.letters("reminder")))
    assert counts == [0, 2, 2, 4, 4]


def test_what_is_approved_or_skipped_is_not_reminded_of(settings, engine, desk, approved):
    desk.tick(SLOT - 24 * HOUR)
    running.skip(settings, engine, IssueId("2026-05-13"), reason="", by=CAMILLE, now=SLOT)
    desk.tick(paris("2026-05-12T08:00"))
    assert desk.letters("reminder") == []


def test_a_slot_that_the_settings_no_longer_plan_is_missed_not_forgotten(
    settings, engine, keys, desk
):
    desk.tick(SLOT)
    schedule_of_mondays = settings.schedule.model_copy(update={"day": "monday"})
    moved = settings.model_copy(update={"schedule": schedule_of_mondays})
    Desk(moved, engine, keys).tick(SLOT + 4 * HOUR)
    assert desk.state() == ("missed", "no_issue")


def test_a_tick_that_fails_says_so_and_the_next_one_goes_on(desk, approved):
    def fail(_):
        raise RuntimeError("out of threads")

    report = desk.tick(SLOT, launch=fail)
    assert report.errors == ["run 2026-05-07: RuntimeError: out of threads"]
    assert desk.tick(SLOT + MINUTE).errors == []
    assert desk.launched == [desk.run().id]


def test_every_tick_leaves_a_heartbeat(engine, desk):
    desk.tick(SLOT - HOUR)
    with database.read(engine) as connection:
        assert runs.read_heartbeat(connection) == SLOT - HOUR


def test_a_stop_by_the_machine_is_told_once(engine, desk, approved):
    desk.tick(SLOT)
    with database.write(engine) as connection:
        ledger.stop_run(connection, desk.run().id, reason="policy", now=SLOT)
    for minutes in (1, 2):
        (decision,) = desk.tick(SLOT + minutes * MINUTE).decisions
        assert (decision.stopped, decision.reason) == (True, "policy")
    assert len(desk.letters("stopped")) == 2


def test_the_same_stop_after_a_person_let_the_run_go_on_is_told_again(engine, desk, approved):
    desk.tick(SLOT)
    for minutes in (1, 3):
        with database.write(engine) as connection:
            for _ in range(2):  # two workers come to the same end
                ledger.stop_run(connection, desk.run().id, reason="policy", now=SLOT)
        desk.tick(SLOT + minutes * MINUTE)
        desk.tick(SLOT + minutes * MINUTE + SECOND)
        running.go_on(engine, ISSUE)
    assert len(desk.letters("stopped")) == 4


@pytest.fixture
def sent_late(settings, engine, desk, approved):
    """An issue sent by hand three days after its slot."""
    edition = running.edition_to_send(settings, engine, ISSUE, today=SLOT.date())
    return running.start(settings, engine, edition, key_version=1, slot_at=SLOT, now=SLOT + 3 * DAY)


def test_a_stop_by_the_machine_is_told_however_late_the_issue_left(engine, desk, sent_late):
    with database.write(engine) as connection:
        ledger.stop_run(connection, desk.run().id, reason="policy", now=SLOT + 3 * DAY)
    desk.tick(SLOT + 3 * DAY + MINUTE)
    assert len(desk.letters("stopped")) == 2


def test_the_end_is_told_however_late_the_issue_left(engine, desk, sent_late):
    with database.write(engine) as connection:
        connection.execute(update(schema.delivery).values(state="unknown"))
        assert ledger.finish(connection, desk.run().id, now=SLOT + 3 * DAY)
    for minutes in (1, 2):
        desk.tick(SLOT + 3 * DAY + minutes * MINUTE)
    assert len(desk.letters("finished")) == 2


def test_a_letter_says_how_the_refused_of_a_stopped_run_get_it(engine, desk, approved):
    desk.tick(SLOT)
    table = schema.delivery
    with database.write(engine) as connection:
        ledger.stop_run(connection, desk.run().id, reason="policy", now=SLOT)
        connection.execute(
            update(table).where(table.c.subscriber_id == 1).values(state="refused", reason="size")
        )
    desk.tick(SLOT + MINUTE)
    with database.read(engine) as connection:
        texts = connection.scalars(
            select(schema.letter.c.text).where(schema.letter.c.kind == "stopped")
        ).all()
    assert all(f"newsletter resolve {ISSUE} --retry size\n" in text for text in texts)
    assert len(texts) == 2


# --- run --at -----------------------------------------------------------------------------------


def content_of(engine):
    with database.read(engine) as connection:
        return [connection.execute(select(table)).all() for table in schema.metadata.sorted_tables]


def test_asking_what_would_happen_writes_nothing(settings, engine, desk, approved):
    before = content_of(engine)
    (decision,) = schedule.at(settings, engine, SLOT)
    assert (decision.state, decision.issue_id) == (RunState.DISPATCHING, ISSUE)
    (held,) = schedule.at(settings, engine, paris("2026-05-13T09:00"))[1:]
    assert (held.issue_id, held.state, held.reason) == ("2026-05-13", RunState.HELD, "no_issue")
    assert content_of(engine) == before


def test_the_next_departure_is_none_that_left_ahead_nor_one_that_was_skipped(
    settings, engine, desk, approved
):
    edition = running.edition_to_send(settings, engine, ISSUE, today=SLOT.date())
    running.start(settings, engine, edition, key_version=1, slot_at=SLOT, now=SLOT - DAY)
    running.skip(settings, engine, IssueId("2026-05-13"), reason="pont", by=CAMILLE, now=SLOT - DAY)
    assert schedule.next_departure(settings, engine, SLOT - HOUR).issue_id == "2026-05-21"


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("2026-10-20T12:00", "2026-10-22T06:00+00:00"),
        ("2026-10-27T12:00", "2026-10-29T07:00+00:00"),
        ("2027-03-23T12:00", "2027-03-25T07:00+00:00"),
        ("2027-03-30T12:00", "2027-04-01T06:00+00:00"),
    ],
)
def test_the_next_slot_is_eight_in_paris_across_both_changes_of_clocks(
    settings, engine, before, expected
):
    (decision,) = schedule.at(settings, engine, paris(before))
    assert decision.slot_at == datetime.fromisoformat(expected)
    assert decision.state is RunState.DUE


def test_a_winter_of_ticks_begins_one_run_a_week(settings, sqlite_engine, keys, monkeypatch):
    """Every folder exists and is approved: what is tested is when, not what."""
    running.is_restored(settings, sqlite_engine, paris("2026-09-29T07:00"))

    def begin(_, engine, issue_id, *, slot_at, key_version, now):
        with database.write(engine) as connection:
            run = runs.ensure_run(connection, issue_id, slot_at=slot_at, now=now)
            nobody = select(schema.subscriber.c.id)
            ledger.start_run(connection, run.id, digest="0" * 64, select_audience=nobody, now=now)
            ledger.finish(connection, run.id, now=now)
            return runs.read_run_by_id(connection, run.id)

    def may_leave(settings, engine, issue_id, *, today, probe):
        assert issue_id == today.isoformat()
        return issue_id

    monkeypatch.setattr(running, "start", begin)
    monkeypatch.setattr(running, "edition_to_send", may_leave)
    desk = Desk(settings, sqlite_engine, keys)
    day = datetime(2026, 9, 30, 8, tzinfo=PARIS)
    while day.year == 2026 or day.month < 5:
        desk.tick(day.astimezone(UTC))
        day += DAY  # 08:00 by the clocks of Paris, whatever they do
    with database.read(sqlite_engine) as connection:
        rows = connection.execute(select(schema.run).order_by(schema.run.c.slot_at)).all()
    assert {row.state for row in rows} == {"done"}
    assert {row.slot_at.astimezone(PARIS).hour for row in rows} == {8}
    assert len(rows) == 31
