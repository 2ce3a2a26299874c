"""A draft → everything that the preview's page says, as plain values for its template.

In: the newest draft, the last that could be rendered, the issue before. Out: one mapping. Never:
markup: the template escapes what it is given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from newsletter import words
from newsletter.checks.catalogue import in_order
from newsletter.config import Settings
from newsletter.content.calendar import long_date
from newsletter.editions import Draft
from newsletter.mail.daily import read_on
from newsletter.mail.single import FICTIONAL_READER, make_proof
from newsletter.model import Edition, Finding, IssueId, Severity
from newsletter.previewing.spoken import Heard, Kind, listen, snippet
from newsletter.previewing.weights import Measured, Row, blocks_apart, compare

# A finding's place → the line as its editor wrote it.
Lines = Mapping[tuple[str, int], str]
LINE_SHOWN: Final = 320
# How much of each an inbox shows, about: Gmail in a window of 1,200 px, a phone held upright.
SUBJECT_SHOWN, PHONE_SUBJECT_SHOWN = 70, 38

VIEWS: Final = (
    ("desktop", "Desktop", "1"),
    ("phone", "Phone", "2"),
    ("dark", "Dark", "3"),
    ("forced", "Forced dark", "4"),
    ("bare", "Images off", "5"),
    ("text", "Text", "6"),
    ("web", "Web copy", "7"),
    ("spoken", "Screen reader", "8"),
    ("changes", "Differences", "9"),
    ("inbox", "Inbox", "0"),
)
FIGURES: Final = {
    "words": "Words",
    "html_kb": "HTML as it travels (KB)",
    "text_kb": "Text part (KB)",
    "pictures": "Pictures",
    "pictures_kb": "Weight of pictures (KB)",
    "links": "Links",
}
COUNTS: Final = {
    Severity.ERROR: ("{count} error", "{count} errors"),
    Severity.WARNING: ("{count} warning", "{count} warnings"),
    Severity.ADVICE: ("{count} piece of advice", "{count} pieces of advice"),
}
SEVERITIES: Final = {
    Severity.ERROR: "Error",
    Severity.WARNING: "Warning",
    Severity.ADVICE: "Advice",
}
KINDS: Final = {
    Kind.LANDMARK: "Landmark",
    Kind.HEADING: "Heading {level}",
    Kind.PICTURE: "Image",
    Kind.LINK: "Link",
}
ROLES: Final = {
    "article": "Article",
    "banner": "Banner",
    "complementary": "Complement",
    "contentinfo": "Page foot",
    "main": "Main content",
    "navigation": "Navigation",
    "region": "Region",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the page shows at one moment; ``good`` is the last draft that could be rendered."""

    version: int
    issue_id: IssueId
    settings: Settings
    draft: Draft
    at: datetime
    took_ms: int
    good: Draft | None = None
    good_at: datetime | None = None
    now: Measured | None = None
    before: Measured | None = None
    lines: Lines = field(default_factory=dict)

    @property
    def language(self) -> str:
        return self.settings.publication.language

    @property
    def edition(self) -> Edition | None:
        return self.good.edition if self.good else None

    def say(self, message: str, **facts: str | int) -> str:
        return words.translate(message, self.language, facts or None)


def describe(shown: Shown) -> dict[str, Any]:
    """Return the values of the page's template."""
    edition = shown.edition
    return {
        "say": shown.say,
        "language": shown.language,
        "version": shown.version,
        "title": edition.subject if edition else shown.issue_id,
        "above": _above(shown),
        "counts": _counts(shown),
        "said": _said(shown),
        "fresh_at": _clock(shown, shown.at),
        "took_ms": shown.took_ms,
        "stale_at": _stale_at(shown),
        "rendered": edition is not None,
        "views": VIEWS,
        "findings": [_finding(shown, finding) for finding in in_order(shown.draft.findings)],
        "figures": [_figure(shown, row) for row in _rows(shown)],
        "text": make_proof(edition, settings=shown.settings, number=1).text if edition else "",
        "walks": _walks(shown),
        "changes": _changes(shown),
        "inbox": _inbox(shown),
    }


# --- the head of the page -------------------------------------------------------------------------


def _above(shown: Shown) -> str:
    issue = shown.good.issue if shown.good else None
    number = shown.say("no. {number}", number=issue.number) if issue else ""
    day = long_date(issue.day, shown.language) if issue else shown.issue_id
    return " · ".join(part for part in (shown.settings.publication.name, number, day) if part)


def _counts(shown: Shown) -> list[dict[str, str]]:
    found = shown.draft.findings
    counts = {severity: sum(one.severity is severity for one in found) for severity in Severity}
    return [
        {
            "severity": severity.value,
            "words": shown.say(COUNTS[severity][count > 1], count=count),
        }
        for severity, count in counts.items()
        if count
    ]


def _said(shown: Shown) -> str:
    """What the live region announces after a reload."""
    counts = ", ".join(count["words"] for count in _counts(shown)) or shown.say("Nothing to mend")
    if shown.draft.edition is None:
        return shown.say("It cannot be rendered for now: {counts}.", counts=counts)
    return shown.say("Reloaded: {counts}.", counts=counts)


def _stale_at(shown: Shown) -> str:
    """When the rendering on view was made, while the newest cannot be rendered."""
    if shown.draft.edition is not None or shown.good_at is None:
        return ""
    return _clock(shown, shown.good_at)


def _clock(shown: Shown, at: datetime) -> str:
    return at.astimezone(shown.settings.publication.zone).strftime("%H:%M:%S")


# --- findings -------------------------------------------------------------------------------------


def _finding(shown: Shown, finding: Finding) -> dict[str, Any]:
    said = words.say(finding, shown.language)
    line = shown.lines.get((finding.file or "", finding.line or 0), "")
    return {
        "severity": finding.severity.value,
        "label": shown.say(SEVERITIES[finding.severity]),
        "code": finding.code,
        "message": said.message,
        "remedy": said.remedy,
        "place": ":".join(str(part) for part in (finding.file, finding.line) if part),
        "line": line[:LINE_SHOWN] + ("…" if len(line) > LINE_SHOWN else ""),
        "words": _words_of(line) if (finding.file or "").endswith(".md") else "",
    }


def _words_of(line: str) -> str:
    """Return the words of a line as the mail shows them: without marks, fields and addresses."""
    line = re.sub(r"^\s*(?:\w[\w-]*\s?:\s|:{3,}\s*\w*\s*|[#>*+-]+\s+|\d+\.\s+)", "", line)
    line = re.sub(r"\{\{.*?\}\}|\[\^[^\]]*\]|\]\([^)]*\)|https?://\S+", "", line)
    return " ".join(re.sub(r"[*_`\[\]!|]", "", line).split())


# --- weights and differences ----------------------------------------------------------------------


def _rows(shown: Shown) -> list[Row]:
    return list(compare(shown.now, shown.before)) if shown.now else []


def _figure(shown: Shown, row: Row) -> dict[str, Any]:
    change = row.change
    return {
        "name": shown.say(FIGURES[row.name]),
        "now": _number(shown, row.now),
        "before": "—" if row.before is None else _number(shown, row.before),
        "change": "—" if change is None else _signed(shown, change),
        "limit": _number(shown, row.limit) if row.limit else "",
        "share": min(100, round(100 * row.now / row.limit)) if row.limit else 0,
        "over": bool(row.limit) and row.now > row.limit,
    }


def _number(shown: Shown, value: float) -> str:
    from babel.numbers import format_decimal

    return format_decimal(value, locale=shown.language.replace("-", "_"))


def _signed(shown: Shown, value: float) -> str:
    if not value:
        return "="
    return ("+" if value > 0 else "−") + _number(shown, abs(value))


def _changes(shown: Shown) -> dict[str, Any]:
    if shown.now is None:
        return {}
    ours, theirs = blocks_apart(shown.now, shown.before)
    before = shown.before
    return {
        "before": f"{before.issue.subject} ({before.issue.id})" if before else "",
        "sections": shown.now.sections,
        "sections_before": before.sections if before else (),
        "blocks": ours,
        "blocks_before": theirs,
    }


# --- what is heard, what an inbox shows -----------------------------------------------------------


def _walks(shown: Shown) -> list[dict[str, Any]]:
    """The mail, then the web copy, as a screen reader walks them."""
    if shown.edition is None:
        return []
    proof = make_proof(shown.edition, settings=shown.settings, number=1)
    web = read_on(shown.edition.web, date.fromisoformat(shown.edition.issue_id))
    parts = ((shown.say("The mail"), proof.html), (shown.say("The web copy"), web))
    return [
        {"title": title, "heard": [_heard(shown, one) for one in listen(html)]}
        for title, html in parts
    ]


def _heard(shown: Shown, one: Heard) -> dict[str, Any]:
    silent = shown.say("decorative, not read" if one.kind is Kind.PICTURE else "without a name")
    heard = shown.say(ROLES[one.role]) if one.role else ""
    if heard and one.words:
        heard = f"{heard} — {one.words}"
    return {
        "kind": one.kind.value,
        "label": shown.say(KINDS[one.kind], level=one.level),
        "level": one.level,
        "words": heard or one.words,
        "silent": silent,
        "target": one.target,
    }


def _inbox(shown: Shown) -> dict[str, Any]:
    edition = shown.edition
    if edition is None:
        return {}
    proof = make_proof(edition, settings=shown.settings, number=1)
    return {
        "sender": shown.settings.sender.name,
        "initial": shown.settings.sender.name[:1],
        "subject": edition.subject,
        "preheader": snippet(proof.html),
        "subject_length": len(edition.subject),
        "preheader_length": len(edition.preheader),
        "leaks": not edition.preheader,
        "cut": len(edition.subject) > SUBJECT_SHOWN,
        "cut_on_phone": len(edition.subject) > PHONE_SUBJECT_SHOWN,
        "reader": FICTIONAL_READER["first_name"],
    }
