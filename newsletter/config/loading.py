"""newsletter.toml + ``NEWSLETTER_SECTION__KEY`` variables → Settings, or one clear ConfigError.

In: a path, the environment. Out: ``Settings``; every error names the file (or the variable), the
line and the remedy. Never: a secret printed.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from newsletter.config.sections import Settings
from newsletter.errors import ConfigError

FILE_NAME = "newsletter.toml"
ENVIRONMENT_PREFIX = "NEWSLETTER_"


def find_file(start: Path) -> Path:
    """Return the nearest ``newsletter.toml`` in *start* or above; raise ConfigError without."""
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise ConfigError(
        f"no {FILE_NAME} in {start} or above",
        remedy="go to a publication's folder, give --config PATH, or make one: newsletter init DIR",
    )


def load_settings(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of *path* (default: the nearest file), the environment winning.

    Raise ConfigError with the file, the line and the remedy of the first thing that is wrong.
    """
    environ = os.environ if environ is None else environ
    if path is None:
        path = find_file(Path.cwd())
    elif path.is_dir():
        path = path / FILE_NAME
    try:
        source = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError("no such file", path=str(path), remedy="check --config") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            "is not UTF-8", path=str(path), line=_line_of_byte(error), remedy="save it as UTF-8"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=str(path)) from None
    data = _parse_toml(source, path)
    _refuse_shown_secrets(data, source, path)
    _merge_environment(data, environ)
    try:
        return Settings(root=path.resolve().parent, **data)
    except ValidationError as error:
        raise _explain(error, source, path, environ) from None


def _parse_toml(source: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+), column \d+\)", str(error))
        line = int(found.group(1)) if found else source.count("\n") + 1
        said = re.sub(r"\s*\(at .*\)", "", str(error))
        raise ConfigError(
            f"is not valid TOML: {said}", path=str(path), line=line, remedy="mend that line"
        ) from None


def _refuse_shown_secrets(data: Mapping[str, Any], source: str, path: Path) -> None:
    """Refuse a password in a file that others can read (T13); the environment keeps it better."""
    if not stat.S_IMODE(path.stat().st_mode) & 0o077:
        return
    for key in _keys_with_secrets(data):
        variable = ENVIRONMENT_PREFIX + key.upper().replace(".", "__")
        raise ConfigError(
            f"{key} holds a password, and others can read this file",
            key=key,
            path=str(path),
            line=_line_of_key(source, key.split(".")),
            remedy=f"chmod 600 {path}, or put it in {variable}",
        )


def _keys_with_secrets(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys of a file that hold a password; whether they are right is judged later."""
    relays = data.get("relays")
    tables = {"relay": data.get("relay")}
    tables |= {
        f"relays.{i}": one for i, one in enumerate(relays if isinstance(relays, list) else ())
    }
    for name, table in tables.items():
        if isinstance(table, dict) and table.get("password"):
            yield f"{name}.password"
    database = data.get("database")
    url = database.get("url") if isinstance(database, dict) else None
    if isinstance(url, str) and re.match(r"[^/]+://[^/@]*:[^/@]+@", url):
        yield "database.url"


def _merge_environment(data: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Put the values of NEWSLETTER_SECTION__KEY variables into *data*."""
    for name, value in environ.items():
        # NEWSLETTER_KEYS and NEWSLETTER_CRASH_AT have no section: they are not settings.
        if not name.startswith(ENVIRONMENT_PREFIX) or "__" not in name:
            continue
        *sections, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        place: Any = data
        for section in sections:
            place = _step_into(place, section, name)
        if not isinstance(place, dict):
            raise _no_section(sections[-1], name)
        place[key] = _read_variable(name, value)


def _step_into(place: Any, section: str, name: str) -> Any:
    """Return a section, made when there is none, or a table of a list, which the file must have."""
    if isinstance(place, list):
        if section.isdecimal() and int(section) < len(place):
            return place[int(section)]
        raise ConfigError(
            f"the file has no table {section} in that list",
            path=name,
            remedy=f"it has {len(place)}, counted from 0",
        )
    if not isinstance(place, dict):
        raise _no_section(section, name)
    return place.setdefault(section, {})


def _no_section(section: str, name: str) -> ConfigError:
    return ConfigError(f"{section} is no section", path=name, remedy="see docs/settings.md")


def _read_variable(name: str, value: str) -> Any:
    """Return a variable's value: lists and tables are written as JSON, ``["host:8080"]``."""
    if not value.startswith(("[", "{")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ConfigError(
            "is neither text nor JSON", path=name, remedy='write a list as ["one", "two"]'
        ) from None


def _explain(
    error: ValidationError, source: str, path: Path, environ: Mapping[str, str]
) -> ConfigError:
    first = error.errors()[0]
    context = first.get("ctx", {})
    parts = [str(part) for part in (*first["loc"], *context.get("place", ()))]
    key = ".".join(parts)
    is_missing = first["type"] == "missing"
    variable, line = _find_place(parts[:-1] if is_missing else parts, source, environ)
    where = variable or str(path)
    if first["type"] == "extra_forbidden":
        return ConfigError(
            f"unknown setting {key}", key=key, path=where, line=line, remedy=_nearest(parts)
        )
    said = _say_wrong(first["type"], first["msg"], first["input"], key)
    remedy = context.get("remedy") or "see docs/settings.md"
    return ConfigError(f"{key}: {said}", key=key, path=where, line=line, remedy=remedy)


def _find_place(
    parts: list[str], source: str, environ: Mapping[str, str]
) -> tuple[str | None, int | None]:
    """Return the variable that set a key, which wins over the file, or the nearest line."""
    name = ENVIRONMENT_PREFIX + "__".join(parts).upper()
    if name in environ:
        return name, None
    if line := _line_of_key(source, parts):
        return None, line
    below = (one for one in sorted(environ) if parts and one.startswith(f"{name}__"))
    if variable := next(below, None):
        return variable, None
    above = (_line_of_key(source, parts[:end]) for end in range(len(parts) - 1, 0, -1))
    return None, next(filter(None, above), None)


def _say_wrong(kind: str, message: str, value: object, key: str) -> str:
    """Say in the words of a TOML file what pydantic says in those of Python."""
    match kind:
        case "missing":
            return "is missing"
        case "model_type" | "dict_type" if key[-1:].isdigit():
            return "must be a table: write { name = value }"
        case "model_type" | "dict_type":
            return f"must be one table: write [{key}]"
        case "tuple_type" if isinstance(value, dict):
            return f"must be a list of tables: write [[{key}]]"
        case "tuple_type":
            return 'must be a list: write ["one", "two"]'
        case _:
            return message.removeprefix("Value error, ").replace("Input should be", "must be")


def _nearest(parts: list[str]) -> str:
    known: Any = Settings
    for part in parts[:-1]:
        known = known.model_fields[part].annotation if hasattr(known, "model_fields") else known
    names = list(getattr(known, "model_fields", {}))
    close = get_close_matches(parts[-1], names, n=1)
    return f"did you mean {close[0]}?" if close else "take it out; see docs/settings.md"


def _line_of_key(source: str, parts: list[str]) -> int | None:
    """Find the line that sets a key: its ``[section]`` first, then ``key =`` below it.

    A number among the parts counts the ``[[tables]]`` of a list.
    """
    names = [part for part in parts if not part.isdigit()]
    if not names:
        return None
    listed, index = _list_of(parts)
    section, wanted, found, table = "", names[-1], None, -1
    for number, line in enumerate(source.splitlines(), start=1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
        if header:
            section = re.sub(r"[\"'\s]", "", header.group(1))
            table += section == listed
        if table != index and listed and f"{section}.".startswith(f"{listed}."):
            continue  # another table of the same list
        if header:
            if section == ".".join(names):
                return number
        elif section == ".".join(names[:-1]) and re.match(
            rf"\s*\"?{re.escape(wanted)}\"?\s*=", line
        ):
            return number
        elif (
            found is None
            and names[0] in section
            and re.search(rf"\b{re.escape(wanted)}\b\s*=", line)
        ):
            found = number
    return found


def _list_of(parts: list[str]) -> tuple[str, int]:
    """Return the list that a key stands in, and the number of its table; '' for none."""
    place = next((place for place, part in enumerate(parts) if part.isdigit()), 0)
    return (".".join(parts[:place]), int(parts[place])) if place else ("", 0)


def _line_of_byte(error: UnicodeDecodeError) -> int:
    return error.object[: error.start].count(b"\n") + 1
