"""The bytes of a spreadsheet → rows of named cells, whatever program wrote them.

In: bytes (UTF-8, UTF-16 with its mark, or Excel's cp1252; comma, semicolon or tab). Out: a Sheet:
cells under our names for the columns, each row with its line, and findings for the lines that
cannot be read. Never: more than the caps, a path, a cell that runs over its line.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from unicodedata import combining, normalize

from newsletter.audience.remarks import refusal, warning
from newsletter.config import CONTROLS
from newsletter.errors import RowError
from newsletter.model import Finding

MAX_BYTES = 64 * 1024 * 1024
MAX_ROWS = 500_000
MAX_COLUMNS = 64
MAX_CELL = 1_000
DELIMITERS = (",", ";", "\t")
_LINE_END = re.compile(r"\r\n|\n|\r")

# Our name for a column → what people write, once folded by `fold`.
COLUMN_NAMES: Mapping[str, str] = {
    "address": "email e_mail mail courriel mel adresse adresse_email adresse_e_mail adresse_mail "
    "adresse_electronique adresse_de_messagerie address email_address e_mail_address",
    "first_name": "prenom first_name firstname given_name",
    "last_name": "nom last_name lastname surname family_name nom_de_famille",
    "organisation": "organisation organization structure societe organisme company",
    "profile": "profil profile",
    "region": "region",
    "department": "departement department dept dep",
    "frequency": "frequence frequency rythme",
    "depth": "profondeur depth",
    "objectives": "objectifs objectif objectives",
    "basis": "base_legale base basis legal_basis",
    "evidence": "preuve evidence",
    "status": "statut status etat state",
    "consented_at": "consent_at consented_at consentement_le consenti_le date_consentement "
    "date_de_consentement inscrit_le date_inscription",
    "notice_version": "notice_version version_notice",
    "confirmed_at": "confirmed_at confirme_le date_confirmation",
    "last_act_at": "dernier_acte last_act last_act_at",
    "source": "source origine",
    # Known, and kept out on purpose: for the eyes of those who read the file.
    "": "tz fuseau fuseau_horaire pourquoi why note notes remarque remarques commentaire id",
}
_OUR_NAME = {written: ours for ours, names in COLUMN_NAMES.items() for written in names.split()}


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetRow:
    """One row: its line in the file, and its cells that are not empty."""

    line: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What a file holds: how it was written, its rows, and what could not be read."""

    encoding: str
    rows: tuple[SheetRow, ...]
    findings: tuple[Finding, ...]


@lru_cache(maxsize=4096)  # a list repeats the same few words in every row
def fold(text: str) -> str:
    """Lower case, without accents, words joined by ``_``: for names people type freely."""
    bare = "".join(c for c in normalize("NFKD", text.casefold()) if not combining(c))
    return re.sub(r"[^a-z0-9]+", "_", bare.replace("œ", "oe")).strip("_")


def read_sheet(content: bytes) -> Sheet:
    """Read a whole file. Raise RowError when it is no list of addresses at all."""
    if len(content) > MAX_BYTES:
        raise RowError("the file is larger than 64 MB", remedy="cut it in pieces")
    if content.startswith(b"PK\x03\x04"):  # .xlsx and .ods are archives
        raise RowError(
            "this is a workbook, not a CSV file", remedy="save it as « CSV UTF-8 » and import that"
        )
    text, encoding = _decode(content)
    lines = [(number, line) for number, line in enumerate(_LINE_END.split(text), 1) if line.strip()]
    if lines and fold(lines[0][1]) == "sep":  # Excel's own first line: sep=;
        del lines[0]
    if not lines:
        raise RowError("the file is empty", remedy="its first line names the columns: email;prenom")
    if len(lines) > MAX_ROWS:
        raise RowError("the file has more than 500,000 lines", remedy="cut it in pieces")
    (number, header), *body = lines
    try:
        delimiter = _find_delimiter(header)
    except csv.Error:
        raise RowError("a quotation mark of the first line does not close", line=number) from None
    columns, findings = _name_columns(_split(header, delimiter), number)
    read = [_read_row(number, line, delimiter, columns) for number, line in body]
    return Sheet(
        encoding=encoding,
        rows=tuple(row for row in read if isinstance(row, SheetRow) and row.cells),
        findings=(*findings, *(row for row in read if isinstance(row, Finding))),
    )


def _decode(content: bytes) -> tuple[str, str]:
    """UTF-8 if the file is, or nearly; else what Excel writes in western Europe."""
    if content[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return normalize("NFC", content.decode("utf-16", errors="replace")), "utf-16"
    try:
        return normalize("NFC", content.decode("utf-8-sig")), "utf-8"
    except UnicodeDecodeError:
        pass
    accented = [line for line in content.splitlines() if not line.isascii()]
    good = sum(map(_is_utf8, accented))
    if good * 2 > len(accented):  # a UTF-8 file with a few broken lines, refused one by one
        return normalize("NFC", content.decode("utf-8-sig", errors="replace")), "utf-8"
    return normalize("NFC", content.decode("cp1252", errors="replace")), "cp1252"


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _find_delimiter(header: str) -> str:
    def known(delimiter: str) -> int:
        return sum(fold(cell) in _OUR_NAME for cell in _split(header, delimiter))

    best = max(DELIMITERS, key=known)
    if known(best) == 0:
        raise RowError(
            "the first line does not name the columns",
            line=1,
            remedy="write a first line such as: email;prenom;nom;base_legale",
        )
    return best


def _split(line: str, delimiter: str) -> list[str]:
    """Cut one line into cells. Raise csv.Error when a quotation mark is left open.

    Line by line, so that a forgotten quotation mark costs one row and not the rest of the file.
    """
    return next(csv.reader([line], delimiter=delimiter, strict=True))


def _name_columns(cells: Sequence[str], line: int) -> tuple[list[str], list[Finding]]:
    if len(cells) > MAX_COLUMNS:
        raise RowError("the file has more than 64 columns", line=line)
    columns = [_OUR_NAME.get(fold(cell), "") for cell in cells]
    if "address" not in columns:
        raise RowError("no column holds the address", line=line, remedy="name it “email”")
    for name, times in Counter(filter(None, columns)).items():
        if times > 1:
            raise RowError(f"two columns are both “{name}”", line=line, remedy="rename one")
    strangers = [cell for cell in cells if cell.strip() and fold(cell) not in _OUR_NAME]
    return columns, [warning("unknown-column", line, column=cell) for cell in strangers]


def _read_row(number: int, line: str, delimiter: str, columns: Sequence[str]) -> SheetRow | Finding:
    if "\ufffd" in line:
        return refusal("encoding", number)
    try:
        cells = _split(line, delimiter)
    except csv.Error:
        return refusal("quotation-mark", number)
    if any(cell.strip() for cell in cells[len(columns) :]):
        return refusal("too-many-cells", number)
    kept = {name: cell.strip() for name, cell in zip(columns, cells, strict=False) if name}
    problem = next(filter(None, map(_find_problem, kept.values())), "")
    if problem:
        return refusal(problem, number)
    return SheetRow(line=number, cells={k: _unguard(v) for k, v in kept.items() if v})


def _find_problem(cell: str) -> str:
    if CONTROLS.search(cell):  # T8
        return "control-character"
    if len(cell) > MAX_CELL:
        return "too-long"
    return "formula" if cell.startswith("=") else ""  # T9


def guard(cell: str) -> str:
    """Put an apostrophe before what a spreadsheet would run as a formula (T9)."""
    return f"'{cell}" if re.match(r"'*[=+\-@\t\r]", cell) else cell


def _unguard(cell: str) -> str:
    """Take off the apostrophe of ``guard``: what we export comes back as it was."""
    return cell[1:] if re.match(r"'+[=+\-@\t\r]", cell) else cell
