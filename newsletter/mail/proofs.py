"""The summary on top of a proof: what the checks say, who has still to approve, how to answer.

In: a proof as a reader would see it, findings, signatures. Out: the same proof with a box above
its text and its HTML, in the publication's language. Never: a word of a finding taken as markup;
a colour that the dark scheme of the mail's own style could change.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape

from newsletter.mail import holes
from newsletter.mail.single import Proof
from newsletter.mail.text import WIDTH, fold
from newsletter.model import Digest, Finding, IssueId, Severity
from newsletter.words import say, translate

# A proof is for reading: the whole list is the affair of `newsletter check`.
SHOWN = 40
_ORDER = (Severity.ERROR, Severity.WARNING, Severity.ADVICE)
_LINES = {
    Severity.ERROR: "Error{place} – {said} {remedy}",
    Severity.WARNING: "Warning{place} – {said} {remedy}",
    Severity.ADVICE: "Advice{place} – {said} {remedy}",
}
# Within the message's landmark, below the hidden words that the inbox shows.
_START = re.compile(
    r'<div [^>]*role="article"[^>]*>(?:<div style="display:none[^>]*>[^<]*</div>)?', re.DOTALL
)
# Said to be important, because the mail's dark scheme is: the box looks the same in both.
_BOX = "background:#fff6dc!important;color:#24303a!important"
_TEXT = "margin:0 0 10px;font:16px/1.5 Arial,Helvetica,sans-serif;color:#24303a!important"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What the people who read a proof must know; ``waiting`` are those who may still sign."""

    issue_id: IssueId
    number: int
    digest: Digest
    findings: Sequence[Finding] = ()
    signed: Sequence[str] = ()
    needed: int = 1
    waiting: Sequence[str] = ()


def add_summary(proof: Proof, summary: Summary, *, language: str) -> Proof:
    """Return *proof* with *summary* above both of its parts."""

    def words(message: str, **facts: str | int) -> str:
        return translate(message, language, facts)

    head = [
        words("Proof no. {number} of the issue {issue}: nothing has left.",
              number=summary.number, issue=summary.issue_id),
        _count(summary.findings, words),
    ]  # fmt: skip
    remarks = _remarks(summary, language, words)
    foot = _foot(summary, words)
    clean = [[_without_holes(line) for line in lines] for lines in (head, remarks, foot)]
    return replace(
        proof, text=_as_text(*clean) + proof.text, html=_into_html(proof.html, _as_html(*clean))
    )


Words = Callable[..., str]


def _count(findings: Sequence[Finding], words: Words) -> str:
    if not findings:
        return words("The checks have no remark.")
    counted = Counter(finding.severity for finding in findings)
    return words(
        "The checks say: errors {errors}, warnings {warnings}, advice {advice}.",
        errors=counted[Severity.ERROR],
        warnings=counted[Severity.WARNING],
        advice=counted[Severity.ADVICE],
    )


def _remarks(summary: Summary, language: str, words: Words) -> list[str]:
    """Return one line for each finding, errors first, as many as a proof shows."""
    ordered = sorted(summary.findings, key=lambda finding: _ORDER.index(finding.severity))
    lines = []
    for finding in ordered[:SHOWN]:
        said = say(finding, language)
        place = f" ({said.file}:{said.line})" if said.file and said.line else ""
        line = words(_LINES[said.severity], place=place, said=said.message, remedy=said.remedy)
        lines.append(line.strip())
    if len(ordered) > SHOWN:
        rest = len(ordered) - SHOWN
        lines.append(
            words("And {rest} more: newsletter check {issue}", rest=rest, issue=summary.issue_id)
        )
    return lines


def _foot(summary: Summary, words: Words) -> list[str]:
    lines = [
        words(
            "Approved by: {names}; {given} of {needed}.",
            names=", ".join(summary.signed) or words("nobody yet"),
            given=len(summary.signed),
            needed=summary.needed,
        )
    ]
    if summary.waiting and len(summary.signed) < summary.needed:
        lines.append(words("May still approve: {names}.", names=", ".join(summary.waiting)))
    lines.append(words("Digest of this text: {digest}", digest=summary.digest[:16]))
    lines.append(
        words("To ask for a change, answer this message. To approve exactly this text: {command}",
              command=f'newsletter approve {summary.issue_id} --by "…"')
    )  # fmt: skip
    return lines


def _without_holes(line: str) -> str:
    """Return *line* without the two characters that open and close a hole, and on one line."""
    return line.replace(holes.OPEN, "").replace(holes.CLOSE, "").replace("\n", " ")


def _as_text(head: Sequence[str], remarks: Sequence[str], foot: Sequence[str]) -> str:
    rule = "#" * (WIDTH - 4)
    paragraphs = ["\n".join([rule, *head])]
    if remarks:
        paragraphs.append("\n\n".join(f"- {line}" for line in remarks))
    paragraphs.append("\n".join([*foot, rule]))
    return fold("\n\n".join(paragraphs)) + "\n"


def _as_html(head: Sequence[str], remarks: Sequence[str], foot: Sequence[str]) -> str:
    def paragraph(line: str, *, bold: bool = False) -> str:
        words = f"<b>{escape(line)}</b>" if bold else escape(line)
        return f'<p style="{_TEXT}">{words}</p>'

    item = f'<li style="{_TEXT};overflow-wrap:anywhere">'
    listed = "".join(f"{item}{escape(line)}</li>" for line in remarks)
    inside = "".join(
        (
            paragraph(head[0], bold=True),
            *map(paragraph, head[1:]),
            f'<ul style="margin:0;padding:0 0 0 22px;{_BOX}">{listed}</ul>' if listed else "",
            *map(paragraph, foot),
        )
    )
    return (
        '<table role="presentation" align="center" border="0" cellpadding="0" cellspacing="0"'
        ' width="100%" style="max-width:600px;margin:0 auto"><tr>'
        f'<td bgcolor="#fff6dc" style="padding:18px 24px 8px;border:3px solid #a63a1e;{_BOX}">'
        f"{inside}</td></tr></table>"
    )


def _into_html(html: str, box: str) -> str:
    start = _START.search(html) or re.search(r"<body[^>]*>", html)
    place = start.end() if start else 0
    return html[:place] + box + html[place:]
