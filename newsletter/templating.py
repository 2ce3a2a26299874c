"""The only Jinja environment: the publication's templates, in a sandbox that cannot be changed.

In: settings. Out: ``Templates``: an autoescaping environment for mail and web, its overlay without
for text, every block declaration, the theme. Texts of editors and feeds are data handed to macros;
no template is ever made of them. Never: a file outside ``templates/``, a random value, a clock; a
failure that does not name its file and line.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from jinja2 import (
    Environment,
    FileSystemLoader,
    StrictUndefined,
    Template,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
    nodes,
)
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

from newsletter.config import Settings
from newsletter.content.blocks import BlockDeclaration, Role, declare
from newsletter.errors import RenderingError

MEDIA: Final = ("mail", "text", "web")
PARAMETERS: Final = ("block", "issue")
FOLDER: Final = "templates"
BLOCKS: Final = "blocks"
# Neither chance nor the look of memory may enter a mail: same input, same bytes.
NOT_PURE: Final = {"globals": ("lipsum",), "filters": ("random", "pprint")}


class TemplateFolder(FileSystemLoader):
    """Loads templates of one folder; a link that leads out of it is no template."""

    def get_source(
        self, environment: Environment, template: str
    ) -> tuple[str, str, Callable[[], bool]]:
        source, filename, is_current = super().get_source(environment, template)
        folder = Path(self.searchpath[0]).resolve()
        if not Path(filename).resolve().is_relative_to(folder):
            raise TemplateNotFound(template)
        return source, filename, is_current


class BlockEnvironment(ImmutableSandboxedEnvironment):
    """Looks into a mapping before it looks at its methods: a field may be called ``items``."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """What the publication's templates folder holds."""

    html: BlockEnvironment
    plain: BlockEnvironment
    blocks: Mapping[str, BlockDeclaration]
    theme: Mapping[str, Any]


def open_templates(settings: Settings) -> Templates:
    """Open the templates of a publication; raise RenderingError naming the file that is wrong.

    Opened once for each state of the folder: compiling the blocks takes a third of a second.
    """
    return _open(settings.root, _state_of(settings.templates_dir))


def _state_of(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return the name, time and size of every template: another state is another folder."""
    states: list[tuple[str, int, int]] = []
    for path in sorted(folder.rglob("*")):
        try:
            said = path.stat()
        except OSError:  # a dangling link, or a file saved this very moment
            continue
        states.append((str(path), said.st_mtime_ns, said.st_size))
    return tuple(states)


@lru_cache(maxsize=4)
def _open(root: Path, _state: tuple[tuple[str, int, int], ...]) -> Templates:
    html = _open_environment(root / FOLDER)
    return Templates(
        html=html,
        plain=html.overlay(autoescape=False),
        blocks=_read_blocks(html, root),
        theme=_read_theme(root),
    )


def _open_environment(folder: Path) -> BlockEnvironment:
    environment = BlockEnvironment(
        loader=TemplateFolder(folder, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    for name in NOT_PURE["globals"]:
        environment.globals.pop(name, None)
    for name in NOT_PURE["filters"]:
        environment.filters.pop(name, None)
    return environment


def _read_blocks(environment: BlockEnvironment, root: Path) -> dict[str, BlockDeclaration]:
    folder = root / FOLDER / BLOCKS
    found: dict[str, BlockDeclaration] = {}
    holder: BlockDeclaration | None = None
    for path in sorted(folder.glob("*.j2"), key=lambda path: path.name):
        block = _read_block(environment, path, root)
        if block.role is Role.EXAMPLES:
            if holder:
                raise RenderingError(
                    f"the role “{block.role}” is already that of {holder.path}",
                    block=block.name,
                    path=block.path,
                    remedy="take the role out of one of the two files",
                )
            holder = block
        found[block.name] = block
    return found


def _read_block(environment: BlockEnvironment, path: Path, root: Path) -> BlockDeclaration:
    shown = path.relative_to(root).as_posix()
    with blaming(root, block=path.stem, path=shown):
        source = path.read_text(encoding="utf-8")
        _refuse_duplicates(environment.parse(source), path.stem, shown)
        module = environment.get_template(f"{BLOCKS}/{path.name}").module
    for medium in MEDIA:
        macro = getattr(module, medium, None)
        if not isinstance(macro, Macro) or tuple(macro.arguments) != PARAMETERS:
            raise RenderingError(
                f"there is no macro “{medium}(block, issue)”",
                block=path.stem,
                path=shown,
                remedy=f"write {{% macro {medium}(block, issue) %}}…{{% endmacro %}}",
            )
    return declare(path.stem, getattr(module, "about", None), shown)


def _refuse_duplicates(tree: nodes.Template, block: str, path: str) -> None:
    """A key given twice in ``about`` is silent in Jinja: the second wins."""
    for table in tree.find_all(nodes.Dict):
        seen: set[object] = set()
        for pair in table.items:
            key = pair.key.value if isinstance(pair.key, nodes.Const) else pair
            if key in seen:
                raise RenderingError(
                    f"“{key}” is given twice",
                    block=block,
                    path=path,
                    line=pair.lineno,
                    remedy="keep one of the two",
                )
            seen.add(key)


def _read_theme(root: Path) -> dict[str, Any]:
    shown = f"{FOLDER}/theme.toml"
    try:
        return tomllib.loads((root / shown).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RenderingError(
            f"the theme cannot be read: {error.strerror}", path=shown, remedy="check its rights"
        ) from error
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError among them
        found = re.search(r"at line (\d+)", str(error))
        raise RenderingError(
            f"the theme cannot be read: {error}",
            path=shown,
            line=int(found.group(1)) if found else None,
            remedy="correct that line",
        ) from error


@contextmanager
def blaming(root: Path, *, block: str | None = None, path: str | None = None) -> Iterator[None]:
    """Turn any failure of a template into RenderingError at the template's own file and line.

    A macro called from Python stands outside ``render()``: its traceback names the compiled code,
    so each line is mapped back.
    """
    try:
        yield
    except RenderingError:
        raise
    except TemplateSyntaxError as error:
        shown = _show(error.filename, root) or path
        raise RenderingError(
            error.message or "cannot be compiled", block=block, path=shown, line=error.lineno
        ) from error
    except Exception as error:
        shown, line = locate(error.__traceback__, root)
        said = str(error) or type(error).__name__
        if not isinstance(error, TemplateError):
            said = f"{type(error).__name__}: {said}"
        raise RenderingError(said, block=block, path=shown or path, line=line) from error


def locate(traceback: TracebackType | None, root: Path) -> tuple[str | None, int | None]:
    """Return the innermost template file and line of a traceback."""
    found: tuple[str | None, int | None] = (None, None)
    while traceback is not None:
        code = traceback.tb_frame.f_code
        template = traceback.tb_frame.f_globals.get("__jinja_template__")
        if isinstance(template, Template):
            line = template.get_corresponding_lineno(traceback.tb_lineno)
            found = _show(template.filename, root), line
        elif shown := _show(code.co_filename, root):
            found = shown, traceback.tb_lineno  # Jinja has rewritten this frame itself
        traceback = traceback.tb_next
    return found


def _show(filename: str | None, root: Path) -> str | None:
    """Return a template's path relative to the publication; None for any other file."""
    if not filename:
        return None
    path = Path(filename)
    if path.is_absolute() and path.is_relative_to(root / FOLDER):
        return path.relative_to(root).as_posix()
    return None
