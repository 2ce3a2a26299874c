"""The relays of the settings: where, on what terms, how long they may take.

In: settings. Out: endpoints. Never: a certificate taken on trust where TLS is required.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

from newsletter.config import Relay, Settings, require_passwords
from newsletter.delivery.pacing import domain_of
from newsletter.delivery.smtp_greeting import Credentials, Terms
from newsletter.delivery.states import Stage
from newsletter.mail.headers import ascii_address

IN_FLIGHT = 8  # messages at once on a connection with BDAT (DELIVERY 0.3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds the relay has at each stage.

    Short before the dot, for the reader stays pending; RFC 5321 §4.5.3.2.6 after it, for giving up
    early is how duplicates are made.
    """

    connect_s: float = 30.0
    banner_s: float = 30.0
    command_s: float = 60.0
    data_s: float = 120.0
    body_s: float = 180.0
    dot_s: float = 600.0
    backoff: float = 1.0  # factor on the waits between attempts to connect

    def of(self, stage: Stage) -> float:
        match stage:
            case Stage.BANNER:
                return self.banner_s
            case Stage.DATA:
                return self.data_s
            case Stage.BODY:
                return self.body_s
            case Stage.DOT:
                return self.dot_s
            case _:
                return self.command_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A relay: where, on what terms, how it proves who it is."""

    relay: Relay
    host: str
    port: int
    terms: Terms

    @property
    def context(self) -> ssl.SSLContext:
        """What TLS is opened with: made when first asked for (reading authorities takes long)."""
        return open_context(self.relay.tls_required)


@contextmanager
def open_endpoints(settings: Settings) -> Iterator[tuple[Endpoint, ...]]:
    """Yield the relays of the settings; the embedded one lives as long as the block.

    Raise ConfigError for an account without a password.
    """
    require_passwords(settings)
    relays = (settings.relay, *settings.relays)
    # EHLO takes ASCII alone (RFC 5321 §2.3.5): A-labels, as in the message.
    name = domain_of(ascii_address(settings.sender.address, header="From"))
    if not any(relay.is_embedded for relay in relays):
        yield tuple(_find_endpoint(relay, name) for relay in relays)
        return
    from newsletter.delivery.embedded import open_relay

    with open_relay(settings.var_dir / "mailbox") as (host, port):
        yield tuple(
            _make_endpoint(relay, name, host, port, tls=False)
            if relay.is_embedded
            else _find_endpoint(relay, name)
            for relay in relays
        )


def _find_endpoint(relay: Relay, name: str) -> Endpoint:
    parts = urlsplit(relay.url)
    implicit = parts.scheme == "smtps"
    port = parts.port or (465 if implicit else 25)
    return _make_endpoint(relay, name, parts.hostname or "", port, tls=implicit)


def _make_endpoint(relay: Relay, name: str, host: str, port: int, *, tls: bool) -> Endpoint:
    credentials = (
        Credentials(user=relay.account, password=relay.password, mechanism=relay.auth)
        if relay.account
        else None
    )
    terms = Terms(
        name=name,
        tls_active=tls,
        tls_required=relay.tls_required,
        credentials=credentials,
        secrets_in_clear=relay.is_loopback,
        chunking=relay.chunking == "auto",
        in_flight=IN_FLIGHT,
    )
    return Endpoint(relay=relay, host=host, port=port, terms=terms)


@cache
def open_context(tls_required: bool) -> ssl.SSLContext:  # noqa: FBT001 - its one caller
    """Return what TLS is opened with, made once in a process."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not tls_required:
        # Opportunistic (RFC 7435): encrypted for whoever it is; refusing would mean clear text.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
