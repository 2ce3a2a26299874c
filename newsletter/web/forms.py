"""What people send → values, or what to tell them.

In: form fields as text, the vocabulary, the clock's reading, keys. Out: choices and errors (French
through the catalogue, at the page). Never: a value that the form did not offer, a cookie.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from newsletter.audience.entries import DEPTHS
from newsletter.audience.sheets import fold
from newsletter.config import CONTROLS, Keys, Taxonomy
from newsletter.model import Frequency

# T6: nobody reads a page and types an address faster; a form left open overnight is stale.
AT_LEAST = timedelta(seconds=2)
AT_MOST = timedelta(hours=12)
LONGEST_PAUSE = timedelta(days=366)
MAX_TEXT = 100

BAD_PAUSE_DATE = "Give the pause a last day that is still to come, within a year."
BAD_CHOICE = "Choose one of the answers that are offered."
TOO_LONG = "Shorten this answer."


def stamp(keys: Keys, now: datetime) -> str:
    """A signed instant for a hidden field: when the form was shown."""
    shown = str(int(now.timestamp()))
    return f"{shown}.{_sign(keys, keys.current, shown)}"


def is_fresh(keys: Keys, stamped: str, now: datetime) -> bool:
    """True for a stamp of ours that is neither too young for a person nor too old."""
    shown, _, mac = stamped.partition(".")
    ours = [_sign(keys, version, shown) for version in keys.versions]
    if not any(hmac.compare_digest(mac.encode(), one.encode()) for one in ours):
        return False
    age = now.timestamp() - int(shown)
    return AT_LEAST.total_seconds() <= age <= AT_MOST.total_seconds()


def _sign(keys: Keys, version: int, shown: str) -> str:
    return hmac.new(keys.versions[version], f"form:{shown}".encode(), "sha256").hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Answers:
    """What a preferences form holds: values to keep, or errors by field.

    ``pause`` is the kind that was chosen, for a form that must be shown again.
    """

    choices: Mapping[str, Any]
    errors: Mapping[str, str] = field(default_factory=dict)
    pause: str = "none"

    @property
    def sound(self) -> dict[str, Any]:
        """The choices that can be shown again: those that have no error."""
        wrong = {"paused_from", "paused_until"} if "until" in self.errors else set()
        wrong |= self.errors.keys()
        return {name: value for name, value in self.choices.items() if name not in wrong}


def read_answers(fields: Mapping[str, Sequence[str]], taxonomy: Taxonomy, today: date) -> Answers:
    """Read the preferences form. Every field is optional, none may hold something else."""
    errors: dict[str, str] = {}

    def one(name: str) -> str:
        return next(iter(fields.get(name, ())), "").strip()

    def offered(name: str, values: Sequence[str]) -> str:
        if one(name) not in {"", *values}:
            errors[name] = BAD_CHOICE
        return one(name)

    def typed(name: str) -> str:
        if len(one(name)) > MAX_TEXT or CONTROLS.search(one(name)):
            errors[name] = TOO_LONG
        return one(name)

    objectives = tuple(dict.fromkeys(fields.get("objectives", ())))
    if not {*objectives} <= {term.slug for term in taxonomy.objectives}:
        errors["objectives"] = BAD_CHOICE
    frequency = offered("frequency", list(Frequency)) or Frequency.WEEKLY
    depth = offered("depth", [str(minutes) for minutes in DEPTHS])
    choices: dict[str, Any] = {
        "frequency": frequency,
        "depth": int(depth) if depth and "depth" not in errors else None,
        "objectives": objectives,
        "profile": offered("profile", [term.slug for term in taxonomy.profiles]),
        "region": _read_region(typed("region"), taxonomy),
        "department": typed("department"),
    }
    pause = offered("pause", PAUSES)
    choices |= _read_pause(pause, one("until"), today, errors)
    return Answers(choices=choices, errors=errors, pause=pause if pause in PAUSES else "none")


PAUSES = ("none", "august", "until")


def next_august(today: date) -> tuple[date, date]:
    """The first and last day of the next August, or of the one that runs."""
    year = today.year + (1 if today.month > 8 else 0)
    return date(year, 8, 1), date(year, 8, 31)


def _read_pause(
    kind: str, until: str, today: date, errors: dict[str, str]
) -> dict[str, date | None]:
    if kind == "august":
        first, last = next_august(today)
        return {"paused_from": first, "paused_until": last}
    if kind != "until":
        return {"paused_from": None, "paused_until": None}
    try:
        last = date.fromisoformat(until)
    except ValueError:
        last = date.min
    if not today <= last <= today + LONGEST_PAUSE:
        errors["until"] = BAD_PAUSE_DATE
    return {"paused_from": None, "paused_until": last}


def _read_region(text: str, taxonomy: Taxonomy) -> str:
    known = {fold(name): t.slug for t in taxonomy.territories for name in (t.slug, t.label)}
    return known.get(fold(text), text)
