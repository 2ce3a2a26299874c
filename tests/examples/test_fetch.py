"""Collecting, end to end: a server on loopback, the parsing child, both databases."""

from __future__ import annotations

from newsletter.examples.fetch import collect
from newsletter.store import database
from newsletter.store.examples import list_examples
from tests.examples.conftest import watch

RSS = """<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:alliance="https://odd17.example/ns/alliance"><channel>
<title>Carnet d'essai</title><link>https://carnet.example/</link>
<item><guid isPermaLink="false">a1</guid><title>Une légumerie partagée pour trois communes</title>
<link>https://carnet.example/legumerie?utm_source=rss</link>
<description>&lt;p&gt;Trois communes &amp;amp; un chantier.&lt;/p&gt;</description>
<pubDate>Tue, 05 May 2026 08:00:00 +0200</pubDate>
<category>Hybridation</category><category>ODD 12</category>
<alliance:territoire>Val-de-Lise</alliance:territoire><alliance:echelle>epci</alliance:echelle>
<alliance:region>Bretagne</alliance:region>
<alliance:acteurs>Communauté de Val-de-Lise | collectivite | porteur ; Les Jardins du Pré | association</alliance:acteurs>
<alliance:odd>2, 12</alliance:odd></item>
</channel></rss>
""".encode()


def examples_of(engine):
    with database.read(engine) as connection:
        return list_examples(connection)


def test_a_good_feed_becomes_examples(publication, server, engine, now):
    watch(publication, server.serve("/rss", RSS))
    report = collect(publication, engine, now)
    print(report)
    (found,) = examples_of(engine)
    assert report.counts["new"] == 1
    assert found.id == "legumerie-partagee-trois"
    assert found.title == "Une légumerie partagée pour trois communes"
    assert found.summary == "Trois communes & un chantier."
    assert found.link == "https://carnet.example/legumerie"
    assert found.source == "Carnet d'essai"
    assert (found.territory, found.scale, found.region) == (
        "Val-de-Lise",
        "intercommunalite",
        "bretagne",
    )
    assert (found.objective, found.sdgs) == ("hybridation", (2, 12))
    assert [(actor.name, actor.profile, actor.role) for actor in found.actors] == [
        ("Communauté de Val-de-Lise", "collectivite", "porteur"),
        ("Les Jardins du Pré", "association", ""),
    ]
    assert found.published_at.isoformat() == "2026-05-05T06:00:00+00:00"
