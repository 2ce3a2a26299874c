"""Fixtures of the watch: a feed server on loopback, and settings that may read it."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest

from newsletter.config import Feeds, Settings, Taxonomy, Term
from tests.examples.feed_server import FeedServer

LABELS = {
    "equilibre": "Équilibre performance / engagement",
    "hybridation": "Hybridation des modèles socio-économiques",
    "innovation": "Accélération de l’innovation sociétale",
    "co-construction": "Co-construction territoriale",
}
PROFILES = ("collectivite", "association", "entreprise", "fondation", "academique", "institution",
            "reseau", "media", "citoyen", "autre")  # fmt: skip
SCALES = ("commune", "intercommunalite", "departement", "region", "national", "international")
REGIONS = {
    "auvergne-rhone-alpes": "Auvergne-Rhône-Alpes",
    "bourgogne-franche-comte": "Bourgogne-Franche-Comté",
    "bretagne": "Bretagne",
    "centre-val-de-loire": "Centre-Val de Loire",
    "corse": "Corse",
    "grand-est": "Grand Est",
    "guadeloupe": "Guadeloupe",
    "guyane": "Guyane",
    "hauts-de-france": "Hauts-de-France",
    "ile-de-france": "Île-de-France",
    "la-reunion": "La Réunion",
    "martinique": "Martinique",
    "mayotte": "Mayotte",
    "normandie": "Normandie",
    "nouvelle-aquitaine": "Nouvelle-Aquitaine",
    "occitanie": "Occitanie",
    "pays-de-la-loire": "Pays de la Loire",
    "provence-alpes-cote-d-azur": "Provence-Alpes-Côte d’Azur",
}


def terms(words: dict[str, str]) -> tuple[Term, ...]:
    return tuple(Term(slug=slug, label=label) for slug, label in words.items())


TAXONOMY = Taxonomy(
    objectives=terms(LABELS),
    profiles=terms(dict(zip(PROFILES, PROFILES, strict=True))),
    territories=terms(dict(zip(SCALES, SCALES, strict=True)) | REGIONS),
)


@pytest.fixture
def server():
    server = FeedServer()
    yield server
    server.close()


@pytest.fixture
def publication(settings: Settings, server: FeedServer) -> Settings:
    """Settings with a taxonomy, that may read the feed server, with short limits."""
    feeds = Feeds(
        allow_private=(server.place,),
        connect_timeout_s=2,
        total_timeout_s=5,
        max_wire_bytes=1_000_000,
        max_body_bytes=2_000_000,
    )
    return settings.model_copy(update={"feeds": feeds, "taxonomy": TAXONOMY})


def watch(settings: Settings, *urls: str) -> Path:
    """Write feeds.opml."""
    outlines = "".join(f"<outline type='rss' text='' xmlUrl={quoteattr(url)}/>" for url in urls)
    path = settings.issues_dir / "feeds.opml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"<opml version='2.0'><body>{outlines}</body></opml>", encoding="utf-8")
    return path
