"""The verbs of readers and of those who keep the list: join, confirm, choose, leave, import.

In: settings, a database, keys, the instant, randomness. Out: what happened, as values. Never: two
transactions for one verb, an answer that tells a stranger whether an address is on the list (T7).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Engine

from newsletter.audience import exporting
from newsletter.audience.addresses import read_address
from newsletter.audience.consent import Act
from newsletter.audience.entries import Entry, Statement, read_basis, read_entries
from newsletter.audience.importing import ImportPlan
from newsletter.audience.sheets import MAX_CELL, read_sheet
from newsletter.audience.suppression import Reason, fingerprint
from newsletter.audience.tokens import TokenFacts
from newsletter.config import CONTROLS, Keys, Settings
from newsletter.errors import ConfigError, Conflict, NotFound, RowError
from newsletter.model import Subscriber, SubscriberId, SubscriberState
from newsletter.store import (
    audience,
    consent,
    database,
    dossier,
    enrolling,
    inviting,
    leaving,
    sign_ups,
    suppression,
    tokens,
)

RandomBytes = Callable[[int], bytes]

_RECEIVING = {SubscriberState.ACTIVE, SubscriberState.PAUSED}


class Joined(StrEnum):
    """What a sign-up led to. The page says the same for all but the last (T7)."""

    ASKED = "asked"  # a confirmation is on its way
    ALREADY = "already"  # on the list: a letter says so
    QUIET = "quiet"  # written to too lately or too often, or they complained once
    BUSY = "busy"  # too many sign-ups in this hour, whoever they are for


# --- readers ---------------------------------------------------------------------------------


def is_flooded(settings: Settings, engine: Engine, now: datetime) -> bool:
    """True when the form caused too many letters within the hour, whoever they are for (T6)."""
    with database.read(engine) as connection:
        return sign_ups.count_recent(connection, now) >= settings.web.sign_ups_per_hour


def join(
    settings: Settings,
    engine: Engine,
    keys: Keys,
    address: str,
    *,
    notice_version: str,
    source: str,
    now: datetime,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> Joined:
    """Ask an address to confirm (P7): nobody is written an issue before they pressed the button.

    Raise RowError when it is no address. *notice_version* names the words they were shown (P6).
    """
    parsed = read_address(address)
    with database.write(engine) as connection:
        if sign_ups.count_recent(connection, now) >= settings.web.sign_ups_per_hour:
            return Joined.BUSY
        person = audience.find(connection, parsed.key)
        if person is not None and person.state in _RECEIVING:
            told = inviting.say_already(connection, settings, keys, person, now)
            return Joined.ALREADY if told else Joined.QUIET
        mark = fingerprint(keys, parsed.key)
        if suppression.find(connection, [mark]).get(mark) is Reason.COMPLAINT:
            return Joined.QUIET
        if person is None:
            entry = Entry(line=0, address=parsed, state=SubscriberState.PENDING, source=source)
            (subscriber_id,) = enrolling.enroll(
                connection,
                keys,
                [replace(entry, notice_version=notice_version)],
                act=Act.ASKED,
                statement=Statement(),
                now=now,
                random_bytes=random_bytes,
            )
            person = audience.get(connection, subscriber_id)
        elif inviting.may_ask(connection, person, now):
            consent.note(
                connection,
                keys,
                person.id,
                act=Act.ASKED,
                detail={"source": source},
                now=now,
                notice_version=notice_version,
            )
        else:
            return Joined.QUIET
        inviting.ask(connection, settings, person, now, random_bytes)
        return Joined.ASKED


def confirm(
    settings: Settings,
    engine: Engine,
    keys: Keys,
    token: str,
    *,
    now: datetime,
) -> Subscriber | None:
    """Put the person of a confirmation on the list; None when the link is unknown, used or old."""
    with database.write(engine) as connection:
        subscriber_id = tokens.use(connection, token, purpose="confirm", now=now)
        if subscriber_id is None:
            return None
        person = audience.get(connection, subscriber_id)
        if person.state not in _RECEIVING:
            _activate(connection, keys, person, now)
            inviting.welcome(connection, settings, keys, person, now)
        return audience.get(connection, subscriber_id)


def choose(
    engine: Engine,
    keys: Keys,
    subscriber_id: SubscriberId,
    choices: Mapping[str, Any],
    *,
    now: datetime,
) -> Subscriber:
    """Keep what a person chose on their page; an import no longer overrides it.

    Raise NotFound for a stranger, Conflict for somebody who is not on the list.
    """
    with database.write(engine) as connection:
        person = audience.get(connection, subscriber_id)
        if person.state not in _RECEIVING:
            raise Conflict("this person is not on the list")
        paused = choices.get("paused_until") is not None
        state = SubscriberState.PAUSED if paused else SubscriberState.ACTIVE
        audience.change(connection, person.id, **choices, state=state, last_act_at=now)
        told = {name: _tell(value) for name, value in choices.items()}
        consent.note(connection, keys, person.id, act=Act.CHOSE, detail=told, now=now)
        return audience.get(connection, person.id)


def leave(
    engine: Engine,
    keys: Keys,
    facts: TokenFacts,
    *,
    how: str,
    now: datetime,
) -> bool:
    """Let the person of a link go, at once (D2); False when there was nobody to let go."""
    with database.write(engine) as connection:
        return leaving.unsubscribe(
            connection,
            keys,
            SubscriberId(facts.subscriber_id),
            detail={"how": how},
            now=now,
            run_id=facts.run_id or None,
        )


def renew(engine: Engine, keys: Keys, token: str, *, now: datetime) -> Subscriber | None:
    """Note that a person still wants the letter (P10); None when the link is no longer good."""
    with database.write(engine) as connection:
        subscriber_id = tokens.use(connection, token, purpose="renewal", now=now)
        if subscriber_id is None:
            return None
        audience.change(connection, subscriber_id, last_act_at=now)
        consent.note(connection, keys, subscriber_id, act=Act.RENEWED, detail={}, now=now)
        return audience.get(connection, subscriber_id)


def _activate(connection: Connection, keys: Keys, person: Subscriber, now: datetime) -> None:
    """A person's own act: the only thing that lifts a suppression (P11)."""
    audience.change(
        connection,
        person.id,
        state=SubscriberState.ACTIVE,
        basis="consentement",
        evidence="double opt-in",
        confirmed_at=now,
        last_act_at=now,
        paused_from=None,
        paused_until=None,
        soft_bounces=0,
        soft_bounce_since=None,
    )
    suppression.lift(connection, fingerprint(keys, read_address(person.address).key))
    consent.note(connection, keys, person.id, act=Act.CONFIRMED, detail={}, now=now)


def _tell(value: object) -> object:
    if isinstance(value, tuple):
        return list(value)
    return value.isoformat() if isinstance(value, date) else value


# --- the list --------------------------------------------------------------------------------


def import_subscribers(
    settings: Settings,
    engine: Engine,
    keys: Keys,
    content: bytes,
    *,
    file: str,
    now: datetime,
    basis: str = "",
    evidence: str = "",
    by: str = "",
    apply: bool = False,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> ImportPlan:
    """Say what importing a file would do and, with *apply*, do exactly that in one transaction.

    Raise ConfigError when the file is no list of addresses at all; a wrong row is a finding.
    """
    statement = Statement(
        basis=basis, evidence=evidence, by=by, file=file, sha256=sha256(content).hexdigest()
    )
    try:
        sheet = read_sheet(content)
    except RowError as error:
        raise ConfigError(error.message, path=file, line=error.line, remedy=error.remedy) from None
    reading = read_entries(sheet, settings, statement, now)
    with (database.write if apply else database.read)(engine) as connection:
        plan = enrolling.plan(connection, keys, reading, sheet, statement)
        if apply:
            enrolling.apply(connection, keys, plan, now=now, random_bytes=random_bytes)
    return replace(plan, findings=tuple(replace(one, file=file) for one in plan.findings))


def export_subscribers(engine: Engine) -> Iterator[str]:
    """Yield the list as CSV lines, header first: what our own import reads back."""
    yield exporting.header()
    with database.read(engine) as connection:
        for person in audience.stream(connection, tuple(SubscriberState)):
            yield exporting.line(person)


def add_subscriber(
    engine: Engine,
    keys: Keys,
    address: str,
    *,
    basis: str,
    evidence: str,
    by: str,
    now: datetime,
    random_bytes: RandomBytes = secrets.token_bytes,
    **fields: Any,
) -> Subscriber:
    """Put one person on the list by hand.

    Raise RowError for a wrong address or text, or no known basis (P1), Conflict for somebody who is
    there already or who must not be brought back (P11).
    """
    if not basis or not evidence:
        raise RowError(
            "a legal basis and its evidence are missing",
            remedy="say why we may write to this person: --basis consentement --evidence TEXT",
        )
    for name, text in {"basis": basis, "evidence": evidence, **fields}.items():
        _refuse_odd(name, text)
    parsed = read_address(address)
    entry = Entry(line=0, address=parsed, basis=read_basis(basis), evidence=evidence, **fields)
    with database.write(engine) as connection:
        _refuse_known(connection, keys, parsed.key)
        (subscriber_id,) = enrolling.enroll(
            connection,
            keys,
            [entry],
            act=Act.ADDED,
            statement=Statement(by=by),
            now=now,
            random_bytes=random_bytes,
        )
        return audience.get(connection, subscriber_id)


def _refuse_odd(name: str, text: str) -> None:
    """What no cell of a list may hold, no other way in may bring either (T8)."""
    if CONTROLS.search(text):
        raise RowError(f"{name} holds a control character", remedy="type it on one line")
    if len(text) > MAX_CELL:
        raise RowError(f"{name} is longer than {MAX_CELL:,} characters", remedy="shorten it")


def _refuse_known(connection: Connection, keys: Keys, address_key: str) -> None:
    found = audience.find(connection, address_key)
    mark = fingerprint(keys, address_key)
    reason = suppression.find(connection, [mark]).get(mark)
    if reason is not None:
        raise Conflict(
            f"this address may not be written to: {reason}",
            remedy="only the person can come back, by the sign-up page",
        )
    if found is not None:
        raise Conflict(f"this person is on the list already: {found.state}")


# --- one person, by the hand of an operator --------------------------------------------------


def show_subscriber(engine: Engine, keys: Keys, address: str) -> dict[str, Any]:
    """Everything we hold on a person, as plain JSON values (P9: access and portability)."""
    parsed = read_address(address)
    with database.read(engine) as connection:
        mark = fingerprint(keys, parsed.key)
        reason = suppression.find(connection, [mark]).get(mark)
        person = audience.find(connection, parsed.key)
        if person is None and reason is None:
            raise NotFound("there is nothing on this address")
        return {
            "address": parsed.text,
            "suppressed": reason and reason.value,
            **dossier.read(connection, person),
        }


def pause_subscriber(
    engine: Engine,
    keys: Keys,
    address: str,
    *,
    until: date | None,
    by: str,
    now: datetime,
) -> Subscriber:
    """Stop writing to a person until a day, this day included; None: until they say otherwise."""
    with database.write(engine) as connection:
        person = _find(connection, address)
        if person.state not in {SubscriberState.ACTIVE, SubscriberState.PAUSED}:
            raise Conflict(f"this person receives nothing anyway: {person.state}")
        values = {"state": SubscriberState.PAUSED, "paused_from": None, "paused_until": until}
        audience.change(connection, person.id, **values)
        told = {"by": by, "from": "", "until": str(until or "")}
        consent.note(connection, keys, person.id, act=Act.PAUSED, detail=told, now=now)
        return audience.get(connection, person.id)


def unsubscribe_address(
    engine: Engine, keys: Keys, address: str, *, by: str, now: datetime
) -> SubscriberState | None:
    """Let a person go who asked by another way; even an address we do not know stays out.

    Return what they were before; None when nobody on the list has this address.
    """
    parsed = read_address(address)
    with database.write(engine) as connection:
        person = audience.find(connection, parsed.key)
        if person is None:
            marks = [(fingerprint(keys, parsed.key), Reason.UNSUBSCRIBED)]
            suppression.add(connection, marks, now=now)
            return None
        leaving.unsubscribe(connection, keys, person.id, detail={"by": by}, now=now)
        return person.state


def erase_address(engine: Engine, keys: Keys, address: str, *, now: datetime) -> bool:
    """Forget a person (P9): only a fingerprint is left. False when we knew nothing of them."""
    parsed = read_address(address)
    with database.write(engine) as connection:
        person = audience.find(connection, parsed.key)
        marks = [(fingerprint(keys, parsed.key), Reason.ERASED)]
        suppression.add(connection, marks, now=now)
        done = person is not None and leaving.erase(connection, keys, person.id, now)
    database.empty_journal(engine)
    return done


def _find(connection: Connection, address: str) -> Subscriber:
    person = audience.find(connection, read_address(address).key)
    if person is None:
        raise NotFound("nobody on the list has this address")
    return person
