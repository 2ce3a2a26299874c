from datetime import timedelta
from socket import create_connection
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from sqlalchemy import insert, update

from newsletter.metrics import collect_metrics, find_faults, serve_figures
from newsletter.store import database, ledger, schema
from newsletter.store.trouble import keep_trouble


@pytest.fixture
def beating(sqlite_engine, now):
    with database.write(sqlite_engine) as connection:
        connection.execute(insert(schema.instance).values(id="a", created_at=now, heartbeat_at=now))
        connection.execute(
            insert(schema.run).values(
                id=1, issue_id="2026-05-07", slot_at=now, state="dispatching", created_at=now
            )
        )
        connection.execute(
            insert(schema.delivery),
            [{"subscriber_id": n, "run_id": 1, "state": "sent"} for n in range(3)],
        )
    return sqlite_engine


def test_every_state_of_a_run_is_counted(beating, now):
    text = collect_metrics(beating, now)
    assert 'newsletter_deliveries{issue="2026-05-07",kind="issue",state="sent"} 3\n' in text
    assert 'newsletter_deliveries{issue="2026-05-07",kind="issue",state="unknown"} 0\n' in text
    assert 'newsletter_run_state{issue="2026-05-07",kind="issue",state="dispatching"} 1\n' in text


@pytest.mark.parametrize(
    ("reason", "is_fault"), [("configuration", True), ("stopped by Camille", False)]
)
def test_a_run_that_stopped_itself_is_a_fault_and_any_stopped_run_a_figure(
    settings, beating, now, reason, is_fault
):
    assert 'newsletter_run_stopped{issue="2026-05-07",kind="issue"} 0\n' in collect_metrics(
        beating, now
    )
    with database.write(beating) as connection:
        connection.execute(update(schema.run).values(started_at=now))
        ledger.stop_run(connection, 1, reason=reason, now=now)
    assert 'newsletter_run_stopped{issue="2026-05-07",kind="issue"} 1\n' in collect_metrics(
        beating, now
    )
    faults = find_faults(settings, beating, now)
    said = ("the issue of 2026-05-07 has stopped itself (configuration)",)
    assert faults == (said if is_fault else ())


def test_a_run_whose_relay_fails_is_a_fault_after_a_quarter_of_an_hour(settings, beating, now):
    with database.write(beating) as connection:
        connection.execute(update(schema.run).values(started_at=now))
        connection.execute(update(schema.delivery).values(state="pending"))
        keep_trouble(connection, 1, reason="relay", said="relay.test is away", now=now)
    soon, later = now + timedelta(minutes=14), now + timedelta(minutes=15)
    assert find_faults(settings, beating, soon)[1:] == ()  # the first is the heartbeat
    assert (
        "waits for its relay since 2026-05-07 at 06:00 UTC: relay.test is away"
        in (find_faults(settings, beating, later)[1])
    )
    waiting = 'newsletter_run_waiting_seconds{issue="2026-05-07",kind="issue"}'
    assert f"{waiting} 900\n" in collect_metrics(beating, later)


def test_each_family_is_explained_once(beating, now):
    lines = collect_metrics(beating, now).splitlines()
    explained = [line.split()[2] for line in lines if line.startswith("# HELP")]
    assert len(explained) == len(set(explained)) > 4


def test_an_empty_database_has_figures_too(sqlite_engine, now):
    assert "newsletter_heartbeat_age_seconds -1\n" in collect_metrics(sqlite_engine, now)


def test_an_old_heartbeat_is_a_fault(settings, beating, now):
    assert find_faults(settings, beating, now) == ()
    assert "121 s ago" in find_faults(settings, beating, now + timedelta(seconds=121))[0]


def test_a_clock_that_went_back_is_no_fault(settings, beating, now):
    assert find_faults(settings, beating, now - timedelta(seconds=30)) == ()


def test_health_and_figures_are_served_on_loopback(settings, beating, now):
    with serve_figures(settings, beating, 0, lambda: now) as port:
        base = f"http://127.0.0.1:{port}"
        with urlopen(f"{base}/healthz") as answer:
            assert answer.read() == b"well\n"
        with urlopen(f"{base}/metrics") as answer:
            assert b"newsletter_subscribers" in answer.read()
        with pytest.raises(HTTPError) as refused:
            urlopen(f"{base}/other")
        refused.value.close()
        assert refused.value.code == 404


@pytest.mark.parametrize(
    ("path", "hours", "status"),
    [("/healthz", 0, 200), ("/healthz", 1, 503), ("/metrics", 1, 200), ("/other", 0, 404)],
)
def test_a_monitor_that_asks_for_the_head_alone_gets_the_status_and_no_body(
    settings, beating, now, path, hours, status
):
    with (
        serve_figures(settings, beating, 0, lambda: now + timedelta(hours=hours)) as port,
        create_connection(("127.0.0.1", port)) as asking,
        asking.makefile("rb") as answer,
    ):
        asking.sendall(f"HEAD {path} HTTP/1.0\r\n\r\n".encode())
        said = answer.read()
    head, _, body = said.partition(b"\r\n\r\n")
    assert (int(head.split()[1]), b"Content-Length: " in head, body) == (status, True, b"")


def test_a_dead_schedule_is_unhealthy(settings, beating, now):
    with serve_figures(settings, beating, 0, lambda: now + timedelta(hours=1)) as port:
        with pytest.raises(HTTPError) as refused:
            urlopen(f"http://127.0.0.1:{port}/healthz")
        with refused.value as answer:
            assert (answer.code, b"ticked" in answer.read()) == (503, True)


def test_figures_that_cannot_be_read_say_why(settings, tmp_path, now):
    (tmp_path / "none.db").write_bytes(b"no database" * 100)
    engine = database.open_engine(f"sqlite:///{tmp_path / 'none.db'}")
    with serve_figures(settings, engine, 0, lambda: now) as port:
        with pytest.raises(HTTPError) as refused:
            urlopen(f"http://127.0.0.1:{port}/metrics")
        with refused.value as answer:
            assert (answer.code, b"not a database" in answer.read()) == (503, True)


def test_a_slot_that_no_tick_looked_at_is_a_fault(settings, sqlite_engine, now):
    with database.write(sqlite_engine) as connection:
        later = now + timedelta(minutes=16)
        connection.execute(
            insert(schema.instance).values(
                id="a", created_at=now - timedelta(days=9), heartbeat_at=later
            )
        )
    assert "2026-05-07" in find_faults(settings, sqlite_engine, later)[0]
