"""init, doctor, demo, blocks, serve."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from newsletter.cli import output
from newsletter.cli.app import app
from newsletter.cli.options import AsJson, ConfigPath, NoConfig, Publication, now
from newsletter.cli.output import Exit


@app.command(rich_help_panel="Start")
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    *,
    as_json: AsJson = False,
    config: NoConfig = None,  # noqa: ARG001 - every command takes it
) -> int:
    """Make a publication folder; it works unedited."""
    from newsletter.starting import init_publication

    written = init_publication(folder)
    if as_json:
        output.show_json({"folder": str(folder), "files": [str(path) for path in written]})
        return Exit.DONE
    output.say(f"{folder}: {len(written)} files. Nothing leaves this machine until you say so.")
    output.say("Next:")
    output.say(f"  cd {shlex.quote(str(folder))}")
    output.say("  newsletter subscribers import subscribers/people.csv --apply")
    output.say("  newsletter new")
    output.say("Keep a copy of var/keys in a safe place: without it no link already sent works.")
    return Exit.DONE


@app.command(rich_help_panel="Start")
def doctor(*, as_json: AsJson = False, config: ConfigPath = None) -> int:
    """Look for what would keep an issue from leaving.

    Configuration, keys, database, clock, time zones, legal notice, relay, and the DNS records of
    the sender's domain.
    """
    from newsletter.delivery.smtp import probe_relay
    from newsletter.doctor import Health, diagnose, look_up_text

    settings = Publication(config).settings
    diagnoses = diagnose(settings, now=now(), look_up=look_up_text, probe=probe_relay)
    bad = any(diagnosis.health is Health.BAD for diagnosis in diagnoses)
    if as_json:
        output.show_json(
            {"healthy": not bad, "parts": [asdict(diagnosis) for diagnosis in diagnoses]}
        )
        return Exit.DECIDE if bad else Exit.DONE
    marks = {Health.GOOD: "ok", Health.WARNING: "!", Health.BAD: "✗"}
    for diagnosis in diagnoses:
        output.say(f"{marks[diagnosis.health]:>2}  {diagnosis.part:<14} {diagnosis.seen}")
        if diagnosis.remedy:
            output.say(f"{'':19}→ {diagnosis.remedy}")
    return Exit.DECIDE if bad else Exit.DONE


@app.command(rich_help_panel="Start")
def demo(
    *,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Where to work (default: a scratch folder).")
    ] = None,
    as_json: AsJson = False,
    config: NoConfig = None,  # noqa: ARG001 - every command takes it
) -> int:
    """Play a week of the sample publication here."""
    from newsletter.demo import run_demo

    with output.progress_bar("") as progress:
        story = run_demo(folder, say=output.whisper if as_json else output.say, progress=progress)
    if as_json:
        output.show_json(story)
    return Exit.DONE


@app.command(rich_help_panel="Write")
def blocks(*, as_json: AsJson = False, config: ConfigPath = None) -> int:
    """List the blocks an editor can write, with examples."""
    from newsletter.templating import open_templates

    declared = open_templates(Publication(config).settings).blocks
    if as_json:
        output.show_json({"blocks": [asdict(block) for block in declared.values()]})
        return Exit.DONE
    for name, block in sorted(declared.items()):
        output.say(f"::: {name} — {block.help}")
        for field in block.fields.values():
            needed = "obligatoire" if field.required else "facultatif"
            output.say(f"    {field.name} ({field.kind.value}, {needed}) {field.help}")
        if block.example:
            output.say("")
            output.say("\n".join(f"    {line}" for line in block.example.strip().splitlines()))
        output.say("")
    return Exit.DONE


@app.command(rich_help_panel="Run")
def serve(
    *,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="The port, on loopback; put a proxy before it.")
    ] = 8017,
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Serve the readers' pages.

    Subscribe, confirm, preferences, leave in one click, web copies, pictures. On loopback: put a
    web server with a certificate before it.
    """
    import uvicorn

    from newsletter.preview import open_port
    from newsletter.web.app import create_app

    publication = Publication(config)
    listener = open_port(port)
    application = create_app(publication.settings, publication.engine, publication.keys, now)
    address = f"http://127.0.0.1:{port}/"
    if as_json:
        output.show_json({"url": address})
    output.whisper(f"{address} (Ctrl-C ends it)")
    served = uvicorn.Config(
        application, log_level="warning", server_header=False, proxy_headers=False
    )
    uvicorn.Server(served).run(sockets=[listener])
    return Exit.DONE
