"""Settles what a crash or a lost connection left unknown: by proof, or on a person's word.

In: keys, an engine, a run; the relay's log. Out: how many readers were found, sent back or left in
doubt, and why in doubt. Never: a reader sent to again by itself (DESIGN 6).

That a message stands in the log proves that it was taken. That it does not proves something only
of a log that is shown to be whole, and of the relay in question: it reaches far enough to both
sides, and every reader known to be sent in these hours is in it, one of the same dispatch among
them. And only where every dispatch of the run said, before it claimed anybody, that this one relay
is all it had: the settings of today say nothing of the settings of then. Who is not proved stays
unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum

from sqlalchemy import Connection, Engine

from newsletter.audience.tokens import Purpose, open_token
from newsletter.config import Keys
from newsletter.delivery.endpoints import Deadlines
from newsletter.delivery.relay_log import RelayLog, read_relay_log
from newsletter.delivery.states import RETRYABLE
from newsletter.errors import ConfigError, TokenError
from newsletter.store import database, owners, settling
from newsletter.store.settling import Doubt, Offers

#: A body may leave before its claim, and a relay goes on with what a dead client had written: so
#: long at most as we would have waited for its answer.
MARGIN = timedelta(seconds=Deadlines().dot_s)
#: Clocks of two machines, and times logged in whole seconds.
SKEW = timedelta(seconds=2)


class Why(StrEnum):
    """Why a log proves nothing about a reader; ends a sentence for people."""

    BEGUN = "the relay began to take their message, and the log does not say yet what came of it"
    RESTORED = (
        "they waited in a backup that was put back, which does not say who was written to since"
    )
    FOREIGN = "the file holds no dated line of a log; a compressed one must be unpacked first"
    UNCOVERED = (
        f"the log must reach from {MARGIN.seconds // 60} minutes before they were written to until "
        f"{MARGIN.seconds // 60} minutes after they were given up"
    )
    HOLE = "the relay was started anew meanwhile, or lines of its log were dropped"
    UNRECORDED = (
        "they were written to by an older version, which did not record through which relays"
    )
    SEVERAL = "the run had several relays, and the log of one proves nothing about the others"
    INCOMPLETE = (
        "readers known to be sent are not in the log: it lacks lines, or is of another relay"
    )
    UNWITNESSED = (
        "the log names nobody of the same dispatch: nothing shows that it is of their relay"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What became of the unknown readers of a run.

    ``found``: taken by the relay, now sent; ``absent``: provably not, now pending; ``doubted``:
    neither is proved, and ``why``.
    """

    found: int
    absent: int
    doubted: int
    why: Mapping[Why, int] = field(default_factory=dict)


def resolve_by_log(
    engine: Engine,
    keys: Keys,
    run_id: int,
    lines: Iterable[str],
    *,
    now: datetime,
    zone: tzinfo,
) -> Resolution:
    """Settle unknown readers by the log of a Postfix: its word both ways, where it is proved."""
    with database.write(engine) as connection:
        _bury_dead(engine, connection, run_id, now)
        doubts = list(settling.unknown_readers(connection, run_id))
    in_question = {doubt.subscriber_id for doubt in doubts}
    log = read_relay_log(lines, _open_message(keys, run_id), in_question, now=now, zone=zone)
    with database.read(engine) as connection:
        offers = settling.read_offers(connection, run_id)
        witnesses = _hear_witnesses(connection, run_id, log, offers)
    judged = {
        doubt: _doubt_absence(doubt, log, witnesses, offers)
        for doubt in doubts
        if doubt.subscriber_id not in log.taken
    }
    with database.write(engine) as connection:
        settled = settling.settle_present(
            connection, run_id, log.taken, proof="in the relay's log", now=now
        )
        # Who was sent to again since the log was read is another doubt.
        still = set(settling.unknown_readers(connection, run_id))
        absent = [doubt.subscriber_id for doubt in judged.keys() & still if judged[doubt] is None]
        again = settling.settle_absent(connection, run_id, absent)
        if again:
            settling.reopen_run(connection, run_id, now=now)
    return Resolution(
        found=settled,
        absent=again,
        doubted=len(doubts) - settled - again,
        why=Counter(why for why in judged.values() if why is not None),
    )


def _open_message(keys: Keys, run_id: int) -> Callable[[str], int | None]:
    """Return the function that says whose message of a run the local part of a Message-ID is.

    Opened, not compared: whichever key version signed it, whatever the sender's domain then was.
    """

    def reader_of(local_part: str) -> int | None:
        try:
            facts = open_token(keys, Purpose.MESSAGE, local_part)
        except TokenError:
            return None
        return facts.subscriber_id if facts.run_id == run_id else None

    return reader_of


@dataclass(frozen=True, slots=True, kw_only=True)
class _Witnesses:
    """What the readers known to be sent say of a log.

    ``agree``: it names each of them whom it covers; ``fences``: the dispatches it names one of,
    sent since they say through which relays.
    """

    agree: bool
    fences: frozenset[int]


def _hear_witnesses(
    connection: Connection, run_id: int, log: RelayLog, offers: Offers
) -> _Witnesses:
    """Compare the log with all that were sent, as two streams in the order of the ids."""
    seen = iter(log.seen)
    named = next(seen, None)
    agree, fences = True, set()
    for sent in settling.sent_readers(connection, run_id):
        while named is not None and named < sent.subscriber_id:
            named = next(seen, None)
        if named == sent.subscriber_id:
            # Workers share a fence: one of an older version may have had another relay.
            if offers.since is not None and offers.since <= sent.claimed_at:
                fences.add(sent.fence)
        elif log.covers(sent.claimed_at - MARGIN, sent.settled_at + SKEW):
            agree = False
    return _Witnesses(agree=agree, fences=frozenset(fences))


def _doubt_absence(
    doubt: Doubt, log: RelayLog, witnesses: _Witnesses, offers: Offers
) -> Why | None:
    """Return why the log does not prove that a reader's message was never taken; None: it does."""
    given_up_at = doubt.given_up_at + MARGIN
    if doubt.subscriber_id in log.begun:
        return Why.BEGUN
    if doubt.owner is None:
        return Why.RESTORED
    if log.first_at is None:
        return Why.FOREIGN
    if not log.covers(doubt.claimed_at - MARGIN, given_up_at):
        return Why.UNCOVERED
    if log.has_hole(doubt.claimed_at - SKEW, given_up_at):
        return Why.HOLE
    return _doubt_relay(doubt, witnesses, offers)


def _doubt_relay(doubt: Doubt, witnesses: _Witnesses, offers: Offers) -> Why | None:
    """Return why the log may not be all that the relay of a reader said; None: it is."""
    if doubt.owner not in offers.owners:
        return Why.UNRECORDED
    if len(offers.relays) != 1:
        return Why.SEVERAL
    if not witnesses.agree:
        return Why.INCOMPLETE
    return None if doubt.fence in witnesses.fences else Why.UNWITNESSED


def resend(engine: Engine, run_id: int, *, now: datetime) -> int:
    """Make the unknown readers pending again: their message is the same to the octet."""
    with database.write(engine) as connection:
        _bury_dead(engine, connection, run_id, now)
        return settling.resend_unknown(connection, run_id, now=now)


def leave(engine: Engine, run_id: int, *, now: datetime) -> int:
    """Settle the unknown readers as they are."""
    with database.write(engine) as connection:
        _bury_dead(engine, connection, run_id, now)
        return settling.leave_unknown(connection, run_id, now=now)


def _bury_dead(engine: Engine, connection: Connection, run_id: int, now: datetime) -> None:
    """Make unknown whom a dispatch was writing to when it died, before the next one does."""
    is_dead = owners.death_prover(engine, connection)
    owners.bury_dead(connection, run_id, is_dead=is_dead, now=now)


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
