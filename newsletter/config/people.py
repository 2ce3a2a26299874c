"""Who may say so: a name given on the command line → the name of newsletter.toml.

In: settings, a name. Out: the name as the settings write it. Never: a stranger, once the settings
name anybody (DESIGN 9).
"""

from __future__ import annotations

from difflib import get_close_matches

from newsletter.config.sections import Settings
from newsletter.errors import ConfigError


def find_person(settings: Settings, name: str) -> str:
    """Return the name as the settings write it; anybody's when they name nobody."""
    known = {person.name.casefold(): person.name for person in settings.people}
    if not known and name.strip():
        return name.strip()
    if name.strip().casefold() in known:
        return known[name.strip().casefold()]
    if not known:
        raise ConfigError("who approves?", key="by", remedy="say it: --by NAME")
    near = get_close_matches(name, [*known.values()], n=1)
    raise ConfigError(
        f"{name!r} is not among the people of newsletter.toml",
        key="people",
        remedy=f"did you mean {near[0]!r}?" if near else f"one of: {', '.join(known.values())}",
    )
