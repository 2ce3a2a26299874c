"""The same run by two workers on PostgreSQL, against one dispatcher on SQLite."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from sqlalchemy import Engine

from benchmarks import readers, sinks
from benchmarks.end_to_end import dispatch_once
from benchmarks.figures import Figure, Options, interleave, rate_ratio, say, sum_up
from benchmarks.messages import BIG, SMALL, Size
from newsletter.config import Settings, load_keys
from newsletter.delivery import queue
from newsletter.delivery.dispatch import dispatch
from newsletter.model import RunId
from newsletter.store import breakdown, database, opening, runs

WORKERS = 2
AT_MOST_S = 300


def measure(options: Options) -> Iterator[Figure]:
    """Yield the ratio of PostgreSQL with its workers to SQLite, into the same sink."""
    for size in (BIG, SMALL):
        yield _measure(size, options)


def _measure(size: Size, options: Options) -> Figure:
    count = options.count(20_000, 5_000)
    say(f"PostgreSQL with {WORKERS} workers, and SQLite: {size.name}, {count:,} readers")
    with sinks.smtp_sink() as port, server() as url:
        samples = interleave(
            {
                "PostgreSQL": (partial(_dispatch_by_workers, url, port, count, size), count),
                "SQLite": (partial(dispatch_once, port, count, size), count),
            },
            options.rounds,
        )
    return Figure(
        benchmark="postgresql",
        what=f"{size.name} into smtp-sink, {WORKERS} workers",
        rival="SQLite, one dispatcher",
        measured=rate_ratio(samples, "PostgreSQL", "SQLite"),
        target=0.8,
        detail=sum_up(samples),
    )


def _dispatch_by_workers(url: str, port: int, count: int, size: Size) -> tuple[float, float]:
    """Hand a fresh run to waiting workers; return (wall, CPU) seconds until all is sent."""
    with (
        _fresh_database(url) as fresh,
        tempfile.TemporaryDirectory(prefix="newsletter-bench-") as folder,
    ):
        settings = readers.make_publication(Path(folder), port, database_url=fresh)
        run_id = readers.open_run(settings, count, size)
        engine = opening.open_store(settings)
        try:
            with _workers(Path(folder), engine) as processes:
                before = sum(map(_cpu_s, processes))
                started_at = datetime.now(UTC)
                _hand_over(settings, engine, run_id)
                _wait_until(lambda: _finished_at(engine, run_id) is not None)
                spent_s = sum(map(_cpu_s, processes)) - before
                if (sent := _sent(engine, run_id)) != count:
                    raise SystemExit(f"{sent} of {count} were sent")
                finished_at = _finished_at(engine, run_id)
                assert finished_at is not None  # waited for
                return (finished_at - started_at).total_seconds(), spent_s
        finally:
            engine.dispose()


def _hand_over(settings: Settings, engine: Engine, run_id: int) -> None:
    keys = load_keys(settings, environ={})
    result = dispatch(settings, engine, keys, run_id, clock=lambda: datetime.now(UTC))
    if result.reason != "queued":
        raise SystemExit(f"the workers were not asked: {result}")


@contextmanager
def _workers(folder: Path, engine: Engine) -> Iterator[list[subprocess.Popen[bytes]]]:
    command = [sys.executable, "-m", "benchmarks.working", str(folder)]
    processes = []
    try:
        for number in range(1, WORKERS + 1):
            # One after the other: the first lays down the tables of the queue.
            processes.append(subprocess.Popen(command))
            _wait_until(partial(_are_ready, engine, number))
        yield processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def _are_ready(engine: Engine, wanted: int) -> bool:
    with database.read(engine) as connection:
        return queue.count_workers(connection) == wanted


def _finished_at(engine: Engine, run_id: RunId) -> datetime | None:
    """When the last batch ended; counting the readers would load the server."""
    with database.read(engine) as connection:
        run = runs.read_run_by_id(connection, run_id)
    return run.finished_at if run else None


def _sent(engine: Engine, run_id: int) -> int:
    with database.read(engine) as connection:
        return breakdown.tally(connection, run_id).sent


def _wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + AT_MOST_S
    while not is_true():
        if time.monotonic() > deadline:
            raise SystemExit("the workers do not come to an end")
        time.sleep(0.05)


def _cpu_s(process: subprocess.Popen[bytes]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def server() -> Iterator[str]:
    """Start PostgreSQL as it comes (fsync on) on loopback; yield its URL without a database."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        raise SystemExit("PostgreSQL is missing: apt-get install postgresql")
    binaries = found[-1].parent
    folder = Path(tempfile.mkdtemp(prefix="newsletter-bench-pg-"))
    # PostgreSQL refuses to run as root: become its own user there.
    become = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if become:
        shutil.chown(folder, "postgres")
    port, data = sinks.free_port(), str(folder / "data")
    quiet = {"cwd": "/", "stdout": subprocess.DEVNULL}
    pg_ctl = [*become, str(binaries / "pg_ctl"), "-D", data]
    try:
        subprocess.run(
            [*become, str(binaries / "initdb"), "-U", "newsletter", "-A", "trust", "-E", "UTF8",
             "--locale=C.UTF-8", "-D", data], check=True, **quiet,
        )  # fmt: skip
        options = f"-p {port} -k {folder} -h {sinks.HOST}"
        start = [*pg_ctl, "-w", "-o", options, "-l", str(folder / "log"), "start"]
        subprocess.run(start, check=True, **quiet)
        yield f"postgresql+psycopg://newsletter@{sinks.HOST}:{port}"
    finally:
        subprocess.run([*pg_ctl, "-m", "immediate", "stop"], check=False, **quiet)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _fresh_database(url: str) -> Iterator[str]:
    """Yield the URL of an empty database."""
    name = "bench_" + os.urandom(6).hex()
    admin = database.open_engine(f"{url}/postgres").execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield f"{url}/{name}"
    finally:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        admin.dispose()
