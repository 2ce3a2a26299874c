from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.errors import ContentError
from newsletter.examples.curate import freshness, pick
from newsletter.model import Example

OBJECTIVES = ("equilibre", "hybridation", "innovation", "co-construction")
REGIONS = ("bretagne", "corse", "la-reunion", "occitanie")
START = datetime(2026, 1, 1, tzinfo=UTC)


def example(name, objective="equilibre", region="bretagne", day=0, **fields) -> Example:
    return Example(
        id=name,
        title=name,
        summary="",
        link=f"https://a.example/{name}",
        source="A",
        feed_url="https://a.example/rss",
        objective=objective,
        region=region,
        published_at=START + timedelta(days=day),
        **fields,
    )


def names(examples):
    return [one.id for one in examples]


def choose(candidates, wanted, recent=()):
    return names(pick(candidates, wanted, recent, objectives=OBJECTIVES, regions=REGIONS))


pools = st.lists(
    st.builds(
        example,
        st.integers(0, 200).map("e{}".format),
        st.sampled_from((*OBJECTIVES, "")),
        st.sampled_from((*REGIONS, "")),
        st.integers(0, 400),
        featured_in=st.sampled_from(((), (), ("2026-01-01",))),
        withdrawn_at=st.sampled_from((None, None, None, START)),
    ),
    unique_by=lambda one: one.id,
    max_size=25,
)


@given(pools, pools, st.integers(0, 6), st.randoms())
def test_the_pick_does_not_depend_on_the_order_of_anything(pool, recent, wanted, random):
    first = choose(pool, wanted, recent)
    random.shuffle(pool)
    random.shuffle(recent)
    assert choose(pool, wanted, recent) == first


@given(pools, pools, st.integers(0, 6))
def test_a_number_takes_as_many_as_there_are_and_never_one_already_shown(pool, recent, wanted):
    shown = {one.id for one in recent}
    free = {
        one.id
        for one in pool
        if not one.featured_in and one.withdrawn_at is None and one.id not in shown
    }
    picked = choose(pool, wanted, recent)
    assert len(picked) == len(set(picked)) == min(wanted, len(free))
    assert set(picked) <= free


@given(pools, st.integers(1, 5))
def test_asking_for_one_more_only_adds_one(pool, wanted):
    assert choose(pool, wanted) == choose(pool, wanted + 1)[:wanted]


def test_the_freshest_comes_first_among_equals():
    assert choose([example("vieux", day=1), example("neuf", day=2)], 1) == ["neuf"]


def test_an_issue_shows_each_objective_before_it_shows_one_twice():
    pool = [example(f"h{n}", "hybridation", day=80 + n) for n in range(5)]
    pool += [example(one, one, day=30) for one in ("equilibre", "innovation", "co-construction")]
    assert {one.objective for one in pick(pool, 4, (), objectives=OBJECTIVES, regions=())} == set(
        OBJECTIVES
    )


def test_what_the_last_issues_showed_most_waits():
    recent = [example("x", "hybridation", featured_in=("2026-01-08",))]
    pool = [example("h", "hybridation", day=9), example("i", "innovation", day=1)]
    assert choose(pool, 1, recent) == ["i"]


def test_regions_are_balanced_within_an_objective():
    recent = [example("x", "innovation", "corse", featured_in=("2026-01-08",))]
    pool = [
        example("c", "hybridation", "corse", day=9),
        example("r", "hybridation", "la-reunion", day=1),
    ]
    assert choose(pool, 1, recent) == ["r"]


def test_an_example_of_another_season_waits_whatever_its_objective():
    recent = [example("x", "hybridation", featured_in=("2026-01-08",))]
    pool = [example("h", "hybridation", day=200), example("i", "innovation", day=1)]
    assert choose(pool, 1, recent) == ["h"]


def test_an_example_without_objective_comes_after_the_others():
    assert choose([example("rien", "", day=9), example("quoi", day=1)], 1) == ["quoi"]


def test_over_a_year_objectives_and_regions_are_shown_alike():
    pool = [
        example(f"e{n}", OBJECTIVES[n * n % 4], REGIONS[n % 4], day=n * 3 % 365) for n in range(160)
    ]
    shown: list[Example] = []
    for week in range(40):
        known = [one for one in pool if one.published_at <= START + timedelta(days=60 + week * 7)]
        used = {one.id for one in shown}
        known = [replace(one, featured_in=("x",)) if one.id in used else one for one in known]
        shown += pick(known, 1, shown[-8:], objectives=OBJECTIVES, regions=REGIONS)
    assert max(Counter(one.region for one in shown).values()) <= 15
    assert len({one.id for one in shown}) == len(shown)


def test_ids_are_taken_in_their_order_and_once():
    pool = [example("a"), example("b", featured_in=("2026-01-08",))]
    assert choose(pool, ("b", "a", "b")) == ["b", "a"]


def test_every_id_that_is_unknown_or_withdrawn_is_a_finding():
    pool = [example("moulin-partage"), example("retire", withdrawn_at=START)]
    with pytest.raises(ContentError) as refused:
        choose(pool, ("moulin-partagé", "moulin-patage", "zzz", "retire"))
    told = [(one.code, one.facts.get("nearest")) for one in refused.value.findings]
    assert told == [
        ("unknown_example", "moulin-partage"),
        ("unknown_example", "moulin-partage"),
        ("unknown_example", None),
        ("withdrawn_example", None),
    ]


def test_freshness_is_the_publication_else_the_first_sight():
    seen = replace(example("a"), published_at=None, first_seen_at=START)
    assert freshness(seen) == START
