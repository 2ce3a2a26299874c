"""A PostgreSQL server of the tests' own, in a temporary folder, that may be stopped at once."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import pytest
from sqlalchemy import create_engine

from tests.ports import find_port
from tests.scratch import find_scratch

_RUN = {"cwd": "/", "check": True, "stdout": subprocess.DEVNULL}


class Cluster:
    """A server on a loopback port of ours; *options* are those of ``postgres``."""

    def __init__(self, options: str = "") -> None:
        self._binaries = _find_binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="newsletter-pg-", dir=find_scratch()))
        # PostgreSQL refuses to run as root: become its own user there.
        self._become = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._become:
            shutil.chown(self._folder, "postgres")
        port = find_port()
        self._options = f"-p {port} -k {self._folder} -h 127.0.0.1 {options}"
        self.url = f"postgresql+psycopg://newsletter@127.0.0.1:{port}"

    def __enter__(self) -> Self:
        self._call(
            "initdb", "-U", "newsletter", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8",
            "--no-sync",
        )  # fmt: skip
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start, or start again: the journal is read first."""
        log = str(self._folder / "log")
        self._call("pg_ctl", "-w", "-o", self._options, "-l", log, "start")

    def stop(self) -> None:
        """Stop without a word to anybody: no session ends, no checkpoint is written."""
        self._call("pg_ctl", "-m", "immediate", "stop")

    def create(self, name: str) -> str:
        """Make an empty database; return its URL."""
        admin = create_engine(self.url + "/postgres", isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        admin.dispose()
        return f"{self.url}/{name}"

    def _call(self, program: str, *words: str) -> None:
        data = str(self._folder / "data")
        subprocess.run(
            [*self._become, str(self._binaries / program), "-D", data, *words], **_RUN
        )  # fmt: skip


def _find_binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.fail(f"PostgreSQL is missing for {getpass.getuser()}: apt-get install postgresql-15")
    return found[-1].parent
