"""What a reply means: the state of one reader, whose fault it was, and when to try again.

In: a stage of SMTP and a reply, or the loss of a connection; counts. Out: a ``Verdict``, delays,
yes or no. Never: a socket, a clock, a database; a guess in a reader's disfavour (DESIGN 6, blame).

``TRANSITIONS`` is the table that the ledger obeys and that ``draw`` turns into the picture of the
documentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from newsletter.model import DeliveryState as State


class Stage(StrEnum):
    """Where in an SMTP session a reply came, or failed to come."""

    BANNER = "banner"
    HELLO = "hello"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"  # after 354, before the dot
    DOT = "dot"  # the dot, or the last BDAT chunk, may have left
    RSET = "rset"


class Reply(NamedTuple):
    """What a relay answered: RFC 5321 code, RFC 3463 enhanced code ('' without one), text."""

    code: int
    enhanced: str = ""
    text: str = ""

    def __str__(self) -> str:
        if self.enhanced and self.text:
            return f"{self.code} {self.enhanced} {self.text}"
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)


class Blame(StrEnum):
    """Whose fault an answer is; only a reader's can end in suppression."""

    NOBODY = "nobody"
    READER = "reader"
    MESSAGE = "message"  # the message, or our standing
    CONNECTION = "connection"  # never charged to the reader
    RELAY = "relay"  # the relay, or its way to others; the breaker counts its refusals
    CONFIGURATION = "configuration"  # stop the run


@dataclass(frozen=True, slots=True)
class Verdict:
    """The next state of a reader, why, and what else follows.

    ``throttled``: slow down. ``close``: the session is no longer usable.
    """

    state: State
    reason: str = ""
    blame: Blame = Blame.NOBODY
    throttled: bool = False
    close: bool = False


#: (from, to) → on what. The only changes of state a delivery may make.
TRANSITIONS: Mapping[tuple[State, State], str] = {
    (State.PENDING, State.SENDING): "claim",
    (State.PENDING, State.DEFERRED): "4xx before the dot",
    (State.PENDING, State.REFUSED): "5xx before the dot",
    (State.PENDING, State.CANCELLED): "left, suppressed, erased",
    (State.PENDING, State.EXPIRED): "deadline",
    (State.PENDING, State.UNKNOWN): "a backup adopted",
    (State.SENDING, State.SENT): "250 after the dot",
    (State.SENDING, State.DEFERRED): "4xx about the reader",
    (State.SENDING, State.PENDING): "421, drop or timeout before the dot",
    (State.SENDING, State.REFUSED): "5xx",
    (State.SENDING, State.UNKNOWN): "crash, drop or timeout once the dot may have left",
    (State.DEFERRED, State.PENDING): "due",
    (State.DEFERRED, State.CANCELLED): "left, suppressed, erased",
    (State.DEFERRED, State.EXPIRED): "deadline",
    (State.DEFERRED, State.UNKNOWN): "a backup adopted",
    (State.UNKNOWN, State.SENT): "proved present",
    (State.UNKNOWN, State.PENDING): "proved absent, or --resend",
    # Its own dispatcher was given up too early and did hear the answer: that is a proof.
    (State.UNKNOWN, State.DEFERRED): "a late 4xx",
    (State.UNKNOWN, State.REFUSED): "a late 5xx",
    (State.REFUSED, State.PENDING): "--retry, for policy, size or configuration",
}

#: RFC 3463 codes that say "this address does not exist" (DESIGN 6): the only ones that suppress.
SUPPRESSING = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"})
#: Codes about our own sender address or account: every reader would hear the same. 5.4.5 is what
#: Gmail says once the account has sent its share of the day.
CONFIGURATION_CODES = frozenset({530, 534, 535, 538, 553})
CONFIGURATION_ENHANCED = frozenset({"5.1.7", "5.1.8", "5.4.5"})
#: RFC 3463 §3.4 and §3.5, the state of a mail system and of the network: never a reader's fault.
SYSTEM_ENHANCED = ("4.3.", "4.4.", "5.3.", "5.4.")
#: A 4xx for one of these says nothing of the other readers of its domain.
ONE_MAILBOX = frozenset({"mailbox_full", "greylisted"})
#: Reasons that `resolve --retry` may open again.
RETRYABLE = frozenset({"policy", "size", "configuration"})

_RELAYING = re.compile(
    r"relay(ing)?\b.{0,24}\b(denied|not permitted|prohibited)|not relay", re.IGNORECASE
)
_ADDRESS = re.compile(r"[^\s<>\"'()\[\],;:]+@[^\s<>\"'()\[\],;:]+")
_TOO_MANY = re.compile(r"too many", re.IGNORECASE)
_FULL_MAILBOX = re.compile(r"mailbox|quota", re.IGNORECASE)
_NAMED_ADDRESS = re.compile(r"[^\s<>@]@[^\s<>@]")
_THROTTLE = re.compile(r"thrott|rate|too (many|fast)|exceed|slow", re.IGNORECASE)
_PROTOCOL_ERRORS = frozenset({500, 502, 503, 504, 521})
_TOO_LARGE = frozenset({"5.3.4", "5.2.3"})
_WITH_MESSAGE = frozenset({Stage.DATA, Stage.BODY, Stage.DOT})


_ACCEPTED = Verdict(State.SENT)


def classify(stage: Stage, reply: Reply) -> Verdict:
    """Return what *reply* at *stage* means for the reader it was given for."""
    if reply.code == 421:
        return Verdict(State.PENDING, "busy", Blame.CONNECTION, throttled=True, close=True)
    if 200 <= reply.code < 300 and stage is Stage.DOT:
        return _ACCEPTED
    if 400 <= reply.code < 500:
        return _classify_temporary(stage, reply)
    if 500 <= reply.code < 600:
        return _classify_final(stage, reply)
    return Verdict(State.PENDING, "desync", Blame.CONNECTION, close=True)


def _classify_temporary(stage: Stage, reply: Reply) -> Verdict:
    if reply.code == 454 or stage is Stage.MAIL:
        # 454 is a relay's throttle (SES); at MAIL no reader has been named yet.
        return Verdict(State.PENDING, "throttled", Blame.CONNECTION, throttled=True)
    is_storage = reply.code == 452 and not reply.enhanced  # the system's, says RFC 5321 §4.2.3
    if reply.enhanced == "4.2.2" or (is_storage and _FULL_MAILBOX.search(reply.text)):
        return Verdict(State.DEFERRED, "mailbox_full", Blame.READER)
    if reply.enhanced.startswith("4.7.") and "list" in reply.text.lower():
        return Verdict(State.DEFERRED, "greylisted", Blame.READER)
    throttled = bool(_THROTTLE.search(reply.text))
    reason = "throttled" if throttled else "temporary"
    is_relays = is_storage or reply.enhanced.startswith(SYSTEM_ENHANCED)
    blame = Blame.RELAY if is_relays else Blame.READER
    return Verdict(State.DEFERRED, reason, blame, throttled=throttled)


def _classify_final(stage: Stage, reply: Reply) -> Verdict:
    if reply.enhanced in SUPPRESSING and stage is not Stage.MAIL:
        return Verdict(State.REFUSED, "no_such_address", Blame.READER)
    if _is_configuration(reply):
        return Verdict(State.PENDING, "configuration", Blame.CONFIGURATION)
    if message_fault := _find_message_fault(stage, reply):
        return Verdict(State.REFUSED, message_fault, Blame.MESSAGE)
    if reply.code in _PROTOCOL_ERRORS:
        return Verdict(State.PENDING, "desync", Blame.CONNECTION, close=True)
    if stage is Stage.MAIL or reply.enhanced.startswith(SYSTEM_ENHANCED):
        return _classify_refusal_of_all(stage, reply)
    return _classify_refusal(stage, reply)


def _is_configuration(reply: Reply) -> bool:
    return (
        reply.code in CONFIGURATION_CODES
        or reply.enhanced in CONFIGURATION_ENHANCED
        or bool(_RELAYING.search(reply.text))
    )


def _find_message_fault(stage: Stage, reply: Reply) -> str:
    is_size = reply.code == 552 and not reply.enhanced and stage in _WITH_MESSAGE
    if is_size or reply.enhanced in _TOO_LARGE:
        return "size"
    return "policy" if reply.enhanced.startswith(("5.7.", "5.6.")) else ""


def _classify_refusal_of_all(stage: Stage, reply: Reply) -> Verdict:
    """At MAIL no reader has been named yet: it is about our sender, hence about everybody.

    But a reply that names an address may mean this reader's own envelope sender (VERP), as a fault
    of the relay may be about one domain, and the next dispatch would begin with that reader again:
    only the breaker tells one from all.
    """
    if stage is Stage.MAIL and not _NAMED_ADDRESS.search(reply.text):
        return Verdict(State.PENDING, "configuration", Blame.CONFIGURATION)
    return Verdict(State.REFUSED, "configuration", Blame.RELAY)


def _classify_refusal(stage: Stage, reply: Reply) -> Verdict:
    if reply.code == 552 and reply.enhanced in {"", "5.5.3"} and _TOO_MANY.search(reply.text):
        # RFC 5321 §4.5.3.1.10: an old server's way to say 452.
        return Verdict(State.DEFERRED, "throttled", Blame.READER, throttled=True)
    if reply.enhanced == "5.2.2" or (reply.code == 552 and not reply.enhanced):
        return Verdict(State.REFUSED, "mailbox_full", Blame.READER)
    if reply.enhanced == "5.2.1":
        return Verdict(State.REFUSED, "disabled", Blame.READER)
    says_nothing_of_reader = not reply.enhanced or reply.enhanced.startswith(("5.0.", "5.5."))
    if says_nothing_of_reader and stage in _WITH_MESSAGE:
        # Only now did the relay see what we wrote: it is about the message.
        return Verdict(State.REFUSED, "policy", Blame.MESSAGE)
    return Verdict(State.REFUSED, "refused", Blame.READER)


def lost(stage: Stage, reason: str) -> Verdict:
    """Return what the loss of the connection (or a deadline) at *stage* means (DELIVERY 10)."""
    if stage is Stage.DOT:
        return Verdict(State.UNKNOWN, reason, Blame.CONNECTION, close=True)
    return Verdict(State.PENDING, reason, Blame.CONNECTION, close=True)


# --- when to try again ---------------------------------------------------------------------------

RETRY_DELAYS = (
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=4),
)
#: A run is resumed until this long after its start; what is left then is expired (DESIGN 5.5).
RUN_DEADLINE = timedelta(hours=24)
#: After so many faults of the connection in a row a reader waits like a deferred one.
MAX_DROPS = 3


def retry_at(tries: int, now: datetime) -> datetime:
    """Return when a reader deferred for the *tries*-th time (from 1) is tried again."""
    return now + RETRY_DELAYS[min(tries, len(RETRY_DELAYS)) - 1]


class Sequel(NamedTuple):
    """What the ledger writes for one reader after one attempt."""

    state: State
    reason: str
    tries: int
    drops: int
    not_before: datetime | None = None


def follow(verdict: Verdict, *, tries: int, drops: int, now: datetime) -> Sequel:
    """Turn a verdict into the row's next values.

    Tries space the next ones, whoever is to blame for a 4xx; a lost connection is no try.
    """
    if verdict.state is State.DEFERRED:
        return Sequel(State.DEFERRED, verdict.reason, tries + 1, 0, retry_at(tries + 1, now))
    if verdict.state is State.PENDING and verdict.blame is Blame.CONNECTION:
        if drops + 1 >= MAX_DROPS:
            return Sequel(State.DEFERRED, verdict.reason, tries, 0, retry_at(1, now))
        return Sequel(State.PENDING, verdict.reason, tries, drops + 1)
    if verdict.state is State.PENDING:  # never offered: nothing was learnt of this reader
        return Sequel(State.PENDING, verdict.reason, tries, drops)
    return Sequel(verdict.state, verdict.reason, tries, 0)


# --- when to stop asking -------------------------------------------------------------------------

BREAKER_COUNT = 10
BREAKER_SHARE = 0.02
BREAKER_SURE = 5  # so many answers, and every one of them a policy refusal


@dataclass(slots=True)
class Breaker:
    """Counts answers about one run; opens when they are about no reader.

    Relays refuse the message itself (5.7.x, size), or are at fault themselves (5.3.x, 5.4.x).
    """

    answered: int = 0
    in_row: int = 0  # refusals that blame the relay, and no other answer since
    by_signature: dict[str, int] = field(default_factory=dict)

    def count(self, verdict: Verdict, reply: Reply) -> bool:
        """Count one answer; return True when the run must stop and a person must look."""
        self.answered += 1
        blames_relay = verdict.blame is Blame.RELAY and verdict.state is State.REFUSED
        self.in_row = self.in_row + 1 if blames_relay else 0
        if not blames_relay and verdict.blame is not Blame.MESSAGE:
            return False
        signature = f"{reply.code} {reply.enhanced}"
        same = self.by_signature[signature] = self.by_signature.get(signature, 0) + 1
        if same == self.answered >= BREAKER_SURE or self.in_row >= BREAKER_COUNT:
            return True
        return same >= BREAKER_COUNT and same > BREAKER_SHARE * self.answered


SAFEGUARD_COUNT = 20
SAFEGUARD_SHARE = 0.05


def doubts_domain(missing: int, readers: int) -> bool:
    """True when too many addresses of one domain vanish in one run to be believed.

    More than 20 readers and 5 % of a domain: a broken relay or a moved domain. Refuse them,
    suppress nobody, ask a person.
    """
    return missing > SAFEGUARD_COUNT and missing > SAFEGUARD_SHARE * readers


def doubts_run(missing: int, readers: int) -> bool:
    """True when most readers of a run vanish at once: a relay that knows nobody, however few.

    An old list loses a tenth, and has to be cleaned of it.
    """
    return missing >= BREAKER_SURE and missing > readers / 2


#: So many dispatches in a row that lost an answer and reached nobody are enough.
DOUBTS_MAX = 5


# Why a dispatcher stops a run by itself, until a person goes on with it.
SELF_STOPS = frozenset({"policy", "configuration", "canary", "unknown"})


def hide_addresses(problem: str) -> str:
    """What a log may say: the words of a relay often quote a reader's address (P12)."""
    return _ADDRESS.sub("…", problem)


# --- the picture ---------------------------------------------------------------------------------


def draw() -> str:
    """Return the table of transitions as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> pending: audience frozen"]
    lines += [f"    {start} --> {end}: {on}" for (start, end), on in TRANSITIONS.items()]
    ends = (State.SENT, State.CANCELLED, State.EXPIRED)
    lines += [f"    {end} --> [*]" for end in ends]
    return "\n".join(lines) + "\n"
