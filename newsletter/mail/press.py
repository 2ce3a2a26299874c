"""Calls the macros of a publication's templates, and says who erred when one fails.

In: a template, a macro's name, what it is for. Out: what the macro gives. Every failure becomes a
RenderingError that names the block, the editor's file and line, and the template's own line. Each
block meets the engine alone before it joins the others. Never: a file, a socket.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import jinja2
from markupsafe import Markup
from mjml import mjml2html

from newsletter.errors import RenderingError
from newsletter.mail.lint import Origin, lint_html, lint_mjml
from newsletter.mail.pictures import PictureError
from newsletter.mail.view import Medium
from newsletter.model import Finding, Place, Severity

if TYPE_CHECKING:
    from newsletter.templating import Templates

_SKELETON = (
    '<mjml lang="fr" dir="ltr"><mj-head><mj-title>-</mj-title></mj-head>'
    '<mj-body width="{width}px">{content}</mj-body></mjml>'
)
_COLUMN = "<mj-section><mj-column>{content}</mj-column></mj-section>"
_BODY_LEVEL = ("<mj-section", "<mj-wrapper")


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """The templates of a publication, and what they know of the issue, for one medium."""

    medium: Medium
    templates: Templates
    view: Mapping[str, Any]

    @property
    def environment(self) -> jinja2.Environment:
        return self.templates.plain if self.medium is Medium.TEXT else self.templates.html


def call(press: Press, template: str, macro: str, origin: Origin, *arguments: object) -> str:
    """Return what *macro* of *template* makes of *arguments*; raise RenderingError."""

    def run() -> str:
        module = press.environment.get_template(template).module
        made: str = getattr(module, macro)(*arguments, press.view)
        return made

    return guard(run, origin)


def fill(press: Press, template: str, origin: Origin, **values: object) -> str:
    """Return a whole template filled with *values* and the issue; raise RenderingError."""

    def run() -> str:
        return press.environment.get_template(template).render(issue=press.view, **values)

    return guard(run, origin)


def guard(run: Callable[[], str], origin: Origin) -> str:
    """Return what *run* gives; turn whatever a template can raise into a RenderingError."""
    try:
        return run()
    except RenderingError:
        raise
    except PictureError as error:
        refuse(f"a picture cannot be published: {error}", origin, "give another file")
    except jinja2.TemplateNotFound as error:
        refuse(f"there is no template {error.name}", origin, "put it into templates/")
    except Exception as error:  # noqa: BLE001 (a template may raise anything)
        where = _place_in_template(error)
        refuse(f"{where}: {error}" if where else str(error), origin, "correct the template")


def refuse(message: str, origin: Origin, remedy: str) -> NoReturn:
    """Raise the RenderingError that names *origin*."""
    place = origin.place
    named = f"block “{origin.block}”: {message}" if origin.block else message
    raise RenderingError(
        named,
        block=origin.block or None,
        path=place.file if place else origin.template or None,
        line=place.line if place else None,
        remedy=remedy,
    ) from None


def _place_in_template(error: BaseException) -> str:
    """Return ``templates/blocks/x.j2 line 12``, found in the traceback of *error*."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f"{error.name} line {error.lineno}"
    found, trace = "", error.__traceback__
    while trace:
        template = trace.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            line = template.get_corresponding_lineno(trace.tb_lineno)
            found = f"templates/{template.name} line {line}"
        trace = trace.tb_next
    return found


# --- MJML ----------------------------------------------------------------------------------------


def is_body_level(mjml: str) -> bool:
    """Say whether a block brings sections of its own, rather than rows of a column."""
    return mjml.lstrip().startswith(_BODY_LEVEL)


def try_alone(mjml: str, origin: Origin, *, width: int) -> None:
    """Render *mjml* by itself, so that whoever errs is named; raise RenderingError."""
    body_level = is_body_level(mjml)
    raise_first(lint_mjml(mjml, origin, parent="mj-body" if body_level else "mj-column"))
    content = mjml if body_level else _COLUMN.format(content=mjml)
    html = convert(_SKELETON.format(width=width, content=content), origin)
    raise_first(lint_html(html, origin, body_width=width, whole=False))


def convert(mjml: str, origin: Origin) -> str:
    """Return the HTML that the engine makes; raise RenderingError when it refuses."""
    try:
        # fonts={}: without it the engine links to a foreign font (EMAIL A1).
        html: str = mjml2html(shield(mjml), disable_comments=True, fonts={})
    except ValueError as error:
        refuse(f"the engine refuses its markup: {error}", origin, "close and quote every tag")
    return unshield(html)


# The engine prints attributes as Rust would debug them: U+00A0 becomes \u{a0}, and a hole or an
# emoji is lost. What it would touch crosses as ⟦a0⟧; so does a ⟦ of the text itself.
_OPEN, _CLOSE = "\u27e6", "\u27e7"
_TOUCHED = re.compile(f'="[^"]*"|{_OPEN}')
_FRAGILE = re.compile(r"[^\x20-\x5b\x5d-\x7e]")
_CROSSING = re.compile(f"{_OPEN}([0-9a-f]+){_CLOSE}")


def shield(mjml: str) -> str:
    """Return *mjml* with the characters of attributes that the engine would spoil put away."""

    def put_away(found: re.Match[str]) -> str:
        return f"{_OPEN}{ord(found.group()):x}{_CLOSE}"

    return _TOUCHED.sub(lambda found: _FRAGILE.sub(put_away, found.group()), mjml)


def unshield(html: str) -> str:
    """Return *html* with what ``shield`` put away back in its place."""
    return _CROSSING.sub(lambda found: chr(int(found.group(1), 16)), html)


def finish(html: str) -> str:
    r"""Return the engine's HTML with its label mended and its main part marked.

    The engine prints the label of the whole as Rust would debug it: a no-break space becomes
    ``\u{a0}``. A message stands alone in most readers, and there its text is the main part.
    """
    title = re.search(r"<title>(.*?)</title>", html, re.DOTALL)
    label = title.group(1).strip().replace('"', "&quot;") if title else ""
    html = re.sub(r'(<div aria-label=)"[^"]*"', lambda at: f'{at.group(1)}"{label}"', html, count=1)
    html = html.replace("<div aria-label=", '<div role="main"><div aria-label=', 1)
    head, _, tail = html.rpartition("</body>")
    return f"{head}</div></body>{tail}"


# A message that is too heavy can still be shown, and weighed: ``checks.weight`` refuses it.
SAID_BY_CHECKS = {"too_heavy"}


def raise_first(findings: tuple[Finding, ...]) -> None:
    """Raise a RenderingError for the first error among *findings*."""
    for finding in findings:
        if finding.severity is Severity.ERROR and finding.code not in SAID_BY_CHECKS:
            raise RenderingError(
                finding.message.format_map(finding.facts),
                block=str(finding.facts.get("block", "")) or None,
                path=finding.file,
                line=finding.line,
                remedy=finding.remedy.format_map(finding.facts),
            )


def markup(words: str) -> Markup:
    """Return *words* as markup: they come from our own escaping templates."""
    return Markup(words)  # noqa: S704 - escaped there


def origin_of(template: str, place: Place | None = None, block: str = "") -> Origin:
    """Return whom to name for *template*, a path below ``templates/``."""
    return Origin(block=block, template=f"templates/{template}", place=place)
