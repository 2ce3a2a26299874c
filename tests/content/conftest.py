"""A publication in a temporary folder, its blocks, and one call that reads an issue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from newsletter import config
from newsletter.content.files import read_issue
from newsletter.model import IssueId, Reading

ISSUE_ID = IssueId("2026-11-26")
ISSUE = """\
---
numero: 166
objet: Des légumeries partagées
---
L'édito.
"""
STORY = """\
---
titre: Une légumerie
---
"""
MACROS = """
{% macro mail(block, issue) %}<mj-text>{{ block.title }}{{ block.body }}</mj-text>{% endmacro %}
{% macro text(block, issue) %}{{ block.title }}{{ block.body }}{% endmacro %}
{% macro web(block, issue) %}<p>{{ block.title }}</p>{{ block.body }}{% endmacro %}
"""
BLOCKS = {
    "ressource": """{"help": "Un document.", "fields": {
        "lien": {"type": "url", "required": True},
        "format": {"type": "text"}, "pages": {"type": "int"}, "le": {"type": "date"},
        "image": {"type": "image"}, "mots": {"type": "list"}, "gratuit": {"type": "bool"},
        "note": {"type": "markdown"}, "avec": {"type": "partners"},
        "source": {"type": "source"}}}""",
    "encadre": '{"help": "Un encadré."}',
    "exemples": '{"help": "Les exemples.", "role": "examples"}',
    "suite": '{"help": "La suite.", "role": "more"}',
    "colonnes": '{"help": "Deux colonnes.", "role": "columns"}',
}
TAXONOMY = """
[[taxonomy.objectives]]
slug = "hybridation"
label = "Hybridation des modèles"
[[taxonomy.objectives]]
slug = "co-construction"
label = "Co-construction territoriale"
[[taxonomy.kinds]]
slug = "exemple"
label = "Exemple"
[segments.elus]
profiles = ["collectivite"]
[[people]]
name = "Camille Essai"
address = "camille@example.org"
"""
PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00"
    b"\x1f\x15\xc4\x89\x00\x00\x00\rIDATx\x9cc\xf8\xff\xff?\x00\x05\xfe\x02\xfe\xa7\x9a\xa0\xa0"
    b"\x00\x00\x00\x00IEND\xaeB`\x82"
)
REGISTRIES = {
    "partners": '[riveraine]\nname = "Fondation Riveraine"\nurl = "https://riveraine.example"\n',
    "sources": '[impact]\ntitle = "Impact"\ninstitute = "Institut Fictif"\n'
    'url = "https://impact.example/etude"\nvalid_until = 2027-01-01\n',
    "glossary": '["ODD 17"]\nexpansion = "objectif de développement durable n° 17"\n',
}


@pytest.fixture
def publication(settings: config.Settings) -> config.Settings:
    """A publication with five blocks, three registries, one issue folder and one picture."""
    toml = settings.root / "newsletter.toml"
    toml.write_text(toml.read_text(encoding="utf-8") + TAXONOMY, encoding="utf-8")
    blocks = settings.templates_dir / "blocks"
    blocks.mkdir(parents=True)
    for name, about in BLOCKS.items():
        write_block(settings, name, about)
    images = settings.issues_dir / ISSUE_ID / "images"
    images.mkdir(parents=True)
    (images / "legumerie.png").write_bytes(PNG)
    for name, text in REGISTRIES.items():
        (settings.issues_dir / f"{name}.toml").write_text(text, encoding="utf-8")
    return config.load_settings(toml, environ={})


def write_block(settings: config.Settings, name: str, about: str, macros: str = MACROS) -> Path:
    path = settings.templates_dir / "blocks" / f"{name}.j2"
    path.write_text(f"{{% set about = {about} %}}\n{macros}", encoding="utf-8")
    return path


Read = Callable[..., Reading]


@pytest.fixture
def read(publication: config.Settings) -> Read:
    """Write an issue and read it: ``read(story="…")``, ``read(issue=…)``, ``read({"x.md": …})``."""

    def write(
        files: dict[str, str | bytes] | None = None,
        *,
        story: str | None = None,
        issue: str | bytes = ISSUE,
    ) -> Reading:
        wanted: dict[str, str | bytes] = {"issue.md": issue, **(files or {})}
        if story is not None:
            wanted["10-histoire.md"] = STORY + story
        for name, content in wanted.items():
            path = publication.issues_dir / ISSUE_ID / name
            data = content if isinstance(content, bytes) else content.encode("utf-8")
            path.write_bytes(data)
        return read_issue(publication, ISSUE_ID)

    return write
