"""Where returned messages are: a file, the standard input, a Maildir.

In: a path, or ``-``. Out: the octets of each message in turn. Never: a message deleted, nor marked
as read before it was dealt with.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from newsletter.errors import ConfigError

_FROM_LINE = b"From "


def read_messages(source: str) -> Iterator[bytes]:
    """Yield each message of a file, of the standard input (``-``), or of a Maildir.

    A file or the standard input holds one message, or an mbox. Of a Maildir, a message is moved
    from ``new`` to ``cur`` once the caller asks for the next: a crash shows it again.
    """
    if source == "-":
        yield from split_mbox(sys.stdin.buffer.read())
        return
    path = Path(source)
    if (path / "new").is_dir():
        yield from _read_maildir(path)
        return
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}",
            path=source,
            remedy="give a message, an mbox, a Maildir, or - for the standard input",
        ) from None
    yield from split_mbox(content)


def _read_maildir(path: Path) -> Iterator[bytes]:
    (path / "cur").mkdir(exist_ok=True)
    for entry in sorted(os.scandir(path / "new"), key=lambda entry: entry.name):
        if not entry.is_file():
            continue
        file = Path(entry.path)
        yield file.read_bytes()
        file.rename(path / "cur" / f"{file.name}:2,S")


def split_mbox(content: bytes) -> Iterator[bytes]:
    """Yield each message of an mbox (RFC 4155), or the one message that *content* is."""
    if not content.startswith(_FROM_LINE):
        if content.strip():
            yield content
        return
    for part in content.replace(b"\r\n", b"\n").split(b"\n\nFrom "):
        _, _, message = part.removeprefix(_FROM_LINE).partition(b"\n")
        # Inside, a line that began so was quoted when it was written.
        if message.strip():
            yield message.replace(b"\n>From ", b"\nFrom ") + b"\n"
