"""Writes an edition as files that open by a double click: page, text, message, pictures.

In: settings, an issue and its edition, a folder. Out: the files written. Never: the database,
or a real reader: personal places are filled for a fictional one.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from newsletter.config import Keys, Settings
from newsletter.content.calendar import instant
from newsletter.errors import ConfigError
from newsletter.mail.compose import Reader, compile_message
from newsletter.mail.daily import read_on
from newsletter.mail.single import FICTIONAL_READER, make_proof
from newsletter.mail.social import social_text
from newsletter.model import Edition, Issue, Picture

# A rendering opens no link, and has the same bytes on every machine.
NOBODYS_KEYS = Keys(versions={1: bytes(32)}, pepper=bytes(32))
TYPES = {"png": "image/png", "jpg": "image/jpeg", "gif": "image/gif"}


def write_rendering(
    settings: Settings,
    issue: Issue,
    edition: Edition,
    folder: Path,
    *,
    inline_images: bool = False,
) -> tuple[Path, ...]:
    """Write index.html, web.html, issue.txt, issue.eml, social.txt, edition.json, media/*.

    Raise ConfigError when the folder cannot be written.
    """
    proof = make_proof(edition, settings=settings, number=1)
    pictures = _Pictures(settings, edition, inline=inline_images)
    online = f"{settings.publication.base_url}/{issue.id}/"
    texts = {
        "index.html": pictures.localise(proof.html),
        "web.html": pictures.localise(read_on(edition.web, issue.day)),
        "issue.txt": proof.text,
        "social.txt": social_text(issue, url=online),
        "edition.json": json.dumps(_facts(edition), ensure_ascii=False, indent=2) + "\n",
    }
    contents = {name: text.encode() for name, text in texts.items()}
    contents["issue.eml"] = _compose(settings, issue, edition)
    if not inline_images:
        contents |= {f"media/{picture.name}": picture.content for picture in edition.pictures}
    try:
        for name, content in contents.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    except OSError as error:
        raise ConfigError(
            f"cannot be written: {error.strerror}",
            path=str(folder),
            remedy="make room or mend its rights, or name another with --out",
        ) from None
    return tuple(folder / name for name in sorted(contents))


def _compose(settings: Settings, issue: Issue, edition: Edition) -> bytes:
    """The message of a reader who does not exist: id 0, a token that opens nothing."""
    leaves_at = instant(issue.day, settings.schedule.time, settings.publication.zone)
    compiled = compile_message(
        edition, settings=settings, keys=NOBODYS_KEYS, run_id=0, date=leaves_at
    )
    nobody = Reader(subscriber_id=0, address="camille@example.org", values=FICTIONAL_READER)
    return compiled.compose(nobody).content


@dataclass(frozen=True)
class _Pictures:
    """Points pictures at the files beside the page, or puts them into it."""

    settings: Settings
    edition: Edition
    inline: bool

    def localise(self, html: str) -> str:
        for picture in self.edition.pictures:
            public = f"{self.settings.publication.base_url}/media/{picture.name}"
            near = _data_url(picture) if self.inline else f"media/{picture.name}"
            html = html.replace(public, near)
        return html


def _data_url(picture: Picture) -> str:
    kind = TYPES[picture.name.rpartition(".")[2]]
    return f"data:{kind};base64,{base64.b64encode(picture.content).decode('ascii')}"


def _facts(edition: Edition) -> dict[str, object]:
    return {
        "issue": edition.issue_id,
        "digest": edition.digest,
        "subject": edition.subject,
        "preheader": edition.preheader,
        "sender": edition.sender,
        "audience_rule": edition.audience_rule,
        "picks": edition.picks,
        "pictures": [picture.name for picture in edition.pictures],
        "html_bytes": len(edition.html.encode()),
        "text_bytes": len(edition.text.encode()),
    }
