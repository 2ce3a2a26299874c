"""Facts about whole issues, byte for byte; refreshed by ``make golden``, then read in the diff."""

from __future__ import annotations

import os
import subprocess
import sys
from difflib import unified_diff

import pytest

from tests.golden.rendering import EXPECTED, GOLDEN, ISSUES, render

REFRESH = os.environ.get("NEWSLETTER_REFRESH_GOLDEN") == "1"
# Where a person sees first what has changed.
FILES = ("issue.txt", "index.html", "web.html", "social.txt", "issue.eml", "edition.json")
# Another world: nothing of it may reach a mail.
ELSEWHERE = {
    "PYTHONHASHSEED": "4711",
    "TZ": "Pacific/Auckland",
    "LC_ALL": "C",
    "LANG": "de_DE.UTF-8",
    "PYTHONUTF8": "0",
}


def explain(name: str, expected: bytes, found: bytes) -> str:
    """Say where two files part, in few lines."""
    lines = (content.decode("utf-8", "replace").splitlines() for content in (expected, found))
    parts = list(unified_diff(*lines, "expected", "found", lineterm="", n=0))
    return "\n".join([f"{name} has changed; if that is meant: make golden", *parts[:20]])


@pytest.mark.parametrize("name", ISSUES)
def test_a_golden_issue_has_not_changed(name, tmp_path):
    found = render(name, tmp_path)
    folder = EXPECTED / name
    if REFRESH:
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in found.items():
            (folder / file).write_bytes(content)
    assert set(found) == set(FILES) == {path.name for path in folder.iterdir()}
    for file in FILES:
        expected = (folder / file).read_bytes()
        assert found[file] == expected, explain(file, expected, found[file])


@pytest.mark.parametrize("name", ["issue-a", "gallery"])
def test_another_process_elsewhere_gives_the_same_bytes(name, tmp_path):
    """Another hash seed, time zone and locale (DESIGN 4: same input, same bytes)."""
    script = [sys.executable, str(GOLDEN / "rendering.py"), name, str(tmp_path)]
    subprocess.run(script, check=True, cwd=tmp_path, env={"PATH": os.defpath, **ELSEWHERE})
    for file in FILES:
        assert (tmp_path / file).read_bytes() == (EXPECTED / name / file).read_bytes(), file


def test_rendering_twice_gives_the_same_bytes(tmp_path):
    for again in ("once", "twice"):
        (tmp_path / again).mkdir()
    once, twice = (render("issue-b", tmp_path / again) for again in ("once", "twice"))
    assert once == twice


@pytest.mark.parametrize("name", ISSUES)
def test_a_golden_message_is_canonical_lines(name):
    """DESIGN 6: at most 76 columns, no leading dot, no trailing blank, CRLF only."""
    content = (EXPECTED / name / "issue.eml").read_bytes()
    _, _, body = content.partition(b"\r\n\r\n")
    lines = body.split(b"\r\n")
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert max(map(len, lines)) <= 76
    assert not any(line.startswith(b".") or line.endswith((b" ", b"\t")) for line in lines)
