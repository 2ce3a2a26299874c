"""docs/settings.md names every setting of newsletter.config, with its default, and nothing else."""

from __future__ import annotations

import datetime as dt
import json
import re
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from newsletter.config import Settings

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"
ROW = re.compile(r"^\| `([a-z0-9_.<>\[\]]+)` \| ([^|]+?) \|", re.MULTILINE)


def _documented() -> dict[str, str]:
    return dict(ROW.findall(PAGE.read_text(encoding="utf-8")))


def _settings(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        if prefix == "" and name in {"root", "relays"}:  # not a setting; the same as [relay]
            continue
        inner, mark = _inner_model(field.annotation)
        if inner is None or (mark and not field.is_required() and prefix + name != "people"):
            yield prefix + name, field
        if inner is not None:
            yield from _settings(inner, f"{prefix}{name}{mark}.")


def _inner_model(annotation: object) -> tuple[type[BaseModel] | None, str]:
    """The model inside an annotation, and how the page writes a step into it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    inside = [kind for kind in typing.get_args(annotation) if kind is not ...]
    for kind in inside:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            is_mapping = typing.get_origin(annotation) is Mapping
            return kind, ".<name>" if is_mapping else "[]"
    return None, ""


def _written(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if field.is_required():
        return "required"
    if value is None:
        return "*none*"
    if isinstance(value, dt.time):
        value = value.strftime("%H:%M")
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value)}`"


WANTED = {name: _written(field) for name, field in _settings(Settings)}


def test_the_page_names_every_setting_and_no_other():
    extra = {"relays"}
    assert set(_documented()) - extra == set(WANTED)


@pytest.mark.parametrize("name", sorted(WANTED))
def test_the_page_tells_the_default_of_each_setting(name):
    assert _documented().get(name) == WANTED[name]
