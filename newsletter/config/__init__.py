"""newsletter.toml and the environment → Settings; keys from the environment or ``var/keys``.

In: one TOML file, ``NEWSLETTER_*`` variables (``NEWSLETTER_RELAY__URL``), a 0600 key file.
Out: a validated, frozen ``Settings``; relative paths in it are relative to the file's folder.
Never: a secret in the TOML file that the world can read, an unknown setting accepted in silence.
"""

from newsletter.config.accounts import require_passwords
from newsletter.config.keys import Keys, load_keys, write_keys
from newsletter.config.loading import FILE_NAME, find_file, load_settings
from newsletter.config.people import find_person
from newsletter.config.relays import Dkim, DomainPace, Relay, is_loopback
from newsletter.config.sections import (
    PLACEHOLDER,
    Feeds,
    Pause,
    Person,
    Publication,
    Retention,
    Schedule,
    Segment,
    Sender,
    Settings,
    Taxonomy,
    Term,
    Web,
)
from newsletter.config.values import CONTROLS

__all__ = [
    "CONTROLS",
    "FILE_NAME",
    "PLACEHOLDER",
    "Dkim",
    "DomainPace",
    "Feeds",
    "Keys",
    "Pause",
    "Person",
    "Publication",
    "Relay",
    "Retention",
    "Schedule",
    "Segment",
    "Sender",
    "Settings",
    "Taxonomy",
    "Term",
    "Web",
    "find_file",
    "find_person",
    "is_loopback",
    "load_keys",
    "load_settings",
    "require_passwords",
    "write_keys",
]
