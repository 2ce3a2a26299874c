"""SMTP as bytes in and bytes out: one session with a relay, without a socket (RFC 5321).

In: what the relay wrote; envelopes to submit; leave to send a dot. Out: bytes to write and events.
Never: a socket, a clock, a wait; a bare CR or LF; plain text where TLS is required; a dot by
itself (``finish`` writes it, and its caller commits the intent first).

Two machines share the stream of replies:

- the *greeting*: banner, EHLO, STARTTLS, EHLO again, AUTH; one command at a time, a table below;
- the *transactions*: a FIFO of expected replies. With PIPELINING (RFC 2920) an envelope is one
  write and the dot of one message travels with the MAIL, RCPT and DATA of the next; with CHUNKING
  (RFC 3030) a whole message is one write and several are in flight; without, one command at a time.

A reply that nothing waits for, that is not a reply, or that cannot be an answer to what was asked
desynchronises the session: it is over, and what it may have been about is for the caller to judge.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from newsletter.delivery.smtp_greeting import Failed, Greeting, Problem, Ready, StartTls, Terms
from newsletter.delivery.smtp_replies import Desync, Offer, ReplyReader
from newsletter.delivery.states import Reply, Stage

# --- what we say ---------------------------------------------------------------------------------


class BadAddress(ValueError):
    """An address that must not reach a command line."""


_ADDRESS = re.compile(r"[!-;=?-~]+")  # printable ASCII without blanks, < and >
_is_plain = re.compile(f"{_ADDRESS.pattern}@{_ADDRESS.pattern}").fullmatch  # nearly every one


def encode_address(address: str) -> bytes:
    """Return *address* as it stands between < and >; raise BadAddress.

    CR, LF, NUL, blanks and every control are refused (command injection); the domain goes out as
    A-labels; a non-ASCII local part would need SMTPUTF8 on every hop and is refused (DESIGN 6).
    """
    if _is_plain(address):
        return address.encode("ascii")
    local, at, domain = address.rpartition("@")
    if not at or not local:
        raise BadAddress("has no local part or no domain")
    if not domain.isascii():
        try:
            domain = domain.encode("idna").decode("ascii")
        except UnicodeError:
            raise BadAddress("has a domain that is none") from None
    if not _ADDRESS.fullmatch(local) or not _ADDRESS.fullmatch(domain):
        raise BadAddress("holds a character that SMTP does not carry")
    return f"{local}@{domain}".encode("ascii")


# --- events ---------------------------------------------------------------------------------------


class Proceed(NamedTuple):
    """354 came for this token: write the body, then ``finish`` once its intent is committed."""

    token: int


class Settled(NamedTuple):
    """The last word about this token, and at which stage it fell."""

    token: int
    stage: Stage
    reply: Reply


class Unsettled(NamedTuple):
    """How far a token came: DOT when its dot may have left; the first no that it heard, if any."""

    token: int
    stage: Stage
    no: Reply | None = None


class Closing(NamedTuple):
    """The session is over: ask ``unsettled`` what it leaves behind."""

    reason: str  # busy, desync


_MAIL, _RCPT = Stage.MAIL, Stage.RCPT
Event = StartTls | Ready | Failed | Proceed | Settled | Closing
Reaction = tuple[bytes, list[Event]]


# --- one session ---------------------------------------------------------------------------------


class _Transaction:
    """One message on its way; ``no`` is the first refusal it met."""

    __slots__ = ("no", "no_stage", "recipient", "stage", "token", "written")

    def __init__(self, token: int, recipient: bytes) -> None:
        self.token = token
        self.recipient = recipient
        self.no: Reply | None = None
        self.no_stage = Stage.MAIL
        self.stage = Stage.MAIL
        self.written = False  # the dot, or the last chunk, may have left


class Session:
    """The client's side of one SMTP session."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.is_ready = False
        self.is_over = False
        # What the last EHLO offers, once ready: asked many times for each message.
        self.offer = Offer()
        self.uses_bdat = False
        self.submitted = 0
        self.taken = 0
        self.answered = 0  # replies so far: a deadline starts again only when this moves
        self._reader = ReplyReader()
        self._greeting = Greeting(terms, self._reader)
        self._expected: deque[tuple[Stage, _Transaction | None]] = deque()
        self._by_token: dict[int, _Transaction] = {}
        self._pending_rset = False
        self._dismissed = False  # by a 421
        self._went_on = False  # and yet the relay answered what stood behind it
        self._is_in_step = True  # each reply was an answer to what was asked
        self._on: Mapping[Stage, Callable[[_Transaction, Reply], Reaction]] = {
            Stage.MAIL: self._on_mail,
            Stage.RCPT: self._on_rcpt,
            Stage.DATA: self._on_data,
            Stage.DOT: self._on_dot,
            Stage.RSET: self._on_rset,
        }

    # --- what the edge asks

    @property
    def is_encrypted(self) -> bool:
        return self._greeting.is_encrypted

    @property
    def stage(self) -> Stage:
        """What the relay owes us now: decides which deadline runs."""
        if not self.is_ready:
            return self._greeting.stage
        if self.uses_bdat and any(tx.written for tx in self._by_token.values()):
            return Stage.DOT  # their last chunks have left: to give up early would be doubt
        return self._expected[0][0] if self._expected else Stage.BODY

    @property
    def is_waiting(self) -> bool:
        """True while the relay owes a reply."""
        return not self.is_ready or bool(self._expected)

    @property
    def in_flight(self) -> int:
        return len(self._by_token)

    @property
    def may_be_answered(self) -> bool:
        """True when whole messages have left behind a 421: the relay may take them all the same."""
        return self._dismissed and any(tx.written for tx in self._by_token.values())

    def unsettled(self, *, parted: bool = False) -> list[Unsettled]:
        """Return what never had its last word, once the session is over.

        *parted*: the relay closed it. Right behind a 421, it has read nothing more.
        """
        left = [self._leave(tx, parted=parted) for tx in self._by_token.values()]
        self._by_token.clear()
        self._expected.clear()
        return left

    def _leave(self, tx: _Transaction, *, parted: bool) -> Unsettled:
        if tx.no is not None and self._is_in_step:  # only the end of its envelope was owed
            return Unsettled(tx.token, tx.no_stage, tx.no)
        was_read = not (parted and self._dismissed) or self._went_on
        may_have_left = tx.written and was_read
        return Unsettled(tx.token, Stage.DOT if may_have_left else tx.stage)

    # --- bytes in

    def receive(self, data: bytes) -> Reaction:
        """Take what the relay wrote; return what to write at once, and what happened.

        Behind a 421 as well: a relay that goes on answers for the messages that had left.
        """
        if self.is_over and not self.may_be_answered:
            return b"", []
        out = b""
        events: list[Event] = []
        try:
            for reply in self._reader.feed(data):
                self.answered += 1
                self._went_on |= self._dismissed and reply.code != 421
                if reply.code == 250 and self._goes_on():
                    continue
                written, happened = self._on_reply(reply)
                out += written
                events += happened
                if self.is_over and not self.may_be_answered:
                    break
        except Desync as error:
            self.is_over, self._is_in_step = True, False
            events.append(self._close(str(error)))
        return out, events

    def _goes_on(self) -> bool:
        """Take a yes that decides nothing, its next command left long ago: half of all replies."""
        expected = self._expected
        if not expected or not self.offer.pipelining:
            return False
        stage, tx = expected[0]
        if tx is not None:
            if stage is not _MAIL and stage is not _RCPT:
                return False
            tx.stage = stage
        expected.popleft()
        return True

    def tls_started(self) -> bytes:
        """The stream is encrypted: forget the first EHLO; return the second."""
        return self._greeting.tls_started()

    def _on_reply(self, reply: Reply) -> Reaction:
        if self.is_ready:
            return self._on_answer(reply)
        out, happened = self._greeting.receive(reply)
        if self._greeting.is_over:
            self.is_ready = isinstance(happened[-1], Ready)
            self.is_over = not self.is_ready
            self.offer = offer = self._greeting.offer
            self.uses_bdat = self.terms.chunking and offer.bears_chunks
        return out, list(happened)

    def _close(self, detail: str) -> Event:
        if self.is_ready:
            return Closing("desync")
        return Failed(Problem.DESYNC, self._greeting.stage, None, detail)

    # --- transactions

    def can_submit(self) -> bool:
        """True when another envelope may be written now."""
        if not self.is_ready or self.is_over:
            return False
        if self.uses_bdat:
            return len(self._by_token) < self.terms.in_flight
        if self.offer.pipelining:  # behind a dot that is on its way, one more envelope
            for tx in self._by_token.values():  # noqa: SIM110 - a generator takes longer
                if not tx.written:
                    return False
            return True
        return not self._expected and not self._by_token

    def check_size(self, size: int) -> Reply | None:
        """Return the refusal of a message larger than the relay announced (RFC 1870), or None."""
        if self.offer.size and size > self.offer.size:
            return Reply(552, "5.3.4", f"{size} bytes; the relay takes {self.offer.size}")
        return None

    def open(self, token: int, sender: str, recipient: str, size: int) -> bytes:
        """Return the envelope to write: with PIPELINING down to DATA, else MAIL alone.

        Raise BadAddress before anything is written.
        """
        mail, rcpt = self._envelope(sender, recipient, size)
        tx = self._begin(token, rcpt)
        before = self._take_rset() if self._pending_rset else b""
        if not self.offer.pipelining:
            self._expected.append((Stage.MAIL, tx))
            return before + mail
        self._expected.extend(((Stage.MAIL, tx), (Stage.RCPT, tx), (Stage.DATA, tx)))
        return before + mail + rcpt + b"DATA\r\n"

    def chunk(self, token: int, sender: str, recipient: str, size: int) -> bytes:
        """Return the envelope of a message of one last chunk: only after its intent.

        The *size* octets of the message follow it at once.
        """
        mail, rcpt = self._envelope(sender, recipient, size)
        # A refused BDAT leaves the transaction in any state (RFC 3030 §2): Exim keeps its sender,
        # under which it would take this message. Those ahead may yet be refused.
        before = self._take_rset() if self._by_token or self._pending_rset else b""
        tx = self._begin(token, rcpt)
        tx.written = True
        self._expected.extend(((Stage.MAIL, tx), (Stage.RCPT, tx), (Stage.DOT, tx)))
        return b"%b%b%bBDAT %d LAST\r\n" % (before, mail, rcpt, size)

    def finish(self, token: int) -> bytes:
        """Return the dot that ends this message: only after its intent is committed."""
        tx = self._by_token[token]
        tx.stage, tx.written = Stage.DOT, True
        self._expected.append((Stage.DOT, tx))
        return b".\r\n"

    def quit(self) -> bytes:
        """Return the farewell; nothing may be submitted afterwards."""
        self.is_over = True
        return b"QUIT\r\n"

    def _envelope(self, sender: str, recipient: str, size: int) -> tuple[bytes, bytes]:
        announced = b" SIZE=%d" % size if self.offer.size is not None else b""
        mail = b"MAIL FROM:<%b>%b\r\n" % (encode_address(sender) if sender else b"", announced)
        return mail, b"RCPT TO:<%b>\r\n" % encode_address(recipient)

    def _begin(self, token: int, rcpt: bytes) -> _Transaction:
        tx = self._by_token[token] = _Transaction(token, rcpt)
        self.submitted += 1
        return tx

    def _take_rset(self) -> bytes:
        self._pending_rset = False
        self._expected.append((Stage.RSET, None))
        return b"RSET\r\n"

    def _on_answer(self, reply: Reply) -> Reaction:
        if not self._expected:
            if reply.code == 421:
                return self._on_421(Stage.BODY, None, reply)
            raise Desync(f"nothing was asked, the relay says {reply}")
        stage, tx = self._expected.popleft()
        if reply.code == 421:
            return self._on_421(stage, tx, reply)
        if tx is None:  # RSET, or the verdict on a bare dot: only its coming matters
            return b"", []
        tx.stage = stage
        return self._on[stage](tx, reply)

    def _on_421(self, stage: Stage, tx: _Transaction | None, reply: Reply) -> Reaction:
        self.is_over = self._dismissed = True
        events: list[Event] = [Closing("busy")]
        if tx is not None:
            # Even to the dot it is an answer, a no: this message is not in doubt.
            no, no_stage = (tx.no, tx.no_stage) if tx.no else (reply, stage)
            if tx.written and stage is not Stage.DOT:
                tx.no, tx.no_stage = no, no_stage  # its chunk may yet be answered
            else:
                events.insert(0, self._settle(tx, no_stage, no))
        return b"", events

    def _on_mail(self, tx: _Transaction, reply: Reply) -> Reaction:
        if reply.code // 100 == 3:
            raise Desync(f"MAIL was answered {reply}")
        if reply.code >= 400:
            tx.no, tx.no_stage = reply, Stage.MAIL
        return self._next_serial(tx, Stage.RCPT, tx.recipient)

    def _on_rcpt(self, tx: _Transaction, reply: Reply) -> Reaction:
        if reply.code // 100 == 3:
            raise Desync(f"RCPT was answered {reply}")
        if reply.code >= 400 and tx.no is None:
            tx.no, tx.no_stage = reply, Stage.RCPT
        return self._next_serial(tx, Stage.DATA, b"DATA\r\n")

    def _next_serial(self, tx: _Transaction, stage: Stage, command: bytes) -> Reaction:
        if self.offer.pipelining:  # the command left long ago
            return b"", []
        if tx.no is not None:  # settled once the relay has forgotten the envelope
            self._expected.append((Stage.RSET, tx))
            return b"RSET\r\n", []
        self._expected.append((stage, tx))
        return command, []

    def _on_data(self, tx: _Transaction, reply: Reply) -> Reaction:
        if reply.code // 100 == 2:
            raise Desync(f"DATA was answered {reply}")
        if reply.code == 354:
            if tx.no is None:
                tx.stage = Stage.BODY
                return b"", [Proceed(tx.token)]
            # RFC 2920 §3.1: a refused RCPT and yet 354: end the empty message, whatever comes.
            self._expected.append((Stage.DOT, None))
            return b".\r\n", [self._settle(tx, tx.no_stage, tx.no)]
        if tx.no is None:  # else 503 or 554 follows from it: the first no is the reason
            tx.no, tx.no_stage = reply, Stage.DATA
        if not self.offer.pipelining:
            return self._next_serial(tx, Stage.RSET, b"")
        self._pending_rset = True  # else the next MAIL is "nested"
        return b"", [self._settle(tx, tx.no_stage, tx.no)]

    def _on_dot(self, tx: _Transaction, reply: Reply) -> Reaction:
        if reply.code // 100 == 3:
            raise Desync(f"the end of the message was answered {reply}")
        if reply.code // 100 == 2 and reply.enhanced.startswith("2.1."):
            # An answer to MAIL or RCPT in the place of the verdict: an extra reply slipped in.
            tx.written = True
            raise Desync(f"the end of the message was answered {reply}")
        if reply.code // 100 == 2:
            if tx.no is not None:
                raise Desync(f"{tx.no}, and yet the end of the message was answered {reply}")
            self.taken += 1
            return b"", [self._settle(tx, Stage.DOT, reply)]
        self._pending_rset = self.uses_bdat
        if tx.no is not None:
            return b"", [self._settle(tx, tx.no_stage, tx.no)]
        return b"", [self._settle(tx, Stage.DOT, reply)]

    def _settle(self, tx: _Transaction, stage: Stage, reply: Reply) -> Settled:
        self._by_token.pop(tx.token, None)
        return Settled(tx.token, stage, reply)

    def _on_rset(self, tx: _Transaction, _reply: Reply) -> Reaction:
        assert tx.no is not None  # only a refused envelope is reset
        return b"", [self._settle(tx, tx.no_stage, tx.no)]
