"""What the tests of the watch share: a taxonomy, a list of feeds, the sample's files."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import quoteattr

from newsletter.config import Settings, Taxonomy, Term

SAMPLES = Path(__file__).parents[2] / "issues" / "feeds"
LABELS = {
    "equilibre": "Équilibre performance / engagement",
    "hybridation": "Hybridation des modèles socio-économiques",
    "innovation": "Accélération de l’innovation sociétale",
    "co-construction": "Co-construction territoriale",
}
PROFILES = ("collectivite", "association", "entreprise", "fondation", "academique", "institution",
            "reseau", "media", "citoyen", "autre")  # fmt: skip
SCALES = {
    "commune": "Commune",
    "intercommunalite": "Intercommunalité",
    "departement": "Département",
    "region": "Région",
    "national": "France entière",
    "international": "International",
}
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
    territories=terms(SCALES | REGIONS),
)


def watch(settings: Settings, *urls: str) -> Path:
    """Write feeds.opml."""
    outlines = "".join(f"<outline type='rss' text='' xmlUrl={quoteattr(url)}/>" for url in urls)
    path = settings.issues_dir / "feeds.opml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"<opml version='2.0'><body>{outlines}</body></opml>", encoding="utf-8")
    return path
