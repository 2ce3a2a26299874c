"""The scheduler as a process of its own: it ticks, sends once, and ends when asked."""

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from urllib.request import urlopen

import pytest

from newsletter import publishing, running
from newsletter.alarm import Once
from newsletter.config import load_settings
from newsletter.content.calendar import WEEKDAYS
from newsletter.delivery.states import hide_addresses
from newsletter.errors import StoreError
from newsletter.model import IssueId, RunState
from newsletter.store import database, runs
from newsletter.store.opening import open_store
from tests.ports import find_port, open_port
from tests.pressroom import REPOSITORY, add_reader, open_publication, write_issue
from tests.waiting import wait_until

# Before what the scheduler does: a relay that is down is given up at once.
WITHOUT_BACKOFF = """\
from newsletter.delivery import lanes, routes
assert lanes.backoff_s is routes.backoff_s  # else nobody would miss the name that is set
routes.backoff_s = lanes.backoff_s = lambda *_: 0.0
"""


@pytest.fixture
def publication(tmp_path):
    """An approved issue whose slot was a minute ago, by clocks that show about noon."""
    now = datetime.now(UTC)
    ahead = 12 - now.hour
    zone = f"Etc/GMT{-ahead:+d}"  # the signs of these zones are the other way round
    local = now + timedelta(hours=ahead)
    slot = local - timedelta(minutes=1)
    extra = (
        f'[schedule]\nday = "{WEEKDAYS[slot.weekday()]}"\ntime = "{slot:%H:%M:%S}"\n'
        'holidays = "keep"\n'
    )
    open_publication(tmp_path, extra)
    toml = tmp_path / "newsletter.toml"
    text = toml.read_text("utf-8")
    toml.write_text(text.replace("[publication]", f'[publication]\ntimezone = "{zone}"'), "utf-8")
    (tmp_path / "scheduler.py").write_text(
        (REPOSITORY / "scheduler.py").read_text("utf-8"), "utf-8"
    )

    settings = load_settings(toml, environ={})
    (tmp_path / "subscribers").mkdir()
    engine = open_store(settings)
    running.is_restored(settings, engine, now - timedelta(hours=1))
    issue_id = IssueId(slot.date().isoformat())
    write_issue(settings, issue_id)
    with database.write(engine) as connection:
        for number in range(1, 8):
            add_reader(connection, number)
    publishing.approve(settings, engine, issue_id, by="Camille Exemple", now=now)
    yield settings, engine, issue_id
    engine.dispose()


@pytest.fixture
def start(publication):
    settings, _, _ = publication
    processes = []

    def begin():
        processes.append(
            subprocess.Popen(
                [sys.executable, str(settings.root / "scheduler.py")],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def end(process):
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return said


def run_of(engine, issue_id):
    with database.read(engine) as connection:
        return runs.read_run(connection, issue_id)


def test_two_schedulers_started_at_once_send_one_issue(publication, start):
    settings, engine, issue_id = publication
    one, other = start(), start()

    def is_done():
        run = run_of(engine, issue_id)
        return run is not None and run.state is RunState.DONE

    wait_until(is_done)
    said = end(one) + end(other)
    assert len(list((settings.var_dir / "mailbox" / "new").iterdir())) == 7
    assert running.report(engine, issue_id)["sent"] == 7
    assert said.count("step=judge") == 1
    assert "lectrice" not in said  # no address in the log (P12)


def test_the_log_says_why_a_dispatch_did_not_finish(publication, start):
    settings, _, _ = publication
    with (settings.root / "newsletter.toml").open("a", encoding="utf-8") as file:
        file.write(f'\n[relay]\nurl = "smtp://127.0.0.1:{find_port()}"\n')
    script = settings.root / "scheduler.py"
    script.write_text(WITHOUT_BACKOFF + script.read_text("utf-8"), "utf-8")
    process = start()
    said = []
    # The log itself is what is waited for.
    for line in process.stderr:
        said.append(line)
        if "reason=relay" in line:
            break
    end(process)
    assert "problem=" in said[-1], said
    assert "127.0.0.1" in said[-1]


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (
            "550 5.7.1 <lectrice3@example.org>: relaying denied",
            "550 5.7.1 <…>: relaying denied",
        ),
        ("535 5.7.8 'lettre@example.org' unknown", "535 5.7.8 '…' unknown"),
        ("relais.example:587: connection refused", "relais.example:587: connection refused"),
    ],
)
def test_the_log_quotes_no_address_of_a_relay_s_words(problem, said):
    assert hide_addresses(problem) == said


def test_the_scheduler_beats_and_ends_when_asked(publication, start):
    settings, engine, _ = publication
    (settings.var_dir / "instance").write_text("0" * 32, "ascii")  # a copy sends nothing
    process = start()

    def beats():
        with database.read(engine) as connection:
            return runs.read_heartbeat(connection) is not None

    wait_until(beats)
    said = end(process)
    assert "restored" in said
    assert list((settings.var_dir / "mailbox" / "new").iterdir()) == []  # only its own alarm left


def misspell(settings):
    with (settings.root / "newsletter.toml").open("a", encoding="utf-8") as file:
        file.write("\n[watch]\nprot = 1\n")


def lose_the_keys(settings):
    (settings.var_dir / "keys").unlink()


def damage_the_database(settings):
    (file,) = (settings.root / "subscribers").glob("*.db")
    for journal in file.parent.glob("*.db-*"):
        journal.unlink()
    file.write_bytes(b"no database at all, " * 400)


def call_a_database_that_is_not_up(settings):
    text = (settings.root / "newsletter.toml").read_text("utf-8")
    url = f"postgresql+psycopg://letter@127.0.0.1:{find_port()}/letter"
    (settings.root / "newsletter.toml").write_text(f'{text}\n[database]\nurl = "{url}"\n', "utf-8")


@pytest.mark.parametrize(
    ("hinder", "code"),
    [
        (misspell, 2),
        (lose_the_keys, 2),
        (damage_the_database, 3),
        (call_a_database_that_is_not_up, 3),
    ],
)
def test_what_keeps_the_scheduler_from_beginning_is_one_line_and_a_code(
    publication, start, hinder, code
):
    settings, engine, _ = publication
    engine.dispose()
    hinder(settings)
    process = start()
    _, said = process.communicate(timeout=120)
    assert process.returncode == code, said
    assert said.startswith("newsletter: ")
    assert said.count("\n") == 1


def test_a_port_of_another_program_is_said_in_one_line(publication, start):
    settings, _, _ = publication
    with open_port() as taken:
        port = taken.getsockname()[1]
        with (settings.root / "newsletter.toml").open("a", encoding="utf-8") as file:
            file.write(f"\n[watch]\nport = {port}\n")
        process = start()
        _, said = process.communicate(timeout=120)
    assert process.returncode == 2, said
    assert said.startswith(f"newsletter: the port {port} cannot be used: ")
    assert said.count("\n") == 1


def test_an_expected_failure_of_a_chore_is_logged_without_a_trace(caplog):
    def fail():
        raise StoreError("the database does not answer")

    with ThreadPoolExecutor(1) as pool:
        Once(pool)("letters", fail)
    (record,) = caplog.records
    assert (record.getMessage(), record.exc_info) == (
        "letters: the database does not answer", None,
    )  # fmt: skip


def test_a_chore_is_done_once_at_a_time_and_its_failure_ends_nothing():
    begun, go_on, failures = threading.Event(), threading.Event(), []

    def slow():
        begun.set()
        assert go_on.wait(120)
        failures.append("slow")
        raise RuntimeError("a relay that is down")

    with ThreadPoolExecutor(2) as pool:
        once = Once(pool)
        once("letters", slow)
        assert begun.wait(120)
        once("letters", lambda: failures.append("twice at once"))
        done = threading.Event()
        once("feeds", done.set)
        assert done.wait(120)
        go_on.set()
    with ThreadPoolExecutor(1) as pool:
        again = Once(pool)
        again("letters", lambda: failures.append("again"))
    assert failures == ["slow", "again"]


def test_figures_and_health_are_served_while_it_runs(publication, start):
    settings, _, _ = publication
    port = find_port()
    toml = settings.root / "newsletter.toml"
    toml.write_text(toml.read_text("utf-8") + f"\n[watch]\nport = {port}\n", "utf-8")
    process = start()

    def is_well():
        try:
            with urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
                return answer.status == 200
        except OSError:
            return False

    wait_until(is_well)
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        assert b"newsletter_heartbeat_age_seconds" in answer.read()
    end(process)
