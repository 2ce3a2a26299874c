"""Every check there is, and the one function that runs them.

In: one issue as ``Checked``. Out: its findings, in the order of its files. Never: a check that
is not in ``CHECKS``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from newsletter.checks import (
    contrast,
    days,
    envelope,
    examples,
    figures,
    french,
    links,
    structure,
    support,
    weight,
    words,
)
from newsletter.checks.checked import Checked
from newsletter.model import Finding, Severity

Check = Callable[[Checked], Iterable[Finding]]

CHECKS: Final[tuple[Check, ...]] = (
    # the envelope
    envelope.subject_length,
    envelope.emoji_in_subject,
    envelope.preheader,
    envelope.number_taken,
    envelope.legal_notice,
    envelope.reserved_addresses,
    # days
    days.misplaced_folder,
    days.two_for_one_slot,
    days.wrong_weekdays,
    days.past_events,
    days.expired_stories,
    # examples
    examples.no_example,
    examples.duplicate_examples,
    examples.few_examples,
    examples.featured_examples,
    # links
    links.insecure_links,
    links.placeholder_links,
    links.duplicate_labels,
    links.vague_labels,
    # structure
    structure.heading_jumps,
    structure.duplicate_titles,
    structure.long_alternatives,
    structure.poor_text,
    structure.broken_outline,
    contrast.low_contrast,
    support.client_support,
    # figures
    figures.figures_without_source,
    figures.sources_without_validity,
    figures.stale_sources,
    figures.reworded_figures,
    # French
    french.all_capitals,
    french.missing_accents,
    french.ordinals,
    french.thousands,
    french.number_signs,
    french.date_forms,
    french.numeric_dates,
    french.time_forms,
    french.quotation_marks,
    french.breaking_spaces,
    french.misplaced_spaces,
    french.repeated_words,
    french.inclusive_points,
    # words
    words.misspelt_names,
    words.unexplained,
    words.long_issue,
    # weight
    weight.weight,
    weight.pictures,
    weight.tracking_pixels,
)


def run_checks(checked: Checked) -> tuple[Finding, ...]:
    """Return everything the checks find, sorted by file and line."""
    return in_order(finding for check in CHECKS for finding in check(checked))


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort findings as an editor meets them: ``issue.md`` first, then each file by line."""
    return tuple(sorted(findings, key=_place_key))


def _place_key(finding: Finding) -> tuple[bool, bool, str, int]:
    file = finding.file or ""
    return not file, not file.endswith("/issue.md"), file, finding.line or 0


def errors(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Keep what a run refuses to leave with."""
    return tuple(finding for finding in findings if finding.severity is Severity.ERROR)
