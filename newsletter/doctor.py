"""Looks over an installation: what would keep an issue from leaving, and how to mend it.

In: settings, an instant, a way to look up DNS text records and one to greet the relay. Out: one
diagnosis for each part. Never: a message sent, a row written.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import Engine, false, update

from newsletter.checks.links import is_reserved
from newsletter.config import PLACEHOLDER, Settings, load_keys
from newsletter.delivery.signing import load_signer
from newsletter.delivery.states import SELF_STOPS
from newsletter.errors import Busy, ConfigError, NewsletterError, RelayError, StoreError
from newsletter.mail.dkim import dns_records
from newsletter.metrics import HEARTBEAT_LIMIT, UNCLAIMED_LIMIT, find_unclaimed
from newsletter.model import Run
from newsletter.store import database, opening, runs, schema
from newsletter.store.identity import is_copy
from newsletter.store.trouble import Trouble, find_trouble

# DNS text records of a name; an empty tuple when there are none; raises OSError without an answer.
LookUp = Callable[[str], tuple[str, ...]]
# Greets the relay and says what it offers; raises RelayError.
Probe = Callable[[Settings], str]

CLOCK_FLOOR = datetime(2026, 1, 1, tzinfo=UTC)
_ADDRESS = re.compile(r"[^\s@,;<>]+@[^\s@,;<>]+")
_SPF_ALL = re.compile(r"[+?~-]?all")
_SPF_MODIFIER = re.compile(r"[a-z][a-z0-9._-]*=")
# Below a country's two letters, where a registry sells: lettre.asso.fr is an organisation's.
_SECOND_LEVELS = {
    "ac", "asso", "co", "com", "edu", "go", "gob", "gouv", "gov", "gv", "ltd", "me", "mil", "ne",
    "net", "nom", "or", "org", "plc", "sch",
}  # fmt: skip
LEGAL_NOTICE = ("publisher", "address", "director", "contact", "host")


class Health(StrEnum):
    """How a part is doing."""

    GOOD = "good"
    WARNING = "warning"  # works here and now; read it before writing to real people
    BAD = "bad"  # the issue would not leave, or not as it should


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """One part of the installation: how it does, what was seen, what to do."""

    part: str
    health: Health
    seen: str
    remedy: str = ""


def diagnose(
    settings: Settings, *, now: datetime, look_up: LookUp, probe: Probe
) -> tuple[Diagnosis, ...]:
    """Look at every part; one that fails never hides the others."""
    return (
        Diagnosis(
            part="configuration", health=Health.GOOD, seen=str(settings.root / "newsletter.toml")
        ),
        _look_at_keys(settings),
        *_look_at_database(settings, now),
        _look_at_clock(now),
        _look_at_time_zones(settings),
        _look_at_legal_notice(settings),
        *_look_at_relays(settings, probe),
        *_look_at_signing(settings),
        *_look_at_domain(settings, look_up),
    )


def _look_at_keys(settings: Settings) -> Diagnosis:
    try:
        keys = load_keys(settings)
    except ConfigError as error:
        return Diagnosis(
            part="keys", health=Health.BAD, seen=error.message, remedy=error.remedy or ""
        )
    return Diagnosis(
        part="keys",
        health=Health.GOOD,
        seen=f"version {keys.current} signs",
        remedy="keep a copy of var/keys elsewhere: without it no link already sent works",
    )


def _look_at_database(settings: Settings, now: datetime) -> Iterator[Diagnosis]:
    try:
        engine = opening.open_store(settings)
        with database.read(engine) as connection:
            beat_at = runs.read_heartbeat(connection)
            unclaimed = tuple(find_unclaimed(settings, connection, now))
            standing = [
                (run, find_trouble(connection, run)) for run in runs.unfinished_runs(connection)
            ]
        copied = is_copy(settings, engine)
        kind = settings.database_url.partition(":")[0]
        version = f"SQLite {sqlite3.sqlite_version}" if kind == "sqlite" else kind
        store = _look_at_copy(version) if copied else _look_at_store(engine, version)
        engine.dispose()
    except NewsletterError as error:
        yield Diagnosis(
            part="database", health=Health.BAD, seen=_say_place(error), remedy=error.remedy or ""
        )
        return
    yield store
    yield _look_at_heartbeat(beat_at, unclaimed, now)
    for run, trouble in standing:
        if run.stopped:
            yield _look_at_stopped(run, trouble)
        elif trouble is not None:
            yield _look_at_waiting(run, trouble, now)


def _find_write_fault(engine: Engine) -> StoreError | None:
    """Return why a run could not write; nothing is written here, and a lock is no fault."""
    of_nothing = update(schema.instance).where(false()).values(id="")
    try:
        with contextlib.suppress(Busy), database.write(engine) as connection:
            connection.execute(of_nothing)
    except StoreError as error:
        return error
    return None


def _look_at_store(engine: Engine, version: str) -> Diagnosis:
    fault = _find_write_fault(engine)
    if fault is None:
        return Diagnosis(part="database", health=Health.GOOD, seen=version)
    return Diagnosis(
        part="database", health=Health.BAD, seen=_say_place(fault), remedy=fault.remedy or ""
    )


def _say_place(error: NewsletterError) -> str:
    """Say where and what: the remedy has a line of its own."""
    return f"{error.path}: {error.message}" if error.path else error.message


def _look_at_copy(version: str) -> Diagnosis:
    return Diagnosis(
        part="database",
        health=Health.BAD,
        seen=f"{version}: not the database that ran here, so nothing leaves",
        remedy="bring the right one back; or, if no other machine sends: newsletter adopt",
    )


def _look_at_heartbeat(
    beat_at: datetime | None, unclaimed: tuple[str, ...], now: datetime
) -> Diagnosis:
    remedy = "start it: python scheduler.py (see docs/operations.md for systemd)"
    if beat_at is None:
        return Diagnosis(
            part="scheduler", health=Health.WARNING, seen="has never run here", remedy=remedy
        )
    if now - beat_at > HEARTBEAT_LIMIT:
        seen = "; ".join((f"last seen on {beat_at:%Y-%m-%d at %H:%M} UTC", *unclaimed))
        return Diagnosis(part="scheduler", health=Health.BAD, seen=seen, remedy=remedy)
    if unclaimed:
        seen = "; ".join(("alive", *unclaimed))
        return Diagnosis(part="scheduler", health=Health.BAD, seen=seen, remedy="read its log")
    return Diagnosis(part="scheduler", health=Health.GOOD, seen="alive")


def _look_at_stopped(run: Run, trouble: Trouble | None) -> Diagnosis:
    by_itself = run.reason in SELF_STOPS
    words = f": {trouble.said}" if trouble else ""
    return Diagnosis(
        part="run",
        health=Health.BAD if by_itself else Health.WARNING,
        seen=f"{run.issue_id} "
        + (f"stopped itself: {run.reason}{words}" if by_itself else run.reason),
        remedy=("mend the cause, then: " if by_itself else "") + f"newsletter send {run.issue_id}",
    )


def _look_at_waiting(run: Run, trouble: Trouble, now: datetime) -> Diagnosis:
    return Diagnosis(
        part="run",
        health=Health.BAD if now - trouble.since >= UNCLAIMED_LIMIT else Health.WARNING,
        seen=f"{run.issue_id} waits for its relay since {trouble.since:%Y-%m-%d at %H:%M} UTC: "
        + trouble.said,
        remedy="mend the relay: the schedule tries again by itself, until 24 h after the start",
    )


def _look_at_clock(now: datetime) -> Diagnosis:
    if now < CLOCK_FLOOR:
        return Diagnosis(
            part="clock", health=Health.BAD, seen=f"{now:%Y-%m-%d}", remedy="set it (NTP)"
        )
    return Diagnosis(part="clock", health=Health.GOOD, seen=f"{now:%Y-%m-%d %H:%M} UTC")


def _look_at_time_zones(settings: Settings) -> Diagnosis:
    version = importlib.metadata.version("tzdata")
    return Diagnosis(
        part="time zones",
        health=Health.GOOD,
        seen=f"tzdata {version}, {settings.publication.timezone}",
    )


def _look_at_legal_notice(settings: Settings) -> Diagnosis:
    publication = settings.publication
    missing = [
        name
        for name in LEGAL_NOTICE
        if not getattr(publication, name) or PLACEHOLDER in getattr(publication, name)
    ]
    if not missing:
        return Diagnosis(part="legal notice", health=Health.GOOD, seen=publication.publisher)
    return Diagnosis(
        part="legal notice",
        health=Health.WARNING if settings.all_loopback else Health.BAD,
        seen="missing: " + ", ".join(missing),
        remedy="fill in [publication] of newsletter.toml (P13)",
    )


def _look_at_relays(settings: Settings, probe: Probe) -> Iterator[Diagnosis]:
    """Greet each by itself: one that is away must not hide how the others do."""
    for relay in (settings.relay, *settings.relays):
        alone = settings.model_copy(update={"relay": relay, "relays": ()})
        yield _look_at_relay(alone, probe)


def _look_at_relay(settings: Settings, probe: Probe) -> Diagnosis:
    if settings.relay.is_embedded:
        return Diagnosis(
            part="relay",
            health=Health.WARNING,
            seen="embedded: messages stay on this machine, in var/mailbox",
            remedy="set relay.url before writing to real people",
        )
    try:
        seen = probe(settings)
    except (ConfigError, RelayError) as error:
        return Diagnosis(
            part="relay", health=Health.BAD, seen=error.message, remedy=error.remedy or ""
        )
    return Diagnosis(part="relay", health=Health.GOOD, seen=seen)


def _look_at_signing(settings: Settings) -> Iterator[Diagnosis]:
    try:
        signer = load_signer(settings)
    except ConfigError as error:
        seen, remedy = _say_place(error), error.remedy or ""
        yield Diagnosis(part="signing", health=Health.BAD, seen=seen, remedy=remedy)
        return
    if signer is not None:
        seen = f"selector {settings.relay.dkim.selector}"
        yield Diagnosis(part="signing", health=Health.GOOD, seen=seen)


def _look_at_domain(settings: Settings, look_up: LookUp) -> Iterator[Diagnosis]:
    """SPF, DKIM and DMARC of the sender's domain (D1, D4), also with a Postfix of our own."""
    domain = settings.sender.address.rpartition("@")[2]
    if settings.relay.is_embedded or is_reserved(domain):
        yield _skip_domain(settings, domain)
        return
    bounce = settings.sender.bounce_address.rpartition("@")[2] or domain
    spf, dmarc = _spf_of_relays(settings), _dmarc_to_publish(settings)
    yield _look_for(look_up, "SPF", (bounce,), "v=spf1", spf, find_fault=_find_spf_fault)
    # RFC 7489 §6.6.3: without one of its own, a domain has the policy of its organisation.
    places = tuple(dict.fromkeys((f"_dmarc.{domain}", f"_dmarc.{_organisation(domain)}")))
    yield _look_for(look_up, "DMARC", places, "v=DMARC1", dmarc)
    dkim = settings.relay.dkim
    signs_as = (dkim.domain or domain) if dkim.selector else ""
    for name, record in _signing_records(settings, signs_as):
        # The key itself, not just any: a rotated one fails every signature.
        yield _look_for(look_up, "DKIM", (name,), record.rpartition(" ")[2], record)
    yield _judge_alignment(domain, bounce, signs_as)


def _skip_domain(settings: Settings, domain: str) -> Diagnosis:
    """Say that nothing is looked up: no mail leaves, or the name leads nowhere on the Internet."""
    embedded = settings.relay.is_embedded
    why = "the relay is embedded" if embedded else f"{domain} is a reserved name"
    return Diagnosis(
        part="domain",
        # With such a sender ``check`` lets nothing leave for another machine.
        health=Health.WARNING if settings.all_loopback else Health.BAD,
        seen=f"SPF, DKIM and DMARC are not looked up: {why}",
        remedy="" if embedded else "give sender.address a domain of yours",
    )


def _spf_of_relays(settings: Settings) -> str:
    """Return the record that admits every relay; one on loopback is seen as this machine."""
    names = (
        "<public name of this machine>" if relay.is_loopback else relay.host
        for relay in (settings.relay, *settings.relays)
    )
    return " ".join(("v=spf1", *(f"a:{name}" for name in dict.fromkeys(names)), "-all"))


def _dmarc_to_publish(settings: Settings) -> str:
    """Return a first policy, with reports to the contact: when that is a telephone, Reply-To."""
    contact = settings.publication.contact
    to = contact if _ADDRESS.fullmatch(contact) else settings.sender.reply_to
    return f"v=DMARC1; p=none; rua=mailto:{to}"


def _find_spf_fault(record: str) -> str:
    return "" if _admits_somebody(record) else "admits no server, not even yours"


def _admits_somebody(record: str) -> bool:
    """True when a term of an SPF record lets a server pass (RFC 7208 §4.6.2, §5.1, §6.1)."""
    redirects = False
    for term in record.lower().split()[1:]:
        if _SPF_ALL.fullmatch(term):  # no term after it is reached, and no redirect counts
            return term in {"all", "+all"}
        if _SPF_MODIFIER.match(term):
            redirects = redirects or term.startswith("redirect=")
        elif term[0] not in "-~?":
            return True
    return redirects


def _signing_records(settings: Settings, signs_as: str) -> tuple[tuple[str, str], ...]:
    try:
        signer = load_signer(settings)
    except ConfigError:  # said when it is used; the record is wanted all the same
        name = f"{settings.relay.dkim.selector}._domainkey.{signs_as}"
        return ((name, "v=DKIM1; p="),)
    return dns_records(signer) if signer is not None else ()


def _judge_alignment(domain: str, bounce: str, signs_as: str) -> Diagnosis:
    """DMARC passes when SPF's domain or DKIM's is that of the sender (relaxed: RFC 7489 §3.1)."""
    seen = f"sender {domain}, envelope {bounce}, signature {signs_as or 'the relay, if any'}"
    if _is_aligned(bounce, domain) or _is_aligned(signs_as, domain):
        return Diagnosis(part="alignment", health=Health.GOOD, seen=seen)
    return Diagnosis(
        part="alignment",
        health=Health.BAD,
        seen=seen,
        remedy="give sender.bounce_address or relay.dkim.domain the domain of sender.address",
    )


def _is_aligned(one: str, other: str) -> bool:
    return bool(one) and _organisation(one) == _organisation(other)


def _organisation(domain: str) -> str:
    """Return the organisational domain: the last two labels, three below such as asso.fr or co.uk.

    A rule without the public suffix list: of a suffix that it does not know (a host's customers,
    a city's names), it takes two strangers for one organisation.
    """
    labels = domain.lower().rstrip(".").split(".")
    sold_below = len(labels[-1]) == 2 and labels[-2:-1] and labels[-2] in _SECOND_LEVELS
    return ".".join(labels[-3 if sold_below else -2 :])


def _look_for(
    look_up: LookUp,
    part: str,
    names: tuple[str, ...],
    wanted: str,
    publish: str,
    *,
    find_fault: Callable[[str], str] = lambda _: "",
) -> Diagnosis:
    """Look for one record at the first of these names that has any; the first is to have it."""
    found: list[str] = []
    name = names[0]
    for name in names:
        try:
            found = [record for record in look_up(name) if wanted in record]
        except OSError as error:
            seen = f"{name}: no answer ({error})"
            return Diagnosis(part=part, health=Health.WARNING, seen=seen, remedy="try again")
        if found:
            break
    where = name if found else " and ".join(names)
    seen = f"{where}: {len(found)} records with {wanted}, one is needed"
    if len(found) == 1:
        fault = find_fault(found[0])
        seen = f"{name}: {found[0][:60]}" + (f" {fault}" if fault else "")
        if not fault:
            return Diagnosis(part=part, health=Health.GOOD, seen=seen)
    remedy = f'publish one TXT record of {names[0]}: "{publish}"; see docs/operations.md'
    return Diagnosis(part=part, health=Health.BAD, seen=seen, remedy=remedy)


def look_up_text(name: str) -> tuple[str, ...]:
    """Return the TXT records of *name* from the system's resolver; OSError without an answer."""
    import dns.exception
    import dns.resolver

    try:
        answer = dns.resolver.resolve(name, "TXT", lifetime=5)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return ()
    except dns.exception.DNSException as error:
        raise OSError(str(error)) from error
    return tuple(b"".join(record.strings).decode("utf-8", "replace") for record in answer)
