"""A publication with the sample's templates, in which a test writes an issue and renders it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

from newsletter import config
from newsletter.content.files import load_registries, read_issue, read_pictures
from newsletter.mail.daily import read_on
from newsletter.mail.render import render_edition, render_web_copy
from newsletter.model import Actor, Example, IssueId
from newsletter.templating import open_templates

REPOSITORY = Path(__file__).parent.parent.parent
ID = IssueId("2026-05-07")
HEADER = "---\nnumero: 141\nobjet: {subject}\naccroche: Une cuisine, trois communes.\n---\n"
EXAMPLE = Example(
    id="gare",
    title="Une épicerie dans la gare",
    summary="On y achète, on y répare : {{7*7}} & <b>plus</b> ?",
    link="https://veille.example/gare?a=1&b=2",
    source="La veille",
    feed_url="https://veille.example/feed",
    territory="Montrelay",
    objective="hybridation",
    actors=(Actor(name="La Voie 3"), Actor(name="Ferme des Aulnes")),
)


class Publication:
    """A folder with the sample's templates, in which a test writes one issue."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copy(REPOSITORY / "newsletter.toml", folder)
        shutil.copytree(REPOSITORY / "templates", folder / "templates")
        shutil.copytree(
            REPOSITORY / "issues", folder / "issues", ignore=shutil.ignore_patterns("20*")
        )
        self.settings = config.load_settings(folder / "newsletter.toml", environ={})

    def write(self, *stories: str, edito: str = "L'édito.", subject: str = "Trois communes"):
        home = self.folder / "issues" / ID
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        (home / "issue.md").write_text(HEADER.format(subject=subject) + edito, encoding="utf-8")
        for number, story in enumerate(stories, start=1):
            text = story if story.startswith("---") else f"---\ntitre: Récit {number}\n---\n{story}"
            (home / f"{number}0-recit.md").write_text(text, encoding="utf-8")

    def block(self, name: str, mail: str, about: str = '{"help": "Un essai."}') -> None:
        source = (
            f"{{% set about = {about} %}}\n"
            f"{{% macro mail(block, issue) %}}{mail}{{% endmacro %}}\n"
            "{% macro text(block, issue) %}{{ block.title }}{% endmacro %}\n"
            "{% macro web(block, issue) %}<p>{{ block.title }}</p>{% endmacro %}\n"
        )
        (self.folder / "templates" / "blocks" / f"{name}.j2").write_text(source, encoding="utf-8")

    def read(self, examples=()):
        reading = read_issue(self.settings, ID)
        assert reading.issue is not None, reading.findings
        return replace(reading.issue, examples=tuple(examples))

    def render(self, issue=None, *, rule: str = "weekly", examples=(), pictures=None):
        issue = issue or self.read(examples)
        return render_edition(
            issue,
            templates=open_templates(self.settings),
            settings=self.settings,
            pictures=read_pictures(self.settings, issue) if pictures is None else pictures,
            registries=load_registries(self.settings),
            audience_rule=rule,
        )

    def web_on(self, today: date) -> str:
        page = render_web_copy(
            self.read(),
            templates=open_templates(self.settings),
            settings=self.settings,
            pictures={},
            registries=load_registries(self.settings),
        )
        return read_on(page, today)
