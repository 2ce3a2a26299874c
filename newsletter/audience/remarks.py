"""What an import has to say about a row, and how to mend it.

In: a code, a line, facts. Out: findings whose French is in ``locale/fr/audience.po``. Never: a
decision; those who call know whether a remark refuses the row or only warns.
"""

from __future__ import annotations

from collections.abc import Mapping

from newsletter.config import CONTROLS
from newsletter.errors import RowError
from newsletter.model import Finding, Severity

# code → (message, remedy).
REFUSALS: Mapping[str, tuple[str, str]] = {
    "encoding": (
        "This line is not written like the rest of the file: its accents are lost.",
        "Save the file again as “CSV UTF-8”.",
    ),
    "quotation-mark": (
        "A quotation mark opens on this line and does not close.",
        "Take it out, or take out the line break inside the cell.",
    ),
    "too-many-cells": (
        "This line has more cells than the first line has names.",
        "Look for a separator too many, or put the cell between quotation marks.",
    ),
    "control-character": (
        "A cell holds a control character.",
        "Type the cell again rather than paste it.",
    ),
    "too-long": ("A cell is longer than 1,000 characters.", "Shorten it."),
    "formula": (
        "A cell is a formula.",
        "Replace it by its value.",
    ),
    "no-basis": (
        "No legal basis says why we may write to this person.",
        "Fill the column base_legale, or state one for the whole file: --basis … --evidence ….",
    ),
    "no-evidence": (
        "Nothing proves the legal basis stated for the whole file.",
        "Say what does: --evidence …, or fill the column preuve.",
    ),
    "unknown-basis": (
        "“{value}” is not a legal basis.",
        "Write for instance “{near}”.",
    ),
    "unknown-status": ("“{value}” is not a status.", "Write for instance “{near}”."),
    "unknown-frequency": ("“{value}” is not a frequency.", "Write “hebdomadaire” or “mensuel”."),
    "bad-date": (
        "“{value}” is not a date we can read.",
        "Write it as 2026-05-07 or 07/05/2026.",
    ),
    "future-date": ("“{value}” is still to come.", "Correct the date."),
    "disposable": (
        "{address} is a disposable address.",
        "Ask the person for an address that they read.",
    ),
}

WARNINGS: Mapping[str, tuple[str, str]] = {
    "unknown-column": (
        "The column “{column}” is unknown and stays out.",
        "Rename it if it holds something we keep: email, prenom, nom, organisation, profil…",
    ),
    "role-address": (
        "{address} looks like the address of a service, not of a person.",
        "Check that somebody reads it and asked for it.",
    ),
    "duplicate": (
        "Same person as on line {first}: the two lines become one.",
        "Keep one of the two lines.",
    ),
    "unknown-profile": (
        "“{value}” is not a profile: the person is kept, without profile.",
        "Write for instance “{near}”.",
    ),
    "unknown-objective": (
        "“{value}” is not an objective: the person is kept, without it.",
        "Write for instance “{near}”.",
    ),
    "unknown-depth": (
        "“{value}” is not a reading time: the person is kept, without it.",
        "Write 2, 4 or 12 (minutes).",
    ),
    "garbled": (
        "“{value}” looks garbled, as after two conversions.",
        "Open the original file again and save it as “CSV UTF-8”.",
    ),
    "no-consent-date": (
        "{count} people agreed without a date (first on this line): a proof needs one.",
        "Fill the column consent_at if you know the dates.",
    ),
}

ADDRESS_REMEDY = "Correct the address, or take the line out."


def refusal(code: str, line: int, **facts: str | int) -> Finding:
    """The reason why a line stays out."""
    return _remark(Severity.ERROR, code, REFUSALS[code], line, facts)


def warning(code: str, line: int, **facts: str | int) -> Finding:
    """Something to look at on a line that is kept."""
    return _remark(Severity.WARNING, code, WARNINGS[code], line, facts)


def bad_address(error: RowError, line: int) -> Finding:
    """The reason why an address is refused."""
    return _remark(Severity.ERROR, "address", (error.message, ADDRESS_REMEDY), line, {})


def _remark(
    severity: Severity,
    code: str,
    words: tuple[str, str],
    line: int,
    facts: Mapping[str, str | int],
) -> Finding:
    message, remedy = words
    shown = {name: _show(value) for name, value in facts.items()}
    return Finding(
        severity=severity, code=code, message=message, remedy=remedy, line=line, facts=shown
    )


def _show(value: str | int) -> str | int:
    """Keep a quoted cell short and harmless on a terminal."""
    return value if isinstance(value, int) else CONTROLS.sub("·", value.strip())[:80]
