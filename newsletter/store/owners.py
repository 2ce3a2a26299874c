"""Who dispatches, and the proof that somebody no longer does.

In: an engine. Out: the name that an owner writes on every row it is sending; the question whether
another is provably dead, and what the dead were sending made ``unknown``. Never: time as a proof of
the death of one whose lock can be seen.

On SQLite an owner holds an exclusive flock on a file of its own beside the database, and its name
carries the machine's boot id: the kernel lets go of both when the process dies. On PostgreSQL it
holds a shared advisory lock on a connection of its own and on that of its ledger (``stand_for``):
the server lets go when both sessions have ended.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    insert,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError

from newsletter.errors import StoreError
from newsletter.model import DeliveryState
from newsletter.store import database
from newsletter.store.schema import Instant, delivery, event

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MACHINE_ID = Path("/etc/machine-id")
_FOLDER_SUFFIX = ".owners"


@contextmanager
def open_owner(engine: Engine) -> Iterator[str]:
    """Be an owner for as long as the block lasts; yield the name to write on rows."""
    folder = _folder_of(engine)
    with _locked_session(engine) if folder is None else _locked_file(folder) as name:
        yield name


def death_prover(engine: Engine, connection: Connection) -> Callable[[str], bool]:
    """Return the question "is this owner provably dead?", asked within *connection*."""
    folder = _folder_of(engine)
    if folder is None:
        return lambda name: _session_is_gone(connection, name)
    return lambda name: _file_is_free(folder, name)


def bury_dead(
    connection: Connection, run_id: int, *, is_dead: Callable[[str], bool], now: datetime
) -> int:
    """Make ``unknown`` what dead dispatchers were sending; return how many readers that is.

    Only proof of death moves a row (DESIGN 6): a lease that is over is no proof.
    """
    sending = (delivery.c.run_id == run_id) & (delivery.c.state == DeliveryState.SENDING)
    owners = connection.scalars(select(delivery.c.owner).where(sending).distinct()).all()
    dead = [owner for owner in owners if owner is not None and is_dead(owner)]
    if not dead:
        return 0
    return give_up(connection, sending & delivery.c.owner.in_(dead), reason="crash", now=now)


def bury_strangers(connection: Connection, *, now: datetime, run_id: int | None = None) -> int:
    """Make ``unknown`` what owners of another machine were sending, in one run or in all of them.

    Their locks cannot be seen from here. The caller knows that none of them goes on: a person says
    so, or the run's time is over.
    """
    sending = delivery.c.state == DeliveryState.SENDING
    if run_id is not None:
        sending &= delivery.c.run_id == run_id
    owners = connection.scalars(select(delivery.c.owner).where(sending).distinct()).all()
    strangers = [owner for owner in owners if owner is not None and _is_stranger(owner)]
    if not strangers:
        return 0
    return give_up(connection, sending & delivery.c.owner.in_(strangers), reason="crash", now=now)


def give_up(
    connection: Connection, rows: ColumnElement[bool], *, reason: str, now: datetime
) -> int:
    """Make these rows ``unknown``, with one event each; return how many.

    Those whose message came back already are sent: a bounce may be quicker than the proof.
    """
    came_back = or_(delivery.c.bounced_at.is_not(None), delivery.c.complained_at.is_not(None))
    connection.execute(
        update(delivery)
        .where(rows, came_back)
        .values(
            state=DeliveryState.SENT,
            reason="proved by what came back",
            not_before=None,
            settled_at=now,
            owner=None,
            address=None,
        )
    )
    connection.execute(
        insert(event).from_select(
            ["at", "kind", "run_id", "subscriber_id", "detail", "raw"],
            select(
                literal(now, Instant),
                literal("unknown"),
                delivery.c.run_id,
                delivery.c.subscriber_id,
                literal(reason),
                literal(""),
            ).where(rows),
        )
    )
    done = connection.execute(
        update(delivery).where(rows).values(state=DeliveryState.UNKNOWN, reason=reason)
    )
    return done.rowcount


def machine_id() -> str:
    """Say which machine this is; a container has its own name."""
    return _read_id(_MACHINE_ID) or os.uname().nodename


# --- SQLite --------------------------------------------------------------------------------------


def _folder_of(engine: Engine) -> Path | None:
    """Return where the owners of this database have their files: None on PostgreSQL.

    One folder by whichever link the database is reached: an owner not found is proved dead.
    """
    if engine.dialect.name != "sqlite":
        return None
    path = Path(engine.url.database or ":memory:").resolve()
    return path.with_name(path.name + _FOLDER_SUFFIX)


@contextmanager
def _locked_file(folder: Path) -> Iterator[str]:
    word = secrets.token_hex(8)
    path = folder / word
    try:
        folder.mkdir(exist_ok=True)
        file = path.open("wb")
    except OSError as error:
        raise StoreError(f"cannot be made: {error.strerror}", path=str(folder)) from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield f"file:{machine_id()}:{_boot_id()}:{word}"
        finally:
            path.unlink(missing_ok=True)


def _file_is_free(folder: Path, name: str) -> bool:
    """True when the owner's machine was booted again, or when nobody holds its file's lock.

    A name of another machine proves nothing: its lock cannot be seen from here.
    """
    if not name.startswith("file:") or _is_stranger(name):
        return False
    _, boot, word = _read_name(name)
    if boot != _boot_id():
        return True
    path = folder / word
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return True  # unlinked by its owner at its end, or by who proved its death
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        path.unlink(missing_ok=True)
    return True


def _is_stranger(name: str) -> bool:
    """True for an owner of another machine.

    A container made anew has another name at times; its kernel, and so its locks, are the same.
    """
    machine, boot, _ = _read_name(name)
    shares_kernel = boot != "" and boot == _boot_id()
    return name.startswith("file:") and machine != machine_id() and not shares_kernel


def _read_name(name: str) -> tuple[str, str, str]:
    """Return the machine, the boot and the word of a file's owner."""
    _, _, rest = name.partition(":")
    machine, _, rest = rest.partition(":")
    boot, _, word = rest.partition(":")
    return machine, boot, word


def _boot_id() -> str:
    return _read_id(_BOOT_ID)


def _read_id(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


# --- PostgreSQL ----------------------------------------------------------------------------------


@contextmanager
def _locked_session(engine: Engine) -> Iterator[str]:
    key = secrets.randbits(62)
    # A session of its own: the lock lives and dies with it.
    with database.connect(engine).execution_options(isolation_level="AUTOCOMMIT") as connection:
        with database.translated(engine):
            connection.execute(text("SELECT pg_advisory_lock_shared(:key)"), {"key": key})
        try:
            yield f"session:{key}"
        finally:
            _unlock(connection, key)


def _unlock(connection: Connection, key: int) -> None:
    """Let go at once; a session that cannot is closed, for in the pool it would go on holding."""
    try:
        connection.execute(text("SELECT pg_advisory_unlock_shared(:key)"), {"key": key})
    except DBAPIError:
        connection.invalidate()


def stand_for(connection: Connection, owner: str) -> bool:
    """Make this session a proof of the owner's life until the connection is closed.

    False when no other session of the owner's stood for it: its death could be proved before.
    """
    kind, _, key = owner.partition(":")
    if kind != "session":
        return True  # the lock of a file goes with the process, not with a connection
    connection.detach()  # closed for good at its end: in the pool it would go on holding the lock
    # Waits for whoever is just proving the death, and sees what they wrote; Busy when that takes
    # long: nothing is granted before it was done.
    connection.execute(text("SELECT pg_advisory_lock_shared(:key)"), {"key": int(key)})
    # Our own lock is no hindrance to this one, another session's is.
    alone = connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": int(key)})
    return not alone


def _session_is_gone(connection: Connection, name: str) -> bool:
    kind, _, key = name.partition(":")
    if kind != "session":
        return False
    # Held until the end of this transaction only: it is a question.
    free = connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": int(key)})
    return bool(free)
