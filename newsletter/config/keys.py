"""The secrets of a publication: written once, read from a 0600 file or the environment.

In: ``var/keys`` or ``NEWSLETTER_KEYS``. Out: ``Keys``. Never: a key shown, overwritten or readable
by others.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from newsletter.config.sections import Settings
from newsletter.errors import ConfigError

KEYS_VARIABLE = "NEWSLETTER_KEYS"


class Keys(BaseModel):
    """The secrets of a publication.

    ``versions`` maps a version (1, 2, …) to a 32-byte key for tokens; the highest signs, the others
    still open old links. ``pepper`` never rotates: fingerprints of erased addresses depend on it.
    """

    model_config = ConfigDict(frozen=True)

    versions: Mapping[int, bytes]
    pepper: bytes

    @property
    def current(self) -> int:
        return max(self.versions)

    def __repr__(self) -> str:
        return f"Keys(versions={sorted(self.versions)})"

    __str__ = __repr__


def write_keys(path: Path) -> None:
    """Create a 0600 key file with fresh random keys. Raise FileExistsError when there is one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write("# Keep a copy of this file in a safe place: without it no sent link works.\n")
        file.write(f"1:{secrets.token_hex(32)}\npepper:{secrets.token_hex(32)}\n")


def load_keys(settings: Settings, environ: Mapping[str, str] | None = None) -> Keys:
    """Read the keys from NEWSLETTER_KEYS (``1:hex,pepper:hex``) or ``var/keys`` (0600).

    Raise ConfigError when there are none, when others can read the file, or when one is not a key.
    """
    environ = os.environ if environ is None else environ
    if text := environ.get(KEYS_VARIABLE):
        return _parse_keys(text.replace(",", "\n"), KEYS_VARIABLE)
    path = settings.var_dir / "keys"
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        raise ConfigError(
            "there are no keys",
            key="keys",
            path=str(path),
            remedy="bring back your copy of them; only if there never were any: newsletter init .",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", key="keys", path=str(path)) from None
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(
            "others can read the keys", key="keys", path=str(path), remedy=f"chmod 600 {path}"
        )
    return _parse_keys(text, str(path))


def _parse_keys(text: str, where: str) -> Keys:
    versions: dict[int, bytes] = {}
    pepper = b""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, value = line.strip().partition(":")
        try:
            secret = bytes.fromhex(value)
        except ValueError:
            secret = b""
        if len(secret) < 32 or not (name == "pepper" or name.isdigit()):
            raise ConfigError(
                "is not a key: version:64 hexadecimal digits", key="keys", path=where, line=number
            )
        if name == "pepper":
            pepper = secret
        else:
            versions[int(name)] = secret
    if not versions or not pepper:
        raise ConfigError("needs a version and a pepper", key="keys", path=where)
    return Keys(versions=versions, pepper=pepper)
