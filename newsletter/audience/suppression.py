"""Addresses that may not be written to, without keeping the addresses.

In: the publication's keys, an address key. Out: a fingerprint that only these keys can make again
(P11, T14). Never: a plain hash; e-mail addresses are few enough to be guessed one by one.
"""

from __future__ import annotations

import hmac
from enum import StrEnum

from newsletter.config import Keys


class Reason(StrEnum):
    """Why an address may not be written to."""

    UNSUBSCRIBED = "unsubscribed"
    BOUNCE = "bounce"  # the address does not exist
    COMPLAINT = "complaint"  # reported as unwanted
    ERASED = "erased"  # the person asked to be forgotten


def fingerprint(keys: Keys, address_key: str) -> str:
    """Return the fingerprint of an address key under the pepper, which never rotates."""
    return hmac.new(keys.pepper, f"address:{address_key}".encode(), "sha256").hexdigest()
