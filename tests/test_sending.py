"""`send` by a person's hand: at its time, now, on, again; a rehearsal; a proof."""

import re
import threading
from datetime import UTC, datetime, timedelta
from email import message_from_string, policy

import pytest
from sqlalchemy import update

from newsletter import membership, publishing, running, schedule
from newsletter.cli.output import Exit
from newsletter.cli.sending import dispatch_code
from newsletter.config import load_settings
from newsletter.delivery.dispatch import DispatchResult
from newsletter.errors import ChecksFailed, ConfigError, ConnectFailed, Held, NotFound
from newsletter.model import IssueId, RunState, Tally
from newsletter.sending import rehearse, send, send_proof
from newsletter.store import database, runs, schema
from tests.delivery.sink import Manners, Rule, Sink
from tests.pressroom import add_reader, open_publication, write_issue

ISSUE = IssueId("2026-05-07")
CAMILLE = "Camille Exemple"
SLOT = datetime(2026, 5, 7, 6, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def start_sink(tmp_path):
    sinks = []

    def start(*rules):
        sinks.append(Sink(tmp_path / "record.jsonl", Manners(rules=list(rules))).__enter__())
        return sinks[-1]

    yield start
    for sink in sinks:
        sink.stop()


@pytest.fixture
def settings(tmp_path):
    return open_publication(tmp_path)


@pytest.fixture
def towards(tmp_path):
    """The same publication towards a relay that records."""

    def turn(sink, **relay):
        values = {"connections": 1, "window": 1} | relay
        extra = f'[relay]\nurl = "{sink.url}"\n'
        extra += "".join(f"{name} = {value}\n" for name, value in values.items())
        file = tmp_path / "newsletter.toml"
        file.write_text(file.read_text(encoding="utf-8") + extra, encoding="utf-8")
        return load_settings(file, environ={})

    return turn


@pytest.fixture
def engine(settings, sqlite_engine):
    """A database that first ran on Tuesday, with three readers."""
    running.is_restored(settings, sqlite_engine, SLOT - timedelta(days=2))
    with database.write(sqlite_engine) as connection:
        for number in (1, 2, 3):
            add_reader(connection, number, first_name=f"Prénom{number}")
    return sqlite_engine


@pytest.fixture
def approved(settings, engine):
    folder = write_issue(settings, ISSUE)
    publishing.approve(settings, engine, ISSUE, by=CAMILLE, now=SLOT - timedelta(days=1))
    return folder


def at(instant):
    return lambda: instant


def held_by(*arguments, **options):
    with pytest.raises(Held) as caught:
        send(*arguments, **options)
    return caught.value


# --- when it may leave --------------------------------------------------------------------------


def test_at_its_time_it_leaves(settings, engine, keys, approved):
    sent = send(settings, engine, keys, ISSUE, clock=at(SLOT))
    assert (sent.state, sent.slot_at, sent.result.tally.sent) == (RunState.DONE, SLOT, 3)
    assert dispatch_code(sent.result) is Exit.DONE


def test_a_minute_early_it_says_when_it_leaves(settings, engine, keys, approved):
    error = held_by(settings, engine, keys, ISSUE, clock=at(SLOT - MINUTE))
    assert error.reason == "waiting"
    assert "Thursday, May 7, 2026, 08:00 (Europe/Paris)" in error.message
    assert error.remedy.endswith(f"newsletter send {ISSUE} --now")


def test_too_late_to_start_it_waits_for_a_decision(settings, engine, keys, approved):
    error = held_by(settings, engine, keys, ISSUE, clock=at(SLOT + 4 * HOUR))
    assert error.reason == "missed"
    sent = send(settings, engine, keys, ISSUE, clock=at(SLOT + 4 * HOUR), at_once=True)
    assert sent.state is RunState.DONE


@pytest.mark.parametrize("instant", [SLOT - 30 * HOUR, SLOT + 300 * HOUR])
def test_now_sets_slot_and_lateness_aside(settings, engine, keys, approved, instant):
    sent = send(settings, engine, keys, ISSUE, clock=at(instant), at_once=True)
    assert (sent.state, sent.result.tally.sent) == (RunState.DONE, 3)


def test_now_sets_a_pause_and_a_holiday_aside(tmp_path, settings, engine, keys, approved):
    pause = '[[schedule.pauses]]\nstart = 2026-05-01\nend = 2026-05-31\nreason = "essai"\n'
    paused = open_publication(tmp_path, pause)
    assert held_by(paused, engine, keys, ISSUE, clock=at(SLOT)).reason == "skipped"
    assert send(paused, engine, keys, ISSUE, clock=at(SLOT), at_once=True).state is RunState.DONE


def test_now_sets_a_skip_by_somebody_aside(settings, engine, keys, approved):
    running.skip(settings, engine, ISSUE, reason="pont", by=CAMILLE, now=SLOT - HOUR)
    error = held_by(settings, engine, keys, ISSUE, clock=at(SLOT))
    assert (error.reason, "pont" in error.message) == ("skipped", True)
    assert send(settings, engine, keys, ISSUE, clock=at(SLOT), at_once=True).result.tally.sent == 3


@pytest.mark.parametrize("at_once", [False, True])
def test_nothing_sets_approval_aside(settings, engine, keys, at_once):
    write_issue(settings, ISSUE)
    error = held_by(settings, engine, keys, ISSUE, clock=at(SLOT), at_once=at_once)
    assert error.reason == "not_approved"


@pytest.mark.parametrize("at_once", [False, True])
def test_nothing_sets_a_changed_comma_aside(settings, engine, keys, approved, at_once):
    file = approved / "10-cuisine.md"
    file.write_text(file.read_text(encoding="utf-8").replace("communes", "communes,"), "utf-8")
    error = held_by(settings, engine, keys, ISSUE, clock=at(SLOT), at_once=at_once)
    assert error.reason == "changed"


@pytest.mark.parametrize("at_once", [False, True])
def test_nothing_sets_a_restored_copy_aside(settings, engine, keys, approved, at_once):
    (settings.var_dir / "instance").write_text("another\n", encoding="ascii")
    error = held_by(settings, engine, keys, ISSUE, clock=at(SLOT), at_once=at_once)
    assert (error.reason, error.remedy.endswith("newsletter adopt")) == ("restored", True)


def test_what_is_no_day_is_no_issue(settings, engine, keys):
    with pytest.raises(NotFound):
        send(settings, engine, keys, IssueId("jeudi"), clock=at(SLOT))


def test_what_nobody_wrote_has_no_departure(settings, engine, keys):
    error = held_by(settings, engine, keys, ISSUE, clock=at(SLOT - HOUR))
    assert error.reason == "no_issue"


@pytest.mark.parametrize("at_once", [False, True])
def test_what_nobody_would_receive_does_not_begin(settings, engine, keys, approved, at_once):
    with database.write(engine) as connection:
        connection.execute(update(schema.subscriber).values(state="unsubscribed"))
    error = held_by(settings, engine, keys, ISSUE, clock=at(SLOT), at_once=at_once)
    assert (error.reason, "subscribers import" in error.remedy) == ("nobody", True)
    with database.read(engine) as connection:
        run = runs.read_run(connection, ISSUE)
    assert run is None or run.started_at is None


# --- going on, again ----------------------------------------------------------------------------


def test_again_it_says_already_sent_and_sends_nothing(settings, engine, keys, approved):
    send(settings, engine, keys, ISSUE, clock=at(SLOT))
    again = send(settings, engine, keys, ISSUE, clock=at(SLOT + HOUR), at_once=True)
    assert (again.reason, again.result) == ("already sent", None)
    assert dispatch_code(again.result) is Exit.DONE
    assert len([*(settings.var_dir / "mailbox" / "new").iterdir()]) == 3


def test_a_key_added_between_two_attempts_changes_nothing_of_a_run(
    engine, keys, towards, approved, start_sink
):
    sink = start_sink(Rule("rcpt", "450 4.2.0 later", "lectrice2@", 1))
    turned = towards(sink)
    first = send(turned, engine, keys, ISSUE, clock=at(SLOT))
    assert first.result.tally.deferred == 1
    more = keys.model_copy(update={"versions": {**keys.versions, 2: b"\x03" * 32}})
    later = send(turned, engine, more, ISSUE, clock=at(SLOT + HOUR))
    assert later.result.tally.sent == 3
    signed = {one.message_id.strip("<>")[:2] for one in sink.accepted()}
    enveloped = {one.sender.partition("+")[2][:2] for one in sink.accepted()}
    assert signed == enveloped == {"ab"}  # version 1
    with database.read(engine) as connection:
        assert runs.read_run(connection, ISSUE).key_version == 1


def test_a_stopped_run_goes_on_by_send(settings, engine, keys, approved, start_sink, towards):
    sink = start_sink(Rule("rcpt", "450 4.2.0 later", "lectrice2@", 1))
    turned = towards(sink)
    first = send(turned, engine, keys, ISSUE, clock=at(SLOT))
    assert (first.state, first.result.tally.deferred) == (RunState.DISPATCHING, 1)
    assert dispatch_code(first.result) is Exit.UNFINISHED
    running.stop(engine, ISSUE, by=CAMILLE, now=SLOT + MINUTE)
    report = schedule.tick(turned, engine, keys, SLOT + HOUR, launch=pytest.fail, aside=nothing)
    assert report.errors == []
    then = send(turned, engine, keys, ISSUE, clock=at(SLOT + HOUR))
    assert (then.state, then.result.tally.sent) == (RunState.DONE, 3)
    assert dispatch_code(then.result) is Exit.DONE


def nothing(name, chore):
    """Chores are not what these tests are about."""


def test_a_run_that_another_finished_meanwhile_is_done(settings, engine, keys, approved):
    """Between reading the run and taking it, another process sends it all."""
    other = []

    def clock():
        if len(asked) == 1:
            other.append(send(settings, engine, keys, ISSUE, clock=at(SLOT)))
        asked.append(SLOT)
        return SLOT

    asked = []
    sent = send(settings, engine, keys, ISSUE, clock=clock)
    assert (sent.state, dispatch_code(sent.result)) == (RunState.DONE, Exit.DONE)
    assert other[0].result.tally.sent == 3
    assert len([*(settings.var_dir / "mailbox" / "new").iterdir()]) == 3


def test_a_live_dispatcher_elsewhere_is_left_alone(
    settings, engine, keys, approved, start_sink, towards
):
    """While the first message of one is on its way, another is started."""
    sink = start_sink()
    turned = towards(sink)
    other = []
    turn = threading.Lock()

    def clock():  # asked by several threads: one of them acts
        if sink.record.stat().st_size and turn.acquire(blocking=False):
            other.append(send(turned, engine, keys, ISSUE, clock=at(SLOT)))
        return SLOT

    sent = send(turned, engine, keys, ISSUE, clock=clock)
    assert (sent.state, sent.result.tally.sent) == (RunState.DONE, 3)
    assert other[0].result.reason == "elsewhere"
    assert dispatch_code(other[0].result) is Exit.DONE
    assert len(sink.accepted()) == 3


@pytest.mark.parametrize("at_once", [False, True])
def test_of_two_that_begin_together_one_sends_and_the_other_says_so(
    settings, engine, keys, approved, start_sink, towards, monkeypatch, at_once
):
    """Both have looked at a run that nobody had begun; the other is sending before we begin."""
    sink = start_sink()
    turned = towards(sink)
    ours = []
    turn = threading.Lock()

    def clock():
        if sink.record.stat().st_size and turn.acquire(blocking=False):
            with database.read(engine) as connection:
                begun = runs.read_run(connection, ISSUE)
            answers = iter([None])  # what we read before it had begun
            with monkeypatch.context() as patched:
                patched.setattr(
                    "newsletter.sending.runs.read_run", lambda *_, **__: next(answers, begun)
                )
                ours.append(send(turned, engine, keys, ISSUE, clock=at(SLOT), at_once=at_once))
        return SLOT

    other = send(turned, engine, keys, ISSUE, clock=clock, at_once=at_once)
    assert ours[0].result.reason == "elsewhere"
    assert dispatch_code(ours[0].result) is Exit.DONE
    assert (other.state, other.result.tally.sent, len(sink.accepted())) == (RunState.DONE, 3, 3)


def test_a_relay_that_is_down_leaves_everybody_pending_and_is_code_3(
    settings, engine, keys, approved, start_sink, towards, no_backoff
):
    sink = start_sink()
    turned = towards(sink)
    sink.stop()
    sent = send(turned, engine, keys, ISSUE, clock=at(SLOT))
    assert (sent.result.reason, sent.result.tally.pending) == ("relay", 3)
    assert sent.result.problem
    assert dispatch_code(sent.result) is Exit.OUTSIDE


def test_who_leaves_in_mid_run_gets_nothing_more(
    settings, engine, keys, approved, start_sink, towards
):
    """Everybody leaves once the first message was taken: at most one window is on its way."""
    with database.write(engine) as connection:
        for number in range(4, 41):
            add_reader(connection, number)
    sink = start_sink()
    left = []
    turn = threading.Lock()

    def clock():
        if sink.record.stat().st_size and turn.acquire(blocking=False):
            left.append(len(sink.accepted()))
            for number in range(1, 41):
                membership.unsubscribe_address(
                    engine, keys, f"lectrice{number}@example.org", by="web", now=SLOT
                )
        return SLOT

    sent = send(towards(sink), engine, keys, ISSUE, clock=clock)
    tally = sent.result.tally
    assert (sent.state, tally.audience) == (RunState.DONE, 40)
    assert tally.sent == len(sink.accepted()) <= left[0] + 4
    assert tally.cancelled == 40 - tally.sent


# --- exit codes ---------------------------------------------------------------------------------


def result(reason="", *, finished=True, **counts):
    return DispatchResult(run_id=1, tally=Tally(**counts), finished=finished, reason=reason)


@pytest.mark.parametrize(
    ("came", "code"),
    [
        (None, Exit.DONE),
        (result("elsewhere", finished=False), Exit.DONE),
        (result("elsewhere", finished=False, unknown=3), Exit.DONE),
        (result(sent=3), Exit.DONE),
        (result(sent=2, unknown=1, left=1), Exit.DONE),
        (result(sent=2, unknown=1), Exit.DECIDE),
        (result("expired", expired=2), Exit.DONE),
        (result(sent=1, refused=2), Exit.DONE),
        (result(refused=1, unknown=2, left=2), Exit.DONE),
        (result(cancelled=3), Exit.DONE),
        (result("relay", finished=False, pending=3, unknown=1), Exit.OUTSIDE),
        (result("policy", finished=False, pending=3), Exit.DECIDE),
        (result("configuration", finished=False, pending=3), Exit.DECIDE),
        (result("canary", finished=False, pending=3), Exit.DECIDE),
        (result("stopped", finished=False, pending=3, unknown=1), Exit.UNFINISHED),
        (result("terminated", finished=False, pending=3, unknown=1), Exit.UNFINISHED),
        (result("lease_lost", finished=False, pending=3), Exit.UNFINISHED),
        (result(finished=False, deferred=1, unknown=1), Exit.UNFINISHED),
    ],
)
def test_exit_codes_follow_their_precedence(came, code):
    assert dispatch_code(came) is code


# --- a rehearsal --------------------------------------------------------------------------------


def test_a_rehearsal_composes_everybody_and_leaves_no_trace(settings, engine, keys):
    write_issue(settings, ISSUE)
    seen = []
    done = rehearse(settings, engine, keys, ISSUE, now=SLOT, progress=lambda *n: seen.append(n))
    assert (done.readers, seen) == (3, [(1, 3), (2, 3), (3, 3)])
    assert done.size_bytes > 10_000
    with database.read(engine) as connection:
        assert runs.read_run(connection, ISSUE) is None
    assert not (settings.var_dir / "mailbox").exists()


def test_a_rehearsal_of_what_cannot_be_read_lists_why(settings, engine, keys):
    (write_issue(settings, ISSUE) / "issue.md").write_text("rien", encoding="utf-8")
    with pytest.raises(ChecksFailed) as caught:
        rehearse(settings, engine, keys, ISSUE, now=SLOT)
    assert caught.value.findings


# --- a proof ------------------------------------------------------------------------------------


def proofs(settings):
    box = settings.var_dir / "mailbox" / ".Letters" / "new"
    return [file.read_text(encoding="utf-8") for file in sorted(box.iterdir())]


def test_proofs_are_numbered_by_what_they_show(settings, engine, keys):
    folder = write_issue(settings, ISSUE)

    def number():
        return send_proof(settings, engine, keys, ISSUE, to=["a@example.org"], now=SLOT).number

    assert [number(), number()] == [1, 1]
    (folder / "10-cuisine.md").write_text("---\ntitre: Autre\n---\nAutre.\n", encoding="utf-8")
    assert number() == 2


def test_a_proof_is_filled_for_nobody_real_and_can_unsubscribe_nobody(settings, engine, keys):
    write_issue(settings, ISSUE)
    proofed = send_proof(
        settings, engine, keys, ISSUE, to=["a@example.org", "b@example.org"], now=SLOT
    )
    assert [(address, reply.code) for address, reply in proofed.replies] == [
        ("a@example.org", 250), ("b@example.org", 250),
    ]  # fmt: skip
    for text in proofs(settings):
        assert "List-Unsubscribe" not in text
        assert "[BAT v1]" in message_from_string(text, policy=policy.default)["Subject"]
        assert "/u/" not in text
        assert not re.search("lectrice|[\ue000\ue001]", text)
    with database.read(engine) as connection:
        assert runs.read_run(connection, ISSUE) is None


def test_a_proof_begins_with_what_the_checks_say_and_who_has_signed(settings, engine, keys):
    write_issue(settings, ISSUE)
    publishing.approve(settings, engine, ISSUE, by="Dominique Essai", now=SLOT)
    send_proof(settings, engine, keys, ISSUE, to=["a@example.org"], now=SLOT)
    message = message_from_string(proofs(settings)[0], policy=policy.default)
    for kind in ("plain", "html"):
        part = " ".join(message.get_body((kind,)).get_content().split())
        assert "Épreuve n° 1" in part
        assert "Vérifications" in part
        assert "Approuvé par : Dominique Essai" in part


def test_approvers_stands_for_everybody_who_may_approve(settings, engine, keys):
    write_issue(settings, ISSUE)
    to = ["approvers", "a@example.org", "camille@example.org"]
    proofed = send_proof(settings, engine, keys, ISSUE, to=to, now=SLOT)
    assert [address for address, _ in proofed.replies] == [
        "camille@example.org", "dominique@example.org", "a@example.org",
    ]  # fmt: skip


def test_a_proof_to_approvers_needs_somebody_with_that_role(settings, engine, keys):
    write_issue(settings, ISSUE)
    nobody = settings.model_copy(update={"people": ()})
    with pytest.raises(ConfigError) as caught:
        send_proof(nobody, engine, keys, ISSUE, to=["approvers"], now=SLOT)
    assert caught.value.key == "people"


def test_a_relay_s_no_to_a_proof_is_an_answer_and_not_a_failure(
    settings, engine, keys, start_sink, towards
):
    write_issue(settings, ISSUE)
    turned = towards(start_sink(Rule("rcpt", "550 5.1.1 nobody", "b@")))
    proofed = send_proof(
        turned, engine, keys, ISSUE, to=["a@example.org", "b@example.org"], now=SLOT
    )
    assert [reply.code for _, reply in proofed.replies] == [250, 550]
    assert "5.1.1" in str(proofed.replies[1][1])


def test_a_proof_towards_a_relay_that_is_down_says_so(settings, engine, keys, start_sink, towards):
    write_issue(settings, ISSUE)
    sink = start_sink()
    turned = towards(sink)
    sink.stop()
    with pytest.raises(ConnectFailed):
        send_proof(turned, engine, keys, ISSUE, to=["a@example.org"], now=SLOT)


@pytest.mark.parametrize("address", ["camille", "a@b.example\r\nBcc: x@y.example", "é@b.example"])
def test_a_proof_goes_to_no_address_that_mail_cannot_carry(settings, engine, keys, address):
    write_issue(settings, ISSUE)
    with pytest.raises(ConfigError):
        send_proof(settings, engine, keys, ISSUE, to=[address], now=SLOT)
    assert not (settings.var_dir / "mailbox").exists()
