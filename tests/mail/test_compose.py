from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.utils import getaddresses

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from newsletter.audience.tokens import Purpose, open_token
from newsletter.config import Publication, Relay, Sender, Settings
from newsletter.config.sections import MAX_BOUNCE_LOCAL
from newsletter.content.inspection import PERSONAL
from newsletter.errors import HeaderError
from newsletter.mail.compose import Reader, compile_message
from newsletter.mail.holes import hole
from newsletter.mail.single import FICTIONAL_READER
from newsletter.model import Digest, Edition, IssueId, Subscriber, SubscriberState
from tests.mail.test_parts import assert_untouchable, relaxed_body

DATE = datetime(2026, 11, 26, 7, 0, tzinfo=UTC)
HTML = (
    "<!doctype html><html lang='fr'><body>\n"
    f'<p><a href="{hole("online_url")}">Lire en ligne</a> · '
    f'<a href="{hole("unsubscribe_url")}">Se désabonner</a></p>\n'
    f"<p>Bonjour {hole('first_name', 'à tous &amp; toutes')},</p>\n<p>...\n. point</p>\n"
    f'<a href="{hole("preferences_url")}">Préférences</a>\n</body></html>\n'
)
TEXT = (
    f"Bonjour {hole('first_name', 'à tous & toutes')},\n\n.. un point\nFrom ici\n"
    f"Lire : {hole('online_url')}\nSe désabonner : {hole('unsubscribe_url')}"
)
EDITION = Edition(
    issue_id=IssueId("2026-11-26"),
    subject="« Jeudi de l’ODD 17 » : des légumeries partagées",
    preheader="",
    sender="La Lettre d'essai, l’originale <lettre@example.org>",
    html=HTML,
    text=TEXT,
    web="",
    audience_rule="weekly",
    picks=(),
    pictures=(),
    digest=Digest("0123456789abcdef" * 4),
)
READER = Reader(
    subscriber_id=4242424242424242424,
    address="camille@mairie.example",
    values={"first_name": "Camille", "last_name": "Dubreuil"},
)


def compiled(settings, keys, edition=EDITION, **changes):
    return compile_message(
        edition, **{"settings": settings, "keys": keys, "run_id": 5, "date": DATE} | changes
    )


def parse(outgoing):
    return message_from_bytes(outgoing.content, policy=policy.default)


def relay(settings, **changes):
    return settings.model_copy(update={"relay": Relay(**changes)})


def body_of(part) -> str:
    return part.get_payload(decode=True).decode().replace("\r\n", "\n")


def test_a_run_keeps_the_key_it_began_with_as_long_as_there_is_one(settings, keys):
    settings = relay(settings, idempotency_header="Idempotency-Key")
    more = keys.model_copy(update={"versions": {**keys.versions, 2: b"\x03" * 32}})
    new = keys.model_copy(update={"versions": {2: b"\x03" * 32}})

    def compose(some, **begun):
        outgoing = compiled(settings, some, **begun).compose(READER)
        return outgoing.content, outgoing.sender

    assert compose(more, key_version=1) == compose(keys)
    assert compose(new, key_version=1) == compose(new) == compose(more) != compose(keys)


def test_a_message_is_text_then_html_and_each_decodes_to_its_source(settings, keys):
    message = parse(compiled(settings, keys).compose(READER))
    text, html = message.iter_parts()
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in (text, html)] == ["text/plain", "text/html"]
    leave = message["List-Unsubscribe"].strip(" <>")
    base = settings.publication.base_url
    assert body_of(text) == (
        "Bonjour Camille,\n\n.. un point\nFrom ici\n"
        f"Lire : {base}/2026-11-26/\nSe désabonner : {leave}"
    )
    assert f'<a href="{leave}">Se désabonner</a>' in body_of(html)
    assert "<p>Bonjour Camille,</p>\n<p>...\n. point</p>\n" in body_of(html)
    assert "\ue000" not in body_of(html)
    assert not message.defects


def test_a_reader_without_a_first_name_gets_the_fallback_of_each_part(settings, keys):
    text, html = parse(compiled(settings, keys).compose(READER._replace(values={}))).iter_parts()
    assert "Bonjour à tous & toutes," in body_of(text)
    assert "Bonjour à tous &amp; toutes," in body_of(html)


def test_every_header_of_a_list_is_there(settings, keys):
    message = parse(compiled(settings, keys).compose(READER))
    base = settings.publication.base_url
    assert dict(message.items()) == {
        "To": "Camille Dubreuil <camille@mairie.example>",
        "Message-ID": message["Message-ID"],
        "List-Unsubscribe": message["List-Unsubscribe"],
        "From": '"La Lettre d\'essai, l’originale" <lettre@example.org>',
        "Reply-To": "lettre@example.org",
        "Subject": EDITION.subject,
        "Date": "Thu, 26 Nov 2026 08:00:00 +0100",
        "List-Id": "La Lettre d'essai <lettre.example.org>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "List-Help": "<mailto:lettre@example.org>",
        "List-Subscribe": f"<{base}/>",
        "List-Archive": f"<{base}/>",
        "List-Post": "NO",
        "Feedback-ID": "2026-11-26:5:issue:lettreexampleor",
        "Precedence": "bulk",
        "Content-Language": "fr",
        "MIME-Version": "1.0",
        "Content-Type": message["Content-Type"],
    }


def test_links_envelope_and_message_id_carry_tokens_and_no_address(settings, keys):
    outgoing = compiled(settings, keys).compose(READER)
    message = parse(outgoing)
    words = {
        Purpose.UNSUBSCRIBE: message["List-Unsubscribe"].rpartition("/")[2].strip(">"),
        Purpose.MESSAGE: message["Message-ID"].strip("<>").partition("@")[0],
        Purpose.BOUNCE: outgoing.sender.removeprefix("retours+").removesuffix("@example.org"),
    }
    for purpose, token in words.items():
        facts = open_token(keys, purpose, token)
        assert (facts.subscriber_id, facts.run_id) == (READER.subscriber_id, 5)
    assert outgoing.recipient == READER.address
    assert outgoing.content.count(b"camille@") == 1  # To


def test_the_same_reader_of_the_same_run_gets_the_same_bytes(settings, keys):
    first = compiled(settings, keys).compose(READER)
    assert compiled(settings, keys).compose(READER) == first
    second = compiled(settings, keys, run_id=6).compose(READER)
    assert parse(second)["Message-ID"] != parse(first)["Message-ID"]


# Names as they come: accents, quotes, emoji, right-to-left text, commas, and anything else.
names = st.text(
    st.characters(codec="utf-8", exclude_characters="\x7f\x85\u2028\u2029", min_codepoint=32),
    max_size=100,
).map(lambda text: " ".join(text.split()))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(first_name=names, last_name=names)
@example(first_name='Anne "la Nantaise", élue', last_name="🥕")
@example(first_name="محمد", last_name="بن سلمى")
@example(first_name="=?utf-8?q?x?=", last_name=". From  <script>&amp;")
@example(first_name="=??Q?", last_name="?=")
@example(first_name="a=?nowhere?b?!?=", last_name="=?")
def test_any_name_arrives_right_and_safe(settings, keys, first_name, last_name):
    assume(first_name and last_name)
    reader = READER._replace(values={"first_name": first_name, "last_name": last_name})
    outgoing = compiled(settings, keys).compose(reader)
    raw = message_from_bytes(outgoing.content, policy=policy.compat32)
    ((name, address),) = getaddresses([raw["To"].replace("\r\n", "")])
    assert str(make_header(decode_header(name))) == f"{first_name} {last_name}"
    assert address == READER.address
    text, html = parse(outgoing).iter_parts()
    assert f"Bonjour {first_name}," in body_of(text)
    assert "<script>" not in body_of(html)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(value=st.text(max_size=200), fixed=st.text(max_size=300))
def test_any_value_in_any_text_leaves_a_message_that_nothing_touches(settings, keys, value, fixed):
    edition = replace(
        EDITION,
        html=fixed + hole("organisation", "x") + fixed,
        text=hole("organisation", "x") + fixed + hole("organisation"),
    )
    reader = READER._replace(values={"organisation": value})
    content = compiled(settings, keys, edition).compose(reader).content
    head, _, body = content.partition(b"\r\n\r\n")
    assert_untouchable(body)
    assert relaxed_body(body) == body
    assert max(map(len, head.split(b"\r\n"))) <= 78
    assert content.isascii()


@pytest.mark.parametrize("control", ["\r", "\n", "\x00", "\x0b", "\x1b", "\x7f", "\x85", "\u2028"])
def test_a_control_in_a_header_is_refused_when_the_message_is_built(settings, keys, control):
    bad = f"a{control}Bcc: x@example.org"
    with pytest.raises(HeaderError):
        compiled(settings, keys).compose(READER._replace(values={"first_name": bad}))
    with pytest.raises(HeaderError):
        compiled(settings, keys).compose(READER._replace(address=f"{bad}@example.org"))
    for change in ({"subject": bad}, {"sender": f"{bad} <lettre@example.org>"}):
        with pytest.raises(HeaderError):
            compiled(settings, keys, replace(EDITION, **change))


def test_controls_in_a_body_value_become_one_blank(settings, keys):
    edition = replace(EDITION, text=hole("organisation"), html=hole("organisation"))
    reader = READER._replace(values={"organisation": "Mairie\r\n\r\nde\x00 <b>Saint</b>"})
    text, html = parse(compiled(settings, keys, edition).compose(reader)).iter_parts()
    assert body_of(text) == "Mairie de  <b>Saint</b>"
    assert body_of(html) == "Mairie de  &lt;b&gt;Saint&lt;/b&gt;"


def test_a_letter_in_another_script_goes_in_base64_with_the_same_promises(settings, keys):
    arabic = "مرحبا بكم في رسالة الخميس " * 40
    edition = replace(EDITION, text=arabic + hole("first_name", "x") + arabic)
    outgoing = compiled(settings, keys, edition).compose(READER)
    text, _html = parse(outgoing).iter_parts()
    assert text["Content-Transfer-Encoding"] == "base64"
    assert body_of(text) == arabic + "Camille" + arabic
    assert_untouchable(outgoing.content.partition(b"\r\n\r\n")[2])


def test_without_verp_the_envelope_is_the_plain_address(settings, keys):
    outgoing = compiled(relay(settings, verp=False), keys).compose(READER)
    assert outgoing.sender == "retours@example.org"


def test_without_a_bounce_address_the_envelope_is_the_sender(settings, keys):
    sender = Sender(name="L", address="lettre@example.org", reply_to="lettre@example.org")
    outgoing = compiled(settings.model_copy(update={"sender": sender}), keys).compose(READER)
    assert outgoing.sender == "lettre@example.org"


def test_the_longest_bounce_address_of_the_settings_has_room_for_every_token(settings, keys):
    local = "a" * MAX_BOUNCE_LOCAL
    sender = settings.sender.model_copy(update={"bounce_address": f"{local}@example.org"})
    last_run = 2**31 - 1  # the largest number of PostgreSQL's INTEGER
    changed = settings.model_copy(update={"sender": sender})
    envelope = compiled(changed, keys, run_id=last_run).compose(READER).sender
    assert len(envelope.partition("@")[0]) == 64


def test_the_idempotency_header_is_the_same_on_every_repeat(settings, keys):
    name = "Resend-Idempotency-Key"
    outgoing = compiled(relay(settings, idempotency_header=name), keys).compose(READER)
    message = parse(outgoing)
    assert message[name] == message["Message-ID"].strip("<>").partition("@")[0]


def test_no_header_of_a_message_can_be_named_for_idempotency(settings, keys):
    for name in parse(compiled(settings, keys).compose(READER)):
        with pytest.raises(ValueError, match="has a meaning in every message"):
            Relay(idempotency_header=name)


def test_a_longer_web_address_folds_the_headers(settings, keys):
    publication = Publication(
        **settings.publication.model_dump() | {"base_url": "https://lettre-été.example/" + "a" * 90}
    )
    changed = Settings(**settings.model_dump() | {"publication": publication})
    outgoing = compiled(changed, keys).compose(READER)
    leave = parse(outgoing)["List-Unsubscribe"].strip()
    assert leave.startswith("<https://xn--lettre-t-h1ab.example/aaa")
    assert leave.strip("<>") in body_of(next(parse(outgoing).iter_parts()))


def test_a_reader_brings_a_value_for_each_personal_field_that_an_editor_may_write():
    names = {"first_name": "Camille", "last_name": "Dubreuil", "organisation": "Mairie"}
    person = Subscriber(
        id=7, address="camille@mairie.example", state=SubscriberState.ACTIVE, **names
    )
    assert Reader.of(7, person) == Reader(7, person.address, names)
    assert set(names) == set(FICTIONAL_READER) == set(PERSONAL)


def test_an_unknown_hole_falls_back(settings, keys):
    edition = replace(EDITION, text=hole("favourite_colour", "bleu"))
    text, _ = parse(compiled(settings, keys, edition).compose(READER)).iter_parts()
    assert body_of(text) == "bleu"


def test_a_reader_cannot_take_the_place_of_a_personal_link(settings, keys):
    reader = READER._replace(values={"leave": "x", "unsubscribe_url": "https://evil.example/"})
    assert b"evil" not in compiled(settings, keys).compose(reader).content
