"""Collecting, end to end: a server on loopback, the parsing child, the database."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select

from newsletter.errors import ConfigError
from newsletter.examples.fetch import collect
from newsletter.examples.reports import FeedOutcome
from newsletter.store import database, schema
from newsletter.store.examples import list_examples
from tests.examples import feed_server
from tests.examples.entries import item, rss
from tests.examples.watching import watch

CUISINE = {
    "guid": "c1",
    "description": "<p>Trois communes &amp; un chantier.</p>",
    "pubDate": "Tue, 05 May 2026 08:00:00 +0200",
    "category": "Hybridation",
    "territoire": "Val-de-Lise",
    "echelle": "epci",
    "region": "Bretagne",
    "odd": "2, 12",
    "acteurs": "Ville de Lise | collectivite | porteur ; Les Prés | association",
}
DAY = timedelta(days=1)


def examples_of(engine, **asked):
    with database.read(engine) as connection:
        return list_examples(connection, **asked)


def feed_of(engine):
    with database.read(engine) as connection:
        return connection.execute(select(schema.feed)).one()


def only(report):
    (feed,) = report.feeds
    return feed


def outcomes(report):
    return [entry.outcome.value for feed in report.feeds for entry in feed.entries]


def limited(settings, **limits):
    return settings.model_copy(update={"feeds": settings.feeds.model_copy(update=limits)})


def test_a_good_feed_becomes_examples(publication, server, engine, now):
    watch(publication, server.serve("/rss", rss(item(**CUISINE))))
    report = collect(publication, engine, now)
    (found,) = examples_of(engine)
    assert report.counts["new"] == 1
    assert found.id == "cuisine-partagee"
    assert found.summary == "Trois communes & un chantier."
    assert found.source == "Carnet d'essai"
    assert (found.territory, found.scale) == ("Val-de-Lise", "intercommunalite")
    assert (found.region, found.objective, found.sdgs) == ("bretagne", "hybridation", (2, 12))
    assert [(actor.name, actor.profile, actor.role) for actor in found.actors] == [
        ("Ville de Lise", "collectivite", "porteur"),
        ("Les Prés", "association", ""),
    ]
    assert found.published_at.isoformat() == "2026-05-05T06:00:00+00:00"
    assert found.first_seen_at == now


def test_the_report_is_one_json_document(publication, server, sqlite_engine, now):
    watch(publication, server.serve("/rss", rss(item(), item(title=""))), server.url("/rien"))
    report = collect(publication, sqlite_engine, now)
    read = json.loads(json.dumps(dataclasses.asdict(report)))
    assert read["counts"]["refused"] == 1
    assert read["feeds"][1]["reason"]["code"] == "missing"


def test_a_feed_that_did_not_change_is_not_read_again(publication, server, sqlite_engine, now):
    headers = {"ETag": '"v1"', "Last-Modified": "Tue, 05 May 2026 06:00:00 GMT"}
    watch(publication, server.serve("/rss", rss(item()), headers=headers))
    collect(publication, sqlite_engine, now)
    report = collect(publication, sqlite_engine, now + DAY)
    assert only(report).outcome is FeedOutcome.NOT_MODIFIED
    asked = server.asked[1][1]
    assert asked["If-None-Match"] == '"v1"'
    assert asked["If-Modified-Since"] == "Tue, 05 May 2026 06:00:00 GMT"
    assert asked["Accept-Encoding"] == "gzip"


def test_what_could_not_be_read_is_asked_for_again(publication, server, sqlite_engine, now):
    watch(publication, server.serve("/rss", b"<html>", headers={"ETag": '"v1"'}))
    assert only(collect(publication, sqlite_engine, now)).reason.code == "not_a_feed"
    assert feed_of(sqlite_engine).etag is None


def test_an_edit_follows_and_keeps_the_id(publication, server, engine, now):
    watch(publication, server.serve("/rss", rss(item(**CUISINE))))
    collect(publication, engine, now)
    edited = CUISINE | {"description": "Quatre communes.", "territoire": "Val-de-Lise et Orbe"}
    server.serve("/rss", rss(item(title="Une cuisine pour quatre", **edited)))
    report = collect(publication, engine, now + DAY)
    (found,) = examples_of(engine)
    assert outcomes(report) == ["updated"]
    assert (found.id, found.title) == ("cuisine-partagee", "Une cuisine pour quatre")
    assert (found.summary, found.territory) == ("Quatre communes.", "Val-de-Lise et Orbe")
    assert found.first_seen_at == now
    assert outcomes(collect(publication, engine, now + 2 * DAY)) == ["unchanged"]


def test_another_guid_for_the_same_page_is_merged(publication, server, engine, now):
    watch(publication, server.serve("/rss", rss(item(**CUISINE))))
    collect(publication, engine, now)
    again = CUISINE | {
        "guid": "c2",
        "description": "Republié.",
        "link": "http://www.carnet.example/CUISINE/",
    }
    server.serve("/rss", rss(item(**again)))
    assert outcomes(collect(publication, engine, now + DAY)) == ["merged"]
    assert outcomes(collect(publication, engine, now + DAY)) == ["unchanged"]
    (found,) = examples_of(engine)
    assert found.summary == "Trois communes & un chantier."


def test_another_feed_fills_blanks_and_rewrites_nothing(publication, server, engine, now):
    bare = server.serve("/un", rss(item(guid="a", territoire="Val-de-Lise", description="Un.")))
    other = server.serve(
        "/deux",
        rss(item(link="https://b.example/x", **(CUISINE | {"territoire": "Val de Lise"}))),
    )
    watch(publication, bare, other)
    assert outcomes(collect(publication, engine, now)) == ["new", "merged"]
    (found,) = examples_of(engine)
    assert (found.summary, found.link) == ("Un.", "https://carnet.example/cuisine")
    assert (found.objective, found.region) == ("hybridation", "bretagne")
    taken_back = CUISINE | {"statut": "retiré"}
    server.serve("/deux", rss(item(link="https://b.example/x", **taken_back)))
    assert outcomes(collect(publication, engine, now)) == ["unchanged", "unchanged"]
    assert len(examples_of(engine)) == 1


def test_two_collections_at_once_keep_each_example_once(publication, server, engine, now):
    items = [item(f"Cuisine {n}", f"https://a.example/{n}", guid=f"c{n}") for n in range(30)]
    watch(publication, server.serve("/rss", rss(*items)))
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: collect(publication, engine, now), range(4)))
    assert sum(report.counts["new"] for report in reports) == 30
    assert len(examples_of(engine)) == 30


def test_a_withdrawn_example_is_marked_and_may_come_back(publication, server, engine, now):
    watch(publication, server.serve("/rss", rss(item(guid="a"))))
    collect(publication, engine, now)
    server.serve("/rss", rss(item(guid="a", statut="retire")))
    assert outcomes(collect(publication, engine, now + DAY)) == ["withdrawn"]
    assert examples_of(engine) == ()
    assert examples_of(engine, withdrawn=True)[0].withdrawn_at == now + DAY
    server.serve("/rss", rss(item(guid="a")))
    assert outcomes(collect(publication, engine, now + DAY)) == ["updated"]
    assert examples_of(engine)[0].withdrawn_at is None


def test_one_bad_feed_never_blocks_the_others(publication, server, sqlite_engine, now):
    bad = {
        server.url("/absent"): "missing",
        server.serve("/coupe", play=feed_server.hang_up): "connect_failed",
        server.serve("/panne", status=500): "bad_status",
        server.serve("/bombe", play=feed_server.packed_bomb(9_000_000)): "too_big",
        server.serve("/gros", rss(item(description="x" * 1_100_000))): "too_big",
        server.serve("/html", b"<html>Bonjour</html>", content_type="text/html"): "not_a_feed",
        server.serve("/attributs", b"<rss " + b"a='' " * 50_000 + b"/>"): "giant_tag",
        server.serve("/brotli", rss(), headers={"Content-Encoding": "br"}): "bad_coding",
        server.serve("/tronque", b"\x1f\x8b\x08rien de bon"): "bad_coding",
        server.serve("/ailleurs", status=302, headers={"Location": "ftp://a.example/"}): (
            "blocked_scheme"
        ),
        server.serve("/dedans", status=302, headers={"Location": "http://127.0.0.1/x"}): (
            "blocked_address"
        ),
        server.serve("/meta", status=302, headers={"Location": "http://[::ffff:a9fe:a9fe]/"}): (
            "blocked_address"
        ),
        server.serve("/porte", status=302, headers={"Location": "http://127.0.0.1:22/"}): (
            "blocked_port"
        ),
        server.serve("/nulle-part", status=301): "bad_redirect",
        server.serve("/rond", status=301, headers={"Location": "/rond"}): "too_many_redirects",
    }  # fmt: skip
    watch(publication, *bad, server.serve("/bon", rss(item())))
    report = collect(publication, sqlite_engine, now)
    reasons = {feed.url: feed.reason and feed.reason.code for feed in report.feeds}
    assert reasons == bad | {server.url("/bon"): None}
    assert len(examples_of(sqlite_engine)) == 1


@pytest.mark.parametrize(
    "play", [feed_server.never, feed_server.trickle_body, feed_server.trickle_headers]
)
def test_a_server_that_never_ends_is_left(publication, server, sqlite_engine, now, play):
    watch(publication, server.serve("/lent", play=play))
    report = collect(limited(publication, total_timeout_s=0.3), sqlite_engine, now)
    assert only(report).reason.code == "timed_out"


def test_a_wrong_content_type_and_gzip_do_no_harm(publication, server, sqlite_engine, now):
    first = server.serve("/un", rss(item()), content_type="text/html; charset=latin-1", packed=True)
    watch(publication, first)
    collect(publication, sqlite_engine, now)
    assert examples_of(sqlite_engine)[0].title == "Une cuisine partagée"


def test_a_name_that_leads_inside_is_refused_at_connection(publication, sqlite_engine, now):
    watch(publication, "http://carnet.example/rss", "https://carnet.example/rss")
    for address in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1"):
        report = collect(publication, sqlite_engine, now, resolve=lambda *_: [address])  # noqa: B023 - called at once
        assert [feed.reason.code for feed in report.feeds] == ["blocked_address"] * 2


def test_a_name_nobody_has_is_said_so(publication, sqlite_engine, now):
    def unknown(host, port):
        raise OSError("Name or service not known")

    watch(publication, "http://carnet.example/rss")
    report = collect(publication, sqlite_engine, now, resolve=unknown)
    assert only(report).reason.code == "no_such_host"


def test_a_feed_closed_for_good_is_not_asked_again(publication, server, sqlite_engine, now):
    url = server.serve("/rss", status=410)
    watch(publication, url)
    report = collect(publication, sqlite_engine, now)
    assert [notice.code for notice in report.notices] == ["gone"]
    report = collect(publication, sqlite_engine, now + DAY)
    assert only(report).outcome is FeedOutcome.DISABLED
    assert len(server.asked) == 1
    watch(publication)
    collect(publication, sqlite_engine, now + DAY)
    watch(publication, url)
    assert only(collect(publication, sqlite_engine, now + DAY)).outcome is FeedOutcome.FAILED


def test_a_page_missing_for_a_week_is_told(publication, server, sqlite_engine, now):
    watch(publication, server.url("/rss"))
    told = [collect(publication, sqlite_engine, now + day * DAY).notices for day in range(8)]
    assert [bool(notices) for notices in told] == [False] * 7 + [True]
    assert told[7][0].code == "missing_for_a_week"


def test_a_busy_server_is_left_alone_until_it_says(publication, server, sqlite_engine, now):
    watch(publication, server.serve("/rss", status=503, headers={"Retry-After": "7200"}))
    collect(publication, sqlite_engine, now)
    report = collect(publication, sqlite_engine, now + timedelta(minutes=119))
    assert only(report).outcome is FeedOutcome.WAITING
    server.serve("/rss", rss(item()))
    report = collect(publication, sqlite_engine, now + timedelta(minutes=121))
    assert only(report).outcome is FeedOutcome.READ


def test_a_feed_that_moved_is_followed_and_believed_on_the_third_day(
    publication, server, sqlite_engine, now
):
    old = server.serve("/vieux", status=301, headers={"Location": "/neuf"})
    new = server.serve("/neuf", rss(item()), headers={"ETag": '"1"'})
    watch(publication, old)
    for day in (0, 0, 1):
        collect(publication, sqlite_engine, now + day * DAY)
        assert feed_of(sqlite_engine).current_url == old
    collect(publication, sqlite_engine, now + 2 * DAY)
    assert feed_of(sqlite_engine).current_url == new
    assert len(examples_of(sqlite_engine)) == 1


def test_the_fifth_redirect_is_followed_and_the_sixth_is_not(
    publication, server, sqlite_engine, now
):
    for step in range(1, 7):
        server.serve(f"/{step}", status=302, headers={"Location": f"/{step - 1}"})
    server.serve("/0", rss(item()))
    watch(publication, server.url("/5"), server.url("/6"))
    report = collect(publication, sqlite_engine, now)
    assert [feed.outcome for feed in report.feeds] == [FeedOutcome.READ, FeedOutcome.FAILED]


def test_a_description_of_five_megabytes_is_cut_and_told(publication, server, sqlite_engine, now):
    long = item(guid="a", description="Un long récit. " * 350_000)
    watch(publication, server.serve("/rss", rss(long, item(guid="b", link="https://a.example/b"))))
    roomy = limited(publication, max_wire_bytes=10_000_000, max_body_bytes=20_000_000)
    report = collect(roomy, sqlite_engine, now)
    entry = only(report).entries[0]
    assert [finding.code for finding in entry.repairs] == ["too_long"]
    assert max(len(example.summary) for example in examples_of(sqlite_engine)) <= 280


def test_one_address_given_to_two_hosts_is_asked_by_its_name(
    publication, server, sqlite_engine, now
):
    url = f"http://carnet.example:{server.port}/rss"
    server.serve("/rss", rss(item()))
    watch(publication, url)
    allowed = limited(publication, allow_private=(f"carnet.example:{server.port}",))
    collect(allowed, sqlite_engine, now, resolve=lambda *_: ["127.0.0.1"])
    assert server.asked[0][1]["Host"] == f"carnet.example:{server.port}"


def test_a_proxy_of_the_environment_is_not_used(
    publication, server, sqlite_engine, now, monkeypatch
):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    watch(publication, server.serve("/rss", rss(item())))
    assert only(collect(publication, sqlite_engine, now)).outcome is FeedOutcome.READ


def test_without_a_list_of_feeds_there_is_nothing_to_do(publication, sqlite_engine, now):
    assert collect(publication, sqlite_engine, now).feeds == ()


def test_a_list_of_feeds_that_cannot_be_read_names_its_line(publication, sqlite_engine, now):
    watch(publication).write_text("<opml>\n<body>\n", encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        collect(publication, sqlite_engine, now)
    assert (refused.value.path, refused.value.line) == ("issues/feeds.opml", 3)


def test_progress_is_told_feed_by_feed(publication, server, sqlite_engine, now):
    told = []
    watch(publication, server.serve("/un", rss()), server.url("/absent"))
    collect(
        publication,
        sqlite_engine,
        now,
        lambda done, of, feed: told.append((done, of, feed.outcome.value)),
    )
    assert told == [(1, 2, "read"), (2, 2, "failed")]
