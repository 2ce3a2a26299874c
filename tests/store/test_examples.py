from dataclasses import replace
from datetime import timedelta

from newsletter.examples.identity import Sighting, content_hash, identities, similar_key
from newsletter.model import Actor, Example
from newsletter.store import database
from newsletter.store.examples import (
    candidates,
    keep_sightings,
    list_examples,
    mark_featured,
    recent_features,
)


def seen(name, guid="", **fields) -> Sighting:
    example = Example(
        id="",
        title=name,
        summary=fields.pop("summary", ""),
        link=fields.pop("link", f"https://a.example/{name}"),
        source="Carnet",
        feed_url=fields.pop("feed_url", "https://a.example/rss"),
        **fields,
    )
    return Sighting(
        example=example,
        identities=identities(example, guid or name),
        similar_key=similar_key(example),
        content_hash=content_hash(example),
    )


def keep(engine, now, *sightings):
    with database.write(engine) as connection:
        return keep_sightings(connection, sightings, now)


def titles(engine, **asked):
    with database.read(engine) as connection:
        return [example.title for example in list_examples(connection, **asked)]


def feature(engine, now, issue_id, *ids):
    with database.write(engine) as connection:
        mark_featured(connection, issue_id, ids, now)


def test_an_example_comes_back_as_it_was_kept(engine, now):
    kept = seen(
        "Œuvre commune",
        territory="L’Haÿ",
        actors=(Actor(name="A", profile="association", role="porteur"),),
        sdgs=(2, 17),
        published_at=now - timedelta(days=1),
    )
    (report,) = keep(engine, now, kept)
    with database.read(engine) as connection:
        (found,) = list_examples(connection)
    assert report.example_id == found.id
    assert found == replace(kept.example, id="oeuvre-commune", first_seen_at=now)


def test_the_freshest_come_first(engine, now):
    keep(
        engine,
        now,
        seen("Vieux", published_at=now - timedelta(days=9)),
        seen("Sans date"),
        seen("Neuf", published_at=now - timedelta(days=1)),
    )
    assert titles(engine) == ["Sans date", "Neuf", "Vieux"]


def test_a_search_ignores_accents_case_and_the_order_of_words(engine, now):
    keep(
        engine,
        now,
        seen("L’Œuvre de l’été", territory="Île-Tudy", actors=(Actor(name="Élan"),)),
        seen("Autre chose"),
    )
    for asked in ("oeuvre", "ÉTÉ œuvre", "ile tudy", "elan", "l'été"):
        assert titles(engine, search=asked) == ["L’Œuvre de l’été"]
    assert titles(engine, search="oeuvre hiver") == []
    assert titles(engine, search="100%") == []
    assert titles(engine, search="_") == titles(engine)


def test_a_list_can_be_cut_by_objective_and_by_use(engine, now):
    keep(engine, now, seen("Un", objective="a"), seen("Deux", objective="a"), seen("Trois"))
    feature(engine, now, "2026-05-07", "un")
    assert titles(engine, objective="a", unused=True) == ["Deux"]
    with database.read(engine) as connection:
        assert {one.id: one.featured_in for one in candidates(connection)} == {
            "un": ("2026-05-07",),
            "deux": (),
            "trois": (),
        }


def test_featuring_twice_changes_nothing(engine, now):
    keep(engine, now, seen("Un"))
    feature(engine, now, "2026-05-07", "un")
    feature(engine, now, "2026-05-07", "un")
    feature(engine, now, "2026-05-07")
    with database.read(engine) as connection:
        (found,) = list_examples(connection)
    assert found.featured_in == ("2026-05-07",)


def test_recent_features_are_those_of_the_last_issues_the_latest_first(engine, now):
    keep(engine, now, *(seen(f"Exemple {letter}") for letter in "xyz"))
    for day, letter in ((7, "x"), (13, "y"), (21, "z"), (28, "x")):
        feature(engine, now, f"2026-05-{day:02}", f"exemple-{letter}")
    with database.read(engine) as connection:
        assert [one.id[-1] for one in recent_features(connection, 2)] == ["x", "z"]
        assert [one.id[-1] for one in recent_features(connection, 8)] == ["x", "z", "y"]


def test_two_titles_alike_get_two_ids_that_stay(engine, now):
    first = seen("Une cuisine", guid="1", territory="Lise", link="https://a.example/1")
    second = seen("Une cuisine", guid="2", territory="Orbe", link="https://a.example/2")
    ids = [report.example_id for report in keep(engine, now, first, second)]
    assert ids[0] == "cuisine"
    assert ids[1].startswith("cuisine-")
    assert [report.example_id for report in keep(engine, now, second, first)] == ids[::-1]


def test_an_id_once_printed_is_never_given_again(engine, now):
    feature(engine, now, "2026-05-07", "cuisine")
    (report,) = keep(engine, now, seen("Une cuisine"))
    assert report.example_id.startswith("cuisine-")


def test_the_strongest_key_decides_whose_example_it_is(engine, now):
    keep(
        engine,
        now,
        seen("Un", guid="1", link="https://a.example/un"),
        seen("Deux", guid="2", link="https://a.example/deux"),
    )
    (report,) = keep(engine, now, seen("Un bis", guid="1", link="https://a.example/deux"))
    assert (report.outcome.value, report.example_id) == ("updated", "un")
    (again,) = keep(engine, now, seen("Un bis", guid="1", link="https://a.example/deux"))
    assert again.outcome.value == "unchanged"


def test_near_duplicates_are_merged_across_feeds(engine, now):
    keep(engine, now, seen("Un four pour le village", territory="Val-de-Lise"))
    (report,) = keep(
        engine,
        now,
        seen(
            "UN FOUR, POUR LE VILLAGE !",
            guid="x",
            territory="Val de Lise",
            link="https://b.example/four",
            feed_url="https://b.example/rss",
        ),
    )
    assert report.outcome.value == "merged"
    assert titles(engine) == ["Un four pour le village"]
