"""What templates see of an issue: names, dates in full, links, pictures. Plain values only.

In: an issue, the settings, the theme, the registries, the bytes of its pictures. Out: one mapping,
``issue`` in every template, and the pictures that templates asked for. Never: a network, a disk,
a clock: ``today`` is the day the text is for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from newsletter.content.calendar import long_date
from newsletter.content.typography import open_profile, typeset
from newsletter.mail import holes
from newsletter.mail.pictures import PictureError, fit
from newsletter.mail.theme import ink_on, luminance, prose_styles
from newsletter.model import Example, Issue, Picture, Source, Story

if TYPE_CHECKING:
    from newsletter.config import Settings, Term
    from newsletter.content.registries import Registries
    from newsletter.mail.theme import Theme

WORDS_A_MINUTE = 220
# EMAIL D: a picture has twice the pixels of its place.
SHARPNESS = 2


class Medium(StrEnum):
    """Which of the three renderings a macro is asked for: its name in a block file."""

    MAIL = "mail"
    TEXT = "text"
    WEB = "web"


@dataclass(slots=True)
class Album:
    """The pictures of an issue: bytes in, fitted pictures out, each once, in order of use."""

    base_url: str
    issue_id: str
    contents: Mapping[str, bytes]
    used: dict[str, Picture] = field(default_factory=dict)

    def picture(self, path: str, width: int, height: int = 2000) -> dict[str, str | int]:
        """Return the address and the size, in CSS pixels, of *path* fitted into a place.

        Raise PictureError when there is no such picture or it cannot be published.
        """
        content = self.contents.get(path) or self.contents.get(f"issues/{self.issue_id}/{path}")
        if content is None:
            raise PictureError(f"there is no picture {path}")
        fitted = fit(content, width=width * SHARPNESS, height=height * SHARPNESS)
        self.used.setdefault(fitted.name, replace(fitted, source=path))
        shown = min(1.0, width / fitted.width, height / fitted.height)
        return {
            "url": f"{self.base_url}/media/{fitted.name}",
            "width": max(1, round(fitted.width * shown)),
            "height": max(1, round(fitted.height * shown)),
        }


def _links(base: str, issue: Issue, medium: Medium) -> dict[str, str]:
    """Return the addresses of the issue and of the publication."""
    return {
        "url": f"{base}/{issue.id}/",
        "home_url": f"{base}/",
        "archive_url": f"{base}/archive/",
        "unsubscribe_url": _personal("unsubscribe_url", base, medium),
        "preferences_url": _personal("preferences_url", base, medium),
    }


def _personal(name: str, base: str, medium: Medium) -> str:
    """Return a link of the reader's own, as a hole; the public copy leads to the home page."""
    fallback = f"{base}/"
    return fallback if medium is Medium.WEB else holes.hole(name, fallback)


def view_issue(
    issue: Issue,
    *,
    medium: Medium,
    settings: Settings,
    theme: Theme,
    registries: Registries,
    album: Album,
    today: date,
    minutes: int = 0,
) -> dict[str, Any]:
    """Return the mapping that templates know as ``issue``."""
    publication, base = settings.publication, settings.publication.base_url
    objectives = view_objectives(settings.taxonomy.objectives)
    language = publication.language
    paragraph = prose_styles(theme).get("p", "") if medium is Medium.MAIL else ""

    nnbsp = theme.get("typography", {}).get("nnbsp", True)
    profile = open_profile(language, nnbsp=nnbsp, protected=registries.protected)

    def set_words(words: str) -> str:
        # A feed's words are plain; two characters of theirs could open a hole.
        return typeset(words.replace(holes.OPEN, "").replace(holes.CLOSE, ""), profile)

    def examples(level: int = 3) -> list[dict[str, Any]]:
        return [view_example(item, level, medium, paragraph, set_words) for item in issue.examples]

    return {
        "medium": medium.value,
        "language": language,
        "look": theme,
        "narrow": False,
        "gutter": theme["layout"]["gutter"],
        "inner": theme["layout"]["inner"],
        "publication": publication.model_dump(),
        "name_label": bind_words(publication.name),
        "id": issue.id,
        "number": issue.number,
        "number_label": f"n°\u00a0{issue.number}",
        "subject": issue.subject,
        "preheader": issue.preheader,
        "theme_label": label_theme(issue.theme, settings),
        "day": issue.day,
        "day_label": long_date(issue.day, language),
        "today": today,
        "minutes": minutes,
        **_links(base, issue, medium),
        "objectives": list(objectives.values()),
        "objective": objectives.get,
        "partners": registries.partners,
        "sources": registries.sources,
        "examples": examples(),
        "examples_at": examples,
        "picture": album.picture,
        "long_date": lambda day: long_date(day, language),
        "month": lambda day: long_date(day, language).split(" ")[2],
        "cite": lambda name: cite(registries.sources[name]),
    }


def bind_words(name: str) -> str:
    """Return *name* so that no line ends on a small word nor begins with a lone number."""
    last = "\u00a0".join(name.rsplit(" ", 1))
    return re.sub(r"(?<!\S)(\w{1,3}) ", "\\1\u00a0", last)


def narrow(view: Mapping[str, Any]) -> dict[str, Any]:
    """Return the view for a block inside one of two columns."""
    gutter = view["gutter"] // 2
    return {**view, "gutter": gutter, "inner": (view["inner"] - 2 * gutter) // 2, "narrow": True}


def view_objectives(terms: tuple[Term, ...]) -> dict[str, dict[str, str]]:
    """Return the objectives by slug, each with a colour, an ink that reads on it, and a sign."""
    seen = {}
    for term in terms:
        colour = term.colour or "#56606a"
        seen[term.slug] = {
            "slug": term.slug,
            "label": term.label,
            "colour": colour,
            "ink": ink_on(colour),
            "sign": term.sign or term.label[:1],
            "ribbon": _lighten(colour),
        }
    return seen


def _lighten(colour: str) -> str:
    """Return *colour*, halfway to white when it is too dark to be told apart on the header."""
    if luminance(colour) > 0.25:
        return colour
    channels = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return "#" + "".join(f"{(channel + 255) // 2:02x}" for channel in channels)


def view_story(story: Story, settings: Settings) -> dict[str, str]:
    """Return what templates see of a story: its title, its anchor, the words above the title."""
    taxonomy = settings.taxonomy
    kicker = (
        _label(story.kind, taxonomy.kinds),
        _label(story.territory, taxonomy.territories),
    )
    return {
        "title": story.title,
        "slug": story.slug,
        "kicker": " · ".join(part for part in kicker if part),
    }


def label_theme(theme: str, settings: Settings) -> str:
    """Return what people read for the theme: an objective's label, or the words as written."""
    return _label(theme, settings.taxonomy.objectives)


def _label(slug: str, terms: tuple[Term, ...]) -> str:
    return next((term.label for term in terms if term.slug == slug), slug)


def view_example(
    example: Example, level: int, medium: Medium, style: str, set_words: Callable[[str], str]
) -> dict[str, Any]:
    """Return an example of the watch under the fields of an editor's own card."""
    body: str = set_words(example.summary)
    if medium is not Medium.TEXT:
        styled = Markup(' style="{}"').format(style) if style else Markup()
        body = Markup("<p{}>{}</p>").format(styled, body)
    return {
        "title": set_words(example.title),
        "level": level,
        "territoire": set_words(example.territory),
        "lien": example.link,
        "objectif": example.objective,
        "acteurs": tuple(set_words(actor.name) for actor in example.actors),
        "body": body,
        "bouton": "",
        "source_name": set_words(example.source),
    }


def cite(source: Source) -> str:
    """Return a source as the text part prints it, its address on a line of its own."""
    name = ", ".join(part for part in (source.institute, source.title) if part)
    said = f"Source : {name}" + (f", {source.published}" if source.published else "")
    return f"{said}\n{source.url}" if source.url else said
