"""Checks that a story alone cannot set off: each on an issue made for it."""

from dataclasses import replace
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.checks import catalogue, online
from newsletter.checks.checked import Checked, Figure
from newsletter.checks.links import is_reserved
from newsletter.checks.outline import outline
from newsletter.checks.sarif import to_sarif
from newsletter.content.blocks import BlockDeclaration, FieldDeclaration
from newsletter.content.house import House
from newsletter.content.markdown import parse
from newsletter.content.nodes import build_nodes
from newsletter.content.typography import open_profile
from newsletter.content.values import Kind
from newsletter.model import (
    Digest,
    Edition,
    Finding,
    Issue,
    IssueId,
    Picture,
    Place,
    Severity,
    Source,
    Story,
)
from tests.ports import find_port
from tests.pressroom import open_publication

FIGURE = BlockDeclaration(
    name="chiffre",
    path="templates/blocks/chiffre.j2",
    fields={"source": FieldDeclaration(name="source", kind=Kind.SOURCE)},
)
HOUSE = House(blocks={"chiffre": FIGURE}, profile=open_profile("fr"))
GOOD_HTML = (
    '<html lang="fr"><body style="background:#ffffff"><h1>Des légumes partagés</h1>'
    '<h2>Une cuisine</h2><p style="color:#333333">Bonjour.</p></body></html>'
)


@pytest.fixture
def settings(tmp_path):
    return open_publication(tmp_path)


@pytest.fixture
def checked(settings):
    return Checked(issue=an_issue(), settings=settings, today=date(2026, 5, 7), roles={})


def an_issue(text="Bonjour.", issue_id="2026-05-07", **changes):
    file = f"issues/{issue_id}/10-cuisine.md"
    story = Story(
        slug="cuisine",
        title="Une cuisine",
        place=Place(file, 1),
        nodes=build_nodes(parse(text, file, HOUSE), HOUSE),
        kind="exemples",
    )
    values = {
        "id": IssueId(issue_id),
        "number": 141,
        "subject": "Des légumes partagés",
        "preheader": "Trois communes et une cuisine.",
        "place": Place(f"issues/{issue_id}/issue.md", 1),
        "stories": (story,),
    }
    return Issue(**{**values, **changes})


def an_edition(html=GOOD_HTML, text="Des légumes partagés\nUne cuisine\nBonjour.", **changes):
    values = {
        "issue_id": IssueId("2026-05-07"),
        "subject": "Des légumes partagés",
        "preheader": "",
        "sender": "La Lettre <lettre@example.org>",
        "html": html,
        "text": text,
        "web": "",
        "audience_rule": "weekly",
        "picks": (),
        "pictures": (),
        "digest": Digest("0" * 64),
    }
    return Edition(**{**values, **changes})


def codes(checked, **changes):
    found = catalogue.run_checks(replace(checked, **{"roles": {"exemples": "examples"}, **changes}))
    return [finding.code for finding in found]


def test_a_good_issue_gives_nothing(checked):
    assert codes(checked, edition=an_edition()) == []


def test_no_subject_is_not_called_a_short_one(checked):
    assert codes(checked, issue=an_issue(subject="Lettre")) == ["short_subject"]
    assert codes(checked, issue=an_issue(subject="")) == []


def test_each_check_is_in_the_tuple_once():
    assert len(set(catalogue.CHECKS)) == len(catalogue.CHECKS)
    assert len(catalogue.CHECKS) > 40


# --- days ---------------------------------------------------------------------------------------


def test_a_folder_on_a_holiday_is_told_its_new_name(checked):
    (found,) = catalogue.run_checks(
        replace(checked, issue=an_issue(issue_id="2026-05-14"), roles={"exemples": "examples"})
    )
    assert (found.code, found.facts["folder"]) == ("folder_on_holiday", "2026-05-13")
    assert found.facts["moved"] == "mercredi 13 mai 2026"


def test_a_folder_on_a_day_without_departure_is_doubtful(checked):
    assert codes(checked, issue=an_issue(issue_id="2026-05-19")) == ["no_slot"]


def test_two_folders_for_one_slot_are_an_error_for_both(checked):
    both = (IssueId("2026-05-13"), IssueId("2026-05-14"))
    assert codes(checked, issue=an_issue(issue_id="2026-05-13"), folders=both) == [
        "two_for_one_slot"
    ]
    assert codes(checked, issue=an_issue(issue_id="2026-05-14"), folders=both) == [
        "folder_on_holiday",
        "two_for_one_slot",
    ]


DATED = """::: rendezvous Ce jour-là
date: 2026-05-06

Venez.
:::"""


@pytest.mark.parametrize(("role", "expected"), [("event", ["past_event"]), ("", [])])
def test_only_an_event_must_be_to_come(checked, role, expected):
    block = BlockDeclaration(
        name="rendezvous",
        path="templates/blocks/rendezvous.j2",
        fields={"date": FieldDeclaration(name="date", kind=Kind.DATE)},
    )
    house = House(blocks={"rendezvous": block})
    issue = an_issue()
    nodes = build_nodes(parse(DATED, "issues/2026-05-07/10-cuisine.md", house), house)
    story = replace(issue.stories[0], nodes=nodes)
    roles = {"exemples": "examples"} | ({"rendezvous": role} if role else {})
    fields = {"rendezvous": {"date": "date"}}
    dated = replace(issue, stories=(story,))
    assert codes(checked, issue=dated, roles=roles, fields=fields) == expected


# --- figures ------------------------------------------------------------------------------------

SOURCE = Source(id="barometre", title="Baromètre", valid_until=date(2026, 12, 31))
TEXT = "::: chiffre 84\u00a0%\nsource: barometre\n\ndes maires ont une alliance.\n:::"


@pytest.fixture
def figured(checked):
    house = replace(HOUSE, registries=replace(HOUSE.registries, sources={"barometre": SOURCE}))
    file = "issues/2026-05-07/10-cuisine.md"
    nodes = build_nodes(parse(TEXT, file, house), house)
    issue = an_issue()
    story = replace(issue.stories[0], nodes=nodes)
    return replace(
        checked,
        issue=replace(issue, stories=(story,)),
        fields={"chiffre": {"source": "source"}},
        sources={"barometre": SOURCE},
    )


def test_a_valid_source_is_silent_and_a_stale_one_is_not(figured):
    assert codes(figured) == []
    assert codes(figured, today=date(2027, 1, 1)) == ["stale_source"]
    undated = {"barometre": replace(SOURCE, valid_until=None)}
    assert codes(figured, sources=undated) == ["source_without_validity"]


@pytest.mark.parametrize(
    ("sentence", "source", "expected"),
    [
        ("des communes sont alliées", "barometre", ["figure_reworded"]),
        ("des maires ont une alliance.", "barometre", []),
        ("des communes sont alliées", "autre", []),
    ],
)
def test_a_figure_keeps_its_words_from_one_issue_to_the_next(figured, sentence, source, expected):
    before = Figure(
        value="84\u202f%",
        sentence=sentence,
        source=source,
        place=Place("issues/2026-04-30/10-a.md", 3),
        issue_id=IssueId("2026-04-30"),
    )
    assert codes(figured, figures=(before,)) == expected


# --- the envelope -------------------------------------------------------------------------------


def test_a_number_is_taken_once(checked):
    taken = {IssueId("2026-04-30"): 141}
    (found,) = catalogue.run_checks(replace(checked, numbers=taken, roles={"exemples": "examples"}))
    assert (found.code, found.facts["free"]) == ("number_taken", 142)


def with_section(settings, name, **values):
    section = getattr(settings, name).model_copy(update=values)
    return settings.model_copy(update={name: section})


def test_a_missing_legal_notice_is_an_error_only_towards_real_people(checked, settings):
    bare = with_section(settings, "publication", director="À COMPLÉTER", host="")
    found = catalogue.run_checks(replace(checked, settings=bare, roles={"exemples": "examples"}))
    assert [(one.code, one.severity) for one in found] == 2 * [
        ("no_legal_notice", Severity.WARNING)
    ]
    real = with_section(bare, "relay", url="smtp://relais.example:587")
    one_of_two = bare.model_copy(update={"relays": (real.relay,)})
    for reaching in (real, one_of_two):
        found = catalogue.run_checks(replace(checked, settings=reaching))
        notice = [one.severity for one in found if one.code == "no_legal_notice"]
        assert notice == 2 * [Severity.ERROR]
        assert "reserved_address" in {one.code for one in found}


# --- the mail -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        (GOOD_HTML.replace("#333333", "#cccccc"), ["low_contrast"]),
        (GOOD_HTML.replace("<h1>", "<h2>").replace("</h1>", "</h2>"), ["broken_outline"]),
        (GOOD_HTML.replace("h2>", "h4>"), ["broken_outline"]),
        (
            GOOD_HTML.replace("Bonjour.", '<img src="https://x.example/o.gif" width="1" alt=""/>'),
            ["tracking_pixel"],
        ),
        (GOOD_HTML.replace("Bonjour.", '<a href="https://x.example/">Voir</a>'), ["poor_text"]),
        (GOOD_HTML.replace("Bonjour.", "<h3>Ailleurs</h3>"), ["poor_text"]),
        (GOOD_HTML + "é" * 30_000, ["heavy"]),
        (GOOD_HTML + "é" * 60_000, ["weight"]),
        (
            GOOD_HTML.replace("Bonjour.", '<span style="display:none;color:#ffffff">caché</span>'),
            [],
        ),
    ],
)
def test_what_the_mail_itself_shows(checked, html, expected):
    assert codes(checked, edition=an_edition(html)) == expected


def test_pictures_are_counted_and_weighed(checked):
    pictures = tuple(
        Picture(name=f"{n}.png", content=b"0" * 50_000, width=1, height=1, source=f"{n}.png")
        for n in range(6)
    )
    assert codes(checked, edition=an_edition(pictures=pictures)) == [
        "many_pictures",
        "heavy_pictures",
    ]


def test_links_of_one_label_to_two_targets_are_found_at_the_second(checked):
    issue = an_issue("[Lire](https://a.fr/)\n\nPuis [lire](https://b.fr/) encore.")
    html = '<h1>Titre</h1><a href="https://a.fr/">Lire</a> <a href="https://b.fr/">lire</a>'
    found = catalogue.run_checks(
        replace(
            checked,
            issue=issue,
            edition=an_edition(html, "Titre Lire"),
            roles={"exemples": "examples"},
        )
    )
    assert [(one.code, one.line) for one in found] == [("duplicate_label", 3)]


def test_an_outline_sees_names_headings_and_pictures():
    seen = outline(
        '<h1>Un <b>titre</b></h1><a href="x" aria-label="Lire la charte">Lire</a>'
        '<img src="i" alt="Un pont"/>'
    )
    assert seen.headings == [(1, "Un titre")]
    assert [(anchor.name, anchor.href) for anchor in seen.anchors] == [("Lire la charte", "x")]
    assert seen.images == [{"src": "i", "alt": "Un pont"}]


@given(st.text(alphabet="<>/abh1 ='\"é\n", max_size=200))
def test_an_outline_survives_any_markup(html):
    outline(html)


# --- reserved names, online, SARIF --------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["example.org", "www.example.com", "flux.example", "x.test", "localhost", "127.0.0.1", "::1",
     "10.0.0.8", "EXAMPLE.ORG."],
)  # fmt: skip
def test_names_that_lead_nowhere_are_reserved(host):
    assert is_reserved(host)


@pytest.mark.parametrize(
    "host", ["charte.fr.example.net.fr", "notexample.org", "9.9.9.9", "testing"]
)
def test_other_names_are_not(host):
    assert not is_reserved(host)


class Pages(BaseHTTPRequestHandler):
    def do_GET(self):
        status = {"/gone": 404, "/moved": 301, "/later": 302, "/shy": 403}.get(self.path, 200)
        self.send_response(status)
        if status in {301, 302}:
            self.send_header("Location", "/new")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_links_are_asked_and_only_the_dead_and_the_moved_are_told(settings, site):
    pages = ("fine", "gone", "moved", "later", "shy")
    text = "\n\n".join(f"Voyez [la page {page}]({site}/{page}) ici." for page in pages)
    found = online.ask_links(an_issue(text), settings)
    assert [(one.code, one.line) for one in found] == [("dead_link", 3), ("redirected_link", 5)]
    assert found[1].facts["target"] == f"{site}/new"


def test_a_site_that_does_not_answer_is_a_finding_not_a_failure(settings, site):
    closed = f"http://127.0.0.1:{find_port()}/page"
    (found,) = online.ask_links(an_issue(f"Voyez [la page]({closed}) ici."), settings)
    assert (found.code, found.facts["answer"]) == ("dead_link", "ConnectError")


def test_sarif_names_rule_level_file_and_line():
    finding = Finding(
        severity=Severity.ERROR,
        code="no_alt",
        message="Sans texte.",
        remedy="Écrivez-le.",
        file="issues/2026-05-07/10-a.md",
        line=9,
    )
    advice = replace(finding, severity=Severity.ADVICE, code="long_issue", file=None, line=None)
    (run,) = to_sarif([finding, advice], "1.0")["runs"]
    assert run["tool"]["driver"]["rules"][1]["id"] == "no_alt"
    first, second = run["results"]
    assert (first["ruleId"], first["level"], first["ruleIndex"]) == ("no_alt", "error", 1)
    place = first["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "issues/2026-05-07/10-a.md"
    assert place["region"] == {"startLine": 9}
    assert (second["level"], "locations" in second) == ("note", False)
