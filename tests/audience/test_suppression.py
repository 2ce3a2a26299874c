"""Fingerprints of addresses."""

from newsletter.audience.suppression import fingerprint
from newsletter.config import Keys


def test_a_fingerprint_survives_the_rotation_of_token_keys(keys):
    rotated = Keys(versions={**keys.versions, 2: b"\x09" * 32}, pepper=keys.pepper)
    assert fingerprint(rotated, "alix@example.org") == fingerprint(keys, "alix@example.org")


def test_without_the_pepper_nobody_can_make_it_again(keys):
    other = Keys(versions=keys.versions, pepper=b"\x09" * 32)
    assert fingerprint(other, "alix@example.org") != fingerprint(keys, "alix@example.org")


def test_two_addresses_have_two_fingerprints(keys):
    assert fingerprint(keys, "alix@example.org") != fingerprint(keys, "alix@example.com")
