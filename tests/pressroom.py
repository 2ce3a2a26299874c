"""A small publication in a folder, for tests that publish: real templates, a real issue."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import insert

from newsletter import config
from newsletter.store import schema

REPOSITORY = Path(__file__).parent.parent
# Enough blocks for the issues below: compiling all of them would take most of the suite's time.
BLOCKS = ("chiffre", "evenement", "exemple", "exemples", "suite")
SETTINGS = """\
[publication]
name = "La Lettre d'essai"
list_id = "lettre.example.org"
publisher = "Association d'essai"
address = "1 rue de l'Essai, 00000 Essai"
director = "Dominique Essai"
contact = "contact@example.org"
host = "Hébergeur d'essai"

[[people]]
name = "Camille Exemple"
address = "camille@example.org"
roles = ["editor", "approver"]

[[people]]
name = "Dominique Essai"
address = "dominique@example.org"
roles = ["approver"]

[[people]]
name = "Sacha Machine"
address = "sacha@example.org"
roles = ["operator"]

[sender]
name = "La Lettre d'essai"
address = "lettre@example.org"
bounce_address = "retours@example.org"
"""
ISSUE = """\
---
numero: {number}
objet: Des légumes partagés
accroche: Trois communes et une cuisine.
exemples: {examples}
auteur: Camille Exemple
---
Bonjour à toutes et à tous.
"""
STORY = """\
---
titre: Une cuisine pour trois
---
Trois communes ont ouvert une cuisine. [Lire leur histoire](https://cuisine.example/histoire)
"""


def open_publication(root: Path, extra: str = "") -> config.Settings:
    """Write newsletter.toml (and *extra* settings) and the templates; return the settings."""
    (root / "newsletter.toml").write_text(SETTINGS + extra, encoding="utf-8")
    templates = root / "templates"
    if not templates.exists():
        for folder in ("mail", "web"):
            shutil.copytree(REPOSITORY / "templates" / folder, templates / folder)
        shutil.copy(REPOSITORY / "templates" / "theme.toml", templates)
        (templates / "blocks").mkdir()
        for name in BLOCKS:
            shutil.copy(REPOSITORY / "templates" / "blocks" / f"{name}.j2", templates / "blocks")
        (root / "issues").mkdir()
        config.write_keys(root / "var" / "keys")
    return config.load_settings(root / "newsletter.toml", environ={})


def write_issue(
    settings: config.Settings,
    issue_id: str,
    *,
    number: int = 1,
    examples: str = "0",
    story: str = STORY,
) -> Path:
    """Write an issue without errors; return its folder."""
    folder = settings.issues_dir / issue_id
    folder.mkdir(parents=True, exist_ok=True)
    text = ISSUE.format(number=number, examples=examples)
    (folder / "issue.md").write_text(text, encoding="utf-8")
    (folder / "10-cuisine.md").write_text(story, encoding="utf-8")
    return folder


def add_reader(connection, number: int, **values) -> None:
    """Add an active weekly subscriber with a legal basis."""
    row = {
        "id": number,
        "address": f"lectrice{number}@example.org",
        "address_key": f"lectrice{number}@example.org",
        "state": "active",
        "basis": "consentement",
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "confirmed_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    connection.execute(insert(schema.subscriber).values(**{**row, **values}))


def add_example(connection, name: str, day: int = 1, **values) -> None:
    """Add an example that a feed brought."""
    row = {
        "id": name,
        "feed_url": "https://flux.example/rss",
        "source": "Flux d'essai",
        "title": f"Exemple {name}",
        "summary": "Une alliance.",
        "link": f"https://flux.example/{name}",
        "actors": [],
        "sdgs": [],
        "published_at": datetime(2026, 4, day, tzinfo=UTC),
        "first_seen_at": datetime(2026, 4, day, tzinfo=UTC),
        "updated_at": datetime(2026, 4, day, tzinfo=UTC),
        "content_hash": name,
    }
    connection.execute(insert(schema.example).values(**{**row, **values}))
