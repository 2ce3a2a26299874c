"""The accounts of the relays: each has its password before anybody is written to.

In: settings. Out: nothing. Never: a password shown; a command refused that writes to nobody, for
the password may be known to the scheduler alone.
"""

from __future__ import annotations

from newsletter.config.sections import Settings
from newsletter.errors import ConfigError


def require_passwords(settings: Settings) -> None:
    """Raise ConfigError for the first relay whose URL names an account without a password."""
    sections = ["relay", *(f"relays.{place}" for place in range(len(settings.relays)))]
    for section, relay in zip(sections, (settings.relay, *settings.relays), strict=True):
        if relay.account and not relay.password:
            key = f"{section}.password"
            variable = "NEWSLETTER_" + key.upper().replace(".", "__")
            raise ConfigError(
                f"{key}: is missing, and the account of {relay.host} needs it",
                key=key,
                path=str(settings.root / "newsletter.toml"),
                remedy=f"put it in {variable}, or take the account out of {section}.url",
            )
