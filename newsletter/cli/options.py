"""The options that every command takes, and the opening of a publication from them."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from newsletter.config import Keys, Settings

AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document instead of text for people.")
]
ConfigPath = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="PATH",
        help="The publication's newsletter.toml (default: in this folder or above).",
    ),
]
NoConfig = Annotated[
    Path | None,
    typer.Option("--config", hidden=True, help="Not used: a new publication has its own."),
]
IssueArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The issue's folder name, such as 2026-11-26.")
]


@dataclass(frozen=True)
class Publication:
    """A publication opened for one command; each part is opened when first asked for."""

    config: Path | None

    @cached_property
    def settings(self) -> Settings:
        from newsletter.config import load_settings

        return load_settings(self.config)

    @cached_property
    def engine(self) -> Engine:
        from newsletter.store.opening import open_store

        return open_store(self.settings)

    @cached_property
    def keys(self) -> Keys:
        from newsletter.config import load_keys

        return load_keys(self.settings)


def name_actor(settings: Settings, by: str) -> str:
    """Return who does it: the ``--by`` that the settings know, else the login name."""
    from newsletter.config import find_person

    if by:
        return find_person(settings, by)
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return f"uid {os.getuid()}"


def now() -> datetime:
    """The instant of this command, in UTC."""
    return datetime.now(UTC)
