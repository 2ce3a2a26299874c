"""The settings of a relay: where messages go, how fast, how they are signed.

In: plain values. Out: frozen sections; pydantic's ValidationError for what is wrong. Never: a file,
a socket, what holds between two relays (``sections.Settings``).
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, field_validator, model_validator

from newsletter.config.values import (
    Amount,
    OptionalDomain,
    OptionalHeaderName,
    OptionalSelector,
    RelayUrl,
    Section,
    Whole,
    check_receiver,
    fault,
)

# The Ed25519 key signs beside the RSA key, which every reader's system can verify.
_DKIM_PAIRS = (
    ("selector", "key_file"),
    ("key_file", "selector"),
    ("ed25519_selector", "ed25519_key_file"),
    ("ed25519_key_file", "ed25519_selector"),
    ("ed25519_selector", "selector"),
)


class Dkim(Section):
    """Where our signing keys are; off when ``selector`` is empty (most relays sign themselves)."""

    domain: OptionalDomain = ""
    selector: OptionalSelector = ""
    key_file: str = ""
    ed25519_selector: OptionalSelector = ""
    ed25519_key_file: str = ""

    @model_validator(mode="after")
    def _pair(self) -> Dkim:
        for given, wanted in _DKIM_PAIRS:
            if getattr(self, given) and not getattr(self, wanted):
                remedy = f"set it, or leave {given} out as well: then the relay signs"
                raise fault(f"is missing beside {given}", wanted, remedy=remedy)
        if self.selector and self.selector.lower() == self.ed25519_selector.lower():
            remedy = "give each key a selector, and a DNS record, of its own"
            raise fault("is that of the RSA key as well", "ed25519_selector", remedy=remedy)
        return self


class DomainPace(Section):
    """What one receiving domain bears (D4: Orange takes 2 connections and 100 messages each)."""

    connections: Annotated[Whole, Field(ge=1, le=64)] | None = None
    max_messages_per_connection: Annotated[Whole, Field(ge=1)] | None = None
    rate_per_s: Annotated[Amount, Field(gt=0)] | None = None


class Relay(Section):
    """Where messages go, and how fast."""

    url: RelayUrl = "embedded:"
    password: str = ""
    connections: Annotated[Whole, Field(ge=1, le=64)] = 4
    rate_per_s: Annotated[Amount, Field(gt=0)] | None = None
    rate_per_hour: Annotated[Amount, Field(gt=0)] | None = None
    max_messages_per_connection: Annotated[Whole, Field(ge=1)] = 100
    require_tls: bool | None = None
    auth: Literal["auto", "plain", "login", "xoauth2"] = "auto"
    chunking: Literal["auto", "off"] = "auto"
    verp: bool = True
    # 0: the connections waiting at their dot share one commit; N: claim N rows ahead.
    window: Annotated[Whole, Field(ge=0, le=1024)] | None = None
    idempotency_header: OptionalHeaderName = ""
    weight: Annotated[Whole, Field(ge=1)] = 1
    domains: Mapping[str, DomainPace] = {}
    dkim: Dkim = Dkim()

    @field_validator("domains", mode="before")
    @classmethod
    def _know_receivers(cls, value: object) -> object:
        for name, pace in value.items() if isinstance(value, Mapping) else ():
            check_receiver(name, pace)
        return value

    @property
    def is_embedded(self) -> bool:
        return self.url == "embedded:"

    @property
    def account(self) -> str:
        return unquote(urlsplit(self.url).username or "")

    @property
    def host(self) -> str:
        return "127.0.0.1" if self.is_embedded else urlsplit(self.url).hostname or ""

    @property
    def is_loopback(self) -> bool:
        return self.is_embedded or is_loopback(self.host)

    @property
    def tls_required(self) -> bool:
        return (not self.is_loopback) if self.require_tls is None else self.require_tls


def is_loopback(host: str) -> bool:
    """True for the names and addresses that never leave this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name: 127.evil.example is somewhere else
        return False
