"""The messages that everybody sends: *big* (about 78 KB on the wire) and *small* (about 12 KB)."""

from __future__ import annotations

import random
import re
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from newsletter import config
from newsletter.mail.compose import Reader, compile_message
from newsletter.model import Digest, Edition, IssueId

WORDS = re.findall(
    r"\S+",
    "la commune de Valmont et l'association La Passerelle ouvrent ensemble une légumerie partagée "
    "où chaque été des habitantes préparent les récoltes invendues pour les cantines voisines",
)


@dataclass(frozen=True)
class Size:
    name: str
    paragraphs: int


BIG = Size("78 KB", 353)
SMALL = Size("12 KB", 49)
#: For runs of a million, where the relay would otherwise be what is measured.
TINY = Size("1 KB", 1)
DOMAIN = "mail.example"
SIZES = (BIG, SMALL, TINY)


def make_edition(size: Size) -> Edition:
    """An edition of that size, with a greeting and two personal links, the same every time."""
    words = random.Random(17)
    texts = [" ".join(words.choices(WORDS, k=18)) for _ in range(size.paragraphs)]
    hole = "\ue000{}|{}\ue001"
    links = hole.format("unsubscribe_url", ""), hole.format("preferences_url", "")
    html = (
        '<html lang="fr"><body>'
        f"<p>{hole.format('first_name', 'Bonjour')},</p>"
        + "".join(f'<p style="margin:0;color:#1a2433">{text}</p>' for text in texts)
        + f'<p><a href="{links[0]}">Se désabonner</a> <a href="{links[1]}">Choisir</a></p>'
        "</body></html>"
    )
    text = "\n\n".join(texts[: max(4, size.paragraphs // 8)]) + f"\n\nSe désabonner : {links[0]}\n"
    return Edition(
        issue_id=IssueId("2026-05-07"),
        subject="« Jeudi » : des légumeries partagées",
        preheader="Trois communes, un chantier d'insertion, une cuisine.",
        sender="La Lettre <lettre@example.org>",
        html=html,
        text=text,
        web=html,
        audience_rule="weekly",
        picks=(),
        pictures=(),
        digest=Digest("b" * 64),
    )


def address(number: int) -> str:
    """A reader at the one domain that smtp-source numbers its readers at."""
    return f"reader{number}@{DOMAIN}"


@lru_cache
def prebuilt(size: Size) -> bytes:
    """Return one message as it leaves, for those who only transport."""
    from benchmarks.readers import make_publication

    with tempfile.TemporaryDirectory() as folder:
        settings = make_publication(Path(folder), 25)
        keys = config.load_keys(settings, environ={})
    compiled = compile_message(
        make_edition(size), settings=settings, keys=keys, run_id=1, date=datetime.now(UTC)
    )
    reader = Reader(subscriber_id=1, address=address(1), values={"first_name": "Alix"})
    return compiled.compose(reader).content


def wire_size(size: Size) -> int:
    """Return how many octets each message has, for a generator of equal load."""
    return len(prebuilt(size))
