"""What commands say: one JSON document or plain lines, and an exit code for each failure."""

import json
import sys
from datetime import UTC, date, datetime

import pytest

from newsletter import errors
from newsletter.cli import output
from newsletter.cli.output import Exit
from newsletter.model import Finding, Severity

FINDING = Finding(
    severity=Severity.ERROR,
    code="unknown_key",
    message="Clé inconnue",
    file="issues/2026-05-07/issue.md",
    line=3,
    remedy="Écrivez titre.",
)
CODES = {
    errors.ConfigError("x"): Exit.USAGE,
    errors.NotFound("x"): Exit.USAGE,
    errors.ContentError("x"): Exit.DECIDE,
    errors.RenderingError("x"): Exit.DECIDE,
    errors.NotApproved("x"): Exit.DECIDE,
    errors.ChecksFailed("x", findings=()): Exit.DECIDE,
    errors.Held("x", reason="changed"): Exit.DECIDE,
    errors.HeaderError("x", header="To"): Exit.DECIDE,
    errors.TokenError("x"): Exit.DECIDE,
    errors.RowError("x"): Exit.DECIDE,
    errors.Conflict("x"): Exit.DECIDE,
    errors.FeedError("x", url="https://flux.example/"): Exit.OUTSIDE,
    errors.FileError("x"): Exit.OUTSIDE,
    errors.TickFailed("x"): Exit.OUTSIDE,
    errors.StoreError("x"): Exit.OUTSIDE,
    errors.Busy("x"): Exit.OUTSIDE,
    errors.RelayError("x", host="h"): Exit.OUTSIDE,
    errors.ConnectFailed("x", host="h"): Exit.OUTSIDE,
    errors.TimedOut("x", host="h"): Exit.OUTSIDE,
    errors.TlsFailed("x", host="h"): Exit.OUTSIDE,
    errors.AuthFailed("x", host="h"): Exit.OUTSIDE,
    errors.Unanswered("x", host="h"): Exit.OUTSIDE,
}


def every_error(kind=errors.NewsletterError):
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from every_error(child)


@pytest.mark.parametrize(("error", "code"), CODES.items(), ids=lambda one: type(one).__name__)
def test_each_failure_has_its_exit_code(error, code):
    assert output.exit_code(error) is code


def test_no_failure_is_without_an_exit_code_of_its_own():
    assert {type(error) for error in CODES} == set(every_error())


def test_the_exit_codes_are_those_that_scripts_rely_on():
    assert {code.name: int(code) for code in Exit} == {
        "DONE": 0, "DECIDE": 1, "USAGE": 2, "OUTSIDE": 3, "UNFINISHED": 4, "BUG": 70,
    }  # fmt: skip


def test_a_failure_is_one_document_on_stdout(capsys):
    error = errors.ConfigError("mauvais", path="newsletter.toml", line=4, remedy="mieux")
    output.show_error(error, as_json=True)
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {
        "error": {
            "code": "config",
            "message": "mauvais",
            "path": "newsletter.toml",
            "line": 4,
            "remedy": "mieux",
        }
    }
    assert printed.err == ""


def test_a_failure_is_one_line_on_stderr_for_people(capsys):
    output.show_error(errors.ConfigError("mauvais", path="a.toml", line=4, remedy="mieux"),
                      as_json=False)  # fmt: skip
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "newsletter: a.toml:4: mauvais — mieux\n")


def test_a_document_keeps_accents_and_writes_instants_in_utc(capsys):
    output.show_json({
        "é": datetime(2026, 5, 7, 6, tzinfo=UTC), "day": date(2026, 5, 7), "set": frozenset({1}),
    })  # fmt: skip
    printed = capsys.readouterr().out
    assert "é" in printed
    assert json.loads(printed) == {"é": "2026-05-07T06:00:00Z", "day": "2026-05-07", "set": [1]}


def test_what_is_no_json_is_a_bug_and_not_a_wrong_document():
    with pytest.raises(TypeError, match="bytes"):
        output.show_json({"content": b"x"})


def test_a_finding_has_the_keys_of_the_contract():
    assert output.finding_json(FINDING) == {
        "severity": "error",
        "code": "unknown_key",
        "message": "Clé inconnue",
        "file": "issues/2026-05-07/issue.md",
        "line": 3,
        "remedy": "Écrivez titre.",
    }


def test_a_finding_is_shown_with_its_place_and_its_remedy(capsys):
    output.show_findings([FINDING])
    assert capsys.readouterr().out == (
        "✗ issues/2026-05-07/issue.md:3  Clé inconnue  [unknown_key]\n    → Écrivez titre.\n"
    )


def test_columns_stand_below_one_another(capsys):
    output.table([{"a": "long mot", "b": 1}, {"a": "mot"}], {"a": "A", "b": "B"})
    assert capsys.readouterr().out == "A         B\nlong mot  1\nmot\n"


def test_off_a_terminal_progress_is_a_line_a_tenth_on_stderr(capsys):
    with output.progress_bar("sending") as progress:
        for done in range(101):
            progress(done, 100, "")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [f"sending: {done}/100" for done in range(0, 101, 10)]


def test_progress_of_nothing_divides_by_nothing(capsys):
    with output.progress_bar("feeds") as progress:
        progress(0, 0, "a feed")
    assert capsys.readouterr().err == "a feed: 0/0\n"


@pytest.mark.parametrize("title", ["sending 2026-12-03", "[/b] [red]actes"])
def test_a_narrow_terminal_shows_the_title_as_it_is_and_the_whole_count(monkeypatch, capsys, title):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    with output.progress_bar("feeds") as progress:
        progress(1234, 6000, title)
    shown = capsys.readouterr().err
    assert (title in shown, "1234/6000" in shown) == (True, True)


def test_a_file_is_written_piece_by_piece_and_counted(tmp_path):
    file = tmp_path / "out.csv"
    assert output.write_file(file, iter(["é\r\n", "b\r\n"]), encoding="utf-8-sig") == 2
    assert file.read_bytes() == b"\xef\xbb\xbf\xc3\xa9\r\nb\r\n"


def test_a_file_that_cannot_be_written_is_one_clear_error(tmp_path):
    with pytest.raises(errors.ConfigError, match="No such file") as caught:
        output.write_file(tmp_path / "nowhere" / "out.csv", ["x"])
    assert caught.value.path == str(tmp_path / "nowhere" / "out.csv")
