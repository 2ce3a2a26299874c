"""The nouns of the pipeline, as frozen values.

In: nothing. Out: the shapes that every stage takes and returns. Never: I/O, a clock, a database,
or a rule that belongs to one stage.

Instants (``*_at``) are timezone-aware UTC datetimes. A ``date`` is a day of the publication's own
civil calendar. An issue's id is its folder's name, ``2026-11-26``: the day it leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    from markdown_it.token import Token

IssueId = NewType("IssueId", str)
SubscriberId = NewType("SubscriberId", int)
RunId = NewType("RunId", int)
Digest = NewType("Digest", str)


class Severity(StrEnum):
    """How much a finding weighs."""

    ERROR = "error"  # the run refuses to leave
    WARNING = "warning"  # a person should look
    ADVICE = "advice"  # a suggestion of the house


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to say about an issue: what, where, and how to mend it.

    ``file`` is relative to the publication's folder, ``line`` counts from 1; ``code`` is a stable
    English word. ``message`` and ``remedy`` are English templates whose ``{names}`` come from
    ``facts``; ``words.say`` turns them into the publication's language at the doors.
    """

    severity: Severity
    code: str
    message: str
    remedy: str
    file: str | None = None
    line: int | None = None
    facts: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written: file relative to the publication, line from 1."""

    file: str
    line: int


# --- content -------------------------------------------------------------------------------------


class Convention(StrEnum):
    """What plain Markdown becomes without a ``:::`` block (DESIGN 3, the table)."""

    BUTTON = "button"  # a paragraph that is one link: fields label, href
    FIGURE = "figure"  # an image alone: fields src, alt, caption
    THUMBNAIL = "thumbnail"  # an image inside a link: fields src, alt, href, caption
    QUOTE = "quote"  # a quotation: body = its prose; field attribution ('' without one)
    DIVIDER = "divider"  # ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Prose:
    """A run of ordinary Markdown: paragraphs, headings, lists, tables.

    ``tokens`` are markdown-it's, typography already applied, their ``map`` counting lines of the
    whole file from 0. The three renderings (mail, text, web) all come from these same tokens.
    Personal fields are tokens of type ``field`` (``meta = {"name", "fallback"}``), note references
    of type ``note_ref`` (``meta = {"number", "label"}``).
    """

    tokens: tuple[Token, ...]
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A ``:::`` block, or one of the plain conventions when ``convention`` is set.

    ``name`` is the stem of ``templates/blocks/<name>.j2``; the engine knows none by name.
    ``fields`` are validated: text, int, url, date, image path, list of str, bool, as the block file
    declares; absent optional fields are absent keys. ``title`` is plain text, typography applied.
    """

    name: str
    place: Place
    title: str = ""
    fields: Mapping[str, object] = field(default_factory=dict)
    body: tuple[Prose | Block, ...] = ()
    convention: Convention | None = None


Node = Prose | Block


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A numbered note: ``label`` as written, its body, and its source when it has one."""

    number: int
    label: str
    body: tuple[Token, ...]
    source: Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An entry of ``issues/sources.toml``: where a figure comes from."""

    id: str
    title: str
    institute: str = ""
    sponsor: str = ""
    sample: str = ""
    fielded: str = ""  # when the survey was in the field, as printed
    published: str = ""  # when it was published, as printed
    url: str = ""
    valid_until: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """An entry of ``issues/partners.toml``; the alternative text of its logo is its name."""

    id: str
    name: str
    url: str = ""
    logo: str = ""  # path relative to the publication's folder


@dataclass(frozen=True, slots=True, kw_only=True)
class GlossaryEntry:
    """An entry of ``issues/glossary.toml``: a spelling to keep.

    ``variants`` are misspellings to report; ``expansion`` is expected at first use.
    """

    term: str
    expansion: str = ""
    variants: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One Markdown file of an issue; ``nodes`` in order."""

    slug: str
    title: str
    place: Place
    nodes: tuple[Node, ...] = ()
    kind: str = ""
    objectives: tuple[str, ...] = ()
    sdgs: tuple[int, ...] = ()
    territory: str = ""
    profiles: tuple[str, ...] = ()
    depth: int | None = None
    expires: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """An issue as its editors wrote it, with the examples picked for it."""

    id: IssueId
    number: int
    subject: str
    place: Place  # issue.md
    preheader: str = ""
    theme: str = ""
    author: str = ""
    segment: str = ""
    edito: tuple[Node, ...] = ()
    stories: tuple[Story, ...] = ()
    notes: tuple[Note, ...] = ()
    # What the header asks for: a number of examples, or their ids.
    wanted_examples: int | tuple[str, ...] = 0
    examples: tuple[Example, ...] = ()

    @property
    def day(self) -> date:
        """The day it leaves: the folder's name."""
        return date.fromisoformat(self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What reading an issue gives: the issue, or none, and all findings at once."""

    issue: Issue | None
    findings: tuple[Finding, ...] = ()


# --- examples ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Somebody who takes part in an alliance."""

    name: str
    profile: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An alliance found in a feed. Every text field is plain text: a feed's words are data.

    ``objective`` and ``region`` are slugs of the taxonomy, or ''. ``sdgs`` are 1–17.
    """

    id: str
    title: str
    summary: str
    link: str
    source: str  # title of the feed
    feed_url: str
    territory: str = ""
    scale: str = ""
    region: str = ""
    actors: tuple[Actor, ...] = ()
    objective: str = ""
    sdgs: tuple[int, ...] = ()
    rights: str = ""
    image_url: str = ""
    published_at: datetime | None = None
    first_seen_at: datetime | None = None
    withdrawn_at: datetime | None = None  # taken back by its author: never picked
    featured_in: tuple[str, ...] = ()  # issue ids


# --- mail ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture of an edition: ``name`` is ``<sha256>.<ext>``, served as ``media/<name>``."""

    name: str
    content: bytes
    width: int
    height: int
    source: str = ""  # the file it was made from


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """The frozen rendering of an issue.

    ``html`` and ``text`` keep named holes, ``name|fallback`` between the characters
    U+E000 and U+E001; the fallback is already escaped for its part; everything else is final.
    ``digest`` is SHA-256 over subject, preheader, sender, html, text and audience rule: same
    input, same bytes, any machine. ``web`` is the public copy, without holes.
    """

    issue_id: IssueId
    subject: str
    preheader: str
    sender: str  # the From header, "Name <address>"
    html: str
    text: str
    web: str
    audience_rule: str
    picks: tuple[str, ...]
    pictures: tuple[Picture, ...]
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Who signed which digest, and when."""

    issue_id: IssueId
    digest: Digest
    by: str
    at: datetime


# --- audience ------------------------------------------------------------------------------------


class SubscriberState(StrEnum):
    """Where a person stands with us."""

    PENDING = "pending"  # asked to join, has not confirmed
    ACTIVE = "active"
    PAUSED = "paused"  # receives nothing until a date
    UNSUBSCRIBED = "unsubscribed"  # left
    SUPPRESSED = "suppressed"  # a hard bounce or a complaint
    ERASED = "erased"  # only a keyed fingerprint is left


class Frequency(StrEnum):
    """How often a person wants to be written to."""

    WEEKLY = "weekly"
    MONTHLY = "monthly"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber:
    """A person on the list. Only the address is required (P12)."""

    id: SubscriberId
    address: str
    state: SubscriberState
    first_name: str = ""
    last_name: str = ""
    organisation: str = ""
    profile: str = ""
    region: str = ""
    department: str = ""
    frequency: Frequency = Frequency.WEEKLY
    depth: int | None = None
    objectives: tuple[str, ...] = ()
    paused_from: date | None = None  # None: the pause has begun
    paused_until: date | None = None  # its last day; None: no pause, or no end to it
    basis: str = ""
    evidence: str = ""
    source: str = ""
    created_at: datetime | None = None
    confirmed_at: datetime | None = None
    last_act_at: datetime | None = None


# --- runs and deliveries -------------------------------------------------------------------------


class RunState(StrEnum):
    """Where the dispatch of one issue stands (DESIGN 5.4)."""

    DUE = "due"
    HELD = "held"
    DISPATCHING = "dispatching"
    DONE = "done"
    MISSED = "missed"
    SKIPPED = "skipped"


class HeldReason(StrEnum):
    """Why a due run does not leave; judged again at every tick."""

    NO_ISSUE = "no_issue"
    NOT_APPROVED = "not_approved"
    CHANGED = "changed"
    CHECKS = "checks"
    RESTORED = "restored"
    NOT_PUBLIC = "not_public"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The dispatch of one issue: its edition, its slot, its state, who holds it."""

    id: RunId
    issue_id: IssueId
    kind: str  # "issue" or "correction-N"
    slot_at: datetime
    state: RunState
    reason: str = ""
    digest: Digest | None = None
    fence: int = 0
    owner: str | None = None
    lease_until: datetime | None = None
    stopped: bool = False  # by a person or by itself; `send` goes on
    audience: int = 0
    key_version: int | None = None  # of the key its messages are minted with
    started_at: datetime | None = None
    reopened_at: datetime | None = None  # by `resolve`: its 24 h begin anew
    finished_at: datetime | None = None


class DeliveryState(StrEnum):
    """Where one reader of one run stands (DESIGN 6)."""

    PENDING = "pending"  # provably not submitted
    SENDING = "sending"  # intent committed, no answer yet
    DEFERRED = "deferred"  # the relay asked to try this reader later
    SENT = "sent"  # 250 after the dot, reply kept
    REFUSED = "refused"  # a final no about this reader or this message
    UNKNOWN = "unknown"  # the dot may have left, no answer came
    CANCELLED = "cancelled"  # left, suppressed or erased before submission
    EXPIRED = "expired"  # the deadline came first


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many readers of a run stand where.

    ``audience`` is the sum of the eight states; bounced and complained are among sent, left
    (settled by ``resolve --leave``) among unknown.
    """

    audience: int = 0
    pending: int = 0
    sending: int = 0
    deferred: int = 0
    sent: int = 0
    refused: int = 0
    unknown: int = 0
    cancelled: int = 0
    expired: int = 0
    bounced: int = 0
    complained: int = 0
    left: int = 0


class LetterState(StrEnum):
    """Where a letter stands."""

    QUEUED = "queued"
    SENDING = "sending"  # intent committed, no answer yet
    SENT = "sent"
    REFUSED = "refused"  # a final no, or too many tries
    UNKNOWN = "unknown"  # its end may have left, no answer came
    CANCELLED = "cancelled"
