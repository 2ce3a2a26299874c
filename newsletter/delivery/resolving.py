"""Settles what a crash or a lost connection left unknown: by proof, or on a person's word.

In: settings, keys, an engine, a run; the relay's log. Out: how many readers were found, sent back
or left in doubt. Never: a reader sent to again by itself (DESIGN 6).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from sqlalchemy import Engine

from newsletter.audience.tokens import Purpose, minter, spell
from newsletter.config import Keys, Settings
from newsletter.delivery.pacing import domain_of
from newsletter.delivery.relay_log import RelayLog, read_relay_log
from newsletter.delivery.states import RETRYABLE
from newsletter.errors import ConfigError
from newsletter.store import database, settling
from newsletter.store.settling import Doubt

#: The relay may log a message a little after it took it.
SETTLING = timedelta(seconds=5)
#: Clocks of two machines, and times logged in whole seconds.
SKEW = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What became of the unknown readers of a run.

    ``found``: taken by the relay, now sent; ``absent``: provably not, now pending; ``doubted``:
    the log does not cover their moment.
    """

    found: int
    absent: int
    doubted: int


def resolve_by_log(
    settings: Settings,
    engine: Engine,
    keys: Keys,
    run_id: int,
    lines: Iterable[str],
    *,
    now: datetime,
    zone: tzinfo,
) -> Resolution:
    """Settle unknown readers by the log of a Postfix: its word both ways, where it covers them."""
    with database.read(engine) as connection:
        doubts = {
            doubt.subscriber_id: doubt for doubt in settling.unknown_readers(connection, run_id)
        }
    by_message_id = {
        message_id: doubts[reader]
        for reader, message_id in message_ids(settings, keys, run_id, doubts).items()
    }
    log = read_relay_log(lines, by_message_id, now=now, zone=zone)
    found = [by_message_id[message_id].subscriber_id for message_id in log.taken]
    absent = [
        doubt.subscriber_id
        for message_id, doubt in by_message_id.items()
        if message_id not in log.taken and _is_covered(log, doubt)
    ]
    with database.write(engine) as connection:
        settled = settling.settle_present(
            connection, run_id, found, proof="in the relay's log", now=now
        )
        again = settling.settle_absent(connection, run_id, absent)
        if again:
            settling.reopen_run(connection, run_id, now=now)
    return Resolution(found=settled, absent=again, doubted=len(doubts) - settled - again)


def _is_covered(log: RelayLog, doubt: Doubt) -> bool:
    return log.covers(doubt.claimed_at - SKEW, doubt.given_up_at + SETTLING)


def message_ids(
    settings: Settings, keys: Keys, run_id: int, readers: Iterable[int]
) -> dict[int, str]:
    """Return the Message-ID of each reader of a run, as ``mail.compose`` writes it."""
    domain = domain_of(settings.sender.address)
    mint = minter(keys, Purpose.MESSAGE, run_id)
    return {reader: f"<{mint(spell(reader)).decode('ascii')}@{domain}>" for reader in readers}


def resend(engine: Engine, run_id: int, *, now: datetime) -> int:
    """Make the unknown readers pending again: their message is the same to the octet."""
    with database.write(engine) as connection:
        return settling.resend_unknown(connection, run_id, now=now)


def leave(engine: Engine, run_id: int, *, now: datetime) -> int:
    """Settle the unknown readers as they are."""
    with database.write(engine) as connection:
        return settling.leave_unknown(connection, run_id, now=now)


def retry(engine: Engine, run_id: int, reason: str, *, now: datetime) -> int:
    """Reopen the readers refused for *reason*; raise ConfigError for one that is final."""
    if reason not in RETRYABLE:
        raise ConfigError(
            f"{reason!r} cannot be retried",
            key="--retry",
            remedy=f"one of {', '.join(sorted(RETRYABLE))}",
        )
    with database.write(engine) as connection:
        return settling.retry_refused(connection, run_id, reason, now=now)
