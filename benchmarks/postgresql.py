"""The same run on PostgreSQL with two dispatching processes, against SQLite with one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import sinks
from benchmarks.end_to_end import dispatch_once
from benchmarks.figures import Figure, Options, interleave, rate_ratio, say, sum_up
from benchmarks.messages import SMALL
from newsletter.store import database


def measure(options: Options) -> Iterator[Figure]:
    """Yield the ratio of PostgreSQL to SQLite, into the same sink."""
    count = options.count(20_000, 5_000)
    say(f"PostgreSQL and SQLite, {SMALL.name}, {count:,} readers")
    with sinks.smtp_sink() as port, server() as url:

        def on_postgresql() -> tuple[float, float]:
            with fresh_database(url) as fresh:
                return dispatch_once(port, count, SMALL, database_url=fresh)

        samples = interleave(
            {
                "PostgreSQL": (on_postgresql, count),
                "SQLite": (lambda: dispatch_once(port, count, SMALL), count),
            },
            options.rounds,
        )
    yield Figure(
        benchmark="postgresql",
        what=f"{SMALL.name} into smtp-sink",
        rival="SQLite, one dispatcher",
        measured=rate_ratio(samples, "PostgreSQL", "SQLite"),
        target=0.8,
        detail=sum_up(samples),
    )


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
def fresh_database(url: str) -> Iterator[str]:
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
