"""The verbs of readers: join, confirm, choose, leave, renew."""

import re
from datetime import date, timedelta

import pytest
from sqlalchemy import insert, select

from newsletter import membership
from newsletter.audience.suppression import Reason, fingerprint
from newsletter.audience.tokens import Purpose, TokenFacts, open_token
from newsletter.config import Web
from newsletter.errors import Conflict, RowError
from newsletter.membership import Joined
from newsletter.model import Frequency, SubscriberState
from newsletter.store import audience, consent, database, inviting, leaving, suppression, tokens
from newsletter.store.schema import delivery, letter, run

ADDRESS = "alix@example.org"


@pytest.fixture
def join(settings, engine, keys, now):
    def _join(address=ADDRESS, *, at=now, publication=settings) -> Joined:
        return membership.join(
            publication, engine, keys, address, notice_version="v1", source="page", now=at
        )

    return _join


@pytest.fixture
def confirm(settings, engine, keys, now):
    def _confirm(token: str, *, at=now):
        return membership.confirm(settings, engine, keys, token, now=at)

    return _confirm


@pytest.fixture
def reader(join, confirm, engine, now):
    """Somebody who joined and confirmed a day ago."""
    join(at=now - timedelta(days=1))
    return confirm(last_link(engine), at=now - timedelta(days=1))


def letters_of(engine) -> list:
    with database.read(engine) as connection:
        return connection.execute(select(letter).order_by(letter.c.id)).all()


def last_link(engine, kind="confirmation") -> str:
    texts = [row.text for row in letters_of(engine) if row.kind == kind]
    return re.search(r"http://[^/]+/[cpr]/(\S+)", texts[-1])[1]


def person_of(engine, address=ADDRESS):
    with database.read(engine) as connection:
        return audience.find(connection, address)


def events_of(engine, subscriber_id) -> list[str]:
    with database.read(engine) as connection:
        return [told.act for told in consent.read_events(connection, subscriber_id)]


def suppress(engine, keys, now, reason: Reason) -> None:
    with database.write(engine) as connection:
        person = audience.find(connection, ADDRESS)
        leaving.suppress(connection, keys, person.id, reason=reason, detail={}, now=now)


# --- joining ---------------------------------------------------------------------------------


def test_who_joins_is_pending_until_they_press_the_button(join, confirm, engine, now):
    assert join() is Joined.ASKED
    assert person_of(engine).state is SubscriberState.PENDING
    confirmed = confirm(last_link(engine), at=now + timedelta(hours=47))
    assert (confirmed.state, confirmed.basis) == (SubscriberState.ACTIVE, "consentement")
    assert confirmed.confirmed_at == confirmed.last_act_at == now + timedelta(hours=47)
    assert events_of(engine, confirmed.id) == ["asked", "confirmed"]


def test_the_notice_that_was_shown_is_in_the_proof(join, engine):
    join()
    with database.read(engine) as connection:
        (asked,) = consent.read_events(connection)
    assert (asked.notice_version, asked.detail) == ("v1", {"source": "page"})


def test_a_confirmation_is_good_once_and_for_two_days(join, confirm, engine, now):
    join()
    token = last_link(engine)
    assert confirm(token, at=now + timedelta(hours=48)) is None
    assert confirm(token) is not None
    assert confirm(token) is None
    assert confirm("autre") is None


def test_a_new_reader_is_welcomed_with_the_last_issue(
    join, confirm, engine, *, now, settings, keys
):
    with database.write(engine) as connection:
        for issue_id, started in (("2026-04-30", now), ("2026-05-07", None)):
            row = {"issue_id": issue_id, "slot_at": now, "state": "done", "started_at": started}
            connection.execute(insert(run).values(**row, created_at=now))
    join()
    reader = confirm(last_link(engine))
    welcome = letters_of(engine)[-1]
    assert welcome.kind == "welcome"
    assert f"{settings.publication.base_url}/2026-04-30/" in welcome.text
    facts = open_token(keys, Purpose.PREFERENCES, last_link(engine, "welcome"))
    assert facts.subscriber_id == reader.id


def test_nothing_typed_into_the_form_is_in_the_letter(join, engine):
    join("Achetez.Vite@example.org")
    (confirmation,) = letters_of(engine)
    assert "Achetez" not in confirmation.subject + confirmation.text
    assert confirmation.subject == "Confirmez votre abonnement à La Lettre d'essai"


def test_a_wrong_address_is_said_before_anything_is_written(join, engine):
    with pytest.raises(RowError):
        join("alix@example.org\r\nBcc: x@example.org")
    assert letters_of(engine) == []


def test_an_address_is_asked_once_a_day_and_three_times_ever(join, engine, now):
    outcomes = [join(at=now + timedelta(hours=hours)) for hours in (0, 1, 23, 24, 48, 72, 96)]
    asked, quiet = Joined.ASKED, Joined.QUIET
    assert outcomes == [asked, quiet, quiet, asked, asked, quiet, quiet]
    assert len(letters_of(engine)) == 3


def test_a_reader_is_told_that_they_are_one_once_a_day(join, reader, engine, now):
    outcomes = [join(at=now + timedelta(hours=hours)) for hours in (0, 1, 25)]
    assert outcomes == [Joined.ALREADY, Joined.QUIET, Joined.ALREADY]
    assert person_of(engine).state is SubscriberState.ACTIVE


def test_a_flood_of_sign_ups_is_stopped(join, settings, now):
    few = settings.model_copy(update={"web": Web(sign_ups_per_hour=3)})
    outcomes = [join(f"a{n}@example.org", publication=few) for n in range(4)]
    assert outcomes == [Joined.ASKED] * 3 + [Joined.BUSY]
    later = now + timedelta(hours=1)
    assert join("a9@example.org", publication=few, at=later) is Joined.ASKED


@pytest.mark.parametrize("gone", ["unsubscribed", "bounce", "erased"])
def test_who_left_comes_back_by_their_own_act(
    join, confirm, reader, engine, *, keys, settings, now, gone
):
    if gone == "unsubscribed":
        facts = TokenFacts(subscriber_id=reader.id, run_id=0)
        membership.leave(engine, keys, facts, how="page", now=now)
    elif gone == "erased":
        membership.erase_address(engine, keys, ADDRESS, now=now)
    else:
        suppress(engine, keys, now, Reason.BOUNCE)
    assert join() is Joined.ASKED
    back = confirm(last_link(engine))
    assert back.state is SubscriberState.ACTIVE
    with database.read(engine) as connection:
        assert suppression.find(connection, [fingerprint(keys, ADDRESS)]) == {}
        assert connection.scalars(audience.select_audience("weekly", settings, now.date())).all()
        assert consent.find_break(connection, keys) is None


def test_asking_alone_does_not_lift_a_suppression(join, reader, engine, keys, now):
    membership.erase_address(engine, keys, ADDRESS, now=now)
    join()
    with database.read(engine) as connection:
        mark = fingerprint(keys, ADDRESS)
        assert suppression.find(connection, [mark]) == {mark: Reason.ERASED}


def test_who_complained_is_not_even_asked(join, reader, engine, keys, now):
    suppress(engine, keys, now, Reason.COMPLAINT)
    before = len(letters_of(engine))
    assert join() is Joined.QUIET
    assert len(letters_of(engine)) == before


# --- choosing --------------------------------------------------------------------------------


def test_choices_are_kept_and_noted(reader, engine, keys, now):
    choices = {
        "frequency": Frequency.MONTHLY,
        "objectives": ("hybridation",),
        "depth": 12,
        "paused_from": date(2026, 8, 1),
        "paused_until": date(2026, 8, 31),
    }
    chosen = membership.choose(engine, keys, reader.id, choices, now=now)
    assert {name: getattr(chosen, name) for name in choices} == choices
    assert (chosen.state, chosen.last_act_at) == (SubscriberState.PAUSED, now)
    with database.read(engine) as connection:
        assert consent.find_choosers(connection, [reader.id]) == {reader.id}
        assert consent.find_break(connection, keys) is None


def test_taking_the_pause_back_makes_a_reader_active(reader, engine, keys, now):
    for until in (date(2026, 8, 31), None):
        choices = {"paused_from": None, "paused_until": until}
        chosen = membership.choose(engine, keys, reader.id, choices, now=now)
    assert chosen.state is SubscriberState.ACTIVE


def test_who_left_cannot_choose(reader, engine, keys, now):
    facts = TokenFacts(subscriber_id=reader.id, run_id=0)
    assert membership.leave(engine, keys, facts, how="page", now=now)
    with pytest.raises(Conflict):
        membership.choose(engine, keys, reader.id, {"depth": 2}, now=now)


# --- leaving ---------------------------------------------------------------------------------


def test_leaving_cancels_what_waits_in_the_run_at_once(reader, engine, keys, now):
    with database.write(engine) as connection:
        row = {"id": 5, "issue_id": "2026-05-07", "slot_at": now, "state": "dispatching"}
        connection.execute(insert(run).values(**row, created_at=now))
        connection.execute(insert(delivery).values(subscriber_id=reader.id, run_id=5))
    facts = TokenFacts(subscriber_id=reader.id, run_id=5)
    assert membership.leave(engine, keys, facts, how="one-click", now=now)
    assert not membership.leave(engine, keys, facts, how="one-click", now=now)
    with database.read(engine) as connection:
        assert connection.scalar(select(delivery.c.state)) == "cancelled"


def test_a_link_of_nobody_changes_nothing(engine, keys, now):
    facts = TokenFacts(subscriber_id=404, run_id=0)
    assert not membership.leave(engine, keys, facts, how="page", now=now)


# --- renewing --------------------------------------------------------------------------------


def test_renewing_is_an_act_of_the_person(reader, engine, keys, now):
    with database.write(engine) as connection:
        expires = now + timedelta(days=60)
        tokens.add(
            connection, "mot", purpose="renewal", subscriber_id=reader.id, expires_at=expires
        )
    assert membership.renew(engine, keys, "mot", now=now).last_act_at == now
    assert membership.renew(engine, keys, "mot", now=now) is None
    assert events_of(engine, reader.id)[-1] == "renewed"


def test_a_persons_own_page_has_a_link_without_their_address(reader, settings, keys):
    link = inviting.preferences_link(settings, keys, reader.id)
    assert link.startswith("http://127.0.0.1:8017/p/")
    assert "alix" not in link
