"""Mail to one person: queued in the transaction that causes it, sent by the tick.

In: settings, an engine, keys, `now`. Out: how many letters left. Never: a letter before its intent
is committed; a second try once its end may have left; a wait: what a relay defers is due later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from sqlalchemy import Connection, Engine

from newsletter.config import Keys, Settings, require_passwords
from newsletter.delivery.signing import load_signer
from newsletter.delivery.states import Reply
from newsletter.errors import HeaderError, RelayError, Unanswered
from newsletter.mail.compose import Outgoing, open_envelope
from newsletter.mail.single import Letter, compose_single
from newsletter.model import LetterState
from newsletter.store import database
from newsletter.store import letters as queue_of_letters

log = logging.getLogger(__name__)

# What a relay defers is tried again after so long; then it is given up.
BACK_OFF = tuple(timedelta(minutes=minutes) for minutes in (5, 15, 60, 240, 720))
# A relay that cannot be reached is nobody's fault: not counted.
RELAY_PAUSE = timedelta(minutes=5)
# One call must not keep the tick for long.
AT_ONCE = 200


class Submit(Protocol):
    """``delivery.smtp.submit_one``, or a stand-in."""

    def __call__(
        self, settings: Settings, *, sender: str, recipient: str, content: bytes
    ) -> Reply: ...


def queue_for(
    connection: Connection,
    people: Iterable[str],
    *,
    kind: str,
    key: str,
    words: tuple[str, str],
    now: datetime,
) -> int:
    """Queue the same letter to several addresses; return how many had not been queued before."""
    subject, text = words
    return sum(
        queue_of_letters.queue(
            connection, kind=kind, key=key, address=address, subject=subject, text=text, now=now
        )
        for address in people
    )


def send_due(
    settings: Settings,
    engine: Engine,
    keys: Keys,
    now: datetime,
    *,
    submit: Submit | None = None,
    kinds: frozenset[str] | None = None,
) -> int:
    """Send what is due, of these *kinds* only when given; return how many the relay took.

    Safe to call again at any time, and from two processes at once.
    """
    with database.write(engine) as connection:
        stale = queue_of_letters.give_up_stale(connection, now)
    if stale:
        log.warning("letters.unknown count=%d", stale)
    # Before the first claim: a fault of configuration must not leave a letter in doubt.
    require_passwords(settings)
    signer = load_signer(settings)
    open_envelope(settings, keys, 0)
    sent = 0
    for _ in range(AT_ONCE):
        with database.write(engine) as connection:
            claimed = queue_of_letters.claim(connection, now, kinds)
        if claimed is None:
            break
        letter, written_at, tries = claimed
        outcome = _submit(
            partial(
                compose_single,
                letter,
                settings=settings,
                keys=keys,
                date=written_at,
                signer=signer,
            ),
            partial(submit or _default_submit(), settings),
        )
        with database.write(engine) as connection:
            state = _record(connection, letter, outcome, tries=tries, now=now)
        sent += state is LetterState.SENT
        if isinstance(outcome, RelayError) and state is LetterState.QUEUED:
            break  # the relay is down for the others as well
    return sent


def _default_submit() -> Submit:
    from newsletter.delivery.smtp import submit_one  # asyncio and ssl, only when a letter is due

    return submit_one


_Outcome = Reply | RelayError | HeaderError


def _submit(compose: Callable[[], Outgoing], submit: Callable[..., Reply]) -> _Outcome:
    try:
        outgoing = compose()
        return submit(
            sender=outgoing.sender, recipient=outgoing.recipient, content=outgoing.content
        )
    except (RelayError, HeaderError) as error:
        return error


def _record(
    connection: Connection, letter: Letter, outcome: _Outcome, *, tries: int, now: datetime
) -> LetterState:
    """Write what came of a letter; return where it stands now."""
    state, wait = _judge(outcome, tries)
    if state is LetterState.QUEUED:
        queue_of_letters.postpone(
            connection,
            letter.id,
            until=now + wait,
            reply=str(outcome),
            charged=isinstance(outcome, Reply),
        )
    else:
        queue_of_letters.settle(connection, letter.id, state, reply=str(outcome), now=now)
    log.info("letter id=%d state=%s answer=%s", letter.id, state, _name(outcome))
    return state


def _name(outcome: _Outcome) -> str:
    """What a log may say of an answer: the words of a relay often quote the address (P12)."""
    if isinstance(outcome, Reply):
        return f"{outcome.code} {outcome.enhanced}".strip()
    return type(outcome).__name__


def _judge(outcome: _Outcome, tries: int) -> tuple[LetterState, timedelta]:
    """Return where a letter stands after this, and how long it waits when it is queued again."""
    if isinstance(outcome, Unanswered):
        return LetterState.UNKNOWN, timedelta()
    if isinstance(outcome, RelayError):
        return LetterState.QUEUED, RELAY_PAUSE
    if not isinstance(outcome, Reply):
        return LetterState.REFUSED, timedelta()  # our own fault: no relay saw it
    if 200 <= outcome.code < 300:
        return LetterState.SENT, timedelta()
    if 400 <= outcome.code < 500 and tries < len(BACK_OFF):
        return LetterState.QUEUED, BACK_OFF[tries]
    return LetterState.REFUSED, timedelta()
