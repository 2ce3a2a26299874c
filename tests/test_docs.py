"""README and docs say what is there: commands, settings, blocks, codes, states, links, promises."""

import os
import re
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import typer

from newsletter import errors
from newsletter.cli.app import app, register
from newsletter.cli.output import Exit
from newsletter.config import Settings
from newsletter.delivery import states
from newsletter.model import DeliveryState, HeldReason, RunState

register()
REPOSITORY = Path(__file__).parent.parent
PAGES = {
    str(path.relative_to(REPOSITORY)): path.read_text(encoding="utf-8")
    for path in sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")])
}
README, COMMANDS_PAGE = PAGES["README.md"], PAGES["docs/commands.md"]
OPERATIONS, ARCHITECTURE = PAGES["docs/operations.md"], PAGES["docs/architecture.md"]
EVERYWHERE = {"--json", "--config", "--help"}


def prose(text, *, keep_code=False):
    """A page without its fences and its code: what stands there is no link of ours."""
    text = re.sub(r"^(`{3,}|~{3,}).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    return text if keep_code else re.sub(r"`[^`\n]*`", "", text)


# --- commands -----------------------------------------------------------------------------------


def walk(group, path=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from walk(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(walk(typer.main.get_command(app)))
SECTIONS = {
    match[1].strip(): match[0]
    for match in re.finditer(
        r"^### `newsletter ([a-z ]+)[^`]*`\n.*?(?=^##|\Z)", COMMANDS_PAGE, re.MULTILINE | re.DOTALL
    )
}


def options_of(command):
    return {
        option
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    }


def test_the_page_of_commands_names_every_command_and_no_other():
    assert set(SECTIONS) == set(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_of_a_command_is_documented_and_no_other(name):
    documented = set(re.findall(r"`(--[a-z-]+)", SECTIONS[name]))
    assert documented - EVERYWHERE == options_of(COMMANDS[name]) - EVERYWHERE


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_says_its_exit_codes_and_its_json(name):
    assert "\nExit: 0" in SECTIONS[name]
    assert "JSON" in SECTIONS[name]


def code_of(text):
    """What stands in fences and between backticks of a page."""
    fences = re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL)
    yield from (line for fence in fences for line in fence.splitlines())
    yield from re.findall(r"`([^`\n]+)`", prose(text, keep_code=True))


def written_commands():
    """Every `newsletter …` that a page shows, and the page."""
    for page, text in PAGES.items():
        for code in code_of(text) if page != "CHANGELOG.md" else ():
            for line in re.findall(r"(?:^|[\s/])newsletter ([a-z][^#|&]*)", code):
                yield page, line.strip()


SHOWN = sorted(set(written_commands()))


@pytest.mark.parametrize(("page", "line"), SHOWN)
def test_every_command_that_a_page_shows_exists_with_its_options(page, line):
    words = line.split()
    name = " ".join(words[: 2 if words[0] == "subscribers" else 1])
    assert name in {*COMMANDS, "subscribers"}, f"{page}: {line}"
    shown = set(re.findall(r"(?<!\S)--[a-z-]+", line))
    assert shown <= options_of(COMMANDS[name]) | EVERYWHERE if shown else True


@pytest.mark.parametrize("page", sorted(PAGES))
def test_every_make_target_that_a_page_names_exists(page):
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z]+)", PAGES[page], re.MULTILINE)) <= targets


# --- codes, states, settings, blocks ------------------------------------------------------------


def every_error(kind=errors.NewsletterError):
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child.code
            yield from every_error(child)


def rows_of(title):
    """The code words of the first cells of the table below a title of operations.md."""
    section = re.search(
        rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", OPERATIONS, re.MULTILINE | re.DOTALL
    )[1]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    return {word for cell in cells for word in re.findall(r"`([^`]+)`|^ (\d+) $", cell)}


def test_operations_explain_every_error_code():
    told = {code for code, _ in rows_of("Errors of the program")}
    assert told == {*every_error(), "bug"}


def test_operations_explain_every_exit_code():
    assert {int(code) for _, code in rows_of("Exit codes")} == {int(code) for code in Exit}


def test_operations_explain_every_state_of_a_run():
    told = {state for state, _ in rows_of("States of a run, and what to do")}
    assert {state.partition(" ")[0] for state in told} == {state.value for state in RunState}
    held = {re.search(r"\((.*)\)", one)[1] for one in told if one.startswith("held")}
    assert held == {reason.value for reason in HeldReason}


def test_operations_explain_every_state_of_a_reader():
    told = {state for state, _ in rows_of("States of a reader, and what to do")}
    assert told == {state.value for state in DeliveryState}


def test_the_picture_of_the_states_is_drawn_from_the_table():
    assert f"<!-- states -->\n\n```mermaid\n{states.draw()}```\n" in ARCHITECTURE


def known_settings(model=Settings, prefix=""):
    for name, field in model.model_fields.items():
        yield prefix + name
        inner = field.annotation
        if isinstance(inner, type) and hasattr(inner, "model_fields"):
            yield from known_settings(inner, f"{prefix}{name}.")


@pytest.mark.parametrize("page", sorted(PAGES))
def test_every_setting_that_a_page_names_exists(page):
    known = set(known_settings())
    sections = "|".join(sorted({name.partition(".")[0] for name in known}))
    named = re.findall(rf"`((?:{sections})\.[a-z_]+(?:\.[a-z_]+)*)(?: = [^`]*)?`", PAGES[page])
    files = re.compile(r"\.(html|toml)$")
    assert not [name for name in named if name not in known and not files.search(name)]


def blocks():
    return {path.stem for path in (REPOSITORY / "templates" / "blocks").glob("*.j2")}


def test_the_editors_guide_shows_every_block():
    shown = set(re.findall(r"^:{3,} ([a-z]+)", PAGES["docs/editors.md"], re.MULTILINE))
    assert shown == blocks()


@pytest.mark.parametrize("page", sorted(PAGES))
def test_every_block_that_a_page_shows_exists(page):
    allowed = blocks()
    if page == "docs/checks.md":  # shows what is wrong, too
        allowed = allowed | {"chifre"}
    assert set(re.findall(r"^:{3,} ([a-z-]+)", PAGES[page], re.MULTILINE)) <= allowed


# --- links --------------------------------------------------------------------------------------


def anchors(text):
    """The anchors that a forge gives the titles of a page."""
    titles = re.findall(
        r"^#+ (.+)$",
        re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL),
        re.MULTILINE,
    )
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", sorted(PAGES))
def test_every_link_within_the_repository_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)[^)]*\)", prose(PAGES[page])):
        if re.match("[a-z]+:|…", target):  # elsewhere, or an example
            continue
        file, _, anchor = target.partition("#")
        reached = (REPOSITORY / page).parent / file if file else REPOSITORY / page
        assert reached.exists(), f"{page}: {target}"
        if anchor:
            assert anchor in anchors(reached.read_text(encoding="utf-8")), f"{page}: {target}"


# --- the README's commands, in order ------------------------------------------------------------


class Shell:
    """A shell that remembers its folder and finds this environment's programs."""

    def __init__(self, folder, programs):
        self.folder = folder
        kept = {k: v for k, v in os.environ.items() if not k.startswith("NEWSLETTER_")}
        self.environ = kept | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}

    def run(self, line):
        told = self.folder.parent / "folder"
        done = subprocess.run(
            ["sh", "-c", f'{line}\ncode=$?\npwd > "{told}"\nexit $code'],
            cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        self.folder = Path(told.read_text(encoding="utf-8").strip())
        return done.returncode, done.stdout + done.stderr

    def start(self, line):
        return subprocess.Popen(
            ["sh", "-c", f"exec {line}"],
            cwd=self.folder, env=self.environ, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip


@pytest.fixture
def shell(tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, what in (("newsletter", "-m newsletter"), ("python", "")):
        script = programs / name
        script.write_text(
            f'#!/bin/sh\nPYTHONPATH="{REPOSITORY}" exec "{sys.executable}" {what} "$@"\n', "utf-8"
        )
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "home").mkdir()
    return Shell(tmp_path / "home", programs)


def see_preview(process):
    """The page is there, and follows the issue; Ctrl-C ends it."""
    url = re.search(r"http://\S+", process.stdout.readline())[0]
    with urllib.request.urlopen(url, timeout=60) as page:
        assert page.status == 200
    process.send_signal(2)
    process.communicate(timeout=60)
    assert process.returncode in {0, -2, 130}


def see_scheduler(process):
    """It says that it ticks, and SIGTERM ends it cleanly."""
    said = ""
    while "scheduler every=" not in said:
        said = process.stdout.readline()
        assert said, "it ended by itself"
    process.terminate()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "Traceback" not in said


# The beginning of a line → its exit code, and what it must say.
PROMISED = {
    "newsletter init": (0, "Nothing leaves this machine"),
    "newsletter subscribers import": (0, "added 2"),
    "newsletter new": (0, "/issue.md"),
    "newsletter check": (0, "0 error"),
    "newsletter send {issue} --to": (0, "[BAT v1] you@example.org: 250"),
    "newsletter approve": (0, "approved by Camille"),
    "newsletter send {issue}": (1, "leaves on"),
    "newsletter report": (0, "audience 2 = 2 sent"),
}


def readme_lines():
    for fence in re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL):
        for line in fence.splitlines():
            command = line.partition(" #")[0].strip()
            if command and not command.startswith("make "):
                yield command


def test_the_readme_s_commands_do_what_it_promises(shell):
    issue, seen = "", set()
    for written in readme_lines():
        line = re.sub(r"\d{4}-\d\d-\d\d", issue, written)
        if line.startswith("newsletter preview"):
            see_preview(shell.start(line))
            continue
        if line.startswith("python scheduler.py"):
            see_scheduler(shell.start(line))
            continue
        if line.startswith("newsletter report"):
            assert shell.run(f"newsletter send {issue} --now")[0] == 0  # it does not wait
        key = max((one for one in PROMISED if line.startswith(one.format(issue=issue))), key=len)
        code, said = shell.run(line)
        seen.add(key)
        assert (code, PROMISED[key][1] in said) == (PROMISED[key][0], True), f"{line}\n{said}"
        if key == "newsletter new":
            issue = re.search(r"issues/([\d-]+)/issue\.md", said)[1]
            story = re.search(rf"issues/{issue}/\d+-\S+\.md", said)[0]
            assert (shell.folder / story).is_file()
    assert seen == set(PROMISED)
