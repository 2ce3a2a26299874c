"""Facts about what mail clients do not support."""

import tomllib
from datetime import date

import pytest

from newsletter.checks.checked import Checked
from newsletter.checks.client_facts import CLIENTS, PARTLY, UNSUPPORTED
from newsletter.checks.support import client_support, features
from newsletter.model import Digest, Edition, Issue, IssueId, Place
from tests.golden.rendering import EXPECTED, REPOSITORY

ID = IssueId("2026-05-07")
ACCEPTED = frozenset(
    tomllib.loads((REPOSITORY / "templates" / "theme.toml").read_text("utf-8"))["support"][
        "accepted"
    ]
)


@pytest.fixture
def find(settings):
    """Return what gives the findings of some HTML, as (feature, clients)."""

    def run(html: str, accepted: frozenset[str] = frozenset()):
        edition = Edition(
            issue_id=ID, subject="", preheader="", sender="", html=html, text="", web="",
            audience_rule="weekly", picks=(), pictures=(), digest=Digest("0" * 64),
        )  # fmt: skip
        checked = Checked(
            issue=Issue(id=ID, number=1, subject="", place=Place("issues/x/issue.md", 1)),
            settings=settings,
            today=date(2026, 5, 7),
            edition=edition,
            accepted=accepted,
        )
        return [(said.facts["feature"], said.facts["clients"]) for said in client_support(checked)]

    return run


@pytest.mark.parametrize(
    ("html", "feature"),
    [
        ('<td style="display:flex">', "display:flex"),
        ('<td style="color:red;display: flex !important">', "display:flex"),
        ('<td style="gap:4px">', "gap"),
        ('<td style="width:calc(100% - 2px)">', "calc()"),
        ('<td style="background:linear-gradient(red,blue)">', "linear-gradient()"),
        ('<td style="margin:1.5rem 0">', "1rem"),
        ('<td style="color:var(--a)">', "var()"),
        ("<style>@media (prefers-color-scheme:dark){a{color:red}}</style>",
         "@media prefers-color-scheme"),
        ("<style>@font-face{font-family:x}</style>", "@font-face"),
        ('<style>@import url("x.css");</style>', "@import"),
        ("<style>a:hover{color:red}</style>", ":hover"),
        ("<style>p::first-line{color:red}</style>", "::first-line"),
        ("<style>[data-ogsc] p{color:red}</style>", "[selector]"),
        ("<style>/* */ .x{position:fixed;z-index:2}</style>", "z-index"),
        ("<video></video>", "<video>"),
        ('<img src="a.jpg" srcset="b.jpg 2x">', "[srcset]"),
        ('<img src="https://example.org/media/a.webp">', ".webp"),
        ('<img src="data:image/png;base64,xx">', "data:"),
        ('<a href="#note-1">1</a>', "href=#"),
        ('<meta name="color-scheme" content="light dark">', "<meta color-scheme>"),
    ],
)  # fmt: skip
def test_a_feature_is_found_where_it_is_used(html, feature):
    assert feature in features(html) & UNSUPPORTED.keys()


@pytest.mark.parametrize(
    "html",
    [
        "<p>display:flex; var(--x) 1rem &lt;video&gt;</p>",
        "<!--[if mso]><video style='gap:1px'></video><![endif]-->",
        "<style>/* a{gap:1px} */ p{color:red}</style>",
        '<td style="color:#1rem" width="100%">',
        '<a href="https://example.org/a.webp">x</a>',
    ],
)
def test_what_no_client_reads_is_not_found(html):
    assert features(html) & UNSUPPORTED.keys() - {"<style>"} == set()


def test_a_finding_says_which_clients(find):
    assert find('<td style="border-radius:4px">') == [
        ("border-radius", "Outlook (Windows), Orange")
    ]


def test_what_the_publication_accepts_is_no_finding(find):
    assert find('<td style="border-radius:4px">', frozenset({"border-radius"})) == []


@pytest.mark.parametrize("name", ["issue-a", "issue-b", "gallery", "reference", "issue-c-clean"])
def test_the_sample_uses_nothing_beyond_its_baseline(find, name):
    html = (EXPECTED / name / "index.html").read_text("utf-8")
    assert find(html, ACCEPTED) == []


def test_the_baseline_accepts_nothing_that_all_clients_know():
    assert set(ACCEPTED) <= UNSUPPORTED.keys() | PARTLY.keys()


def test_every_fact_names_known_clients():
    facts = [*UNSUPPORTED.values(), *PARTLY.values()]
    assert all(set(letters) <= CLIENTS.keys() and letters for letters in facts)


def test_no_client_both_knows_a_feature_in_part_and_not_at_all():
    both = UNSUPPORTED.keys() & PARTLY.keys()
    assert [name for name in both if set(UNSUPPORTED[name]) & set(PARTLY[name])] == []


def test_what_a_client_knows_only_in_part_is_said_as_such(find):
    used = '<td style="color:rgb(1,2,3)">'
    assert find(used) == [("rgb()", "Gmail, Outlook (Windows), Orange, Yahoo")]
    assert find(used, frozenset({"rgb()"})) == []
