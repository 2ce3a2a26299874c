"""Figures of this publication as Prometheus text, and its health, served on loopback.

In: an engine, an instant. Out: text exposition format 0.0.4; ``/metrics`` and ``/healthz`` when
``[watch] port`` is set. Never: an address, a name, or anything of one reader.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from sqlalchemy import ColumnElement, Connection, Engine, func, select

from newsletter.config import Settings
from newsletter.content.calendar import slots_between
from newsletter.delivery.states import SELF_STOPS
from newsletter.errors import ConfigError, NewsletterError
from newsletter.model import DeliveryState, RunId, RunState, SubscriberState
from newsletter.store import database, runs, schema
from newsletter.store.trouble import find_trouble

# DESIGN 5.10: a heartbeat older than this, or a due slot unclaimed for so long, is a failure; a
# run whose relay fails for so long is one as well.
HEARTBEAT_LIMIT = timedelta(seconds=120)
UNCLAIMED_LIMIT = timedelta(minutes=15)
RUNS_SHOWN = 8

Labels = Mapping[str, str]


def collect_metrics(engine: Engine, now: datetime) -> str:
    """Return every figure; the last runs carry their issue as a label."""
    with database.read(engine) as connection:
        return "".join(_expose(connection, now))


def _expose(connection: Connection, now: datetime) -> Iterator[str]:
    yield from _family(
        "newsletter_heartbeat_age_seconds",
        "Seconds since the schedule last ticked; -1 when it never did.",
        [({}, -1.0 if (age_s := _heartbeat_age_s(connection, now)) is None else age_s)],
    )
    yield from _family(
        "newsletter_subscribers", "People on the list, by state.", _count_people(connection)
    )
    yield from _family(
        "newsletter_letters", "Letters to one person, by state.", _count_letters(connection)
    )
    yield from _family(
        "newsletter_feeds_failing", "Feeds whose last poll failed.", [({}, _failing(connection))]
    )
    recent = connection.execute(
        select(schema.run).order_by(schema.run.c.slot_at.desc()).limit(RUNS_SHOWN)
    ).all()
    yield from _family(
        "newsletter_run_state",
        "1 for the state in which a run is.",
        [
            ({"issue": run.issue_id, "kind": run.kind, "state": state.value}, run.state == state)
            for run in recent
            for state in RunState
        ],
    )
    yield from _family(
        "newsletter_run_stopped",
        "1 for a run that stands still until a person goes on with it.",
        [({"issue": run.issue_id, "kind": run.kind}, run.stopped) for run in recent],
    )
    yield from _family(
        "newsletter_run_waiting_seconds",
        "Seconds since the relay of a run first failed; 0 once it has answered for a reader again.",
        [
            ({"issue": run.issue_id, "kind": run.kind}, _waiting_s(connection, run.id, now))
            for run in recent
        ],
    )
    yield from _family(
        "newsletter_deliveries",
        "Readers of a run, by state.",
        [
            ({"issue": run.issue_id, "kind": run.kind, "state": state}, count)
            for run in recent
            for state, count in _count_deliveries(connection, run.id).items()
        ],
    )


def _family(name: str, meaning: str, samples: Iterable[tuple[Labels, float]]) -> Iterator[str]:
    yield f"# HELP {name} {meaning}\n# TYPE {name} gauge\n"
    for labels, value in samples:
        shown = ",".join(f'{label}="{_escape(text)}"' for label, text in labels.items())
        yield f"{name}{{{shown}}} {float(value):g}\n" if shown else f"{name} {float(value):g}\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _heartbeat_age_s(connection: Connection, now: datetime) -> float | None:
    """Return None when it never ticked; below 0 after a clock that went back."""
    beat_at: datetime | None = connection.scalar(select(schema.instance.c.heartbeat_at))
    return (now - beat_at).total_seconds() if beat_at else None


def _count_people(connection: Connection) -> list[tuple[Labels, float]]:
    column = schema.subscriber.c.state
    counted = _count_by(connection, column)
    return [({"state": state.value}, counted.get(state, 0)) for state in SubscriberState]


def _count_letters(connection: Connection) -> list[tuple[Labels, float]]:
    column = schema.letter.c.state
    return [({"state": state}, count) for state, count in _count_by(connection, column).items()]


def _waiting_s(connection: Connection, run_id: int, now: datetime) -> float:
    run = runs.read_run_by_id(connection, RunId(run_id))
    waits = find_trouble(connection, run) if run and not run.stopped else None
    return max(0.0, (now - waits.since).total_seconds()) if waits else 0.0


def _failing(connection: Connection) -> float:
    failing = select(func.count()).where(schema.feed.c.failures > 0)
    return connection.scalar(failing) or 0


def _count_deliveries(connection: Connection, run_id: int) -> dict[str, int]:
    column = schema.delivery.c.state
    counted = _count_by(connection, column, schema.delivery.c.run_id == run_id)
    return {state.value: counted.get(state, 0) for state in DeliveryState}


def _count_by(
    connection: Connection, column: ColumnElement[str], *where: ColumnElement[bool]
) -> dict[str, int]:
    rows = connection.execute(
        select(column, func.count()).where(*where).group_by(column).order_by(column)
    )
    return {str(value): int(count) for value, count in rows}


def find_faults(settings: Settings, engine: Engine, now: datetime) -> tuple[str, ...]:
    """Return what makes this installation unhealthy, a sentence each; () when it is well."""
    try:
        with database.read(engine) as connection:
            age_s = _heartbeat_age_s(connection, now)
            stuck = (
                *find_unclaimed(settings, connection, now),
                *find_stopped(connection),
                *find_waiting(connection, now),
            )
    except NewsletterError as error:
        return (str(error),)
    if age_s is None:
        return ("the schedule has never ticked",)
    if age_s > HEARTBEAT_LIMIT.total_seconds():
        return (f"the schedule last ticked {age_s:.0f} s ago", *stuck)
    return stuck


def find_unclaimed(settings: Settings, connection: Connection, now: datetime) -> Iterator[str]:
    """A slot that was due and has no run, or one still due, is one that no tick has claimed."""
    born_at = runs.born_at(connection)
    lateness = timedelta(hours=settings.schedule.max_lateness_h)
    for slot in slots_between(settings, now - lateness, now - UNCLAIMED_LIMIT):
        known = runs.read_run(connection, slot.issue_id)
        waits = known is None or known.state is RunState.DUE
        if waits and not slot.skipped and born_at is not None and born_at < slot.at:
            yield f"nothing has claimed the issue of {slot.issue_id}"


def find_stopped(connection: Connection) -> Iterator[str]:
    """A run that stopped itself; one that a person stopped is as that person wants it."""
    for run in runs.unfinished_runs(connection):
        if run.stopped and run.reason in SELF_STOPS:
            yield f"the issue of {run.issue_id} has stopped itself ({run.reason})"


def find_waiting(connection: Connection, now: datetime) -> Iterator[str]:
    """A run whose relay has answered for nobody for too long; a person may have to mend it."""
    for run in runs.unfinished_runs(connection):
        waits = None if run.stopped else find_trouble(connection, run)
        if waits is not None and now - waits.since >= UNCLAIMED_LIMIT:
            since = f"{waits.since:%Y-%m-%d at %H:%M} UTC"
            yield f"the issue of {run.issue_id} waits for its relay since {since}: {waits.said}"


@contextmanager
def serve_figures(
    settings: Settings, engine: Engine, port: int, clock: Callable[[], datetime]
) -> Iterator[int]:
    """Serve ``/metrics`` and ``/healthz`` on loopback while the block lasts; yield the port.

    Raise ConfigError when the port cannot be had.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(self._begin())

        def do_HEAD(self) -> None:
            """Monitors of uptime ask so: the status is the answer."""
            self._begin()

        def _begin(self) -> bytes:
            """Send status and headers; return the body that a GET has below them."""
            status, text = _answer(self.path, settings, engine, clock())
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            return body

        def log_message(self, *_: object) -> None:
            """Say nothing: a scraper asks every few seconds."""

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise ConfigError(
            f"the port {port} cannot be used: {error.strerror or error}",
            key="watch.port",
            remedy="name another one in [watch] port, or 0 for none",
        ) from None
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="figures", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(path: str, settings: Settings, engine: Engine, now: datetime) -> tuple[int, str]:
    if path == "/metrics":
        try:
            return 200, collect_metrics(engine, now)
        except NewsletterError as error:
            return 503, f"# {error}\n"
    if path == "/healthz":
        faults = find_faults(settings, engine, now)
        return (503, "\n".join(faults) + "\n") if faults else (200, "well\n")
    return 404, "try /metrics or /healthz\n"
