"""What a collection has to say: per feed, per entry, with reasons.

In: codes and facts. Out: findings and frozen, JSON-able reports. Never: a sentence in French; the
catalogue ``locale/fr/examples.po`` holds them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from newsletter.errors import FeedError
from newsletter.model import Finding, Severity

_REFUSED, _TOLD, _MENDED = Severity.ERROR, Severity.WARNING, Severity.ADVICE
# code → how grave, what happened, what to do. An error keeps something out; advice was mended.
_SAID: dict[str, tuple[Severity, str, str]] = {
    # entries that are not kept
    "no_title": (_REFUSED, "An entry has no title.", "Ask the author of the feed for one."),
    "link_missing": (_REFUSED, "“{title}” has no link.", "Ask the author of the feed for one."),
    "link_scheme": (
        _REFUSED,
        "“{title}” has a link that is not http or https ({link}).",
        "Ask the author of the feed for the page's address.",
    ),
    "link_private": (
        _REFUSED,
        "“{title}” leads to a private address ({link}).",
        "Ask the author of the feed for the public page.",
    ),
    "link_odd": (
        _REFUSED,
        "“{title}” has a link that cannot be trusted ({link}).",
        "Ask the author of the feed for the page's plain address.",
    ),
    "withdrawn": (
        _REFUSED,
        "“{title}” was withdrawn by its author.",
        "Nothing to do.",
    ),
    # entries that were mended
    "double_encoding": (
        _MENDED,
        "The accents of “{title}” were encoded twice; they were put right.",
        "Tell the author of the feed: its pages show the same fault.",
    ),
    "active_content": (
        _MENDED,
        "“{title}” carried a script or a form; it was taken out.",
        "Have a look at the page before you feature it.",
    ),
    "too_long": (
        _MENDED,
        "The text of “{title}” was far too long; it was cut.",
        "Read its summary again before you feature it.",
    ),
    "date_unreadable": (
        _MENDED,
        "The date of “{title}” cannot be read ({date}); today counts instead.",
        "Tell the author of the feed.",
    ),
    "date_incredible": (
        _MENDED,
        "The date of “{title}” cannot be right ({date}); today counts instead.",
        "Tell the author of the feed.",
    ),
    "guid_missing": (
        _MENDED,
        "“{title}” has no identifier; its link stands for it.",
        "Nothing to do.",
    ),
    "guid_reused": (
        _MENDED,
        "“{title}” shares its identifier with another entry; its link stands for it.",
        "Tell the author of the feed.",
    ),
    # documents that were mended
    "encoding": (
        _MENDED,
        "The feed is not in the encoding it claims; its accents were put right.",
        "Tell the author of the feed.",
    ),
    "controls": (
        _MENDED,
        "The feed held control characters; they were taken out.",
        "Tell the author of the feed.",
    ),
    "markup": (
        _MENDED,
        "The feed is not well-formed XML; it was read as well as could be.",
        "Tell the author of the feed, and read its examples again before you feature them.",
    ),
    # feeds that could not be read
    "blocked_scheme": (
        _TOLD,
        "The feed leads to something that is not http or https ({target}).",
        "Write the feed's public address in issues/feeds.opml.",
    ),
    "blocked_address": (
        _TOLD,
        "The feed leads to a private address ({target}).",
        "Write its public address, or allow it: feeds.allow_private in newsletter.toml.",
    ),
    "blocked_port": (
        _TOLD,
        "The feed asks for a port other than 80 and 443 ({target}).",
        "Write its usual address, or allow it: feeds.allow_private in newsletter.toml.",
    ),
    "bad_redirect": (
        _TOLD,
        "The feed's server sends elsewhere without saying where.",
        "Open the address in a browser and write the right one in issues/feeds.opml.",
    ),
    "too_many_redirects": (
        _TOLD,
        "The feed's server sends from one address to the next without end.",
        "Open the address in a browser and write the right one in issues/feeds.opml.",
    ),
    "no_such_host": (
        _TOLD,
        "No machine has the name {target}.",
        "Check the address in issues/feeds.opml.",
    ),
    "connect_failed": (
        _TOLD,
        "The feed's server does not answer ({detail}).",
        "Nothing to do: it is tried again later.",
    ),
    "timed_out": (
        _TOLD,
        "The feed's server is too slow.",
        "Nothing to do: it is tried again later.",
    ),
    "too_big": (
        _TOLD,
        "The feed is larger than {limit} bytes.",
        "Ask its author for a shorter one, or raise the limit in [feeds].",
    ),
    "bad_coding": (
        _TOLD,
        "The feed comes in a coding we did not ask for ({detail}).",
        "Tell the author of the feed.",
    ),
    "gone": (
        _TOLD,
        "The feed was closed by its author; it is not asked for any more.",
        "Take it out of issues/feeds.opml.",
    ),
    "missing": (
        _TOLD,
        "The feed's page is not there (404).",
        "Nothing to do yet: it is tried again later.",
    ),
    "missing_for_a_week": (
        _TOLD,
        "The feed's page has not been there for a week (404).",
        "Find its new address, or take it out of issues/feeds.opml.",
    ),
    "busy": (
        _TOLD,
        "The feed's server asks us to come back later ({status}).",
        "Nothing to do: it is tried again when it says.",
    ),
    "bad_status": (
        _TOLD,
        "The feed's server answers {status}.",
        "Open the address in a browser; it is tried again later.",
    ),
    "not_a_feed": (
        _TOLD,
        "What stands at this address is not a feed.",
        "Open the address in a browser and look for its RSS or Atom link.",
    ),
    "giant_tag": (
        _TOLD,
        "The feed is built to bring its readers down.",
        "Take it out of issues/feeds.opml.",
    ),
    "parse_timeout": (_TOLD, "The feed takes too long to read.", "Tell the author of the feed."),
    "parse_died": (_TOLD, "The feed costs too much to read.", "Tell the author of the feed."),
    "too_much_memory": (_TOLD, "The feed costs too much to read.", "Tell the author of the feed."),
    "unreadable": (
        _TOLD,
        "The feed cannot be read ({detail}).",
        "Tell the author of the feed.",
    ),
    "unexpected": (
        _TOLD,
        "The feed met a fault of ours ({detail}).",
        "Tell the person who looks after this software.",
    ),
    # feeds.opml
    "outline_without_url": (
        _TOLD,
        "Line {line} of issues/feeds.opml names no feed.",
        "Give it an xmlUrl, or take the line out.",
    ),
    "outline_bad_url": (
        _TOLD,
        "Line {line} of issues/feeds.opml: {target} is not an http or https address.",
        "Write the feed's public address.",
    ),
    # picking
    "unknown_example": (
        _REFUSED,
        "There is no example “{id}”.",
        "See newsletter examples.",
    ),
    "unknown_example_near": (
        _REFUSED,
        "There is no example “{id}”.",
        "Did you mean “{nearest}”?",
    ),
    "withdrawn_example": (
        _REFUSED,
        "The example “{id}” was withdrawn by its author.",
        "Choose another one.",
    ),
}


def say(code: str, *, file: str | None = None, **facts: str | int) -> Finding:
    """The finding of *code*; *file* is a feed's address or the list of feeds."""
    severity, message, remedy = _SAID[code]
    return Finding(
        severity=severity,
        code=code.removesuffix("_near"),
        message=message,
        remedy=remedy,
        file=file,
        line=int(facts["line"]) if "line" in facts else None,
        facts=facts,
    )


class FeedFailed(FeedError):
    """A feed that cannot be fetched or parsed, as a ``reason`` of this module with its facts."""

    def __init__(
        self, reason: str, url: str, *, status: int = 0, retry_after: str = "", **facts: str | int
    ) -> None:
        self.reason = reason
        self.status = status  # of HTTP; 0 when no answer came
        self.retry_after = retry_after  # the header, as it came
        if status:
            facts["status"] = status
        self.finding = say(reason, file=url, **facts)
        said = self.finding.message.format_map(facts)
        super().__init__(said.removesuffix("."), url=url, remedy=self.finding.remedy)


class Outcome(StrEnum):
    """What became of an entry."""

    NEW = "new"
    UPDATED = "updated"  # the same example, edited at its source
    MERGED = "merged"  # an example we have, met under another identity
    UNCHANGED = "unchanged"
    WITHDRAWN = "withdrawn"  # taken back by its author
    REFUSED = "refused"


class FeedOutcome(StrEnum):
    """What became of a feed."""

    READ = "read"
    NOT_MODIFIED = "not_modified"  # 304
    FAILED = "failed"
    WAITING = "waiting"  # it asked for time, or failed lately
    DISABLED = "disabled"  # 410: closed by its author


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryReport:
    """An entry: what became of it, under which example, and why."""

    outcome: Outcome
    title: str
    link: str
    example_id: str = ""
    reason: Finding | None = None  # of a refusal
    repairs: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedReport:
    """A feed: what became of it, and of each of its entries."""

    url: str
    title: str
    outcome: FeedOutcome
    reason: Finding | None = None
    repairs: tuple[Finding, ...] = ()
    entries: tuple[EntryReport, ...] = ()

    @property
    def repaired(self) -> int:
        """Entries kept after something was mended."""
        return sum(bool(entry.repairs) for entry in self.entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectReport:
    """A collection: its feeds in the order of feeds.opml, and what is wrong with that list."""

    feeds: tuple[FeedReport, ...] = ()
    findings: tuple[Finding, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> tuple[FeedReport, ...]:
        return tuple(feed for feed in self.feeds if feed.outcome is FeedOutcome.FAILED)

    @property
    def notices(self) -> tuple[Finding, ...]:
        """What the editors should hear of: a feed closed, or missing for a week (F7)."""
        told = {"gone", "missing_for_a_week"}
        reasons = [feed.reason for feed in self.feeds if feed.reason is not None]
        return tuple(reason for reason in reasons if reason.code in told)


def total(feeds: tuple[FeedReport, ...], findings: tuple[Finding, ...]) -> CollectReport:
    """Put the feeds' reports together; ``counts`` has every outcome of an entry, and repaired."""
    met = Counter(entry.outcome.value for feed in feeds for entry in feed.entries)
    counts = {outcome.value: met[outcome.value] for outcome in Outcome}
    counts["repaired"] = sum(feed.repaired for feed in feeds)
    return CollectReport(feeds=feeds, findings=findings, counts=counts)
