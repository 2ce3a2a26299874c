import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.config import Taxonomy
from newsletter.examples.vocabulary import (
    build_vocabulary,
    find_slug,
    keep_slug,
    read_actors,
    read_goals,
)
from newsletter.model import Actor
from tests.examples.watching import TAXONOMY

WORDS = build_vocabulary(TAXONOMY)


@pytest.mark.parametrize(
    ("said", "slug"),
    [
        ("hybridation", "hybridation"),
        ("HYBRIDATION", "hybridation"),
        ("Hybridation des modèles socio-économiques", "hybridation"),
        ("Innovation sociétale", "innovation"),
        ("Performance engagement", "equilibre"),
        ("co construction", "co-construction"),
        ("Sport", ""),
        ("territoriale", ""),
        ("", ""),
    ],
)
def test_objectives_are_recognised_by_slug_label_or_part_of_it(said, slug):
    assert find_slug(WORDS.objectives, said) == slug


@pytest.mark.parametrize(
    ("said", "slug"),
    [
        ("Île-de-France", "ile-de-france"),
        ("Provence-Alpes-Côte d'Azur", "provence-alpes-cote-d-azur"),
        ("la reunion", "la-reunion"),
        ("Atlantide", ""),
    ],
)
def test_regions_are_recognised(said, slug):
    assert find_slug(WORDS.regions, said) == slug


def test_a_scale_is_no_region_and_epci_is_an_intercommunality():
    assert find_slug(WORDS.scales, "EPCI") == "intercommunalite"
    assert find_slug(WORDS.regions, "commune") == ""
    assert find_slug(WORDS.scales, "Bretagne") == ""


def test_a_publication_without_taxonomy_keeps_the_feeds_own_word():
    assert keep_slug(build_vocabulary(Taxonomy()).regions, "Île-de-France") == "ile-de-france"


@pytest.mark.parametrize(
    ("own", "categories", "goals"),
    [
        ("2, 12", (), (2, 12)),
        ("", ("ODD 11",), (11,)),
        ("", ("odd11", "SDG 4"), (4, 11)),
        ("", ("ODD 4, 8 et 10",), (4, 8, 10)),
        ("", ("ODD n° 2", "ODD n°12"), (2, 12)),
        ("17 18 0 99", ("ODD 170", "11 novembre", "oddity 3"), (17,)),
    ],
)
def test_sdgs_are_numbers_from_1_to_17(own, categories, goals):
    assert read_goals(own, categories) == goals


def test_actors_are_names_with_a_profile_and_a_role():
    assert read_actors("Ville | Collectivite | porteur ; A ; a; ; B|inconnu", WORDS.profiles) == (
        Actor(name="Ville", profile="collectivite", role="porteur"),
        Actor(name="A"),
        Actor(name="B"),
    )


@given(st.text(), st.lists(st.text()))
def test_any_words_are_read(own, categories):
    assert len(read_actors(own, WORDS.profiles)) <= 12
    assert all(1 <= goal <= 17 for goal in read_goals(own, categories))
    find_slug(WORDS.objectives, own)
