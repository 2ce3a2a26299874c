from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.utils import getaddresses

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from newsletter.errors import HeaderError
from newsletter.mail import headers

# What people are called, and what they paste: every character a header may carry.
names = st.text(
    st.characters(codec="utf-8", exclude_characters="\x7f\x85\u2028\u2029", min_codepoint=32),
    min_size=1,
    max_size=120,
).map(lambda text: " ".join(text.split()))
lines = st.text(
    st.characters(codec="utf-8", exclude_characters="\x7f\x85\u2028\u2029", min_codepoint=32),
    max_size=300,
)


def parse(*rows: bytes):
    return message_from_bytes(b"".join(rows) + b"\r\n", policy=policy.default)


def mailboxes(row: bytes):
    """What RFC 2047 says that they are: policy.default leaves blanks between encoded words."""
    header = message_from_bytes(row + b"\r\n", policy=policy.compat32)
    pairs = getaddresses([value.replace("\r\n", "") for value in header.values()])
    return [(str(make_header(decode_header(name))), address) for name, address in pairs]


def decoded(row: bytes) -> str:
    value = message_from_bytes(row + b"\r\n", policy=policy.compat32)["subject"]
    return str(make_header(decode_header(value.replace("\r\n", ""))))


@given(lines)
@example("« Jeudi de l’ODD 17 » : des légumeries partagées")
@example("Re: =?utf-8?q?piège?=")
@example("  deux blancs  partout  ")
@example("a" * 400)
def test_a_subject_arrives_as_it_was_written(subject):
    assert decoded(headers.text("Subject", subject)) == subject


@given(names, st.sampled_from(["From", "To", "Reply-To"]))
@example('Anne "la Nantaise" Le Goff, élue', "To")
@example("محمد بن سلمى", "To")
@example("🥕 Légumerie \\ Cie", "From")
@example("O'Brien; conseil (adjoint) <x>", "To")
@example("=?utf-8?q?tout?=", "To")
def test_a_name_arrives_as_it_was_written(name, header):
    assume(name)
    row = headers.addresses(header, (name, "someone@example.org"))
    assert mailboxes(row) == [(name, "someone@example.org")]
    assert not parse(row)[header].defects


@given(lines)
def test_no_line_with_an_encoded_word_is_longer_than_76(subject):
    for row in headers.text("Subject", subject).split(b"\r\n"):
        assert len(row) <= 76


@given(lines, names)
def test_relaxed_canonicalisation_only_unfolds_and_lowers_the_name(subject, name):
    assume(name)
    for row in (
        headers.text("Subject", subject),
        headers.addresses("To", (name, "someone@example.org")),
    ):
        label, _, value = row.partition(b":")
        unfolded = value.replace(b"\r\n ", b" ").strip()
        assert b"  " not in unfolded
        assert b"\t" not in unfolded
        assert headers.relaxed(row) == label.lower() + b":" + unfolded + b"\r\n"


@pytest.mark.parametrize("control", [*map(chr, range(32)), "\x7f", "\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize(
    "build",
    [
        lambda value: headers.text("Subject", value),
        lambda value: headers.addresses("From", (value, "someone@example.org")),
        lambda value: headers.addresses("To", ("", value)),
        lambda value: headers.recipient(value, "someone@example.org"),
        lambda value: headers.ascii_url("https://example.org/" + value),
        lambda value: headers.ascii_address(value + "@example.org"),
        lambda value: headers.ascii_address("someone@" + value),
    ],
)
def test_a_control_character_is_refused_wherever_it_stands(control, build):
    for value in (control, f"a{control}b", f"Name\r{control}\nBcc: x@example.org"):
        with pytest.raises(HeaderError):
            build(value)


def test_half_of_a_surrogate_pair_is_refused():
    with pytest.raises(HeaderError):
        headers.text("Subject", "\ud83e")


@given(st.text(max_size=30), st.text(max_size=30))
def test_an_address_is_ascii_without_blanks_or_it_is_refused(local, domain):
    try:
        address = headers.ascii_address(f"{local}@{domain}")
    except HeaderError:
        return
    assert address.isascii()
    assert address.isprintable()
    assert not set(address) & set(' <>()[]:;,\\"')
    assert address.count("@") == 1


@pytest.mark.parametrize(
    ("written", "travels"),
    [
        ("o'brien@example.org", "o'brien@example.org"),
        ("Prenom.NOM+jeudi@Example.org", "Prenom.NOM+jeudi@Example.org"),
        ("a" * 64 + "@x.test", "a" * 64 + "@x.test"),
        ("mairie@évêque.example", "mairie@xn--vque-9oah.example"),
        ("mairie@[127.0.0.1]", None),
        ("éloïse@example.org", None),
        ("a" * 65 + "@x.test", None),
        ("two words@example.org", None),
        ("a@b@example.org", None),
        ("a..b@example.org", None),
        ("nobody", None),
        ("@example.org", None),
        ("nobody@", None),
        ("", None),
    ],
)
def test_an_address_travels_with_its_domain_in_ascii(written, travels):
    if travels is None:
        with pytest.raises(HeaderError):
            headers.ascii_address(written)
    else:
        assert headers.ascii_address(written) == travels


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Jean Dupont",
        "Éloïse",
        "a" * 200,
        'Anne "Nan"',
        "X, Y",
        "=?utf-8?q?x?=",
        "=??Q? ?=",
        "a=",
    ],
)
def test_the_quick_way_to_a_recipient_reads_like_the_general_one(name):
    row = headers.recipient(name, "someone@example.org")
    assert mailboxes(row) == [(name, "someone@example.org")]


@pytest.mark.parametrize("name", ["=?utf-8?q?x?=", "=??Q? ?=", "a=?b", "x =?"])
def test_a_name_that_looks_like_an_encoded_word_is_encoded(name):
    for row in (headers.recipient(name, "a@x.test"), headers.addresses("To", (name, "a@x.test"))):
        assert name.encode() not in row
        assert mailboxes(row) == [(name, "a@x.test")]


def test_several_people_stand_in_one_header():
    row = headers.addresses(
        "To", ("Anne, élue", "a@example.org"), ("", "b@example.org"), ("C", "c@example.org")
    )
    people = parse(row)["To"].addresses
    assert [person.addr_spec for person in people] == [f"{n}@example.org" for n in "abc"]
    assert people[0].display_name == "Anne, élue"


def test_a_date_keeps_its_zone():
    paris = timezone(timedelta(hours=2))
    row = headers.instant("Date", datetime(2026, 5, 7, 8, 0, tzinfo=paris))
    assert row == b"Date: Thu, 07 May 2026 08:00:00 +0200\r\n"
    assert parse(row)["Date"].datetime == datetime(2026, 5, 7, 6, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("url", "travels"),
    [
        ("https://example.org", "https://example.org"),
        ("http://127.0.0.1:8017/a", "http://127.0.0.1:8017/a"),
        ("https://évêque.example:8443/été", "https://xn--vque-9oah.example:8443/%C3%A9t%C3%A9"),
    ],
)
def test_a_link_in_a_header_is_ascii(url, travels):
    assert headers.ascii_url(url) == travels


def test_a_word_too_long_to_fold_stays_whole_on_its_own_line():
    url = "<https://example.org/" + "x" * 200 + ">"
    assert headers.line("List-Unsubscribe", (url,)) == f"List-Unsubscribe:\r\n {url}\r\n".encode()
