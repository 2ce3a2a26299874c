"""One SMTP session, byte by byte, without a network."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.delivery.smtp_greeting import Credentials, Failed, Problem, Ready, StartTls, Terms
from newsletter.delivery.smtp_protocol import (
    BadAddress,
    Closing,
    Proceed,
    Session,
    Settled,
    Unsettled,
    encode_address,
)
from newsletter.delivery.smtp_replies import Desync, ReplyReader, read_offer
from newsletter.delivery.states import Reply, Stage

HELLO = b"250-relay\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 1000\r\n"
SERIAL = b"250 relay\r\n"
BDAT = b"250-relay\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250 CHUNKING\r\n"
TLS = b"250-relay\r\n250 STARTTLS\r\n"


def ready(hello: bytes = HELLO, **terms) -> Session:
    session = Session(Terms(name="example.org", **terms))
    assert session.receive(b"220 relay\r\n") == (b"EHLO example.org\r\n", [])
    out, events = session.receive(hello)
    assert out == b""
    assert events == [Ready()]
    return session


def open_one(session: Session, token: int = 1) -> bytes:
    return session.open(token, "from@example.org", f"to{token}@reader.example", 10)


WAYS = {
    "whole": lambda data: [data],
    "one octet at a time": lambda data: [data[i : i + 1] for i in range(len(data))],
    "cut in the middle": lambda data: [data[: len(data) // 2], data[len(data) // 2 :]],
}


@pytest.fixture(params=WAYS)
def feed(request):
    """Give the bytes whole, octet by octet, or cut: the same comes out."""

    def give(session: Session, data: bytes):
        written, happened = b"", []
        for part in WAYS[request.param](data):
            out, events = session.receive(part)
            written += out
            happened += events
        return written, happened

    return give


# --- replies


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (b"250 2.1.5 Ok\r\n", Reply(250, "2.1.5", "Ok")),
        (b"250\r\n", Reply(250, "", "")),
        (b"550 5.1.10 gone\n", Reply(550, "5.1.10", "gone")),
        (b"550-5.7.1 one\r\n550 5.7.1 two\r\n", Reply(550, "5.7.1", "one\ntwo")),
        (b"354 caf\xc3\xa9 \xff\r\n", Reply(354, "", "café \\xff")),
        (b"250 2.0 is no code\r\n", Reply(250, "", "2.0 is no code")),
        (b"250 2.0.0 q\x00\x1b[2J\r\n", Reply(250, "2.0.0", "q??[2J")),
    ],
)
def test_a_reply_is_read_however_it_comes(data, reply):
    for cut in WAYS.values():
        reader = ReplyReader()
        assert [r for part in cut(data) for r in reader.feed(part)] == [reply]
        assert reader.is_empty


@pytest.mark.parametrize(
    "garbage",
    [b"hello\r\n", b"\x00\xff\r\n", b"99 low\r\n", b"600 high\r\n", b"250x\r\n", b"\r\n",
     b"250-a\r\n550 b\r\n", b"a" * 5000, b"250-more\r\n" * 200],
)  # fmt: skip
def test_what_is_no_reply_is_never_taken_for_one(garbage):
    with pytest.raises(Desync):
        list(ReplyReader().feed(garbage))


@given(st.binary(max_size=200))
def test_any_bytes_are_replies_or_a_desync(data):
    reader = ReplyReader()
    try:
        replies = list(reader.feed(data))
    except Desync:
        return
    assert all(200 <= reply.code <= 599 for reply in replies)


def test_an_offer_is_read_from_any_spelling():
    offer = read_offer(
        Reply(250, "", "relay\npipelining\nSIZE 2000\nAUTH=PLAIN LOGIN\nLIMITS MAILMAX=7 RCPTMAX=9")
    )
    assert (offer.pipelining, offer.size, offer.mail_max) == (True, 2000, 7)
    assert offer.auth == {"PLAIN", "LOGIN"}


@pytest.mark.parametrize("most", ["x", "0"])
def test_a_limit_that_none_could_keep_is_none(most):
    assert read_offer(Reply(250, "", f"relay\nSIZE\nLIMITS MAILMAX={most}")).mail_max is None


# --- addresses


@pytest.mark.parametrize(
    "address",
    ["a@b\r\nRCPT TO:<x@y>", "a\n@b.example", "a\x00@b.example", "a b@c.example", "a>@b.example",
     "<a@b.example", "é@b.example", "no-at", "@b.example", "a@", "a\x7f@b.example"],
)  # fmt: skip
def test_an_address_that_could_split_a_command_is_refused(address):
    with pytest.raises(BadAddress):
        encode_address(address)


def test_a_domain_goes_out_as_a_labels():
    assert encode_address("jo@académie.example") == b"jo@xn--acadmie-eya.example"


@given(st.text(max_size=60))
def test_an_encoded_address_holds_no_blank_no_control_no_bracket(address):
    try:
        encoded = encode_address(address)
    except BadAddress:
        return
    assert all(0x21 <= octet <= 0x7E and octet not in b"<>" for octet in encoded)


def test_a_bad_recipient_writes_nothing_and_leaves_the_session_usable():
    session = ready()
    with pytest.raises(BadAddress):
        session.open(1, "from@example.org", "a b@c.example", 10)
    assert session.in_flight == 0
    assert open_one(session, 2).startswith(b"MAIL FROM:")


# --- greeting


def test_ehlo_refused_falls_back_to_helo():
    session = Session(Terms(name="example.org"))
    session.receive(b"220 relay\r\n")
    assert session.receive(b"502 what\r\n")[0] == b"HELO example.org\r\n"
    assert session.receive(b"250 relay\r\n")[1] == [Ready()]
    assert not session.offer.pipelining


@pytest.mark.parametrize(
    ("answer", "problem"), [(b"421 busy\r\n", Problem.BUSY), (b"554 no\r\n", Problem.REFUSED)]
)
def test_a_no_to_helo_is_final_only_when_it_says_so(answer, problem):
    session = Session(Terms(name="example.org"))
    session.receive(b"220 relay\r\n")
    session.receive(b"502 what\r\n")
    _, (event,) = session.receive(answer)
    assert (event.problem, event.stage) == (problem, Stage.HELLO)


@pytest.mark.parametrize(
    ("banner", "problem"),
    [(b"421 busy\r\n", Problem.BUSY), (b"554 go away\r\n", Problem.REFUSED),
     (b"\xff\xfe\r\n", Problem.DESYNC)],
)  # fmt: skip
def test_a_relay_that_will_not_greet_us_says_why(banner, problem, feed):
    session = Session(Terms(name="example.org"))
    _, (event,) = feed(session, banner)
    assert isinstance(event, Failed)
    assert (event.problem, event.stage) == (problem, Stage.BANNER)


def test_starttls_forgets_what_was_said_before_it():
    session = Session(Terms(name="example.org", tls_required=True))
    session.receive(b"220 relay\r\n")
    out, events = session.receive(b"250-relay\r\n250-PIPELINING\r\n250 STARTTLS\r\n")
    assert (out, events) == (b"STARTTLS\r\n", [])
    assert session.receive(b"220 go\r\n") == (b"", [StartTls()])
    assert session.tls_started() == b"EHLO example.org\r\n"
    assert session.receive(SERIAL)[1] == [Ready()]
    assert session.is_encrypted
    assert not session.offer.pipelining


def test_bytes_slipped_in_behind_starttls_end_the_session():
    for injected in (b"220 go\r\n250 injected\r\n", b"220 go\r\n250 in"):
        session = Session(Terms(name="example.org"))
        session.receive(b"220 relay\r\n")
        session.receive(TLS)
        _, events = session.receive(injected)
        assert isinstance(events[-1], Failed)
        assert events[-1].problem is Problem.TLS


@pytest.mark.parametrize("hello", [SERIAL, HELLO])
def test_stripped_starttls_is_never_plain_text_where_tls_is_required(hello):
    session = Session(Terms(name="example.org", tls_required=True))
    session.receive(b"220 relay\r\n")
    out, (event,) = session.receive(hello)
    assert out == b"QUIT\r\n"
    assert event.problem is Problem.TLS


def test_starttls_refused_goes_on_in_clear_only_where_tls_is_not_required():
    for required, answer, wanted in (
        (True, b"554 never\r\n", Problem.TLS),
        (True, b"454 not now\r\n", Problem.BUSY),
        (True, b"421 closing\r\n", Problem.BUSY),
        (False, b"421 closing\r\n", Problem.BUSY),
        (False, b"454 not now\r\n", None),
        (False, b"554 never\r\n", None),
    ):
        session = Session(Terms(name="example.org", tls_required=required))
        session.receive(b"220 relay\r\n")
        session.receive(TLS)
        out, events = session.receive(answer)
        if wanted:
            assert (out, events[0].problem) == (b"QUIT\r\n", wanted)
            assert answer[:3].decode() in events[0].detail
        else:
            assert out == b"EHLO example.org\r\n"
            assert session.receive(TLS)[1] == [Ready()]


@pytest.mark.parametrize(
    ("answer", "problem"), [(b"454 not now\r\n", Problem.BUSY), (b"554 never\r\n", Problem.TLS)]
)
def test_a_password_waits_for_a_tls_that_is_refused_for_now(answer, problem):
    session = Session(Terms(name="example.org", credentials=Credentials(user="moi", password="x")))
    session.receive(b"220 relay\r\n")
    session.receive(TLS)
    out, (event,) = session.receive(answer)
    assert (out, event.problem) == (b"QUIT\r\n", problem)


def sign_in(mechanism: str, *answers: bytes):
    account = Credentials(user="moi", password="sésame", mechanism=mechanism)
    session = Session(Terms(name="example.org", credentials=account, tls_active=True))
    session.receive(b"220 relay\r\n")
    said = [session.receive(b"250-relay\r\n250 AUTH PLAIN LOGIN XOAUTH2\r\n")]
    said += [session.receive(answer) for answer in answers]
    return said


def test_auth_plain_says_everything_at_once():
    (out, _), (_, events) = sign_in("auto", b"235 welcome\r\n")
    assert base64.b64decode(out.split()[2]).decode() == "\0moi\0sésame"
    assert isinstance(events[0], Ready)


def test_auth_login_answers_two_questions():
    said = sign_in("login", b"334 VXNlcg==\r\n", b"334 UGFzcw==\r\n", b"235 welcome\r\n")
    assert said[0][0] == b"AUTH LOGIN\r\n"
    assert [base64.b64decode(out).decode() for out, _ in said[1:3]] == ["moi", "sésame"]


def test_auth_xoauth2_ends_a_refusal_with_an_empty_line():
    (out, _), (empty, _), (_, (event,)) = sign_in(
        "xoauth2", b"334 eyJzdGF0dXMiOiI0MDAifQ==\r\n", b"535 5.7.8 no\r\n"
    )
    assert base64.b64decode(out.split()[2]).decode() == "user=moi\1auth=Bearer sésame\1\1"
    assert empty == b"\r\n"
    assert event.problem is Problem.AUTH


def test_a_relay_that_asks_for_ever_signs_nobody_in():
    *_, (empty, _), (_, (event,)) = sign_in("plain", b"334 eA==\r\n", b"334 eA==\r\n")
    assert empty == b"\r\n"
    assert event.problem is Problem.AUTH


def test_a_temporary_failure_to_sign_in_is_not_a_wrong_password():
    *_, (_, (event,)) = sign_in("plain", b"454 4.7.0 later\r\n")
    assert event.problem is Problem.AUTH_LATER


def test_a_password_never_leaves_in_clear():
    account = Credentials(user="moi", password="x")
    session = Session(Terms(name="example.org", credentials=account))
    session.receive(b"220 relay\r\n")
    out, (event,) = session.receive(b"250-relay\r\n250 AUTH PLAIN\r\n")
    assert out == b"QUIT\r\n"
    assert event.problem is Problem.TLS
    assert "password='x'" not in repr(account)


# --- transactions


def test_an_envelope_is_one_write_and_the_dot_travels_with_the_next(feed):
    session = ready()
    assert open_one(session) == (
        b"MAIL FROM:<from@example.org> SIZE=10\r\nRCPT TO:<to1@reader.example>\r\nDATA\r\n"
    )
    assert feed(session, b"250 2.1.0 a\r\n250 2.1.5 b\r\n354 go\r\n") == (b"", [Proceed(1)])
    assert session.finish(1) == b".\r\n"
    assert session.can_submit()
    assert open_one(session, 2).startswith(b"MAIL FROM:")
    assert not session.can_submit()
    out, events = feed(session, b"250 2.0.0 queued\r\n250 a\r\n250 b\r\n354 go\r\n")
    assert (out, events) == (
        b"", [Settled(1, Stage.DOT, Reply(250, "2.0.0", "queued")), Proceed(2)]
    )  # fmt: skip


def test_without_pipelining_every_command_waits(feed):
    session = ready(SERIAL)
    assert open_one(session) == b"MAIL FROM:<from@example.org>\r\n"
    assert feed(session, b"250 a\r\n")[0] == b"RCPT TO:<to1@reader.example>\r\n"
    assert feed(session, b"250 b\r\n")[0] == b"DATA\r\n"
    assert feed(session, b"354 go\r\n") == (b"", [Proceed(1)])
    session.finish(1)
    assert not session.can_submit()
    feed(session, b"250 queued\r\n")
    assert session.can_submit()


def test_a_refused_recipient_wins_over_the_503_that_follows(feed):
    session = ready()
    open_one(session)
    out, events = feed(session, b"250 a\r\n550 5.1.1 nobody\r\n503 5.5.1 no recipients\r\n")
    assert (out, events) == (b"", [Settled(1, Stage.RCPT, Reply(550, "5.1.1", "nobody"))])
    assert open_one(session, 2).startswith(b"RSET\r\nMAIL FROM:")
    _, events = feed(session, b"250 reset\r\n250 a\r\n250 b\r\n354 go\r\n")
    assert events == [Proceed(2)]


def test_a_refused_recipient_and_yet_354_gets_a_bare_dot(feed):
    session = ready()
    open_one(session)
    out, events = feed(session, b"250 a\r\n550 5.1.1 nobody\r\n354 go\r\n")
    assert out == b".\r\n"
    assert events == [Settled(1, Stage.RCPT, Reply(550, "5.1.1", "nobody"))]
    open_one(session, 2)
    _, events = feed(session, b"554 no recipients\r\n250 a\r\n250 b\r\n354 go\r\n")
    assert events == [Proceed(2)]


def test_a_refusal_in_serial_mode_is_reset_before_the_next(feed):
    session = ready(SERIAL)
    open_one(session)
    assert feed(session, b"450 4.2.1 later\r\n") == (b"RSET\r\n", [])
    assert not session.can_submit()
    assert feed(session, b"250 ok\r\n") == (
        b"", [Settled(1, Stage.MAIL, Reply(450, "4.2.1", "later"))]
    )  # fmt: skip
    assert session.can_submit()


def test_a_refused_data_is_about_data(feed):
    session = ready()
    open_one(session)
    _, events = feed(session, b"250 a\r\n250 b\r\n451 4.3.0 not now\r\n")
    assert events == [Settled(1, Stage.DATA, Reply(451, "4.3.0", "not now"))]


def test_chunks_are_in_flight_together_and_answered_in_order(feed):
    session = ready(BDAT, in_flight=2)
    for token in (1, 2):
        assert session.can_submit()
        out = session.chunk(token, "from@example.org", f"to{token}@r.example", 7)
        assert out.endswith(b"BDAT 7 LAST\r\n")
    assert not session.can_submit()
    replies = b"250 a\r\n550 no\r\n554 no\r\n250 reset\r\n250 a\r\n250 b\r\n250 queued\r\n"
    _, events = feed(session, replies)
    assert events == [
        Settled(1, Stage.RCPT, Reply(550, "", "no")),
        Settled(2, Stage.DOT, Reply(250, "", "queued")),
    ]


def test_a_chunk_behind_others_clears_what_their_refusal_may_leave():
    session = ready(BDAT, in_flight=2)
    first = session.chunk(1, "from@example.org", "to@r.example", 7)
    assert first.startswith(b"MAIL")
    assert session.chunk(2, "from@example.org", "to@r.example", 7).startswith(b"RSET\r\nMAIL")


@pytest.mark.parametrize(
    "refusal",
    [b"250 a\r\n550 no\r\n503 no\r\n", b"250 a\r\n250 b\r\n452 no room\r\n"],
    ids=["of the recipient", "of the message"],
)
def test_a_chunk_after_a_refused_one_clears_what_it_left(refusal):
    session = ready(BDAT)
    session.chunk(1, "from@example.org", "to@r.example", 7)
    session.receive(refusal)
    assert session.chunk(2, "from@example.org", "to@r.example", 7).startswith(b"RSET\r\nMAIL")


def test_a_chunk_after_one_that_was_taken_needs_no_reset():
    session = ready(BDAT)
    session.chunk(1, "from@example.org", "to@r.example", 7)
    session.receive(b"250 a\r\n250 b\r\n250 queued\r\n")
    assert session.chunk(2, "from@example.org", "to@r.example", 7).startswith(b"MAIL")


def test_a_chunk_taken_under_a_refused_envelope_is_in_doubt():
    session = ready(BDAT)
    session.chunk(1, "from@example.org", "to@r.example", 7)
    _, events = session.receive(b"503 nested\r\n250 b\r\n250 queued\r\n")
    assert [type(event) for event in events] == [Closing]
    assert session.unsettled() == [Unsettled(1, Stage.DOT)]


def test_a_lost_connection_leaves_in_doubt_only_what_may_have_ended():
    session = ready()
    open_one(session, 1)
    assert session.unsettled() == [Unsettled(1, Stage.MAIL)]
    session = ready()
    open_one(session, 1)
    session.receive(b"250 a\r\n250 b\r\n354 go\r\n")
    session.finish(1)
    open_one(session, 2)
    assert session.unsettled() == [Unsettled(1, Stage.DOT), Unsettled(2, Stage.MAIL)]
    session = ready(BDAT, in_flight=4)
    session.chunk(1, "from@example.org", "to@r.example", 3)
    assert session.unsettled() == [Unsettled(1, Stage.DOT)]


REFUSED = Reply(550, "5.1.1", "gone")


def test_without_enhanced_codes_no_message_is_in_flight_behind_another():
    """An answer too many would pass for the verdict on the next."""
    assert not ready(BDAT.replace(b"250-ENHANCEDSTATUSCODES\r\n", b"")).uses_bdat


def test_a_chunk_that_left_has_the_time_of_a_dot():
    session = ready(BDAT, in_flight=4)
    session.chunk(1, "from@example.org", "to@r.example", 3)
    assert session.stage is Stage.DOT
    session.receive(b"250 a\r\n250 b\r\n250 queued\r\n")
    assert session.stage is Stage.BODY


def test_an_envelope_has_its_own_deadlines_where_chunks_are_offered_and_not_used():
    session = ready(BDAT)
    open_one(session)
    assert session.uses_bdat
    assert session.stage is Stage.MAIL


def test_a_refusal_stands_though_its_envelope_is_never_ended():
    session = ready()
    open_one(session)
    session.receive(b"250 a\r\n550 5.1.1 gone\r\n")
    assert session.unsettled() == [Unsettled(1, Stage.RCPT, REFUSED)]


def test_a_refusal_stands_though_its_chunk_is_never_answered():
    session = ready(BDAT, in_flight=4)
    session.chunk(1, "from@example.org", "to@r.example", 3)
    session.receive(b"250 a\r\n550 5.1.1 gone\r\n")
    assert session.unsettled() == [Unsettled(1, Stage.RCPT, REFUSED)]


def test_a_421_dismisses_everybody_behind_it():
    session = ready(BDAT, in_flight=4)
    for token in (1, 2, 3):
        session.chunk(token, "from@example.org", "to@r.example", 3)
    replies = b"250 a\r\n250 b\r\n250 queued\r\n250 reset\r\n421 4.7.0 enough\r\n"
    _, events = session.receive(replies)
    assert events[0] == Settled(1, Stage.DOT, Reply(250, "", "queued"))
    assert isinstance(events[1], Closing)
    assert session.unsettled(parted=True) == [
        Unsettled(2, Stage.MAIL, Reply(421, "4.7.0", "enough")),
        Unsettled(3, Stage.MAIL),
    ]


def dismissed(*replies: bytes) -> tuple[Session, list]:
    """Two chunks in flight, the first recipient answered 421, then these replies."""
    session = ready(BDAT, in_flight=4)
    for token in (1, 2):
        session.chunk(token, "from@example.org", "to@r.example", 3)
    _, events = session.receive(b"250 a\r\n421 4.7.0 later\r\n" + b"".join(replies))
    assert isinstance(events[0], Closing)
    return session, events[1:]


LATER = Reply(421, "4.7.0", "later")


def test_behind_a_421_only_the_end_of_the_connection_shows_that_nothing_was_read():
    session, _ = dismissed()
    assert session.unsettled() == [Unsettled(1, Stage.RCPT, LATER), Unsettled(2, Stage.DOT)]


def test_a_relay_that_goes_on_behind_its_421_is_heard():
    _, events = dismissed(b"503 no\r\n250 reset\r\n250 a\r\n250 b\r\n250 2.0.0 queued\r\n")
    assert events == [
        Settled(1, Stage.RCPT, LATER), Settled(2, Stage.DOT, Reply(250, "2.0.0", "queued")),
    ]  # fmt: skip


def test_a_relay_that_goes_on_behind_its_421_and_closes_leaves_the_others_in_doubt():
    session, _ = dismissed(b"503 no\r\n")
    assert session.unsettled(parted=True) == [Unsettled(2, Stage.DOT)]


def test_a_421_to_each_command_is_one_dismissal():
    session, events = dismissed(b"421 4.7.0 later\r\n")
    assert [type(event) for event in events] == [Settled, Closing]
    assert session.unsettled(parted=True) == [Unsettled(2, Stage.MAIL)]


def test_a_421_nobody_asked_for_closes():
    session = ready()
    _, events = session.receive(b"421 4.4.2 idle\r\n")
    assert events == [Closing("busy")]


@pytest.mark.parametrize(
    "replies",
    [b"250 ok\r\n250 ok\r\n250 not 354\r\n", b"354 what\r\n", b"250 ok\r\n354 what\r\n",
     b"250 ok\r\n!!\r\n"],
)  # fmt: skip
def test_a_reply_that_cannot_be_the_answer_ends_the_session(replies, feed):
    session = ready()
    open_one(session)
    _, events = feed(session, replies)
    assert isinstance(events[-1], Closing)
    assert events[-1].reason == "desync"
    assert session.is_over
    assert session.receive(b"250 late\r\n") == (b"", [])


def test_an_extra_reply_never_passes_for_the_verdict_on_the_next():
    session = ready()
    open_one(session)
    session.receive(b"250 a\r\n250 b\r\n354 go\r\n")
    session.finish(1)
    open_one(session, 2)
    _, events = session.receive(b"250 2.0.0 queued\r\n250 2.0.0 again\r\n250 a\r\n250 b\r\n")
    assert events[0] == Settled(1, Stage.DOT, Reply(250, "2.0.0", "queued"))
    assert isinstance(events[1], Closing)
    assert session.unsettled() == [Unsettled(2, Stage.DATA)]


def test_garbage_behind_a_verdict_does_not_swallow_it():
    session = ready()
    open_one(session)
    session.receive(b"250 a\r\n250 b\r\n354 go\r\n")
    session.finish(1)
    _, events = session.receive(b"250 queued\r\n\xff\xff\r\n")
    assert events[0] == Settled(1, Stage.DOT, Reply(250, "", "queued"))
    assert isinstance(events[1], Closing)
    assert session.unsettled() == []


def test_an_answer_to_mail_never_passes_for_the_verdict_on_a_chunk():
    session = ready(BDAT, in_flight=4)
    session.chunk(1, "from@example.org", "to@r.example", 3)
    _, events = session.receive(b"250 dup\r\n250 2.1.0 a\r\n250 2.1.5 b\r\n")
    assert isinstance(events[0], Closing)
    assert session.unsettled() == [Unsettled(1, Stage.DOT)]


def test_a_message_too_large_is_refused_before_mail():
    session = ready()
    assert session.check_size(1000) is None
    assert session.check_size(1001).enhanced == "5.3.4"


def test_nothing_follows_quit():
    session = ready()
    assert session.quit() == b"QUIT\r\n"
    assert not session.can_submit()


@given(st.binary(max_size=300), st.integers(0, 3))
def test_no_stream_of_bytes_is_ever_a_message_accepted_before_its_dot(data, progress):
    session = ready()
    open_one(session)
    session.receive(b"".join([b"250 a\r\n", b"250 b\r\n", b"354 go\r\n"][:progress]))
    _, events = session.receive(data)
    for event in events:
        if isinstance(event, Settled):
            assert event.reply.code >= 400
