from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy

import pytest

from newsletter.audience.tokens import Purpose, open_token
from newsletter.errors import HeaderError
from newsletter.mail.single import Letter, compose_single, make_proof
from tests.mail.test_compose import EDITION, body_of
from tests.mail.test_dkim import signer, verify  # noqa: F401 - fixtures
from tests.mail.test_parts import assert_untouchable, relaxed_body

DATE = datetime(2026, 5, 6, 16, 0, tzinfo=UTC)
LETTER = Letter(
    id=7,
    address="editrice@example.org",
    subject="Retenu\u00a0: le numéro du jeudi 7 mai 2026",
    text="Bonjour,\n\nRien n’est parti.\n\n    newsletter check 2026-05-07\n\n\n",
)
HTML = Letter(id=8, address="a@example.org", subject="x", text="texte", html="<p>texte é</p>")


def compose(settings, keys, letter, **changes):
    return compose_single(letter, settings=settings, keys=keys, date=DATE, **changes)


def parse(outgoing):
    return message_from_bytes(outgoing.content, policy=policy.default)


def message_id(outgoing):
    return parse(outgoing)["Message-ID"]


def test_a_letter_is_plain_text_that_no_machine_answers(settings, keys):
    message = parse(compose(settings, keys, LETTER))
    assert message["Subject"] == LETTER.subject
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["To"] == "editrice@example.org"
    assert not [name for name in message if name.startswith("List-")]
    assert body_of(message) == LETTER.text.rstrip("\n") + "\n"
    assert not message.defects


def test_a_letter_with_html_is_text_then_html(settings, keys):
    text, html = parse(compose(settings, keys, HTML)).iter_parts()
    assert (body_of(text), body_of(html)) == ("texte", "<p>texte é</p>")


@pytest.mark.parametrize("letter", [LETTER, HTML])
def test_nothing_on_the_way_touches_a_letter(settings, keys, letter):
    body = compose(settings, keys, letter).content.partition(b"\r\n\r\n")[2]
    assert_untouchable(body)
    assert relaxed_body(body) == body


def test_the_same_letter_has_the_same_message_id_and_bytes(settings, keys):
    outgoing = compose(settings, keys, LETTER)
    assert outgoing == compose(settings, keys, LETTER)
    token = message_id(outgoing).strip("<>").partition("@")[0]
    assert open_token(keys, Purpose.LETTER, token).run_id == 0


def test_letters_that_differ_have_message_ids_that_differ(settings, keys):
    changes = ({"id": 9}, {"address": "b@example.org"}, {"subject": "y"})
    letters = [HTML, *(replace(HTML, **change) for change in changes)]
    seen = {message_id(compose(settings, keys, letter)) for letter in letters}
    later = compose_single(HTML, settings=settings, keys=keys, date=DATE + timedelta(hours=1))
    assert len(seen | {message_id(later)}) == 5


def test_a_letter_to_a_reader_comes_back_to_their_token(settings, keys):
    letter = Letter(id=9, address="a@x.test", subject="x", text="y", subscriber_id=77)
    local = compose(settings, keys, letter).sender.removeprefix("retours+").partition("@")[0]
    assert open_token(keys, Purpose.BOUNCE, local).subscriber_id == 77


def test_a_letter_to_the_team_comes_back_to_the_plain_address(settings, keys):
    assert compose(settings, keys, LETTER).sender == "retours@example.org"


@pytest.mark.parametrize("letter", [LETTER, HTML])
def test_a_signed_letter_verifies(settings, keys, signer, verify, letter):  # noqa: F811 - fixtures
    assert verify(compose(settings, keys, letter, signer=signer).content) == [True, True]


@pytest.mark.parametrize("change", [{"subject": "a\r\nBcc: b@x.test"}, {"address": "a\n@x.test"}])
def test_a_control_in_a_letter_is_refused(settings, keys, change):
    fields = {"id": 1, "address": "a@x.test", "subject": "s", "text": "t"} | change
    with pytest.raises(HeaderError):
        compose(settings, keys, Letter(**fields))


def test_a_proof_is_marked_and_filled_for_somebody_who_does_not_exist(settings):
    proof = make_proof(EDITION, settings=settings, number=3)
    assert proof.subject == "[BAT v3] " + EDITION.subject
    assert "Bonjour Camille," in proof.text
    assert "Bonjour Camille," in proof.html
    assert "\ue000" not in proof.text + proof.html


def test_the_personal_links_of_a_proof_lead_aside(settings):
    proof = make_proof(EDITION, settings=settings, number=1)
    base = settings.publication.base_url
    assert proof.html.count(f'href="{base}/proof"') == 2
    assert f'href="{base}/2026-11-26/"' in proof.html
    assert "/u/" not in proof.html + proof.text


def test_a_hole_left_in_a_letter_falls_back(settings, keys):
    letter = Letter(id=1, address="a@x.test", subject="s", text=EDITION.text, html=EDITION.html)
    text, html = parse(compose(settings, keys, letter)).iter_parts()
    assert "Bonjour à tous & toutes," in body_of(text)
    assert "Bonjour à tous &amp; toutes," in body_of(html)
