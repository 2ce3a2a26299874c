import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from newsletter.config import Keys, Relay
from newsletter.delivery import states
from newsletter.feedback import bounces
from newsletter.feedback.facts import FeedbackKind, TiedBy
from newsletter.feedback.reading import read_feedback
from tests.feedback import returned
from tests.mail.test_compose import READER, compiled


@pytest.fixture
def outgoing(settings, keys):
    return compiled(settings, keys).compose(READER)


@pytest.fixture
def read(settings, keys):
    return lambda raw: read_feedback(raw, settings=settings, keys=keys)


def test_a_bounce_is_tied_to_its_reader_by_the_envelope(read, outgoing):
    feedback = read(returned.dsn(outgoing))
    assert feedback.kind is FeedbackKind.GONE
    assert (feedback.subscriber_id, feedback.run_id) == (READER.subscriber_id, 5)
    assert feedback.tied_by is TiedBy.VERP
    assert (feedback.address, feedback.status) == ("camille@mairie.example", "5.1.1")
    assert "User unknown" in feedback.diagnostic


def test_without_verp_a_bounce_is_tied_by_the_message_id_it_quotes(settings, keys, read):
    plain = settings.model_copy(update={"relay": Relay(verp=False)})
    feedback = read(returned.dsn(compiled(plain, keys).compose(READER)))
    assert (feedback.subscriber_id, feedback.run_id) == (READER.subscriber_id, 5)
    assert feedback.tied_by is TiedBy.MESSAGE_ID


@pytest.mark.parametrize(("verp", "tied_by"), [(True, TiedBy.VERP), (False, TiedBy.MESSAGE_ID)])
def test_a_sender_with_an_accent_in_its_domain_finds_its_readers(settings, keys, verp, tied_by):
    sender = settings.sender.model_copy(
        update={"address": "lettre@mairie-évry.example", "bounce_address": "r@mairie-évry.example"}
    )
    accented = settings.model_copy(update={"sender": sender, "relay": Relay(verp=verp)})
    raw = returned.dsn(compiled(accented, keys).compose(READER))
    feedback = read_feedback(raw, settings=accented, keys=keys)
    assert (feedback.subscriber_id, feedback.tied_by) == (READER.subscriber_id, tied_by)


def test_the_envelope_may_come_back_in_upper_case(read, outgoing):
    feedback = read(returned.dsn(outgoing, to=outgoing.sender.upper(), quoted=False))
    assert feedback.subscriber_id == READER.subscriber_id


def test_a_bounce_without_a_word_of_ours_is_of_nobody(read, outgoing):
    feedback = read(returned.dsn(outgoing, to="retours@example.org", quoted=False))
    assert feedback.kind is FeedbackKind.GONE
    assert (feedback.subscriber_id, feedback.tied_by) == (None, None)
    assert feedback.address == "camille@mairie.example"


def test_a_forged_token_is_of_nobody(read, outgoing, settings):
    other = Keys(versions={1: b"\x09" * 32}, pepper=b"\x02" * 32)
    forged = compiled(settings, other).compose(READER)
    assert read(returned.dsn(forged)).subscriber_id is None


def test_a_link_to_leave_cannot_pass_for_an_envelope(read, outgoing, settings):
    leave = outgoing.content.split(b"/u/")[1][:42].decode()
    feedback = read(returned.dsn(outgoing, to=f"retours+{leave}@example.org", quoted=False))
    assert feedback.subscriber_id is None


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        ("5.1.1", "550 5.1.1 unknown", FeedbackKind.GONE),
        ("5.1.10", "550 5.1.10 RESOLVER.ADR.RecipientNotFound", FeedbackKind.GONE),
        ("5.0.0", "550 5.1.1 unknown", FeedbackKind.GONE),
        ("5.0.0", "550 no such user here", FeedbackKind.SOFT),
        ("5.2.2", "552 5.2.2 mailbox full", FeedbackKind.SOFT),
        ("5.4.4", "Host not found", FeedbackKind.SOFT),
        ("4.4.7", "delivery time expired", FeedbackKind.SOFT),
        ("5.7.1", "550 5.7.1 spam", FeedbackKind.POLICY),
        ("5.7.515", "550 5.7.515 Access denied, sender fails authentication", FeedbackKind.POLICY),
        ("5.1.8", "553 5.1.8 sender rejected", FeedbackKind.POLICY),
    ],
)
def test_only_an_address_that_does_not_exist_is_gone(read, outgoing, status, said, kind):
    assert read(returned.dsn(outgoing, status=status, said=said)).kind is kind


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("delayed", FeedbackKind.DELAYED),
        ("delivered", FeedbackKind.DELIVERED),
        ("relayed", FeedbackKind.DELIVERED),
        ("Failed (giving up)", FeedbackKind.GONE),
    ],
)
def test_a_notification_that_is_no_failure_is_not_one(read, outgoing, action, kind):
    assert read(returned.dsn(outgoing, action=action)).kind is kind


def test_a_bounce_of_no_standard_is_read_too(read, outgoing):
    feedback = read(returned.qmail(outgoing))
    assert (feedback.kind, feedback.status) == (FeedbackKind.GONE, "5.1.1")
    assert feedback.subscriber_id == READER.subscriber_id
    assert feedback.diagnostic == "Sorry, no mailbox here by that name. (#5.1.1)"


def test_a_bounce_of_no_standard_without_a_code_suppresses_nobody(read, outgoing):
    raw = returned.qmail(outgoing).replace(b" (#5.1.1)", b"")
    assert read(raw).kind is FeedbackKind.SOFT


@pytest.mark.parametrize("kind", ["abuse", "fraud", "opt-out", "Other"])
def test_a_complaint_is_tied_to_its_reader(read, outgoing, kind):
    feedback = read(returned.complaint(outgoing, kind))
    assert feedback.kind is FeedbackKind.COMPLAINT
    assert feedback.subscriber_id == READER.subscriber_id
    assert feedback.tied_by is TiedBy.MESSAGE_ID


@pytest.mark.parametrize("kind", ["not-spam", "auth-failure", "dmarc", ""])
def test_a_report_that_complains_of_nothing_is_for_a_person(read, outgoing, kind):
    assert read(returned.complaint(outgoing, kind)).kind is FeedbackKind.REPLY


@pytest.mark.parametrize(
    ("subject", "headers"),
    [
        ("Réponse automatique : La Lettre", ""),
        ("=?utf-8?q?R=C3=A9ponse_automatique_=3A_La_Lettre?=", ""),
        ("Absence du bureau", ""),
        ("Absente jusqu'au 24 août", ""),
        ("Automatic reply: La Lettre", ""),
        ("Re: La Lettre", "Auto-Submitted: auto-replied (vacation)\n"),
        ("Re: La Lettre", "Precedence: auto_reply\n"),
        ("Re: La Lettre", "X-Autoreply: yes\n"),
    ],
)
def test_a_holiday_note_is_no_bounce(read, outgoing, subject, headers):
    text = "Je suis absent jusqu'au 24 août. En cas d'urgence : dominique@mairie.example"
    feedback = read(returned.answer(outgoing, subject=subject, text=text, headers=headers))
    assert feedback.kind is FeedbackKind.AUTO_REPLY
    assert feedback.subscriber_id == READER.subscriber_id


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        (
            "Votre message à Camille Dubreuil",
            "Protégé par Mailinblack : cliquez pour authentifier.",
        ),
        ("Demande d’authentification", "Pour que votre message arrive, cliquez sur ce lien."),
        ("Re: La Lettre", "Merci de confirmer votre adresse d'expéditeur en un clic."),
        ("Please verify", "Please confirm that you are human."),
    ],
)
def test_a_filter_that_asks_for_proof_is_no_bounce(read, outgoing, subject, text):
    feedback = read(returned.answer(outgoing, subject=subject, text=text))
    assert feedback.kind is FeedbackKind.CHALLENGE


def test_a_person_who_answers_is_for_a_person(read, outgoing):
    text = "Bonjour, merci pour ce numéro ! Notre légumerie ouvre en mai."
    feedback = read(returned.answer(outgoing, subject="Re: des légumeries", text=text))
    assert feedback.kind is FeedbackKind.REPLY
    assert feedback.subscriber_id == READER.subscriber_id


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(raw=st.binary(max_size=2_000))
def test_any_octets_are_read_without_an_error(read, raw):
    assert read(raw).subscriber_id is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_a_mangled_bounce_is_read_without_an_error(read, outgoing, data):
    make = data.draw(st.sampled_from([returned.dsn, returned.complaint, returned.qmail]))
    raw = bytearray(make(outgoing))
    for _ in range(data.draw(st.integers(1, 30))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    feedback = read(bytes(raw))
    assert feedback.subscriber_id in {None, READER.subscriber_id}


def test_a_bounce_is_believed_as_a_relay_is():
    assert bounces.SUPPRESSING == states.SUPPRESSING


@pytest.mark.parametrize(
    "raw",
    [
        b"".join(
            b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (n, n) for n in range(3_000)
        ),
        b"Content-Type: message/rfc822\n\n" * 3_000,
    ],
    ids=["multipart", "message"],
)
def test_parts_inside_parts_by_the_thousand_are_for_a_person_to_read(read, raw):
    assert read(raw).kind is FeedbackKind.REPLY


def test_a_message_that_no_detector_foresaw_prints_no_traceback(read, caplog):
    read(b"root:x:19700:0:99999:7:::\ndaemon:*:19700:0:99999:7:::\n")
    assert caplog.records == []


def test_only_the_first_page_reaches_the_detectors_of_odd_bounces(read, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "newsletter.feedback.reading.read_odd_bounce",
        lambda message, text: seen.append((len(message.as_bytes()), len(text))),
    )
    read(b"Subject: returned\n\n" + b"\n" * 2_000_000)  # whole, it kept them busy for two minutes
    assert seen
    assert max(seen[0]) <= 32_000
