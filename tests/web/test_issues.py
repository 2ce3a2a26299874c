"""What everybody may read, and the locks on every answer."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import insert

from newsletter.errors import Busy
from newsletter.mail.holes import hole
from newsletter.model import Edition, Picture
from newsletter.store import content, database, runs
from newsletter.store.content import Correction, Filed
from newsletter.store.schema import run

from .conftest import Visitor

PICTURE = Picture(name="a" * 64 + ".png", content=b"\x89PNG...", width=1, height=1)


@pytest.fixture
def edition(sqlite_engine, now):
    """An edition that was frozen and has not left."""
    made = Edition(
        issue_id="2026-05-07", subject="Des légumeries & partagées", preheader="", sender="x",
        html="<p>mail</p>", text="texte", web="<!doctype html><h1>En ligne</h1>",
        audience_rule="weekly", picks=(), pictures=(PICTURE,), digest="d" * 64,
    )  # fmt: skip
    with database.write(sqlite_engine) as connection:
        content.save_edition(connection, made, Filed(number=141), now)
    return made


@pytest.fixture
def sent(edition, sqlite_engine, now):
    """The same edition, whose run has begun."""
    row = {"issue_id": edition.issue_id, "digest": edition.digest, "slot_at": now}
    with database.write(sqlite_engine) as connection:
        connection.execute(
            insert(run).values(**row, state="dispatching", created_at=now, started_at=now)
        )
    return edition


def test_a_frozen_issue_is_there_and_unlisted_before_it_leaves(client, edition):
    page = client.get("/2026-05-07/")
    assert (page.status_code, page.text) == (200, edition.web)
    assert "noindex" in page.headers["X-Robots-Tag"]
    assert "2026-05-07" not in client.get("/archive/").text


def test_the_page_of_an_event_says_what_holds_today(client, edition, sqlite_engine, now):
    """The client's clock shows 7 May 2026."""
    day = "<!--before 2026-05-06-->À venir<!--on-->Aujourd’hui<!--after-->Passé<!--end-->"
    made = replace(edition, digest="f" * 64, web=f"<h1>{day}</h1>")
    with database.write(sqlite_engine) as connection:
        content.save_edition(connection, made, Filed(number=141), now)
        facts = {"issue_id": made.issue_id, "digest": made.digest, "slot_at": now}
        connection.execute(
            insert(run).values(**facts, state="done", created_at=now, started_at=now)
        )
    assert client.get("/2026-05-07/").text == "<h1>Passé</h1>"


def test_the_mail_as_sent_is_there_for_nobody_in_particular(client, edition, sqlite_engine, now):
    leave = hole("unsubscribe_url", "https://lettre.example/")
    mail = f'<p>{hole("first_name", "Bonjour")},</p><a href="{leave}">Se désabonner</a>'
    made = replace(edition, digest="e" * 64, html=mail)
    with database.write(sqlite_engine) as connection:
        content.save_edition(connection, made, Filed(number=141), now)
        facts = {"issue_id": made.issue_id, "digest": made.digest, "slot_at": now}
        connection.execute(
            insert(run).values(**facts, state="done", created_at=now, started_at=now)
        )
    page = client.get("/2026-05-07/mail")
    assert page.text == '<p>Bonjour,</p><a href="https://lettre.example/">Se désabonner</a>'
    assert "noindex" in page.headers["X-Robots-Tag"]
    assert "unsafe-inline" in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize("address", ["/2026-05-08/mail", "/nothing/mail"])
def test_there_is_no_mail_of_an_issue_that_is_not(client, address):
    assert client.get(address).status_code == 404


def test_an_issue_that_left_is_public_and_listed(client, sent):
    assert "X-Robots-Tag" not in client.get("/2026-05-07/").headers
    listed = client.get("/archive/").text
    assert '<a href="/2026-05-07/">Des légumeries &amp; partagées</a>' in listed
    assert "7 mai 2026" in listed
    assert "n°&nbsp;141" in listed


def test_the_last_correction_is_what_the_web_shows(client, sent, sqlite_engine, now):
    with database.write(sqlite_engine) as connection:
        for number in (1, 2):
            row = {"issue_id": "2026-05-07", "by": "Maëlle", "note": "x", "web": f"<p>{number}</p>"}
            content.add_correction(connection, Correction(at=now + timedelta(hours=number), **row))
    assert client.get("/2026-05-07/").text == "<p>2</p>"


@pytest.mark.parametrize(
    "url",
    ["/2026-05-08/", "/2026-5-7/", "/2026-02-30/", "/x/", "/x", "/a/b/c", "/../newsletter.toml"],
)
def test_what_is_not_there_is_a_kind_page(client, edition, url):
    page = client.get(url)
    assert page.status_code == 404
    assert "Cette page n’existe pas" in page.text


def test_an_issue_without_its_slash_leads_to_it(client, edition):
    answer = client.get("/2026-05-07")
    assert (answer.status_code, answer.headers["Location"]) == (308, "/2026-05-07/")


def test_a_picture_is_kept_for_ever(client, edition):
    answer = client.get(f"/media/{PICTURE.name}")
    assert (answer.content, answer.headers["Content-Type"]) == (PICTURE.content, "image/png")
    assert "immutable" in answer.headers["Cache-Control"]
    assert client.get("/media/b.png").status_code == 404
    assert client.get("/media/..%2fkeys").status_code == 404


@pytest.mark.parametrize(
    "url", ["/", "/2026-05-07/", "/archive/", "/u/x", "/p/x", "/c/x", "/media/x", "/healthz", "/zz"]
)
def test_every_answer_has_the_same_locks(client, edition, url):
    headers = client.get(url).headers
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy


@pytest.mark.parametrize("url", ["/u/x", "/p/x", "/c/x", "/e/x", "/r/x", "/proof"])
def test_pages_of_one_person_are_neither_kept_nor_indexed(client, url):
    for method in ("GET", "POST"):
        answer = client.request(method, url)
        if answer.status_code != 405:
            assert answer.headers["Cache-Control"] == "no-store"
            assert "noindex" in answer.headers["X-Robots-Tag"]


def test_robots_are_kept_from_personal_pages(client):
    said = client.get("/robots.txt").text
    assert {f"Disallow: /{p}" for p in ("u", "p", "c", "e", "r", "proof")} <= {*said.splitlines()}


def test_health_follows_the_heartbeat_and_the_claims(client, sqlite_engine, clock, now):
    assert client.get("/healthz").status_code == 503
    with database.write(sqlite_engine) as connection:
        runs.write_instance(connection, "i", now)
        runs.beat(connection, now)
    assert client.get("/healthz").json()["status"] == "ok"
    clock.turn(seconds=121)
    assert client.get("/healthz").json()["problems"] == ["the schedule last ticked 121 s ago"]
    clock.turn(days=6, minutes=20)  # Wednesday, before Ascension
    with database.write(sqlite_engine) as connection:
        runs.beat(connection, clock())
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["problems"] == ["nothing has claimed the issue of 2026-05-13"]


def test_a_locked_database_asks_to_come_back(client, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise Busy("the database is locked")

    monkeypatch.setattr("newsletter.membership.leave", refuse)
    monkeypatch.setattr("newsletter.web.reader.open_token", lambda *_: object())
    answer = client.post("/u/x")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
    assert "locked" not in answer.text


@pytest.mark.parametrize("size", ["2000000", "-1", "x", ""])
def test_bodies_beyond_reason_are_refused(client, size):
    answer = client.post("/u/x", headers={"Content-Length": size}, content=b"")
    assert answer.status_code == 413


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=q", "application/octet-stream"])
def test_a_body_that_tells_no_length_is_cut_off(client, kind):
    taken = []

    async def trickle():
        yield b'--q\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
        for number in range(64):
            taken.append(number)
            yield b"x" * 65_536

    answer = client.post("/", headers={"Content-Type": kind}, content=trickle())
    assert 400 <= answer.status_code < 500
    assert len(taken) < 20


def test_a_page_names_no_software_and_no_api(client):
    for url in ("/docs", "/redoc", "/openapi.json"):
        assert client.get(url).status_code == 404


def test_two_visitors_share_nothing(app, edition):
    first, second = Visitor(app, "203.0.113.1"), Visitor(app, "203.0.114.1")
    assert first.get("/archive/").text == second.get("/archive/").text
