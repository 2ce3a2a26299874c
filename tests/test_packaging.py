"""The wheel, built and installed as others get it: it holds all it needs and works unedited.

Nothing is downloaded: the fresh environment borrows this one's libraries, but not this package.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

REPOSITORY = Path(__file__).parent.parent
SOURCES = (
    "newsletter", "issues", "templates", "subscribers/sample.csv", "newsletter.toml",
    "scheduler.py", "pyproject.toml", "README.md", "LICENSE",
)  # fmt: skip
HEAVY = {"pydantic", "sqlalchemy", "jinja2", "fastapi", "alembic", "httpx", "feedparser", "mjml"}


def call(*command, cwd, code=0, **environ):
    """Run a command there, away from this repository's settings; return its stdout."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("NEWSLETTER_", "PYTHON"))}
    kept |= environ
    done = subprocess.run(command, cwd=cwd, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    copy = tmp_path_factory.mktemp("copy")
    for name in SOURCES:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        if (REPOSITORY / name).is_dir():
            hidden = shutil.ignore_patterns("__pycache__")
            shutil.copytree(REPOSITORY / name, copy / name, ignore=hidden)
        else:
            shutil.copy(REPOSITORY / name, copy / name)
    call(sys.executable, "-m", "hatchling", "build", "-t", "wheel", cwd=copy)
    (built,) = (copy / "dist").glob("*.whl")
    return SimpleNamespace(file=built, names=set(zipfile.ZipFile(built).namelist()), source=copy)


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A fresh environment with the wheel in it, and a scratch folder to work in."""
    root = tmp_path_factory.mktemp("installed")
    call(sys.executable, "-m", "venv", "--without-pip", "env", cwd=root)
    python = root / "env" / "bin" / "python"
    # The interpreter below this environment has pip: `make` needs it too.
    pip = (sys._base_executable, "-m", "pip", "--python", str(python), "install")
    call(*pip, "--quiet", "--no-deps", "--no-index", str(wheel.file), cwd=root)
    (site,) = (root / "env" / "lib").glob("python*/site-packages")
    borrowed = Path(pytest.__file__).parent.parent
    # A path named in a .pth file is searched last, and its own .pth files are not read.
    (site / "borrowed.pth").write_text(f"{borrowed}\n", encoding="utf-8")
    return SimpleNamespace(
        root=root, python=str(python), newsletter=str(root / "env" / "bin" / "newsletter")
    )


def test_the_wheel_holds_every_file_of_the_engine(wheel):
    engine = wheel.source / "newsletter"
    files = {str(path.relative_to(wheel.source)) for path in engine.rglob("*") if path.is_file()}
    assert {one for one in files if not one.endswith(".pyc")} <= wheel.names
    for needed in (
        "newsletter/py.typed", "newsletter/locale/fr/words.po", "newsletter/starter/people.csv",
        "newsletter/store/migrations/env.py",
    ):  # fmt: skip
        assert needed in wheel.names


def test_the_wheel_holds_the_sample_and_nobody_real(wheel):
    sample = {one.removeprefix("newsletter/_sample/") for one in wheel.names if "_sample" in one}
    assert {"newsletter.toml", "scheduler.py", "subscribers/sample.csv"} <= sample
    assert {"templates/mail/issue.mjml.j2", "issues/feeds.opml", "issues/partners.toml"} <= sample
    assert {one for one in sample if one.startswith("subscribers/")} == {"subscribers/sample.csv"}
    assert not [one for one in wheel.names if one.endswith((".db", ".pyc")) or "/var/" in one]


def test_what_is_imported_is_the_wheel(installed):
    where = call(
        installed.python, "-c", "import newsletter; print(newsletter.__file__)", cwd=installed.root
    )
    assert Path(where.strip()).is_relative_to(installed.root)


def test_a_new_publication_sends_unedited(installed):
    def newsletter(*arguments):
        return call(installed.newsletter, *arguments, cwd=installed.root / "letter")

    call(installed.newsletter, "init", "letter", cwd=installed.root)
    newsletter("subscribers", "import", "subscribers/people.csv", "--apply")
    issue = json.loads(newsletter("new", "--json"))["issue"]
    newsletter("approve", issue, "--by", "Camille")
    sent = json.loads(newsletter("send", issue, "--now", "--json"))
    assert (sent["issue"], sent["state"]) == (issue, "done")
    report = json.loads(newsletter("report", issue, "--json"))
    assert (report["audience"], report["sent"]) == (2, 2)
    mailbox = installed.root / "letter" / "var" / "mailbox" / "new"
    assert len([*mailbox.iterdir()]) == 2


def test_the_demo_plays_without_the_repository(installed):
    story = json.loads(
        call(installed.newsletter, "demo", "--dir", "demo", "--json", cwd=installed.root)
    )
    assert story["report"]["sent"] == story["report"]["audience"] > 40


def test_the_help_loads_nothing_heavy(installed):
    asked = (
        "import sys; from newsletter.cli.app import run; run(['--help']); "
        "print('LOADED', *sys.modules)"
    )
    said = call(installed.python, "-c", asked, cwd=installed.root)
    loaded = {name.partition(".")[0] for name in said.rpartition("LOADED ")[2].split()}
    assert "newsletter" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete_commands(installed, shell):
    # Named, not found out from the process above: under make that is a plain sh.
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    said = call(installed.newsletter, "--show-completion", shell, cwd=installed.root, **named)
    assert "_NEWSLETTER_COMPLETE" in said
