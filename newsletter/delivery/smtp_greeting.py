"""From the banner to the first envelope: EHLO, STARTTLS, EHLO again, AUTH; one command at a time.

In: replies, the terms of the session. Out: bytes to write, and ``StartTls``, ``Ready`` or
``Failed``. Never: plain text where TLS is required, a password in clear beyond loopback, a word of
an EHLO that came before TLS (RFC 3207 §4.2).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from newsletter.delivery.smtp_replies import Offer, ReplyReader, read_offer
from newsletter.delivery.states import Reply, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The account at the relay; ``mechanism`` is auto, plain, login or xoauth2."""

    user: str
    password: str = field(repr=False)
    mechanism: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms a session may reach its first reader.

    ``tls_active``: the bytes are encrypted from the start (smtps). ``tls_required``: STARTTLS or
    nothing. ``secrets_in_clear``: AUTH without TLS, for loopback only.
    """

    name: str  # ours, in EHLO
    tls_active: bool = False
    tls_required: bool = False
    credentials: Credentials | None = None
    secrets_in_clear: bool = False
    chunking: bool = True  # use BDAT where it is offered
    in_flight: int = 1  # messages at once with BDAT


class Problem(StrEnum):
    """Why a session cannot be used."""

    BUSY = "busy"  # 421 or 4xx: later
    REFUSED = "refused"  # a final no before AUTH
    TLS = "tls"
    AUTH = "auth"
    AUTH_LATER = "auth_later"  # 454: temporary
    DESYNC = "desync"


@dataclass(frozen=True, slots=True)
class StartTls:
    """Encrypt the stream now, then call ``tls_started``."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The first envelope may be submitted."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The session never came to its first envelope."""

    problem: Problem
    stage: Stage
    reply: Reply | None
    detail: str = ""


Reaction = tuple[bytes, list[StartTls | Ready | Failed]]


class Greeting:
    """The client's side of a session until it is ready."""

    def __init__(self, terms: Terms, reader: ReplyReader) -> None:
        self.terms = terms
        self.offer = Offer()
        self.stage = Stage.BANNER
        self.is_over = False
        self.receive: Callable[[Reply], Reaction] = self._on_banner
        self._reader = reader
        self.is_encrypted = terms.tls_active
        self._asked_tls = terms.tls_active
        self._answers: list[bytes] = []  # what AUTH LOGIN still has to say
        self._gave_up = False  # nothing is left to say, and the relay asked for more

    def _fail(self, problem: Problem, reply: Reply | None, detail: str = "") -> Reaction:
        self.is_over = True
        return b"QUIT\r\n", [Failed(problem, self.stage, reply, detail)]

    def _say(self, stage: Stage, command: bytes, then: Callable[[Reply], Reaction]) -> Reaction:
        self.stage, self.receive = stage, then
        return command + b"\r\n", []

    def _on_banner(self, reply: Reply) -> Reaction:
        if reply.code != 220:
            later = 400 <= reply.code < 500
            return self._fail(Problem.BUSY if later else Problem.REFUSED, reply)
        return self._hello()

    def _hello(self) -> Reaction:
        return self._say(Stage.HELLO, b"EHLO " + self.terms.name.encode("ascii"), self._on_hello)

    def _on_hello(self, reply: Reply) -> Reaction:
        if reply.code == 250:
            # What an EHLO before STARTTLS said is forgotten (RFC 3207 §4.2).
            self.offer = read_offer(reply)
            return self._after_hello()
        if reply.code in {500, 502, 504} and not self.terms.tls_required:
            return self._say(Stage.HELLO, b"HELO " + self.terms.name.encode("ascii"), self._on_helo)
        return self._fail(Problem.BUSY if reply.code < 500 else Problem.REFUSED, reply)

    def _on_helo(self, reply: Reply) -> Reaction:
        if reply.code != 250:
            return self._fail(Problem.BUSY if reply.code < 500 else Problem.REFUSED, reply)
        self.offer = Offer()
        return self._after_hello()

    def _after_hello(self) -> Reaction:
        if self.offer.starttls and not self._asked_tls:
            self._asked_tls = True
            return self._say(Stage.TLS, b"STARTTLS", self._on_starttls)
        if self.terms.tls_required and not self.is_encrypted:
            return self._fail(Problem.TLS, None, "STARTTLS is not offered")
        if self.terms.credentials is not None:
            return self._authenticate(self.terms.credentials)
        return self._become_ready()

    def _on_starttls(self, reply: Reply) -> Reaction:
        if reply.code != 220:
            later = 400 <= reply.code < 500
            if self._needs_tls or reply.code == 421:
                problem = Problem.BUSY if later else Problem.TLS
                return self._fail(problem, reply, f"STARTTLS was refused: {reply}")
            return self._hello()  # not required: go on in clear, and do not ask again
        if not self._reader.is_empty:
            # Bytes slipped in before the encryption would be read as if they were after it.
            return self._fail(Problem.TLS, reply, "bytes follow the answer to STARTTLS")
        self.receive = self._refuse_clear_text
        return b"", [StartTls()]

    @property
    def _needs_tls(self) -> bool:
        has_secret = self.terms.credentials is not None and not self.terms.secrets_in_clear
        return self.terms.tls_required or has_secret

    def _refuse_clear_text(self, reply: Reply) -> Reaction:
        return self._fail(Problem.TLS, reply, "bytes follow the answer to STARTTLS")

    def tls_started(self) -> bytes:
        """The stream is encrypted: forget the first EHLO and say it again."""
        self.is_encrypted = True
        self.offer = Offer()
        return self._hello()[0]

    def _authenticate(self, account: Credentials) -> Reaction:
        if not self.is_encrypted and not self.terms.secrets_in_clear:
            return self._fail(Problem.TLS, None, "the password will not be sent in clear")
        mechanism = choose_mechanism(account.mechanism, self.offer.auth)
        if mechanism is None:
            offered = ", ".join(sorted(self.offer.auth)) or "none"
            return self._fail(Problem.AUTH, None, f"no way to sign in; offered: {offered}")
        command, *self._answers = _AUTH[mechanism](account)
        return self._say(Stage.AUTH, command, self._on_auth)

    def _on_auth(self, reply: Reply) -> Reaction:
        if reply.code == 235:
            return self._become_ready()
        if reply.code == 334 and self._answers:
            return self._say(Stage.AUTH, self._answers.pop(0), self._on_auth)
        if reply.code == 334 and not self._gave_up:
            self._gave_up = True  # XOAUTH2 puts its error in a challenge: an empty answer ends it
            return self._say(Stage.AUTH, b"", self._on_auth)
        later = 400 <= reply.code < 500
        return self._fail(Problem.AUTH_LATER if later else Problem.AUTH, reply)

    def _become_ready(self) -> Reaction:
        self.is_over = True
        return b"", [Ready()]


# --- AUTH ----------------------------------------------------------------------------------------


def choose_mechanism(wanted: str, offered: frozenset[str]) -> str | None:
    """Return the SASL mechanism to use; ``auto`` prefers PLAIN, then LOGIN."""
    if wanted != "auto":
        return wanted.upper() if wanted.upper() in offered else None
    return next((name for name in ("PLAIN", "LOGIN") if name in offered), None)


def _encode(text: str) -> bytes:
    return base64.b64encode(text.encode())


def _plain(account: Credentials) -> list[bytes]:
    return [b"AUTH PLAIN " + _encode(f"\0{account.user}\0{account.password}")]


def _login(account: Credentials) -> list[bytes]:
    return [b"AUTH LOGIN", _encode(account.user), _encode(account.password)]


def _xoauth2(account: Credentials) -> list[bytes]:
    return [b"AUTH XOAUTH2 " + _encode(f"user={account.user}\1auth=Bearer {account.password}\1\1")]


_AUTH: Mapping[str, Callable[[Credentials], list[bytes]]] = {
    "PLAIN": _plain,
    "LOGIN": _login,
    "XOAUTH2": _xoauth2,
}
