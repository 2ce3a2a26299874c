"""The file ``var/instance``: which database this machine ran last, and how far it had come.

In: the settings, an engine. Out: whether this database is that one; transactions after which every
backup made before is an older one. Never: a number in the file that the database has not committed.
A crash between the two leaves the file behind: that means nothing, and the next look makes it good.

A machine without the file (of workers only) counts nothing: it could not tell a restored database
from its own, and would count it up until others take it for the one they know.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine

from newsletter.config import Settings
from newsletter.errors import StoreError
from newsletter.store import database, runs
from newsletter.store.runs import Mark


def is_copy(settings: Settings, engine: Engine) -> bool:
    """True when the database is not the one that the file beside it knows, or is older; reads only.

    The file is read first: what others commit meanwhile lets the database run ahead, never behind.
    """
    known = read_file(settings)
    mark = _read_mark(engine)
    if mark is None:
        return path_of(settings).exists()
    return known is None or known.id != mark.id or mark.generation < known.generation


def is_older(settings: Settings, engine: Engine) -> bool:
    """True when the file knows this very database, further on than it is: a backup came back."""
    known = read_file(settings)
    mark = _read_mark(engine) if known is not None else None
    return (
        known is not None
        and mark is not None
        and known.id == mark.id
        and mark.generation < known.generation
    )


@contextmanager
def advancing(settings: Settings, engine: Engine, *, hurries: bool = False) -> Iterator[Connection]:
    """One transaction as ``database.write``, after which every backup made before is an older one.

    Raise StoreError when the file cannot be written: then nothing may leave.
    """
    known = read_file(settings)
    with database.write(engine, hurries=hurries) as connection:
        yield connection
        if known is not None:  # at the end: whoever ticks waits for this row
            runs.advance(connection, known)
    follow(settings, engine)


def outdate_backups(settings: Settings, engine: Engine) -> None:
    """Make every backup made so far an older one."""
    if read_file(settings) is not None:
        with advancing(settings, engine):
            pass


def follow(settings: Settings, engine: Engine) -> None:
    """Raise the number in the file to what the database has committed."""
    if read_file(settings) is None:
        return
    with _locked(settings.var_dir) as folder:  # of two that write at once, the higher one stays
        known = read_file(settings)
        mark = _read_mark(engine)
        if known and mark and known.id == mark.id and known.generation < mark.generation:
            _replace(path_of(settings), mark, folder)


def read_file(settings: Settings) -> Mark | None:
    """Return what the file says; before there were generations, it had the identity alone."""
    try:
        text = path_of(settings).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    identity, _, number = text.strip().partition(" ")
    if number and not number.isdecimal():
        return None
    return Mark(identity, int(number or 0))


def write_file(settings: Settings, mark: Mark) -> None:
    """Write the file anew, whatever it said."""
    settings.var_dir.mkdir(parents=True, exist_ok=True)
    with _locked(settings.var_dir) as folder:
        _replace(path_of(settings), mark, folder)


def vouch(settings: Settings, engine: Engine) -> None:
    """Write down that the database, as it is committed, is the one of this machine."""
    settings.var_dir.mkdir(parents=True, exist_ok=True)
    with _locked(settings.var_dir) as folder:  # of two that adopt at once, both write the last word
        mark = _read_mark(engine)
        if mark is not None:
            _replace(path_of(settings), mark, folder)


def path_of(settings: Settings) -> Path:
    return settings.var_dir / "instance"


def _read_mark(engine: Engine) -> Mark | None:
    with database.read(engine) as connection:
        return runs.read_mark(connection)


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Let one process at a time write the file of this folder; yield the folder's descriptor."""
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield folder
        finally:
            os.close(folder)
    except OSError as error:
        raise StoreError(
            f"the file instance cannot be written: {error.strerror}",
            path=str(path),
            remedy="make room, or check the folder's rights",
        ) from error


def _replace(path: Path, mark: Mark, folder: int) -> None:
    """Replace the file whole, on the disk: a power cut leaves the old one or the new one."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w", encoding="ascii") as file:
        file.write(f"{mark.id} {mark.generation}\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    os.fsync(folder)
