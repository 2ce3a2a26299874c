"""One tick of the schedule by hand: what it says, and with which exit code."""

import json
from datetime import UTC, datetime

import pytest
from sqlalchemy import update

from newsletter.cli.output import Exit
from newsletter.errors import StoreError
from newsletter.store import breakdown, database, ledger, schema


def test_a_tick_holds_an_issue_that_nobody_would_receive_and_says_the_remedy(say, its_time, folder):
    for address in ("alix.durand@example.org", "noe.martin@example.com"):
        say("subscribers", "unsubscribe", address)
    code, out, _ = say("run")
    assert (code, "held  nobody" in out) == (Exit.DECIDE, True)
    assert "newsletter subscribers import FILE --apply" in out


def test_a_tick_of_a_quiet_day_says_when_the_next_issue_leaves(say):
    code, out, _ = say("run", "--json")
    told = json.loads(out)
    assert (code, [*told]) == (Exit.DONE, ["issue", "slot", "state", "reason"])
    assert told["state"] == "due"


def test_a_tick_says_how_its_dispatch_ended(say, its_time):
    code, out, _ = say("run", "--json")
    assert (code, json.loads(out)["state"]) == (Exit.DONE, "done")


def test_a_tick_whose_relay_is_down_is_not_done(say, its_time, monkeypatch, no_backoff):
    monkeypatch.setenv("NEWSLETTER_RELAY__URL", "smtp://127.0.0.1:1")
    code, out, said = say("run", "--json")
    told = json.loads(out)
    assert (code, told["state"], told["reason"]) == (Exit.OUTSIDE, "dispatching", "relay")
    assert "newsletter: relay: " in said


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_a_relay_that_is_down_is_said_on_stderr_when_it_begins(
    say, its_time, monkeypatch, arguments
):
    monkeypatch.setattr("newsletter.delivery.routes.backoff_s", lambda *_: 0.0)
    monkeypatch.setenv("NEWSLETTER_RELAY__URL", "smtp://127.0.0.1:1")
    waits = f"run issue={its_time} waits for the relay: 127.0.0.1"
    assert waits in say("run", *arguments)[2]
    later = datetime.fromisoformat(f"{its_time}T09:00").replace(tzinfo=UTC)
    monkeypatch.setattr("newsletter.cli.ticking.now", lambda: later)
    assert waits not in say("run", *arguments)[2]


def test_adopting_says_of_how_many_nobody_knows_and_how_to_settle_them(
    say, its_time, begun, folder
):
    begun({"state": "dispatching"}, state="pending")
    (folder / "var" / "instance").write_text("another\n", encoding="ascii")
    err = say("adopt")[2]
    assert f"2 readers of the issue {its_time} are unknown" in err
    assert f"newsletter resolve {its_time} --relay-log FILE, --resend or --leave" in err


def test_readers_who_expired_are_said_on_stderr(say, its_time, begun):
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    begun({"state": "dispatching", "started_at": long_ago}, state="pending")
    code, _, err = say("run")
    assert (code, f"issue={its_time} is over: 2 of 2 readers expired" in err) == (Exit.DONE, True)


@pytest.fixture
def begun(say, its_time, folder):
    """A run that has begun, whose readers a test puts where it wants them."""
    from newsletter.config import load_settings
    from newsletter.store.opening import open_store

    say("run")
    engine = open_store(load_settings(folder / "newsletter.toml"))

    def put(run, **readers):
        with database.write(engine) as connection:
            connection.execute(update(schema.run).values(**run))
            connection.execute(update(schema.delivery).values(**readers))

    yield put
    engine.dispose()


@pytest.mark.parametrize("reason", ["configuration", "stopped by Camille"])
def test_a_tick_that_finds_a_run_stopped_asks_a_person(say, its_time, begun, reason):
    begun({"state": "dispatching", "stopped": True, "reason": reason}, state="pending")
    for _ in range(2):
        code, out, _ = say("run")
        assert (code, f"newsletter send {its_time}" in out) == (Exit.DECIDE, True)
        assert f"stopped: {reason.removeprefix('stopped ')}" in out
    told = json.loads(say("run", "--json")[1])
    assert (told["state"], told["reason"]) == ("dispatching", reason)


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_a_run_that_stops_itself_is_said_on_stderr_once(say, its_time, monkeypatch, arguments):
    from newsletter.delivery import dispatch

    def refused(settings, engine, keys, run_id, *, clock, stop):
        with database.write(engine) as connection:
            ledger.stop_run(connection, run_id, reason="configuration", now=clock())
            tally = breakdown.tally(connection, run_id)
        return dispatch.DispatchResult(
            run_id=run_id, tally=tally, finished=False, reason="configuration", problem="535 no"
        )

    monkeypatch.setattr(dispatch, "dispatch", refused)
    code, _, err = say("run", *arguments)
    assert (code, f"issue={its_time} stopped itself reason=configuration" in err) == (
        Exit.DECIDE, True,
    )  # fmt: skip
    code, _, err = say("run", *arguments)
    assert (code, "stopped itself" in err) == (Exit.DECIDE, False)


def test_a_tick_that_finds_everybody_left_deferred_is_unfinished(say, its_time, begun):
    due_at = datetime.fromisoformat(f"{its_time}T09:00").replace(tzinfo=UTC)
    begun({"state": "dispatching"}, state="deferred", not_before=due_at, tries=1)
    code, out, _ = say("run")
    assert (code, "2 deferred until" in out) == (Exit.UNFINISHED, True)


def test_a_tick_says_which_run_another_process_is_at(say, its_time, begun):
    soon = datetime.fromisoformat(f"{its_time}T08:05:30").replace(tzinfo=UTC)
    begun({"state": "dispatching", "lease_until": soon}, state="pending")
    code, out, _ = say("run")
    assert (code, out) == (Exit.DONE, f"{its_time}  dispatching  another process is sending it\n")
    told = json.loads(say("run", "--json")[1])
    assert (told["issue"], told["reason"]) == (its_time, "elsewhere")


def test_ticks_ask_about_the_unknown_of_the_last_run_until_they_are_settled(say, its_time, begun):
    begun({"state": "done"}, state="unknown")
    code, out, _ = say("run")
    assert code == Exit.DECIDE
    assert f"newsletter report {its_time} --state unknown" in out
    say("resolve", its_time, "--leave")
    code, out, _ = say("run", "--json")
    assert (code, json.loads(out)["state"]) == (Exit.DONE, "due")


def test_what_a_tick_holds_comes_with_its_remedy(say, its_time):
    say("approve", its_time, "--withdraw", "--by", "Camille")
    code, out, _ = say("run")
    assert code == Exit.DECIDE
    assert f"newsletter approve {its_time} --by NAME" in out


def test_a_tick_that_cannot_write_is_one_error(say, its_time, monkeypatch):
    from newsletter import running

    def locked(*_):
        raise StoreError("the database is locked")

    monkeypatch.setattr(running, "is_restored", locked)
    code, out, _ = say("run", "--json")
    assert (code, json.loads(out)["error"]["code"]) == (Exit.OUTSIDE, "tick")


@pytest.mark.parametrize("instant", ["0001-01-01T00:00", "9999-12-31T23:59", "jeudi"])
def test_an_instant_outside_the_calendar_is_a_usage_error(say, instant):
    assert say("run", "--at", instant)[0] == Exit.USAGE


@pytest.mark.parametrize(
    ("instant", "slot"),
    [
        ("2041-03-28T08:00", "2041-03-28T07:00:00Z"),
        ("2041-04-04T08:00", "2041-04-04T06:00:00Z"),
        ("2041-10-24T08:00", "2041-10-24T06:00:00Z"),
        ("2041-10-31T08:00", "2041-10-31T07:00:00Z"),
    ],
)
def test_the_slot_is_civil_time_across_both_clock_changes(say, instant, slot):
    say("run")  # the publication is born today; slots before it concern nobody
    out = say("run", "--at", instant, "--json")[1]
    assert slot in out
