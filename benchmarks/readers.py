"""A publication with so many readers and a frozen run, made by the fastest inserts there are.

In: a folder, a relay's port, a count, a size. Out: the settings, and the id of a run that
``delivery.dispatch`` may take. Never: anything of this is part of what is measured, but for
``freeze`` where a benchmark says so.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from sqlalchemy import Engine

from benchmarks import messages
from benchmarks.messages import Size, make_edition
from newsletter import config
from newsletter.model import IssueId, RunId
from newsletter.store import audience, content, database, ledger, opening, runs

COLUMNS = (
    "id", "address", "address_key", "state", "first_name", "last_name", "organisation",
    "frequency", "basis", "created_at",
)  # fmt: skip
FIRST_NAMES = (
    "Alix", "Camille", "Claire", "Dominique", "Élodie", "Jean", "Karim", "Noa", "Sacha", "Zoé",
)  # fmt: skip
LAST_NAMES = ("Aubert", "Bénard", "Chevalier", "Delorme", "Dupont", "Marchand", "Perrin", "Roy")
CHUNK = 10_000


def make_publication(
    folder: Path,
    port: int,
    *,
    database_url: str = "",
    verp: bool = True,
) -> config.Settings:
    """Write a newsletter.toml and keys; the relay keeps a connection, as smtp-source -d."""
    lines = [
        "[publication]",
        'name = "La Lettre d\'essai"',
        'list_id = "lettre.example.org"',
        'base_url = "https://lettre.example.org"',
        "[sender]",
        'name = "La Lettre d\'essai"',
        'address = "lettre@example.org"',
        'bounce_address = "retours@example.org"',
        "[relay]",
        f'url = "smtp://127.0.0.1:{port}"',
        "connections = 8",
        "window = 64",  # the bound of what is unknown after a crash: connections + 2 windows
        "max_messages_per_connection = 10000000",
        'chunking = "auto"',
        f"verp = {str(verp).lower()}",
        "[database]",
        f'url = "{database_url or "sqlite:///newsletter.db"}"',
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "newsletter.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if not (folder / "var" / "keys").exists():
        config.write_keys(folder / "var" / "keys")
    return config.load_settings(path, environ={})


def fill(engine: Engine, count: int) -> None:
    """Insert *count* active readers of the weekly issue, with random ids of 63 bits."""
    rows = _rows(count)
    if engine.dialect.name == "postgresql":
        _copy(engine, rows)
        return
    holes = ", ".join("?" for _ in COLUMNS)
    statement = f"INSERT INTO subscriber ({', '.join(COLUMNS)}) VALUES ({holes})"
    with database.write(engine) as connection:
        cursor = connection.connection.cursor()
        while chunk := list(islice(rows, CHUNK)):
            cursor.executemany(statement, chunk)


def _rows(count: int) -> Iterator[tuple[object, ...]]:
    chance = random.Random(17)
    # In the order of the key, for speed alone: the rows end in the same tree.
    for number, reader_id in enumerate(sorted({chance.getrandbits(62) + 1 for _ in range(count)})):
        address = messages.address(number)
        first, last = chance.choice(FIRST_NAMES), chance.choice(LAST_NAMES)
        joined = "2026-01-01T00:00:00.000000Z"
        yield (
            reader_id, address, address, "active", first, last, "", "weekly", "consent", joined,
        )  # fmt: skip


def _copy(engine: Engine, rows: Iterator[tuple[object, ...]]) -> None:
    with database.write(engine) as connection:
        cursor = connection.connection.cursor()
        with cursor.copy(f"COPY subscriber ({', '.join(COLUMNS)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")


def prepare(engine: Engine, size: Size) -> RunId:
    """Keep the edition and make its run ``due``."""
    now = datetime.now(UTC)
    edition = make_edition(size)
    with database.write(engine) as connection:
        content.save_edition(connection, edition, content.Filed(number=1), now)
        run = runs.ensure_run(connection, IssueId(edition.issue_id), slot_at=now, now=now)
    return run.id


def freeze(engine: Engine, settings: config.Settings, run_id: RunId, size: Size) -> int:
    """Start the run as ``running.start`` does; return how many readers it has."""
    now = datetime.now(UTC)
    edition = make_edition(size)
    select_audience = audience.select_audience(edition.audience_rule, settings, now.date())
    with database.write(engine) as connection:
        return ledger.start_run(
            connection, run_id, digest=edition.digest, select_audience=select_audience, now=now
        )


def open_run(settings: config.Settings, count: int, size: Size, *, frozen: bool = True) -> RunId:
    """Make the tables, the readers and the run of a fresh publication."""
    engine = opening.open_store(settings)
    try:
        fill(engine, count)
        run_id = prepare(engine, size)
        if frozen:
            assert freeze(engine, settings, run_id, size) == count
    finally:
        engine.dispose()
    return run_id
