"""feedback, metrics, worker: what comes back, the figures, one more pair of hands."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from newsletter.cli import output
from newsletter.cli.app import app
from newsletter.cli.options import AsJson, ConfigPath, Publication, now
from newsletter.cli.output import Exit
from newsletter.errors import ConfigError


@app.command(rich_help_panel="After")
def feedback(
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="A message or an mbox; - reads stdin.")
    ] = "",
    *,
    mailbox: Annotated[
        str, typer.Option(metavar="DIR", help="A Maildir: its new messages are read once.")
    ] = "",
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Read returned mail: bounces and complaints."""
    from newsletter.feedback.mailbox import read_messages
    from newsletter.feedback.reading import read_feedback
    from newsletter.store import database
    from newsletter.store.feedback import Effect, apply_feedback

    if bool(file) == bool(mailbox):
        raise ConfigError("say what to read: FILE, - or --mailbox DIR", key="feedback")
    publication = Publication(config)
    kinds: Counter[str] = Counter()
    effects: Counter[str] = Counter()
    for raw in read_messages(file or mailbox):
        read = read_feedback(raw, settings=publication.settings, keys=publication.keys)
        with database.write(publication.engine) as connection:
            effect = apply_feedback(connection, publication.keys, read, raw=raw, now=now())
        kinds[read.kind.value] += 1
        effects[effect.value] += 1
    if as_json:
        output.show_json({"messages": kinds.total(), "kinds": kinds, "effects": effects})
        return Exit.DONE
    total = kinds.total()
    output.say(f"{total} {'message' if total == 1 else 'messages'}: " + _say(kinds))
    output.say("    " + _say(effects))
    if effects[Effect.STRANGE.value]:
        output.say(
            "    strange: of no reader we know; read it yourself, it may ask for an answer or to "
            "leave: newsletter subscribers unsubscribe ADDRESS"
        )
    return Exit.DONE


def _say(counted: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counted.items())) or "nothing"


@app.command(rich_help_panel="Run")
def metrics(*, as_json: AsJson = False, config: ConfigPath = None) -> int:
    """Print figures as Prometheus text."""
    from newsletter.metrics import collect_metrics

    text = collect_metrics(Publication(config).engine, now())
    if as_json:
        samples = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        output.show_json({name: float(value) for name, value in samples})
    else:
        output.say(text.rstrip())
    return Exit.DONE


@app.command(rich_help_panel="Run")
def worker(*, as_json: AsJson = False, config: ConfigPath = None) -> int:
    """Work on batches of a run, beside others.

    On PostgreSQL a run is handed out in batches: start as many workers as the relays bear, on as
    many machines. SIGTERM or Ctrl-C ends one cleanly.
    """
    from newsletter.cli.sending import stop_on_signal
    from newsletter.delivery.dispatch import Errand
    from newsletter.delivery.worker import work

    publication = Publication(config)
    errand = Errand(
        settings=publication.settings,
        engine=publication.engine,
        keys=publication.keys,
        clock=now,
        stop=stop_on_signal(),
    )
    waits = "newsletter: this worker waits for batches; SIGTERM or Ctrl-C ends it"
    work(errand, on_start=lambda: output.whisper(waits))
    if as_json:
        output.show_json({"worker": "ended"})
    return Exit.DONE
