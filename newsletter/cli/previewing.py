"""preview, archive: an issue as its readers will see it, and those that left as plain files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from newsletter.cli import output
from newsletter.cli.app import app
from newsletter.cli.options import AsJson, ConfigPath, IssueArgument, Publication, now
from newsletter.cli.output import Exit
from newsletter.model import IssueId


@app.command(rich_help_panel="Write")
def preview(
    issue_id: IssueArgument,
    *,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, metavar="N", help="Default: 8018, or a free one."),
    ] = None,
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Show the issue on a page that follows every save."""
    from newsletter.config import load_settings
    from newsletter.preview import open_port, serve
    from newsletter.previewing.screen import Screen

    publication = Publication(config)
    screen = Screen(lambda: load_settings(config), publication.engine, IssueId(issue_id), now)
    listener = open_port(port)
    host, chosen = listener.getsockname()
    url = f"http://{host}:{chosen}/"
    if as_json:
        output.show_json({"issue": issue_id, "url": url})
    else:
        output.say(f"{issue_id}: {url}")
    sys.stdout.flush()  # whoever reads a pipe wants the address now, and first
    if not as_json:
        output.whisper("It follows your saves; Ctrl-C ends it.")
    serve(screen, listener)
    return Exit.DONE


@app.command(rich_help_panel="After")
def archive(
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write.")],
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Write the issues that left as plain files."""
    from newsletter.archive import write_archive
    from newsletter.content.calendar import local_day

    publication = Publication(config)
    written = write_archive(
        publication.settings,
        publication.engine,
        out,
        today=local_day(now(), publication.settings),
    )
    if as_json:
        output.show_json({"files": [str(path) for path in written]})
    else:
        output.say(f"{len(written)} files in {out}")
    return Exit.DONE
