"""What `send` tells a person at the end of a dispatch: the count, what is left to do, how."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import func, select, update

from newsletter import notifying, publishing, running
from newsletter.cli.app import run
from newsletter.cli.output import Exit
from newsletter.config import load_settings
from newsletter.model import IssueId
from newsletter.sending import say_instant
from newsletter.store import database, schema
from newsletter.store.opening import open_store
from tests.delivery.sink import Manners, Rule, Sink
from tests.pressroom import add_reader, open_publication, write_issue

ISSUE = IssueId("2026-05-07")
READERS = 12


@pytest.fixture
def place(tmp_path, capsys):
    """An approved issue, readers, a relay whose manners a test sets; `say` runs a command."""
    with Sink(tmp_path / "record.jsonl", Manners()) as sink:
        relay = f'[relay]\nurl = "{sink.url}"\nconnections = 1\nwindow = 1\n'
        open_publication(tmp_path, relay)
        settings = load_settings(tmp_path / "newsletter.toml", environ={})
        engine = open_store(settings)
        now = datetime.now(UTC)
        running.is_restored(settings, engine, now)
        with database.write(engine) as connection:
            for number in range(1, READERS + 1):
                add_reader(connection, number)
        write_issue(settings, ISSUE)
        publishing.approve(
            settings, engine, ISSUE, by="Camille Exemple", now=now - timedelta(days=1)
        )

        def say(*arguments):
            code = run([*arguments, "--config", str(tmp_path)])
            printed = capsys.readouterr()
            return code, printed.out, printed.err

        yield SimpleNamespace(sink=sink, say=say, engine=engine, settings=settings)
        engine.dispose()


def refuse(place, reply, stage="dot", who="lectrice"):
    place.sink.manners.rules = [Rule(stage, reply, who)]


# --- a run that stopped itself -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "reason"), [("550 5.7.1 policy", "policy"), ("552 5.3.4 too large", "size")]
)
def test_what_mends_a_stopped_run_reaches_its_refused_readers_too(place, reply, reason):
    refuse(place, reply)
    code, out, _ = place.say("send", ISSUE, "--now")
    assert (code, "5 refused" in out) == (Exit.DECIDE, True)
    assert f"5 refused for {reason}: send alone does not write to them again" in out
    remedy = f"newsletter resolve {ISSUE} --retry {reason} and newsletter send {ISSUE}"
    assert f"mend it, then: {remedy}\n" in out

    place.sink.manners.rules = []
    for step in remedy.split(" and "):
        assert place.say(*step.split()[1:])[0] == Exit.DONE
    assert len({one.recipient for one in place.sink.accepted()}) == READERS


def test_who_is_put_off_is_due_at_an_hour_of_the_publication(place):
    refuse(place, "450 4.2.1 later", stage="rcpt", who="lectrice1@")
    code, out, _ = place.say("send", ISSUE, "--now")
    with database.read(place.engine) as connection:
        due_at = connection.scalar(select(func.min(schema.delivery.c.not_before)))
    assert code == Exit.UNFINISHED
    assert f"due {say_instant(due_at, place.settings.publication.zone)}\n" in out


def test_send_alone_says_whom_it_left_out(place):
    refuse(place, "550 5.7.1 policy")
    place.say("send", ISSUE, "--now")
    place.sink.manners.rules = []
    for _ in ("goes on", "again, when it is done"):
        _, out, _ = place.say("send", ISSUE)
        assert "5 refused for policy" in out
        assert f"newsletter resolve {ISSUE} --retry policy and newsletter send {ISSUE}\n" in out


def test_a_stop_that_refused_nobody_goes_on_by_send(place):
    refuse(place, "530 5.7.0 authenticate first", stage="mail", who="")
    code, out, _ = place.say("send", ISSUE, "--now")
    assert (code, f"    mend it, then: newsletter send {ISSUE}\n" in out) == (Exit.DECIDE, True)


def test_a_report_keeps_the_words_for_which_a_run_stopped_itself_but_no_address(place):
    refuse(place, "530 5.7.0 <lectrice1@lecteurs.example> not yet", stage="mail", who="")
    place.say("send", ISSUE, "--now")
    _, out, err = place.say("stop", ISSUE)
    assert (out, "has stopped itself" in err) == (f"{ISSUE}: dispatching (configuration)\n", True)
    report = place.say("report", ISSUE)[1]
    assert "    530 5.7.0 <…> not yet\n" in report
    assert f"    mend it, then: newsletter send {ISSUE}\n" in report


def test_a_relay_that_fails_comes_with_a_way_on(place, no_backoff):
    place.sink.stop()
    code, out, _ = place.say("send", ISSUE, "--now")
    remedy = f"    newsletter doctor asks the relay; newsletter send {ISSUE} goes on\n"
    assert (code, remedy in out) == (Exit.OUTSIDE, True)
    report = place.say("report", ISSUE)[1]
    assert report.startswith(f"{ISSUE}: dispatching (relay)\n")
    assert "cannot be reached" in report
    assert "    so since " in report
    assert remedy in report
    told = json.loads(place.say("report", ISSUE, "--json")[1])
    assert (told["run"]["reason"], "cannot be" in told["trouble"]["said"]) == ("relay", True)


def test_a_canary_that_died_comes_with_its_reasons_and_a_way_on(place, monkeypatch):
    monkeypatch.setattr("newsletter.delivery.canary.MIN_AUDIENCE", READERS)
    monkeypatch.setattr("newsletter.delivery.canary.SHARE", 0.3)
    refuse(place, "550 5.2.1 disabled", stage="rcpt")
    code, out, _ = place.say("send", ISSUE, "--now")
    assert (code, "canary: 3 of the first 3 readers were refused" in out) == (Exit.DECIDE, True)
    assert f"    newsletter report {ISSUE} --state refused says why\n" in out
    assert f"    mend it, then: newsletter send {ISSUE}\n" in out


def test_beside_json_the_relay_s_fault_is_said_on_stderr(place):
    refuse(place, "530 5.7.0 authenticate first", stage="mail", who="")
    code, out, said = place.say("send", ISSUE, "--now", "--json")
    assert (code, json.loads(out)["reason"]) == (Exit.DECIDE, "configuration")
    assert "newsletter: configuration: 530 5.7.0 authenticate first\n" in said


def test_the_progress_of_a_run_that_is_over_ends_at_the_whole(place):
    err = place.say("send", ISSUE, "--now")[2]
    assert f"sending {ISSUE}: {READERS}/{READERS}\n" in err


# --- a run that is left to others ----------------------------------------------------------------


def test_what_workers_were_handed_is_not_left_unsaid(place, monkeypatch):
    monkeypatch.setattr("newsletter.delivery.queue.hand_over", lambda *_, **__: True)
    code, out, _ = place.say("send", ISSUE, "--now")
    assert code == Exit.UNFINISHED
    assert f"handed to the workers; newsletter report {ISSUE} shows how far they are" in out


# --- a run that is over --------------------------------------------------------------------------


def test_already_sent_counts_who_has_it(place):
    refuse(place, "550 5.1.1 nobody", stage="rcpt", who="lectrice2@")
    place.say("send", ISSUE, "--now")
    code, out, _ = place.say("send", ISSUE)
    assert (code, out) == (Exit.DONE, f"{ISSUE}: already sent: 11 of 12; 1 refused\n")


def test_an_issue_that_reached_nobody_says_so(place):
    refuse(place, "550 5.1.1 nobody", stage="rcpt")
    place.say("send", ISSUE, "--now")
    code, out, _ = place.say("send", ISSUE)
    assert (code, out.splitlines()[0]) == (
        Exit.DONE, f"{ISSUE}: already sent: 0 of 12; 12 refused"
    )  # fmt: skip


def test_an_issue_that_came_too_late_for_some_says_so(place):
    place.say("send", ISSUE, "--now")
    with database.write(place.engine) as connection:
        late = schema.delivery.c.subscriber_id > 2
        connection.execute(update(schema.delivery).where(late).values(state="expired"))
    code, out, _ = place.say("send", ISSUE)
    assert (code, out) == (Exit.DONE, f"{ISSUE}: already sent: 2 of 12; 10 expired\n")


def test_a_report_of_the_unknown_names_the_three_ways_to_settle_them(place, no_backoff):
    refuse(place, "drop", stage="accepted", who="lectrice2@")
    place.say("send", ISSUE, "--now")
    _, out, _ = place.say("report", ISSUE, "--state", "unknown")
    last = out.splitlines()[-1]
    assert f"newsletter resolve {ISSUE}" in last
    assert all(way in last for way in ("--relay-log FILE", "--resend", "--leave"))


def test_who_was_settled_as_they_are_has_not_unsubscribed(place, no_backoff):
    refuse(place, "drop", stage="accepted", who="lectrice2@")
    place.say("send", ISSUE, "--now")
    place.say("resolve", ISSUE, "--leave")
    _, out, _ = place.say("report", ISSUE)
    assert "    of them 1 settled as they are\n" in out
    assert "newsletter resolve" not in out


# --- a run that could not believe what it heard --------------------------------------------------


@pytest.fixture
def doubtful(place):
    """Half of the readers are at a domain that says that nobody is there."""
    with database.write(place.engine) as connection:
        for number in range(101, 131):
            address = f"lectrice{number}@perdu.example"
            add_reader(connection, number, address=address, address_key=address)
    refuse(place, "550 5.1.1 nobody", stage="rcpt", who="@perdu.example")
    return place


DOUBT = "perdu.example: 30 addresses refused at once; nobody suppressed"


def test_send_asks_about_a_domain_that_lost_everybody(doubtful):
    for _ in ("sent", "again"):
        code, out, _ = doubtful.say("send", ISSUE, "--now")
        assert (code, f"    in doubt: {DOUBT} — ask its postmaster" in out) == (Exit.DONE, True)


def test_a_report_tells_what_is_in_doubt_to_people_and_programs(doubtful):
    doubtful.say("send", ISSUE, "--now")
    assert f"in doubt: {DOUBT}" in doubtful.say("report", ISSUE)[1]
    assert DOUBT in json.loads(doubtful.say("report", ISSUE, "--json")[1])["doubts"]


def test_a_run_without_doubts_has_none(place):
    assert "in doubt" not in place.say("send", ISSUE, "--now")[1]
    assert json.loads(place.say("report", ISSUE, "--json")[1])["doubts"] == []


def test_the_letter_at_the_end_asks_about_it_too(doubtful):
    doubtful.say("send", ISSUE, "--now")
    with database.write(doubtful.engine) as connection:
        notifying.tell_endings(connection, doubtful.settings, datetime(2026, 5, 7, 12, tzinfo=UTC))
        (text, *_) = connection.scalars(select(schema.letter.c.text)).all()
    assert text.endswith("\n    perdu.example\n")
