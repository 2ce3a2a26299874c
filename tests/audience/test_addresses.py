"""The one spelling of an address."""

from functools import partial

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given
from hypothesis import strategies as st

from newsletter.audience.addresses import mask, read_address
from newsletter.config import CONTROLS
from newsletter.errors import RowError


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("alix@example.org", "alix@example.org"),
        ("  Alix@Example.ORG\u00a0", "Alix@example.org"),
        ("o'brien@essai.test", "o'brien@essai.test"),
        ("alix+jeudi@example.org", "alix+jeudi@example.org"),
        ("alix@éléphant.example", "alix@xn--lphant-9uab.example"),
        ("alix@e\u0301le\u0301phant.example", "alix@xn--lphant-9uab.example"),
        ("\u200balix@example.org\ufeff", "alix@example.org"),
        ("a" * 64 + "@example.org", "a" * 64 + "@example.org"),
    ],
)
def test_a_valid_address_is_kept_in_one_spelling(typed, kept):
    assert read_address(typed).text == kept


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "missing"),
        ("alix.example.org", "no @"),
        ("alix@@example.org", "more than one @"),
        ("alix le bihan@example.org", "blank"),
        ("alix@exam ple.org", "blank"),
        ("hélène@example.org", "not plain ASCII"),
        ("alix@example.org\r\nBcc: x@example.org", "control"),
        ("alix@example.org\x00", "control"),
        ("a" * 65 + "@example.org", "64"),
        ("alix@localhost", "form"),
        ("alix@[127.0.0.1]", "form"),
        ('"a b"@example.org', "blank"),
        (".alix@example.org", "form"),
        ("Alix <alix@example.org>", "blank"),
    ],
)
def test_a_wrong_address_is_refused_with_its_reason(typed, said):
    with pytest.raises(RowError, match=said):
        read_address(typed)


def test_two_spellings_of_one_person_share_a_key():
    one, other = read_address("ALIX@ÉLÉPHANT.example"), read_address("alix@xn--lphant-9uab.EXAMPLE")
    assert one.key == other.key


@given(st.text() | st.from_regex(r"[^@]{1,9}@[a-z]{1,5}\.[a-z]{2,4}", fullmatch=True))
def test_what_is_accepted_can_stand_in_a_header(text):
    try:
        address = read_address(text)
    except RowError:
        return
    assert address.text.isascii()
    assert not CONTROLS.search(address.text)
    assert not set(address.text) & set(' <>,;:"\\')
    assert read_address(address.text) == address


LOCAL_PARTS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


@given(LOCAL_PARTS.filter(lambda text: "@" not in text), st.sampled_from(["x.test", "é.example"]))
def test_our_reading_of_a_local_part_is_the_librarys(local_part, domain):
    def accepts(read) -> bool:
        try:
            read(f"{local_part}@{domain}")
        except (RowError, EmailNotValidError):
            return False
        return True

    theirs = partial(
        validate_email, allow_smtputf8=False, check_deliverability=False, test_environment=True
    )
    assert accepts(read_address) is accepts(theirs)


def test_roles_and_disposable_addresses_are_recognised():
    assert read_address("Contact@example.org").is_role
    assert not read_address("contacts@example.org").is_role
    assert read_address("x@jetable.example").is_disposable


@pytest.mark.parametrize("address", ["maelle@example.org", "a@b.test", "abcd@xy.example"])
def test_a_masked_address_shows_its_ends_only(address):
    shown = mask(address)
    assert shown[0] == address[0]
    assert shown.endswith("." + address.rpartition(".")[2])
    assert address.rpartition("@")[0][1:-1] not in shown or len(address.partition("@")[0]) < 3
