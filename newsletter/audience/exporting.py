"""People → lines of a spreadsheet that opens safely and that our own import reads back.

In: subscribers. Out: CSV lines (RFC 4180). Never: a cell that a spreadsheet runs as a formula (T9).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import datetime

from newsletter.audience.sheets import guard
from newsletter.model import Subscriber, SubscriberState

# The column's name in the file → the subscriber's field.
COLUMNS = {
    "email": "address",
    "prenom": "first_name",
    "nom": "last_name",
    "organisation": "organisation",
    "profil": "profile",
    "region": "region",
    "departement": "department",
    "frequence": "frequency",
    "profondeur": "depth",
    "objectifs": "objectives",
    "base_legale": "basis",
    "preuve": "evidence",
    "statut": "state",
    "consent_at": "created_at",
    "confirmed_at": "confirmed_at",
    "dernier_acte": "last_act_at",
    "source": "source",
}


def header() -> str:
    """The first line."""
    return _write(COLUMNS)


def line(person: Subscriber) -> str:
    """One person."""
    cells = {name: _spell(getattr(person, field)) for name, field in COLUMNS.items()}
    if person.state is SubscriberState.PAUSED:
        days = (person.paused_from, person.paused_until)
        cells["statut"] = " ".join([person.state, *(str(day) for day in days if day)])
    return _write(map(guard, cells.values()))


def _spell(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return "" if value is None else str(value)


def _write(cells: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue()
