"""The way in."""

import re
from datetime import timedelta

import pytest

from newsletter import membership
from newsletter.audience.suppression import Reason
from newsletter.config import Web
from newsletter.model import SubscriberState
from newsletter.store import consent, database, leaving
from newsletter.web.app import create_app

from .conftest import ADDRESS, Visitor


def test_somebody_signs_up_and_confirms_by_a_button(client, sign_up, link_of, person, letters):
    page = sign_up("noe@example.org")
    assert page.status_code == 200
    assert "Regardez votre boîte" in page.text
    assert person("noe@example.org").state is SubscriberState.PENDING
    shown = client.get(link_of("confirmation"))
    assert "n…@e…e.org" in shown.text
    assert person("noe@example.org").state is SubscriberState.PENDING
    done = client.post(link_of("confirmation"))
    assert "C’est fait" in done.text
    assert person("noe@example.org").state is SubscriberState.ACTIVE
    assert [row.kind for row in letters()] == ["confirmation", "welcome"]
    assert client.post(link_of("confirmation")).status_code == 404


def test_the_proof_names_the_words_that_were_shown(app, sign_up, sqlite_engine, client):
    sign_up("noe@example.org")
    with database.read(sqlite_engine) as connection:
        (asked,) = consent.read_events(connection)
    assert asked.notice_version == app.state.site.notice_version()


def test_the_answer_is_the_same_whoever_the_address_is(
    sign_up, reader, *, sqlite_engine, keys, clock, letters
):
    gone = "z@example.org"
    membership.unsubscribe_address(sqlite_engine, keys, gone, by="x", now=clock())
    complained = membership.add_subscriber(
        sqlite_engine, keys, "c@example.org", basis="contrat", evidence="x", by="", now=clock()
    )
    with database.write(sqlite_engine) as connection:
        reason = Reason.COMPLAINT
        leaving.suppress(connection, keys, complained.id, reason=reason, detail={}, now=clock())
    pages = {sign_up(a).text for a in ("new@example.org", ADDRESS, gone, "c@example.org")}
    assert len(pages) == 1
    assert [row.address for row in letters()] == ["new@example.org", ADDRESS, gone]


def test_a_robot_that_fills_the_hidden_field_is_thanked_and_ignored(sign_up, dump):
    before = dump()
    honest = sign_up("noe@example.org", website="https://spam.example")
    assert "Regardez votre boîte" in honest.text
    assert dump() == before


@pytest.mark.parametrize("wait", [0, 1, 13 * 3600])
def test_a_form_sent_too_soon_or_too_late_is_shown_again(sign_up, dump, wait):
    before = dump()
    page = sign_up("noe@example.org", wait=wait)
    assert page.status_code == 422
    assert 'role="alert"' in page.text
    assert 'value="noe@example.org"' in page.text
    assert dump() == before


@pytest.mark.parametrize("shown", ["", "1", "1.x", "x.y", "9" * 30 + ".é", "١٢.a"])
def test_a_stamp_that_is_not_ours_is_refused(sign_up, shown):
    assert sign_up("noe@example.org", shown=shown).status_code == 422


@pytest.mark.parametrize(
    "address", ["", "noe", "noe@@example.org", "noé@example.org", "a@example.org\r\nBcc: b@x.test"]
)
def test_a_wrong_address_is_said_beside_the_field(sign_up, dump, address):
    before = dump()
    page = sign_up(address)
    assert page.status_code == 422
    assert 'aria-invalid="true" aria-describedby="erreur"' in page.text
    assert dump() == before


def test_what_was_typed_comes_back_escaped(sign_up):
    page = sign_up('"><script>alert(1)</script>')
    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text


def test_one_network_signs_up_five_times_an_hour(sign_up, clock):
    codes = [sign_up(f"a{n}@example.org").status_code for n in range(6)]
    assert codes == [200] * 5 + [429]
    clock.turn(hours=1)
    assert sign_up("b@example.org").status_code == 200


def test_a_header_does_not_change_who_asks_unless_a_trusted_proxy_wrote_it(sign_up):
    codes = []
    for number in range(6):
        headers = {"X-Forwarded-For": f"203.0.{number}.1"}
        codes.append(sign_up(f"a{number}@example.org", headers=headers).status_code)
    assert codes[-1] == 429


def test_a_flood_from_everywhere_is_stopped(publication, sqlite_engine, keys, clock):
    web = Web(sign_ups_per_hour=2, trusted_proxies=("visitor.test",))
    flooded = publication.model_copy(update={"web": web})
    visitor = Visitor(create_app(flooded, sqlite_engine, keys, clock))
    codes = []
    for number in range(3):
        shown = re.search(r'name="shown" value="([^"]+)"', visitor.get("/").text)[1]
        clock.turn(seconds=3)
        page = visitor.post(
            "/",
            data={"email": f"a{number}@example.org", "shown": shown},
            headers={"X-Forwarded-For": f"203.0.{number}.1"},
        )
        codes.append(page.status_code)
    assert codes == [200, 200, 429]
    assert page.headers["Retry-After"] == "3600"


def test_a_confirmation_link_grows_old(client, sign_up, link_of, clock, person):
    sign_up("noe@example.org")
    clock.turn(hours=48)
    assert client.get(link_of("confirmation")).status_code == 404
    assert client.post(link_of("confirmation")).status_code == 404
    assert person("noe@example.org").state is SubscriberState.PENDING


@pytest.mark.parametrize(
    "item",
    [
        "Association d",  # the controller
        "contact@example.org",
        "Pour quoi faire",  # purpose
        "À quel titre",  # basis
        "retirer à tout moment",
        "Combien de temps",  # duration
        "30 jours",
        "Qui les voit",  # recipients
        "accéder à vos données, les rectifier, les emporter, les faire effacer, vous opposer",
        "https://www.cnil.fr/fr/plaintes",
        "Seule l’adresse est nécessaire",
    ],
)
def test_the_form_says_what_article_13_asks_for(client, item):
    assert item in client.get("/").text


def test_no_box_is_ticked_and_no_script_runs(client):
    page = client.get("/").text
    assert "checked" not in page
    assert "<script" not in page


def test_nobody_signs_up_by_get(client, dump):
    before = dump()
    client.get("/", params={"email": "noe@example.org", "shown": "1"})
    assert dump() == before


def test_the_same_address_is_not_asked_again_within_a_day(sign_up, letters, clock):
    for step in (timedelta(0), timedelta(hours=1), timedelta(hours=24)):
        clock.now += step
        sign_up("noe@example.org")
    assert len(letters("confirmation")) == 2
