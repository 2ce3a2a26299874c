"""What the shell around a command may do to its output."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments: str, stdout, **environment: str) -> subprocess.CompletedProcess:
    environ = {"PATH": os.environ["PATH"]} | environment
    command = [sys.executable, "-m", "newsletter", *arguments]
    return subprocess.run(
        command, stdout=stdout, stderr=subprocess.PIPE, env=environ, text=True, check=False
    )


@pytest.fixture
def publication(tmp_path):
    done = run("init", str(tmp_path / "lettre"), stdout=subprocess.PIPE)
    assert done.returncode == 0
    return tmp_path / "lettre"


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_an_output_that_is_full_is_said_in_one_line(publication, form):
    with Path("/dev/full").open("w") as full:
        done = run("blocks", "--config", str(publication), *form, stdout=full)
    assert done.returncode == 3
    assert "make room" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_who_has_seen_enough_is_no_failure(publication):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        done = run("blocks", "--config", str(publication), stdout=closed)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_without_accents_still_shows_the_words(publication):
    plain = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = run("blocks", "--config", str(publication), stdout=subprocess.PIPE, **plain)
    assert done.returncode == 0
    assert "appel" in done.stdout
