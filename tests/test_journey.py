"""Whole journeys through real parts: feeds over HTTP, a relay, processes that die, a mailbox.

Where the clock matters the instant is handed in; where the process matters it is a real one.
"""

import asyncio
import email
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from email import policy
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import httpx
import pytest

from newsletter import membership, publishing, running, schedule
from newsletter.cli.app import run as run_command
from newsletter.config import load_keys, load_settings
from newsletter.delivery import crash_points
from newsletter.delivery.dispatch import dispatch
from newsletter.examples import fetch
from newsletter.mail.compose import Outgoing
from newsletter.model import IssueId
from newsletter.store import database
from newsletter.store.opening import open_store
from newsletter.web.app import create_app
from tests.delivery.sink import Manners, Rule, Sink
from tests.examples.feed_server import FeedServer
from tests.feedback.returned import dsn
from tests.pressroom import add_reader, open_publication, write_issue
from tests.waiting import wait_until

CAMILLE = "Camille Exemple"
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
FEED = """\
<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0"><channel><title>Carnet d'essai</title><link>https://carnet.example/</link>
<description>Des alliances.</description>
<item><title>Un four pour deux villages</title><link>https://carnet.example/four</link>
<guid>four-1</guid><pubDate>Mon, 04 May 2026 08:30:00 +0200</pubDate>
<description>Deux villages cuisent leur pain ensemble. {{7*7}}</description></item>
</channel></rss>
"""
OPML = """\
<?xml version="1.0" encoding="UTF-8"?>
<opml version="2.0"><body><outline type="rss" text="Carnet d'essai" xmlUrl="{url}"/></body></opml>
"""
PEOPLE = """\
email,prenom,base_legale,preuve,consent_at
ana@mairie.example,Ana,consentement,bulletin,2026-01-10
bao@mairie.example,Bảo,consentement,bulletin,2026-01-10
chloe@mairie.example,Chloé,consentement,bulletin,2026-01-10
"""
# The command, giving up sooner on a database that refuses every write.
IMPATIENT = """\
from newsletter.__main__ import main
from newsletter.delivery import commits

commits.PATIENCE_S /= 20
main()
"""


def paris(text):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Paris")).astimezone(UTC)


class Desk:
    """A publication and its verbs, at the instants one says."""

    def __init__(self, root, extra=""):
        open_publication(root, extra)
        self.root = root
        self.settings = load_settings(root / "newsletter.toml", environ={})
        self.engine = open_store(self.settings)
        self.keys = load_keys(self.settings, environ={})

    def import_people(self, now):
        return membership.import_subscribers(
            self.settings, self.engine, self.keys, PEOPLE.encode(), file="people.csv",
            now=now, by=CAMILLE, apply=True,
        )  # fmt: skip

    def write(self, issue_id, **how):
        return write_issue(self.settings, issue_id, **how)

    def approve(self, issue_id, now):
        publishing.approve(self.settings, self.engine, IssueId(issue_id), by=CAMILLE, now=now)

    def tick(self, now, clock=None):
        def launch(run_id):
            dispatch(self.settings, self.engine, self.keys, run_id, clock=clock or (lambda: now))

        report = schedule.tick(
            self.settings, self.engine, self.keys, now, launch=launch, aside=lambda *_: None
        )
        assert report.errors == []
        return [(one.issue_id, one.state.value, one.reason) for one in report.decisions]

    def report(self, issue_id, **asked):
        return running.report(self.engine, IssueId(issue_id), **asked)

    def mail(self):
        """Reader → their messages, oldest first, as the mailbox keeps them."""
        found = {}
        for file in sorted((self.root / "var" / "mailbox" / "new").iterdir()):
            message = email.message_from_bytes(file.read_bytes(), policy=policy.default)
            found.setdefault(str(message["Delivered-To"]), []).append(message)
        return found

    def say(self, capsys, *arguments):
        """Run a command as a person does; return its exit code and its document."""
        capsys.readouterr()
        code = run_command([*arguments, "--json", "--config", str(self.root)])
        return code, json.loads(capsys.readouterr().out)


@pytest.fixture
def open_desk(tmp_path):
    opened = []

    def build(extra="", root=tmp_path):
        opened.append(Desk(root, extra))
        return opened[-1]

    yield build
    for desk in opened:
        desk.engine.dispose()


@pytest.fixture
def start_sink(tmp_path):
    sinks = []

    def start(*rules, name="record.jsonl", **manners):
        sinks.append(Sink(tmp_path / name, Manners(rules=list(rules), **manners)).__enter__())
        return sinks[-1]

    yield start
    for sink in sinks:
        sink.stop()


def post(desk, url, now):
    """One click in a mail program: a POST to the application that answers `url`."""

    async def ask():
        app = create_app(desk.settings, desk.engine, desk.keys, lambda: now)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.post(httpx.URL(url).path, data={"List-Unsubscribe": "One-Click"})

    return asyncio.run(ask()).status_code


# --- from a feed to those who no longer read ----------------------------------------------------


def test_from_a_feed_to_a_suppressed_address(open_desk, tmp_path, capsys):
    feeds = FeedServer()
    try:
        desk = open_desk(f'[feeds]\nallow_private = ["{feeds.place}"]\n')
        url = feeds.serve("/rss.xml", FEED.encode())
        (desk.settings.issues_dir / "feeds.opml").write_text(OPML.format(url=url), "utf-8")
        tuesday = paris("2026-05-05T09:00")
        assert desk.tick(tuesday) == []
        assert fetch.collect(desk.settings, desk.engine, tuesday).counts["new"] == 1
    finally:
        feeds.close()
    desk.import_people(tuesday)

    # Thursday: three people read what the feed told, word for word.
    desk.write("2026-05-07", examples="1")
    desk.approve("2026-05-07", tuesday + DAY)
    assert desk.tick(paris("2026-05-07T07:59")) == []
    assert desk.tick(paris("2026-05-07T08:00")) == [("2026-05-07", "dispatching", "")]
    first = desk.mail()
    assert set(first) == {"ana@mairie.example", "bao@mairie.example", "chloe@mairie.example"}
    text = first["ana@mairie.example"][0].get_body(("plain",)).get_content()
    assert "Un four pour deux villages" in text
    assert "{{7*7}}" in text

    # Ana's address is dead, by the word of a server that got her mail's own return address.
    message = first["ana@mairie.example"][0]
    returned = Outgoing(
        sender=str(message["Return-Path"]).strip("<>"),
        recipient="ana@mairie.example",
        size=0,
        pieces=(message.as_bytes(policy=policy.SMTP),),
    )
    (tmp_path / "bounce.eml").write_bytes(dsn(returned))
    code, said = desk.say(capsys, "feedback", str(tmp_path / "bounce.eml"))
    assert (code, said["messages"]) == (0, 1)
    shown = desk.say(capsys, "subscribers", "show", "ana@mairie.example")[1]
    assert shown["suppressed"] == "bounce"
    assert desk.report("2026-05-07")["bounced"] == 1

    # Bảo leaves in one click, by the header of the message itself.
    leave = str(first["bao@mairie.example"][0]["List-Unsubscribe"]).strip(" <>")
    assert post(desk, leave, paris("2026-05-08T10:00")) == 200

    # No import brings either of them back; the next issue, on the eve of Ascension, is Chloé's.
    plan = desk.import_people(paris("2026-05-11T09:00"))
    assert (plan.counts["added"], plan.counts["protected"]) == (0, 2)
    desk.write("2026-05-13", number=2, story="---\ntitre: Un marché\n---\nLe marché ouvre.\n")
    desk.approve("2026-05-13", paris("2026-05-12T17:00"))
    assert desk.tick(paris("2026-05-13T08:00")) == [("2026-05-13", "dispatching", "")]
    assert {who: len(kept) for who, kept in desk.mail().items()} == {
        "ana@mairie.example": 1, "bao@mairie.example": 1, "chloe@mairie.example": 2,
    }  # fmt: skip
    assert desk.report("2026-05-13")["audience"] == 1

    # Both issues are in the archive, and no reader is.
    code, said = desk.say(capsys, "archive", "--out", str(tmp_path / "archive"))
    assert code == 0
    assert all(Path(file).is_file() for file in said["files"])
    front = (tmp_path / "archive" / "index.html").read_text(encoding="utf-8")
    assert "2026-05-07/" in front
    assert "2026-05-13/" in front
    page = (tmp_path / "archive" / "2026-05-07" / "index.html").read_text(encoding="utf-8")
    assert "Un four pour deux villages" in page
    assert not re.search("mairie\\.example|Chloé|[\ue000\ue001]|/u/", page)


def test_an_approval_at_twenty_past_eight_leaves_then_unless_a_comma_changes(open_desk):
    desk = open_desk()
    tuesday = paris("2026-05-05T09:00")
    desk.tick(tuesday)
    desk.import_people(tuesday)
    folder = desk.write("2026-05-07")
    eight = paris("2026-05-07T08:00")
    assert desk.tick(eight) == [("2026-05-07", "held", "not_approved")]
    desk.approve("2026-05-07", eight + 10 * MINUTE)
    story = folder / "10-cuisine.md"
    signed = story.read_text(encoding="utf-8")
    story.write_text(signed.replace("communes ont", "communes, ont"), encoding="utf-8")
    assert desk.tick(eight + 15 * MINUTE) == [("2026-05-07", "held", "changed")]
    story.write_text(signed, encoding="utf-8")
    assert desk.tick(eight + 20 * MINUTE) == [("2026-05-07", "dispatching", "")]
    message = desk.mail()["bao@mairie.example"][0]
    assert message["Date"].datetime == eight + 20 * MINUTE


def test_one_click_in_mid_run_is_obeyed_in_that_run(open_desk, start_sink):
    """The first reader taken is the last to be written to: all others click meanwhile."""
    sink = start_sink()
    desk = open_desk(f'[relay]\nurl = "{sink.url}"\nconnections = 1\nwindow = 1\n')
    eight = paris("2026-05-07T08:00")
    desk.tick(eight - DAY)
    with database.write(desk.engine) as connection:
        for number in range(1, 31):
            add_reader(connection, number)
    desk.write("2026-05-07")
    desk.approve("2026-05-07", eight - HOUR)
    clicked = []
    turn = threading.Lock()

    def clock():  # asked by several threads: one of them acts
        if sink.record.stat().st_size and turn.acquire(blocking=False):
            clicked.append(len(sink.accepted()))
            for number in range(1, 31):
                membership.unsubscribe_address(
                    desk.engine, desk.keys, f"lectrice{number}@example.org", by="web", now=eight
                )
        return eight

    desk.tick(eight, clock)
    report = desk.report("2026-05-07")
    assert report["run"]["state"] == "done"
    assert report["sent"] == len(sink.accepted()) <= clicked[0] + 4
    assert report["sent"] + report["cancelled"] == report["audience"] == 30


# --- a relay that hangs up ----------------------------------------------------------------------


@pytest.fixture
def doubtful(open_desk, start_sink, capsys, no_backoff):
    """An issue of today, sent; of one reader nobody knows whether they received it."""
    sink = start_sink(Rule("accepted", "drop", "lectrice2@", 1))
    place = begin(open_desk, sink, readers=3)
    code, said = place.desk.say(capsys, "send", place.issue, "--now")
    assert (code, said["state"]) == (1, "done")
    return SimpleNamespace(**vars(place), sink=sink)


def test_the_unknown_are_listed_by_name(doubtful, capsys):
    code, said = doubtful.desk.say(capsys, "report", doubtful.issue, "--state", "unknown")
    assert (code, said["sent"], said["unknown"]) == (0, 2, 1)
    (reader,) = said["readers"]
    assert (reader["address"], reader["state"]) == ("lectrice2@example.org", "unknown")
    assert reader["reason"]
    # Nothing sends again by itself.
    assert doubtful.desk.say(capsys, "send", doubtful.issue)[1]["reason"] == "already sent"
    assert len(doubtful.sink.accepted()) == 3


def test_sent_again_the_unknown_still_want_a_decision(doubtful, capsys):
    assert doubtful.desk.say(capsys, "send", doubtful.issue)[0] == 1
    doubtful.desk.say(capsys, "resolve", doubtful.issue, "--leave")
    assert doubtful.desk.say(capsys, "send", doubtful.issue)[0] == 0


def test_the_unknown_can_be_left(doubtful, capsys):
    code, said = doubtful.desk.say(capsys, "resolve", doubtful.issue, "--leave")
    assert (code, said["unknown"]) == (0, 0)
    report = doubtful.desk.report(doubtful.issue)
    assert (report["unknown"], report["left"]) == (1, 1)
    assert len(doubtful.sink.accepted()) == 3


def test_the_unknown_can_be_sent_again_with_the_very_same_bytes(doubtful, capsys):
    code, said = doubtful.desk.say(capsys, "resolve", doubtful.issue, "--resend")
    assert (code, said["pending"], said["unknown"]) == (0, 1, 0)
    assert doubtful.desk.say(capsys, "send", doubtful.issue)[0] == 0
    report = doubtful.desk.report(doubtful.issue)
    assert (report["sent"], report["unknown"]) == (3, 0)
    twice = [one for one in doubtful.sink.accepted() if one.recipient == "lectrice2@example.org"]
    assert len(twice) == 2
    assert len({(one.message_id, one.date, one.sha256) for one in twice}) == 1


def test_a_log_that_proves_nothing_leaves_them_and_says_why(doubtful, capsys, tmp_path):
    file = tmp_path / "mail.log"
    file.write_text("2026-05-07T08:00:00Z relay postfix/anvil[4]: statistics\n", encoding="ascii")
    arguments = ["resolve", doubtful.issue, "--relay-log", str(file)]
    assert run_command([*arguments, "--config", str(doubtful.desk.root)]) == 1
    said = capsys.readouterr()
    assert said.out.endswith("0 sent, 0 pending, 1 unknown\n")
    assert said.err.startswith("1 unknown still: the log must reach from 10 minutes before")


# --- processes that die, or are two -------------------------------------------------------------


def begin(open_desk, sink, *, readers):
    """A publication whose slot was a minute ago, approved, towards *sink*: real processes run it.

    It was born an hour before its slot, since a slot before a publication's birth is nobody's.
    """
    slot = datetime.now(UTC).replace(second=0, microsecond=0) - MINUTE
    names = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    desk = open_desk(
        f'[schedule]\nday = "{names[slot.weekday()]}"\ntime = "{slot:%H:%M}:00"\n'
        f'holidays = "keep"\n[relay]\nurl = "{sink.url}"\nconnections = 1\nwindow = 1\n'
    )
    file = desk.root / "newsletter.toml"
    told = file.read_text(encoding="utf-8")
    file.write_text(
        told.replace("[publication]\n", '[publication]\ntimezone = "UTC"\n', 1), encoding="utf-8"
    )
    desk.settings = load_settings(file, environ={})
    running.is_restored(desk.settings, desk.engine, slot - HOUR)
    with database.write(desk.engine) as connection:
        for number in range(1, readers + 1):
            add_reader(connection, number)
    issue = f"{slot:%Y-%m-%d}"
    desk.write(issue)
    desk.approve(issue, slot - HOUR)
    return SimpleNamespace(desk=desk, issue=issue, slot=slot)


def newsletter(root, *arguments, limit=None, **environ):
    """Start the command in a process of its own."""

    kept = {key: value for key, value in os.environ.items() if not key.startswith("NEWSLETTER_")}
    command = [sys.executable, "-m", "newsletter", *arguments, "--config", str(root)]
    if limit:
        command[1:3] = ["-c", IMPATIENT]
        # in blocks of 512 octets; Python ignores the signal that would tell of it
        command = ["sh", "-c", f'ulimit -f {limit // 512}; exec "$@"', "sh", *command]
    return subprocess.Popen(
        command, env=kept | environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=Path(__file__).parent.parent,
    )  # fmt: skip


def readers_of(sink):
    """Who was taken, without the letters to the team."""
    return [one.recipient for one in sink.accepted() if one.recipient.startswith("lectrice")]


def judge(sink, report, *, unknown):
    """Nobody twice, nobody lost track of, at most so many in doubt."""
    taken = Counter(readers_of(sink))
    assert not {who for who, count in taken.items() if count > 1}
    assert report["run"]["state"] == "done"
    assert report["sent"] + report["unknown"] == report["audience"]
    assert report["sent"] <= len(taken) <= report["sent"] + report["unknown"]
    assert report["unknown"] <= unknown


@pytest.mark.parametrize("crash", ["dot.after:5", "commit.before:4", "run.started:1"])
def test_a_run_killed_at_its_slot_goes_on_seven_hours_later(open_desk, start_sink, crash):
    sink = start_sink()
    place = begin(open_desk, sink, readers=12)
    killed = newsletter(place.desk.root, "run", **{crash_points.VARIABLE: crash})
    killed.communicate(timeout=300)
    assert killed.returncode == crash_points.EXIT_CODE
    before = place.desk.report(place.issue)
    assert before["run"]["state"] == "dispatching"
    assert before["sent"] < 12
    place.desk.tick(place.slot + 7 * HOUR)
    judge(sink, place.desk.report(place.issue), unknown=3)


def test_two_schedulers_at_once_send_one_issue(open_desk, start_sink):
    sink = start_sink()
    place = begin(open_desk, sink, readers=40)
    both = [newsletter(place.desk.root, "run", "--json") for _ in range(2)]
    said = [one.communicate(timeout=300) for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    judge(sink, place.desk.report(place.issue), unknown=0)
    assert len(readers_of(sink)) == 40
    letters = Counter(one.recipient for one in sink.accepted()) - Counter(readers_of(sink))
    assert set(letters.values()) <= {1}, "a notice twice"


def test_a_copy_of_a_publication_holds_until_it_is_adopted(open_desk, start_sink, tmp_path, capsys):
    sink = start_sink()
    (tmp_path / "old").mkdir()
    place = begin(lambda extra: open_desk(extra, tmp_path / "old"), sink, readers=2)
    place.desk.engine.dispose()
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    (tmp_path / "new" / "var" / "instance").unlink()

    def say(*arguments):
        capsys.readouterr()
        code = run_command([*arguments, "--json", "--config", str(tmp_path / "new")])
        return code, json.loads(capsys.readouterr().out)

    assert say("run") == (
        1,
        {
            "issue": place.issue,
            "slot": f"{place.slot:%Y-%m-%dT%H:%M:%S}Z",
            "state": "held",
            "reason": "restored",
        },
    )
    assert readers_of(sink) == []
    assert say("adopt") == (0, {"adopted": True})
    assert say("run")[0] == 0
    assert len(readers_of(sink)) == 2
    code, told = say("run")
    assert (code, told["state"]) == (0, "due")


@pytest.mark.parametrize("backup", ["before the run", "in the middle of it"])
def test_a_backup_put_back_in_place_holds_until_it_is_adopted(
    open_desk, start_sink, capsys, backup
):
    sink = start_sink()
    place = begin(open_desk, sink, readers=12)
    desk = place.desk
    if backup == "in the middle of it":
        killed = newsletter(desk.root, "run", **{crash_points.VARIABLE: "dot.after:5"})
        killed.communicate(timeout=300)
        assert killed.returncode == crash_points.EXIT_CODE
    desk.engine.dispose()
    file = Path(desk.engine.url.database)
    shutil.copy(file, desk.root / "backup.db")
    desk.tick(place.slot + 2 * HOUR)
    assert desk.report(place.issue)["run"]["state"] == "done"
    taken = Counter(readers_of(sink))
    assert set(taken.values()) == {1}  # a dot that left with a kill may have been lost on its way
    desk.engine.dispose()
    (desk.root / "backup.db").replace(file)

    for minutes in (1, 2):
        later = place.slot + 2 * HOUR + minutes * MINUTE
        assert desk.tick(later) == [(place.issue, "held", "restored")]
    code, told = desk.say(capsys, "send", place.issue, "--now")
    assert (code, "restored" in told["error"]["message"]) == (1, True)
    assert desk.say(capsys, "adopt") == (0, {"adopted": True})
    desk.tick(place.slot + 2 * HOUR + 3 * MINUTE)
    if backup == "before the run":
        assert desk.report(place.issue)["run"] == {"state": "missed", "reason": "restored"}
        assert desk.say(capsys, "skip", place.issue, "--reason", "sent before")[0] == 0
    else:  # who waited in the backup may have been written to since: nobody knows
        judge(sink, desk.report(place.issue), unknown=12)
    assert Counter(readers_of(sink)) == taken


def test_a_full_disk_is_one_clear_line_and_nothing_is_lost(open_desk, start_sink):
    """The files of the database may not grow: as on a full disk, every write beyond is refused."""
    sink = start_sink()
    place = begin(open_desk, sink, readers=60)
    place.desk.engine.dispose()
    store = place.desk.root / "subscribers" / "newsletter.db"
    full = newsletter(place.desk.root, "send", place.issue, limit=store.stat().st_size + 100_000)
    _, said = full.communicate(timeout=300)
    assert full.returncode == 3, said
    lines = [line for line in said.splitlines() if not re.match(r"sending .*\d+/\d+", line)]
    assert len(lines) == 1, said
    assert lines[0].startswith("newsletter: ")
    assert "Traceback" not in said
    assert len(sink.accepted()) < 60

    again = newsletter(place.desk.root, "send", place.issue, "--json")
    out, said = again.communicate(timeout=300)
    report = place.desk.report(place.issue)
    assert again.returncode == (1 if report["unknown"] else 0), said
    assert json.loads(out)["state"] == "done"
    judge(sink, report, unknown=3)


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", ["send", "run"])
def test_a_dispatch_that_is_asked_to_end_ends_cleanly(open_desk, start_sink, command, asked):
    """SIGTERM or Ctrl-C in mid-run: what was begun is answered for, the rest stays, exit 4."""
    sink = start_sink(reply_delay_s=0.1)
    place = begin(open_desk, sink, readers=200)  # more than it can send before it is told
    arguments = ("send", place.issue) if command == "send" else ("run",)
    sending = newsletter(place.desk.root, *arguments, "--json")
    wait_until(lambda: sink.accepted() or sending.poll() is not None)
    sending.send_signal(asked)
    out, said = sending.communicate(timeout=300)
    assert sending.returncode == 4, said
    assert ("stopping: waiting for answers" in said) is (asked is signal.SIGINT)
    assert json.loads(out)["state"] == "dispatching"
    report = place.desk.report(place.issue)
    assert report["pending"] > 0
    assert report["unknown"] == 0
    sink.manners.reply_delay_s = 0.0
    place.desk.tick(datetime.now(UTC))
    judge(sink, place.desk.report(place.issue), unknown=0)
