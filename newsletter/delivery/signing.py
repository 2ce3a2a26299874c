"""The signing keys of ``[relay.dkim]``, read from their files.

In: settings. Out: the signer, or None when the relay signs itself. Never: a key that somebody
else can read, or one kept in the settings.
"""

from __future__ import annotations

import stat
from pathlib import Path

from newsletter.config import Settings
from newsletter.errors import ConfigError
from newsletter.mail.dkim import ED25519_SETTING, RSA_SETTING, Signer, make_signer
from newsletter.mail.headers import ascii_address


def load_signer(settings: Settings) -> Signer | None:
    """Read the keys and return their signer; None when no selector is set.

    Raise ConfigError when a file is missing, is not a key, or can be read by others.
    """
    dkim = settings.relay.dkim
    if not dkim.selector:
        return None
    ed25519_pem = (
        _read(settings.root / dkim.ed25519_key_file, ED25519_SETTING)
        if dkim.ed25519_selector
        else b""
    )
    rsa_pem = _read(settings.root / dkim.key_file, RSA_SETTING)
    domain = ascii_address(settings.sender.address, header="From").rpartition("@")[2]
    try:
        return make_signer(dkim, domain=domain, rsa_pem=rsa_pem, ed25519_pem=ed25519_pem)
    except ConfigError as error:  # the maker has bytes, we know which file they are of
        is_rsa = error.key == RSA_SETTING
        error.path = str(settings.root / (dkim.key_file if is_rsa else dkim.ed25519_key_file))
        raise


def _read(path: Path, setting: str) -> bytes:
    try:
        mode = path.stat().st_mode
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"the signing key cannot be read: {error.strerror}",
            key=setting,
            path=str(path),
            remedy=f"check {setting}, or leave the selector empty when the relay signs",
        ) from None
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(
            "others can read the signing key",
            key=setting,
            path=str(path),
            remedy=f"chmod 600 {path}",
        )
    return content
