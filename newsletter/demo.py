"""The sample publication, whole: feeds → issue → approval → Thursday → a mailbox on this machine.

In: a folder (or none: a scratch one), a way to say a line, a progress report. Out: what happened,
as values. Never: a real address, another network than loopback, a wait: the clock is simulated.
"""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from sqlalchemy import Engine

from newsletter import membership, publishing, running, schedule
from newsletter.config import FILE_NAME, Keys, Settings, load_keys, load_settings, write_keys
from newsletter.content.calendar import instant, long_date
from newsletter.delivery.dispatch import dispatch
from newsletter.errors import ConfigError
from newsletter.examples import fetch
from newsletter.model import IssueId, RunId, Tally
from newsletter.rendering import write_rendering
from newsletter.starting import copy_folder, sample_dir
from newsletter.store import database, runs
from newsletter.store.opening import open_store

ISSUE = IssueId("2026-05-07")
APPROVER = "Solène Marchetti"
MARK = "demo"  # a file: the folder was made by the demo, which may write there again
Say = Callable[[str], None]
Progress = Callable[[int, int, str], None]


def run_demo(folder: Path | None, *, say: Say, progress: Progress) -> dict[str, Any]:
    """Play the week of the sample's first issue in *folder* and return what came of it."""
    folder = folder or Path(tempfile.mkdtemp(prefix="newsletter-demo-"))
    _claim(folder)
    say(f"A week of « Les Jeudis de l’ODD 17 » (fictional people), played in {folder}")
    _copy_sample(folder)
    with _serve(folder / "issues" / "feeds") as port:
        settings, engine, keys = _open(folder, port)
        collected = _collect(settings, engine, say)
    _enroll(settings, engine, keys, say)
    if _has_begun(engine):
        say("")
        say("This week was played here before: nobody receives it twice.")
    else:
        _prepare(settings, engine, say)
    story = _dispatch(settings, engine, keys, say, progress)
    engine.dispose()
    mailbox = settings.var_dir / "mailbox"
    story |= {"folder": str(folder), "collected": collected, "mailbox": str(mailbox)}
    _show_the_way(folder, mailbox, say)
    return story


def _claim(folder: Path) -> None:
    """Mark the folder as the demo's; raise ConfigError when it holds something of somebody's."""
    mark = folder / "var" / MARK
    if mark.exists():
        return
    try:
        if folder.exists() and any(folder.iterdir()):
            raise ConfigError(
                "this folder is not empty",
                path=str(folder),
                remedy="name a new one, or none: a scratch folder is made",
            )
        mark.parent.mkdir(parents=True)
        mark.touch()
    except OSError as error:
        raise ConfigError(f"cannot be used: {error.strerror}", path=str(folder)) from None


def _has_begun(engine: Engine) -> bool:
    with database.read(engine) as connection:
        run = runs.read_run(connection, ISSUE)
    return run is not None and run.started_at is not None


def _copy_sample(folder: Path) -> None:
    sample = sample_dir()
    for name in ("issues", "templates"):
        copy_folder(sample / name, folder / name)
    (folder / "subscribers").mkdir(parents=True, exist_ok=True)
    for name in (FILE_NAME, "scheduler.py", "subscribers/sample.csv"):
        shutil.copy(sample / name, folder / name)
    if not (folder / "var" / "keys").exists():
        write_keys(folder / "var" / "keys")


@contextmanager
def _serve(folder: Path) -> Iterator[int]:
    """Serve the sample's feeds on a free loopback port."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing: the demo tells its own story."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _open(folder: Path, port: int) -> tuple[Settings, Engine, Keys]:
    """Open the copy, its feeds turned to the loopback server that plays them."""
    feeds = folder / "issues" / "feeds.opml"
    played = feeds.read_text(encoding="utf-8").replace(
        "https://flux.alliances.example/", f"http://127.0.0.1:{port}/"
    )
    feeds.write_text(played, encoding="utf-8")
    settings = load_settings(folder / FILE_NAME, environ={})
    allowed = settings.feeds.model_copy(update={"allow_private": (f"127.0.0.1:{port}",)})
    settings = settings.model_copy(update={"feeds": allowed})
    return settings, open_store(settings), load_keys(settings, environ={})


def _at(settings: Settings, day: date, clock: time) -> datetime:
    return instant(day, clock, settings.publication.zone)


def _tell(settings: Settings, moment: datetime, text: str, say: Say) -> None:
    local = moment.astimezone(settings.publication.zone)
    say("")
    say(f"— {long_date(local.date(), 'en')}, {local:%H:%M} — {text}")


def _collect(settings: Settings, engine: Engine, say: Say) -> dict[str, int]:
    tuesday = _at(settings, date(2026, 5, 5), time(9, 0))
    _tell(settings, tuesday, "newsletter collect", say)
    report = fetch.collect(settings, engine, tuesday)
    for feed in report.feeds:
        say(f"  {feed.title}: {len(feed.entries)} entries, {feed.repaired} repaired")
    say("  " + ", ".join(f"{count} {name}" for name, count in report.counts.items() if count))
    return report.counts


def _enroll(settings: Settings, engine: Engine, keys: Keys, say: Say) -> None:
    tuesday = _at(settings, date(2026, 5, 5), time(9, 30))
    _tell(settings, tuesday, "newsletter subscribers import subscribers/sample.csv --apply", say)
    file = settings.root / "subscribers" / "sample.csv"
    plan = membership.import_subscribers(
        settings,
        engine,
        keys,
        file.read_bytes(),
        file=file.name,
        now=tuesday,
        by="demo",
        apply=True,
    )
    say("  " + ", ".join(f"{count} {name}" for name, count in plan.counts.items() if count))


def _prepare(settings: Settings, engine: Engine, say: Say) -> None:
    wednesday = _at(settings, date(2026, 5, 6), time(16, 0))
    _tell(settings, wednesday, f"newsletter check {ISSUE}, then render it", say)
    draft = publishing.check(settings, engine, ISSUE)
    if draft.edition is None or draft.issue is None:
        say("  it cannot be rendered")
        return
    say(f"  {len(draft.findings)} finding(s); examples picked: {', '.join(draft.edition.picks)}")
    write_rendering(settings, draft.issue, draft.edition, settings.root / "out" / ISSUE)
    _tell(settings, wednesday + timedelta(hours=1), f"{APPROVER} approves", say)
    approved = publishing.approve(
        settings, engine, ISSUE, by=APPROVER, now=wednesday + timedelta(hours=1)
    )
    say(f"  digest {approved.signatures.digest[:12]}, {approved.readers} people would receive it")


def _dispatch(
    settings: Settings, engine: Engine, keys: Keys, say: Say, progress: Progress
) -> dict[str, Any]:
    thursday = _at(settings, date(2026, 5, 7), time(8, 0))
    if not _has_begun(engine):
        before = thursday - timedelta(minutes=1)
        schedule.tick(settings, engine, keys, before, launch=_refuse)
        _tell(settings, before, "the schedule ticks: nothing is due yet", say)
        _tell(settings, thursday, "the schedule ticks: the issue leaves", say)

    def launch(run_id: RunId) -> None:
        dispatch(
            settings,
            engine,
            keys,
            run_id,
            clock=lambda: thursday,
            progress=lambda tally: progress(_settled(tally), tally.audience, "messages"),
        )

    schedule.tick(settings, engine, keys, thursday, launch=launch)
    report = running.report(engine, ISSUE)
    say(f"  run: {report['run']['state']}")
    parts = [f"{report[name]} {name}" for name in running.TALLY[1:9] if report[name]]
    say(f"  {report['audience']} readers = {' + '.join(parts)}")
    return {"report": report}


def _refuse(run_id: RunId) -> None:
    raise AssertionError(f"run {run_id} began before its time")


def _settled(tally: Tally) -> int:
    return tally.audience - tally.pending - tally.sending - tally.deferred


def _show_the_way(folder: Path, mailbox: Path, say: Say) -> None:
    messages = sorted((mailbox / "new").iterdir())
    out = folder / "out" / ISSUE
    say("")
    say(f"{len(messages)} messages in {mailbox}")
    say(f"  the page     {out / 'index.html'}")
    say(f"  the text     {out / 'issue.txt'}")
    say(f"  a message    {messages[0]}")
    say("What to try next:")
    place = shlex.quote(str(folder))
    say(f"  newsletter report {ISSUE} --config {place}")
    say(f"  newsletter preview 2026-05-13 --config {place}")
    say("  newsletter init my-letter")
