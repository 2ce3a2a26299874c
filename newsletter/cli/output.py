"""What commands say: one JSON document on stdout with ``--json``, else plain lines for people.

In: values. Out: text on stdout; progress and errors on stderr. Never: a decision.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any

from newsletter import errors
from newsletter.model import Finding, Severity

# A progress report: how many done, how many in all, what is being done.
Progress = Callable[[int, int, str], None]


class Exit(IntEnum):
    """Exit codes, fixed by DESIGN 8."""

    DONE = 0
    DECIDE = 1  # a person must decide: findings, not approved, held, unknown not settled
    USAGE = 2  # usage or configuration
    OUTSIDE = 3  # something outside failed and trying again may help
    UNFINISHED = 4  # dispatch unfinished: running it again may progress
    BUG = 70


def exit_code(error: errors.NewsletterError) -> Exit:
    """Return the exit code of a failure."""
    match error:
        case errors.ConfigError() | errors.NotFound():
            return Exit.USAGE
        case errors.Conflict():
            return Exit.DECIDE
        case errors.FeedError() | errors.StoreError() | errors.RelayError():
            return Exit.OUTSIDE
        case errors.FileError() | errors.TickFailed():
            return Exit.OUTSIDE
        case _:
            return Exit.DECIDE


def show_json(document: object) -> None:
    """Print one JSON document on stdout."""
    print(json.dumps(document, ensure_ascii=False, indent=2, default=_plain))  # noqa: T201 - stdout is the contract


def show_json_line(document: object) -> None:
    """Print one JSON document on one line of stdout."""
    print(json.dumps(document, ensure_ascii=False, default=_plain))  # noqa: T201 - stdout is the contract


def say(text: str = "") -> None:
    """Print a line for people on stdout."""
    print(text)  # noqa: T201 - stdout is the contract


def whisper(text: str) -> None:
    """Print a line beside the result, on stderr."""
    print(text, file=sys.stderr)  # noqa: T201 - stderr is the contract


def show_error(error: errors.NewsletterError, *, as_json: bool) -> None:
    """Say what failed: ``{"error": {…}}`` on stdout with --json, one line on stderr without."""
    if as_json:
        show_json(
            {
                "error": {
                    "code": error.code,
                    "message": error.message,
                    "path": error.path,
                    "line": error.line,
                    "remedy": error.remedy,
                }
            }
        )
    else:
        whisper(f"newsletter: {error}")


def finding_json(finding: Finding) -> dict[str, Any]:
    """Return a finding as DESIGN 8 writes it."""
    return {
        "severity": finding.severity.value,
        "code": finding.code,
        "message": finding.message,
        "file": finding.file,
        "line": finding.line,
        "remedy": finding.remedy,
    }


_MARKS = {Severity.ERROR: "✗", Severity.WARNING: "!", Severity.ADVICE: "·"}


def show_findings(findings: Iterable[Finding]) -> None:
    """Print findings for people: place, message, remedy."""
    for finding in findings:
        place = ":".join(str(part) for part in (finding.file, finding.line) if part)
        say(f"{_MARKS[finding.severity]} {place or '—'}  {finding.message}  [{finding.code}]")
        say(f"    → {finding.remedy}")


def table(rows: Iterable[Mapping[str, object]], columns: Mapping[str, str]) -> None:
    """Print rows under headings; *columns* maps a key to its heading."""
    lines = [[*columns.values()]]
    lines += [[str(row.get(key, "")) for key in columns] for row in rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def write_file(file: Path, pieces: Iterable[str], *, encoding: str = "utf-8") -> int:
    """Write a file that a person asked for, and return how many *pieces* it holds.

    Raise ConfigError when it cannot be written.
    """
    count = 0
    try:
        with file.open("w", encoding=encoding, newline="") as opened:
            for piece in pieces:
                opened.write(piece)
                count += 1
    except OSError as error:
        raise errors.ConfigError(
            f"cannot be written: {error.strerror}",
            path=str(file),
            remedy="make room or mend its rights, or name another file",
        ) from None
    return count


@contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """A progress bar on a terminal, a plain line every tenth elsewhere; on stderr."""
    if not sys.stderr.isatty():
        yield _progress_lines(label)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    # A narrow terminal takes from the bar, not from the figures.
    with Bar(
        # A feed's title is no markup.
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task(label, total=None)

        def report(done: int, total: int, text: str) -> None:
            bar.update(task, completed=done, total=total, description=text or label)

        yield report


def _progress_lines(label: str) -> Progress:
    said = -1

    def report(done: int, total: int, text: str) -> None:
        nonlocal said
        tenth = 10 * done // total if total else 0
        if tenth != said:
            said = tenth
            whisper(f"{text or label}: {done}/{total}")

    return report


def _plain(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    raise TypeError(f"cannot write {type(value).__name__} as JSON")
