"""The application: every command under one name, every failure as one line and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import typer
from typer.core import TyperGroup

from newsletter.cli.output import Exit, exit_code, show_error, whisper
from newsletter.errors import ConfigError, FileError, NewsletterError

# Typer carries its own copy of click: its usage errors descend from this class.
ClickException = typer.BadParameter.__mro__[2]

# The modules that hold the commands, in the order of the help.
COMMANDS = (
    "setup",
    "issues",
    "previewing",
    "watching",
    "subscribers",
    "sending",
    "ticking",
    "reporting",
    "monitoring",
)
# The headings of the help, in the order in which a newcomer meets them.
PANELS = ("Start", "Write", "Send", "After", "People", "Run")
INTERRUPTED = 130  # what shells give for Ctrl-C
# Of a full disk, or of the output itself: then no document can be written there either.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Panels(TyperGroup):
    """The help of a group, its commands under the headings of ``rich_help_panel``."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - typer's own form
        """Write a section for each heading; without rich, typer writes one list of them all."""
        width = max(map(len, self.commands))
        sections: dict[str, list[tuple[str, str]]] = {name: [] for name in PANELS}
        for name, command in self.commands.items():
            said = command.get_short_help_str(formatter.width - 6 - width)
            panel = getattr(command, "rich_help_panel", None) or PANELS[0]
            sections[str(panel)].append((name.ljust(width), said))
        for panel, rows in sections.items():
            with formatter.section(panel):
                formatter.write_dl(rows)


app = typer.Typer(
    name="newsletter",
    cls=Panels,
    no_args_is_help=True,
    rich_markup_mode=None,  # rich's help costs 100 ms of the quarter of a second
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Write an issue in Markdown, have it approved, and let it leave on its day, once for each "
        "reader.\n\nStart with: newsletter demo, or: newsletter init my-letter"
    ),
)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; no traceback reaches a user (70: a bug)."""
    register()
    as_json = "--json" in arguments
    if isinstance(sys.stdout, TextIOWrapper):  # a terminal that knows no accents shows \xe9
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        result = app(args=list(arguments), prog_name="newsletter", standalone_mode=False)
    except typer.Exit as stop:
        return stop.exit_code
    except (typer.Abort, KeyboardInterrupt):
        whisper("newsletter: interrupted")
        return INTERRUPTED
    except SystemExit as stop:  # typer's answer to a closed pipe, and to a shell that completes
        # `newsletter … | head`: the reader has seen enough.
        return int(stop.code or 0) if "_NEWSLETTER_COMPLETE" in os.environ else Exit.DONE
    except Exception as error:  # noqa: BLE001 - the last door: nothing passes it as a traceback
        return _show_failure(error, as_json=as_json)
    return result if isinstance(result, int) else Exit.DONE


def register() -> None:
    """Import the modules that hold the commands: they add themselves to the application."""
    for name in COMMANDS:
        import_module(f"newsletter.cli.{name}")


def _show_failure(error: Exception, *, as_json: bool) -> int:
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        whisper(f"newsletter: {error.strerror} — make room, then run it again")
        return Exit.OUTSIDE
    if isinstance(error, OSError) and error.filename:
        error = FileError(
            f"cannot be used: {error.strerror}",
            path=str(error.filename),
            remedy="mend its rights, then run it again",
        )
    if isinstance(error, NewsletterError):
        show_error(error, as_json=as_json)
        return exit_code(error)
    if isinstance(error, ClickException):
        return _show_usage_error(error, as_json=as_json)
    return _show_bug(error, as_json=as_json)


def _show_usage_error(error: Exception, *, as_json: bool) -> int:
    message = getattr(error, "format_message", lambda: str(error))()
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help itself
        whisper(message)
        return Exit.USAGE
    message = message.replace("Value error, ", "")  # pydantic's, within typer's own sentence
    context = getattr(error, "ctx", None)
    remedy = f"{context.command_path} --help" if context else "newsletter --help"
    show_error(ConfigError(message, remedy=remedy), as_json=as_json)
    return Exit.USAGE


def _show_bug(error: Exception, *, as_json: bool) -> int:
    bug = NewsletterError(
        f"this is a bug: {type(error).__name__}: {error}",
        remedy="please report it; NEWSLETTER_DEBUG=1 shows where it happened",
    )
    bug.code = "bug"
    show_error(bug, as_json=as_json)
    if os.environ.get("NEWSLETTER_DEBUG"):
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    return Exit.BUG
