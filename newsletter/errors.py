"""Every failure the engine can raise, on one screen.

NewsletterError                  root: carries code, path, line, remedy
├── ConfigError(key)             newsletter.toml, environment or command line            → exit 2
├── ContentError(findings)       an issue that cannot be read                            → exit 1
├── RenderingError(block)        a template or a block that cannot be rendered           → exit 1
├── FeedError(url)               a feed that cannot be fetched or parsed                 → exit 3
├── NotApproved(issue)           nobody signed this digest                               → exit 1
├── ChecksFailed(findings)       the issue has errors                                    → exit 1
├── Held(reason)                 the run is held back and says why                       → exit 1
├── HeaderError(header)          a value that may not stand in a header, an address      → exit 1
├── TokenError                   a link that is not ours, or no longer                   → exit 1
├── RowError                     one row of an import                                    → exit 1
├── FileError                    a file or a folder that cannot be used, a full disk      → exit 3
├── TickFailed                   one tick of the schedule that could do nothing          → exit 3
├── StoreError                   the database                                            → exit 3
│   ├── Conflict                 somebody else changed it first                          → exit 1
│   ├── NotFound                 no such issue, run, subscriber                          → exit 2
│   └── Busy                     locked for longer than the busy timeout                 → exit 3
└── RelayError(host)             the relay, before any reader is concerned               → exit 3
    ├── ConnectFailed   ├── TimedOut   ├── TlsFailed   ├── AuthFailed
    └── Unanswered               the message may have been taken: never again by itself

A relay's *no* is a value (``delivery.states.Reply``), never an exception.
Facts are attributes; exit codes live in ``cli``, HTTP statuses in ``web``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from newsletter.model import Finding


class NewsletterError(Exception):
    """Say what is wrong in one sentence; ``remedy`` says what to do about it."""

    code = "error"

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        line: int | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.line = line
        self.remedy = remedy

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.path, self.line) if part is not None)
        said = f"{place}: {self.message}" if place else self.message
        return f"{said} — {self.remedy}" if self.remedy else said


class ConfigError(NewsletterError):
    """A setting or an argument is wrong; ``key`` names it."""

    code = "config"

    def __init__(
        self,
        message: str,
        *,
        key: str | None = None,
        path: str | None = None,
        line: int | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, path=path, line=line, remedy=remedy)
        self.key = key


class ContentError(NewsletterError):
    """An issue cannot be read; ``findings`` lists everything wrong with it at once."""

    code = "content"

    def __init__(self, message: str, *, findings: tuple[Finding, ...] = ()) -> None:
        first = findings[0] if findings else None
        super().__init__(
            message,
            path=first.file if first else None,
            line=first.line if first else None,
            remedy=first.remedy if first else None,
        )
        self.findings = findings


class RenderingError(NewsletterError):
    """A block or a template cannot be rendered; ``block`` names it."""

    code = "rendering"

    def __init__(
        self,
        message: str,
        *,
        block: str | None = None,
        path: str | None = None,
        line: int | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, path=path, line=line, remedy=remedy)
        self.block = block


class FeedError(NewsletterError):
    """One feed cannot be fetched or parsed; the others and the issue go on."""

    code = "feed"

    def __init__(self, message: str, *, url: str, remedy: str | None = None) -> None:
        super().__init__(message, path=url, remedy=remedy)
        self.url = url


class NotApproved(NewsletterError):
    """Nobody has approved this digest of the issue."""

    code = "not_approved"


class ChecksFailed(NewsletterError):
    """The checks found errors; ``findings`` lists them."""

    code = "checks"

    def __init__(
        self, message: str, *, findings: tuple[Finding, ...], remedy: str | None = None
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.findings = findings


class Held(NewsletterError):
    """The run is held; ``reason`` is a ``model.HeldReason`` value or another one-word reason."""

    code = "held"

    def __init__(self, message: str, *, reason: str, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.reason = reason


class HeaderError(NewsletterError):
    """A value may not stand in a header of a message; ``header`` names the header."""

    code = "header"

    def __init__(self, message: str, *, header: str, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.header = header


class TokenError(NewsletterError):
    """A link carries a token that is not ours or no longer valid."""

    code = "token"


class RowError(NewsletterError):
    """One row of an imported list is refused; ``line`` is its line in the file."""

    code = "row"


class FileError(NewsletterError):
    """A file or a folder cannot be used; ``path`` names it."""

    code = "file"


class TickFailed(NewsletterError):
    """A tick of the schedule could do nothing; the message says why, part by part."""

    code = "tick"


class StoreError(NewsletterError):
    """The database refused or cannot be reached."""

    code = "store"


class Conflict(StoreError):
    """Somebody else changed the row first."""

    code = "conflict"


class NotFound(StoreError):
    """There is no such thing."""

    code = "not_found"


class Busy(StoreError):
    """The database stayed locked for longer than the busy timeout."""

    code = "busy"


class RelayError(NewsletterError):
    """The relay cannot be used, before any reader is concerned; ``host`` names it."""

    code = "relay"

    def __init__(self, message: str, *, host: str, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.host = host


class ConnectFailed(RelayError):
    """No connection, or the relay refused to greet us."""

    code = "relay_connect"


class TimedOut(RelayError):
    """A stage before the first reader passed its deadline."""

    code = "relay_timeout"


class TlsFailed(RelayError):
    """TLS is required and was not offered, failed, or the certificate is not the relay's."""

    code = "relay_tls"


class AuthFailed(RelayError):
    """The relay refused our account."""

    code = "relay_auth"


class Unanswered(RelayError):
    """The end of a message may have left and no answer came: it may have been taken."""

    code = "relay_unanswered"
