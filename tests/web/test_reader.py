"""A reader's own pages."""

import json
import re
from datetime import date, timedelta

import pytest
from sqlalchemy import insert, select

from newsletter.audience.tokens import Purpose, sign
from newsletter.model import Frequency, SubscriberState
from newsletter.store import database, tokens
from newsletter.store.schema import delivery, event, run

from .conftest import ADDRESS

ONE_CLICK = {
    "content": b"List-Unsubscribe=One-Click",
    "headers": {"Content-Type": "application/x-www-form-urlencoded"},
}


def add_link(engine, reader, purpose, now) -> str:
    with database.write(engine) as connection:
        expires = now + timedelta(days=1)
        tokens.add(connection, "mot", purpose=purpose, subscriber_id=reader.id, expires_at=expires)
    return f"/{purpose[0]}/mot"


# --- what mail scanners do (D9) --------------------------------------------------------------


def test_looking_at_every_page_twice_changes_nothing(
    client, reader, leave_url, preferences_url, *, sqlite_engine, sign_up, link_of, now, dump
):
    sign_up("noe@example.org")
    urls = [
        "/", leave_url, preferences_url, f"{preferences_url}/data", link_of("confirmation"),
        add_link(sqlite_engine, reader, "erase", now), "/r/mot", "/proof", "/archive/", "/healthz",
        "/robots.txt", "/2026-05-07/", "/2026-05-07", "/media/x.png", "/u/autre", "/x/y/z",
    ]  # fmt: skip
    before = dump()
    for url in urls * 2:
        for method in ("GET", "HEAD", "OPTIONS"):
            answer = client.request(method, url)
            assert answer.status_code < 500 or url == "/healthz"
            assert "set-cookie" not in answer.headers
    assert dump() == before


# --- leaving ---------------------------------------------------------------------------------


def test_the_mail_programs_button_lets_a_reader_go_at_once(client, leave_url, person):
    answer = client.post(leave_url, **ONE_CLICK)
    assert answer.status_code == 200
    assert "vous ne recevrez plus " in answer.text
    assert "location" not in answer.headers
    assert "set-cookie" not in answer.headers
    assert person().state is SubscriberState.UNSUBSCRIBED


def test_leaving_by_one_click_is_idempotent(client, leave_url, dump):
    first = client.post(leave_url, **ONE_CLICK)
    after = dump()
    again = client.post(leave_url, **ONE_CLICK)
    assert (again.status_code, again.text) == (200, first.text)
    assert dump() == after


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"content": b""},
        {"content": b"\x00\xff", "headers": {"Content-Type": "text/plain"}},
        {"files": {"List-Unsubscribe": (None, "One-Click")}},
        {"content": b"{}", "headers": {"Content-Type": "application/json"}},
        {"data": {"List-Unsubscribe": "One-Click"}, "headers": {"Origin": "https://x.example"}},
        {"data": {"List-Unsubscribe": "One-Click"}, "headers": {"Cookie": "session=x"}},
    ],
)
def test_no_body_type_origin_or_cookie_stands_in_the_way(client, leave_url, person, request_):
    assert client.post(leave_url, **request_).status_code == 200
    assert person().state is SubscriberState.UNSUBSCRIBED


def test_an_unknown_token_gets_the_same_neutral_page(client, leave_url, keys, dump):
    stranger = f"/u/{sign(keys, Purpose.UNSUBSCRIBE, 404, 12)}"
    other_purpose = f"/u/{sign(keys, Purpose.BOUNCE, 404, 12)}"
    before = dump()
    answers = [client.post(url, **ONE_CLICK) for url in (stranger, other_purpose, "/u/x", "/u/é")]
    assert dump() == before
    answers.append(client.post(leave_url, **ONE_CLICK))
    assert {(a.status_code, a.text) for a in answers} == {(200, answers[0].text)}


def test_a_token_survives_a_change_of_case(client, leave_url, person):
    client.post("/u/" + leave_url.removeprefix("/u/").upper())
    assert person().state is SubscriberState.UNSUBSCRIBED


def test_the_page_asks_first_and_shows_a_masked_address(client, leave_url, person):
    page = client.get(leave_url).text
    assert "m…n@e…e.org" in page
    assert page.index("<button>Me désabonner") < page.index("une fois par mois")
    assert person().state is SubscriberState.ACTIVE
    client.post(leave_url)
    assert person().state is SubscriberState.UNSUBSCRIBED
    assert client.get(leave_url).status_code == 200


def test_how_somebody_left_and_from_which_run_is_kept(client, leave_url, sqlite_engine, reader):
    client.post(leave_url, **ONE_CLICK)
    with database.read(sqlite_engine) as connection:
        kept = connection.execute(select(event.c.kind, event.c.run_id)).all()
    assert kept == [("unsubscribed", 12)]


def test_what_waits_in_the_run_is_cancelled(client, leave_url, sqlite_engine, reader, now):
    with database.write(sqlite_engine) as connection:
        row = {"id": 12, "issue_id": "2026-05-07", "slot_at": now, "state": "dispatching"}
        connection.execute(insert(run).values(**row, created_at=now))
        connection.execute(insert(delivery).values(subscriber_id=reader.id, run_id=12))
    client.post(leave_url, **ONE_CLICK)
    with database.read(sqlite_engine) as connection:
        assert connection.scalar(select(delivery.c.state)) == "cancelled"


# --- what a forwarded mail gives away --------------------------------------------------------


def test_no_page_shows_the_address_or_the_name(client, leave_url, preferences_url, link_of):
    pages = [client.get(leave_url), client.get(preferences_url)]
    pages += [client.post(f"{preferences_url}/data"), client.get(link_of("data"))]
    pages += [client.post(preferences_url, data={}), client.post(leave_url)]
    for page in pages:
        for secret in (ADDRESS, "maelle", "Maëlle", "Kerguen", "Ville de Lise"):
            assert secret not in page.text


# --- preferences -----------------------------------------------------------------------------


def test_choices_are_shown_kept_and_shown_again(client, preferences_url, person):
    answer = client.post(
        preferences_url,
        data={
            "frequency": "monthly",
            "pause": "august",
            "until": "",
            "depth": "12",
            "objectives": ["hybridation"],
            "profile": "media",
            "region": "Bretagne",
            "department": "29",
        },
    )
    assert 'role="status"' in answer.text
    kept = person()
    assert (kept.frequency, kept.depth, kept.objectives) == (
        Frequency.MONTHLY,
        12,
        ("hybridation",),
    )
    assert (kept.profile, kept.region, kept.department) == ("media", "bretagne", "29")
    assert (kept.paused_from, kept.paused_until) == (date(2026, 8, 1), date(2026, 8, 31))
    assert kept.first_name == "Maëlle"
    page = client.get(preferences_url).text
    for chosen in (
        'value="monthly" checked',
        'value="august" checked',
        'value="12" checked',
        'value="hybridation" checked',
        'value="media" selected',
        'value="Bretagne"',
    ):
        assert chosen in page


@pytest.mark.parametrize(
    "field",
    [
        {"frequency": "daily"},
        {"depth": "3"},
        {"objectives": ["hybridation", "x"]},
        {"profile": "pirate"},
        {"region": "x" * 101},
        {"department": "29\x00"},
        {"pause": "always"},
        {"pause": "until", "until": "demain"},
        {"pause": "until", "until": "2026-05-06"},
        {"pause": "until", "until": "2029-01-01"},
    ],
)
def test_an_answer_that_was_not_offered_changes_nothing(client, preferences_url, dump, field):
    before = dump()
    page = client.post(preferences_url, data=field)
    assert page.status_code == 422
    assert 'role="alert"' in page.text
    assert dump() == before


def test_a_pause_until_a_day(client, preferences_url, person):
    client.post(preferences_url, data={"pause": "until", "until": "2026-06-30"})
    assert (person().state, person().paused_until) == ("paused", date(2026, 6, 30))
    assert 'value="2026-06-30"' in client.get(preferences_url).text
    client.post(preferences_url, data={"pause": "none", "until": "2026-06-30"})
    assert (person().state, person().paused_until) == ("active", None)


def test_after_leaving_there_is_nothing_to_choose(client, leave_url, preferences_url, person):
    client.post(leave_url)
    assert client.get(preferences_url).status_code == 404
    assert client.post(preferences_url, data={"frequency": "weekly"}).status_code == 404
    assert person().state is SubscriberState.UNSUBSCRIBED


@pytest.mark.parametrize("url", ["/p/x", "/c/x", "/e/x", "/r/x"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_link_that_is_not_ours_says_so_kindly(client, url, method):
    answer = client.request(method, url)
    assert answer.status_code == 404
    assert "Ce lien ne mène plus nulle part" in answer.text


def test_one_purpose_does_not_open_another(client, reader, keys, person):
    leave = sign(keys, Purpose.UNSUBSCRIBE, reader.id, 12)
    prefer = sign(keys, Purpose.PREFERENCES, reader.id, 12)
    assert client.get(f"/p/{leave}").status_code == 404
    client.post(f"/u/{prefer}")
    assert person().state is SubscriberState.ACTIVE


# --- one's data ------------------------------------------------------------------------------


def test_data_go_to_the_persons_own_mailbox_once_a_day(client, preferences_url, letters, clock):
    for _ in range(2):
        assert client.post(f"{preferences_url}/data").status_code == 200
    (sent,) = letters("data")
    assert sent.address == ADDRESS
    told = json.loads(sent.text[sent.text.index("{") : sent.text.rindex("}") + 1])
    assert told["subscriber"]["first_name"] == "Maëlle"
    assert told["consent"][0]["act"] == "added"
    clock.turn(hours=24)
    client.post(f"{preferences_url}/data")
    assert len(letters("data")) == 2


def test_the_letter_has_a_link_that_erases_everything(
    client, preferences_url, link_of, person, sqlite_engine
):
    client.post(f"{preferences_url}/data")
    link = link_of("data")
    assert "Tout effacer" in client.get(link).text
    assert person() is not None
    assert "C’est effacé" in client.post(link).text
    assert person() is None
    assert client.post(link).status_code == 404


def test_asking_for_a_strangers_data_answers_the_same_and_sends_nothing(
    client, preferences_url, letters
):
    ours = client.post(f"{preferences_url}/data").text
    assert client.post("/p/x/data").text == ours
    assert len(letters("data")) == 1


def test_renewing_takes_one_button(client, reader, *, sqlite_engine, now, clock, person):
    link = add_link(sqlite_engine, reader, "renewal", now)
    clock.turn(hours=5)
    assert "Oui, je continue" in client.get(link).text
    assert person().last_act_at == now
    assert client.post(link).status_code == 200
    assert person().last_act_at == now + timedelta(hours=5)


def test_what_was_chosen_stands_again_beside_a_mistake(client, preferences_url):
    page = client.post(
        preferences_url,
        data={"frequency": "monthly", "pause": "until", "until": "2020-01-01", "depth": "12",
              "objectives": "hybridation", "department": "29", "region": "Bretagne"},
    )  # fmt: skip
    assert page.status_code == 422
    checked = re.findall(r'name="(\w+)" value="(\w*)" checked', page.text)
    assert checked == [
        ("frequency", "monthly"), ("pause", "until"), ("depth", "12"), ("objectives", "hybridation")
    ]  # fmt: skip
    assert 'name="department" value="29"' in page.text
    assert 'name="region" list="regions" value="Bretagne"' in page.text


def test_a_choice_that_is_not_offered_is_not_shown_again(client, preferences_url):
    page = client.post(preferences_url, data={"frequency": "hourly", "pause": "for ever"})
    assert page.status_code == 422
    assert 'value="weekly" checked' in page.text
    assert 'value="none" checked' in page.text
