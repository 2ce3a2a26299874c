"""Figures: each with its source, still valid, and worded as the last time (DOMAIN 1.3)."""

from __future__ import annotations

from collections.abc import Iterator

from newsletter.checks.checked import Checked, Figure, cited_sources, figures
from newsletter.checks.faults import find, shorten
from newsletter.content.calendar import long_date
from newsletter.model import Finding


def figures_without_source(checked: Checked) -> Iterator[Finding]:
    """A block that could cite a source, shows a number, and cites none."""
    names = {
        block: next((name for name, kind in fields.items() if kind == "source"), "source")
        for block, fields in checked.fields.items()
    }
    key = next((name for name in names.values() if name), "source")
    for figure in figures(checked.issue, checked.fields):
        if not figure.source:
            yield find("figure_without_source", figure.place, value=figure.value, field=key)


def sources_without_validity(checked: Checked) -> Iterator[Finding]:
    """A study that nobody will ever call old."""
    for source, place in cited_sources(checked):
        if source.valid_until is None:
            yield find("source_without_validity", place, source=source.id)


def stale_sources(checked: Checked) -> Iterator[Finding]:
    """A study past the day its owner gave it."""
    for source, place in cited_sources(checked):
        if source.valid_until is not None and source.valid_until < checked.today:
            day = long_date(source.valid_until, checked.language)
            yield find("stale_source", place, source=source.id, day=day)


def reworded_figures(checked: Checked) -> Iterator[Finding]:
    """The same value from the same source, said in other words."""
    known: dict[tuple[str, str], Figure] = {}
    for figure in checked.figures:
        known[_key(figure)] = figure
    for figure in figures(checked.issue, checked.fields):
        before = known.get(_key(figure))
        if figure.source and before and _fold(before.sentence) != _fold(figure.sentence):
            yield find(
                "figure_reworded",
                figure.place,
                value=figure.value,
                issue=before.issue_id,
                sentence=shorten(before.sentence),
            )
        known[_key(figure)] = figure


def _key(figure: Figure) -> tuple[str, str]:
    return "".join(figure.value.split()), figure.source


def _fold(sentence: str) -> str:
    return " ".join(sentence.casefold().replace("’", "'").split()).rstrip(" .")
