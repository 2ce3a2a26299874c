"""A publication made by `init`, and its commands as a person types them."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from newsletter.cli.app import register, run
from newsletter.starting import init_publication

register()


@pytest.fixture
def folder(tmp_path):
    init_publication(tmp_path / "lettre")
    return tmp_path / "lettre"


@pytest.fixture
def say(folder, capsys):
    """Run a command there; return its exit code, stdout and stderr."""

    def command(*arguments):
        code = run([*arguments, "--config", str(folder)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command


@pytest.fixture
def issue(say, folder):
    """An issue that nothing is wrong with, and two people to receive it."""
    say("subscribers", "import", str(folder / "subscribers" / "people.csv"), "--apply")
    return json.loads(say("new", "--json")[1])["issue"]


@pytest.fixture
def its_time(say, issue, monkeypatch):
    """A signed issue whose slot came five minutes ago."""
    from newsletter.cli import issues, ticking

    before = datetime.fromisoformat(f"{issue}T05:00").replace(tzinfo=UTC)
    for module in (issues, ticking):
        monkeypatch.setattr(module, "now", lambda: before)
    say("run")
    say("approve", issue, "--by", "Camille")
    monkeypatch.setattr(ticking, "now", lambda: before + timedelta(hours=3, minutes=5))
    return issue
