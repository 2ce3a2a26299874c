"""Markdown → tokens → mail, web and text: what each medium shows, and that nothing breaks it."""

from __future__ import annotations

import sys
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mjml import mjml2html

from newsletter.content.house import House
from newsletter.content.markdown import parse, render_mail, render_text, render_web
from newsletter.content.nodes import build_nodes
from newsletter.content.notes import number_notes
from newsletter.content.registries import Registries
from newsletter.content.typography import open_profile
from newsletter.model import Block, Prose, Source

SOURCE = Source(
    id="impact", title="Impact", institute="Institut Fictif", url="https://impact.example/e?a=1&b=2"
)
HOUSE = House(
    profile=open_profile("fr", protected=["ODD 17"]),
    registries=Registries(sources={"impact": SOURCE}),
)


def tokens_of(text: str):
    parsed = parse(text, "f.md", HOUSE)
    number_notes([parsed], HOUSE)
    return parsed.tokens


def codes_of(text: str) -> list[str]:
    parsed = parse(text, "f.md", HOUSE)
    number_notes([parsed], HOUSE)
    build_nodes(parsed, HOUSE)
    return [finding.code for finding in parsed.findings]


def prose_of(text: str):
    parsed = parse(text, "f.md", HOUSE)
    number_notes([parsed], HOUSE)

    def walk(nodes):
        for node in nodes:
            if isinstance(node, Prose):
                yield node
            elif isinstance(node, Block):
                yield from walk(node.body)

    return list(walk(build_nodes(parsed, HOUSE)))


# --- mail -----------------------------------------------------------------------------------------


def test_the_mail_carries_its_styles_in_its_tags():
    styles = {"p": "margin:0", "a": "color:#000000", "strong": "font-weight:bold;"}
    html = render_mail(tokens_of("Un **mot** et [un lien](https://a.example)."), styles)
    assert html == (
        '<p style="margin:0">Un <strong style="font-weight:bold">mot</strong> et '
        '<a href="https://a.example" style="color:#000000">un lien</a>.</p>\n'
    )


def test_headings_can_be_lowered_but_not_below_six():
    tokens = tokens_of("## Deux\n\n##### Cinq\n")
    assert render_web(tokens, shift=1) == "<h3>Deux</h3>\n<h6>Cinq</h6>\n"
    assert render_web(tokens, shift=4).count("<h6>") == 2


def test_a_table_says_what_its_headings_head():
    html = render_mail(tokens_of("| A | B |\n|---|--:|\n| 1 | 2 |\n"), {"td": "padding:0"})
    assert '<th scope="col">A</th>' in html
    assert '<td style="padding:0;text-align:right">2</td>' in html


def test_a_personal_field_is_a_hole_with_an_escaped_fallback():
    html = render_mail(tokens_of("{{ prénom | L'ami & <co> }}, bonjour"), {})
    assert html == "<p>\ue000first_name|L’ami &amp; &lt;co&gt;\ue001, bonjour</p>\n"


@pytest.mark.parametrize("bar", ["|", "\\|"])
def test_a_field_stays_whole_in_a_table_cell(bar: str):
    html = render_mail(tokens_of(f"| a |\n|---|\n| {{{{ nom {bar} vous }}}} |\n"), {})
    assert "\ue000last_name|vous\ue001" in html


def test_fields_in_code_and_addresses_stay_as_written():
    html = render_mail(tokens_of("`{{ prenom }}`"), {})
    assert html == "<p><code>{{ prenom }}</code></p>\n"


def test_links_are_byte_equal_to_what_was_written():
    for href in (
        "https://exemple.example/é?a=1&b=ç|"[:-1],
        "https://a.example/%C3%A9#x",
        "tel:+331",
    ):
        assert tokens_of(f"a [x]({href})")[1].children[1].attrGet("href") == href


def test_html_is_printed_not_obeyed():
    assert render_web(tokens_of("<script>a</script>")) == "<p>&lt;script&gt;a&lt;/script&gt;</p>\n"


def test_an_entity_cannot_forge_a_hole_or_a_control_character():
    html = render_mail(tokens_of("a &#xE000;first_name|x&#xE001; &#8232; b &shy;c"), {})
    assert "\ue000" not in html
    assert html == "<p>a first_name|x   b c</p>\n"


def test_typography_reaches_text_and_spares_code_links_and_fields():
    html = render_web(tokens_of("**gras** ? `a ?` [l'eau](https://a.example/?a=b!c) !"))
    assert html == (
        "<p><strong>gras</strong>\u202f? <code>a ?</code> "
        '<a href="https://a.example/?a=b!c">l’eau</a>\u202f!</p>\n'
    )


# --- web ------------------------------------------------------------------------------------------


def test_the_web_prints_the_fallback_of_a_field():
    assert render_web(tokens_of("{{ prenom | Bonjour }} à vous")) == "<p>Bonjour à vous</p>\n"


def test_notes_have_anchors_both_ways_and_one_number_each():
    tokens = tokens_of("a[^impact] b[^impact] c[^x]\n\n[^x]: Une note.\n")
    assert render_web(tokens) == (
        '<p>a<sup><a href="#note-1" id="note-ref-1" role="doc-noteref">1</a></sup> '
        'b<sup><a href="#note-1" id="note-ref-1-2" role="doc-noteref">1</a></sup> '
        'c<sup><a href="#note-2" id="note-ref-2" role="doc-noteref">2</a></sup></p>\n'
    )


# --- text -----------------------------------------------------------------------------------------


def test_the_text_part_reads_like_a_letter():
    text = (
        "## Un titre\n\nUn **mot**, [un lien](https://a.example/x), <contact@a.example>,\n"
        "une note[^impact] et {{ prenom | vous }}.\n\n- un\n- deux\n  - trois\n\n"
        "3. a\n4. b\n\n> cité\n\n| A | B |\n|---|---|\n| 1 | deux |\n\n```\ncode  ?\n```\n"
    )
    assert render_text(tokens_of(text)) == (
        "Un titre\n========\n\n"
        "Un mot, un lien (https://a.example/x), contact@a.example, une note[1] et\n"
        "\ue000first_name|vous\ue001.\n\n"
        "- un\n- deux\n  - trois\n\n3. a\n4. b\n\n> cité\n\n"
        "A | B\n--+-----\n1 | deux\n\n    code  ?"
    )


def test_what_is_odd_in_a_list_or_a_line_still_reads():
    text = "a\\\nb\n\n- un\n\n  suite\n- ![x](y.png)\n\n> - - -\n"
    assert render_text(tokens_of(text)) == "a\nb\n\n- un\n\n  suite\n\n- x\n\n> " + "-" * 20


def test_a_wide_table_becomes_lines():
    wide = "mot " * 12
    text = render_text(tokens_of(f"| Nom | Rôle |\n|---|---|\n| {wide} | {wide} |\n"))
    assert text.startswith("Nom\u00a0: mot mot")
    assert max(map(len, text.split("\n"))) <= 76


def test_a_no_break_space_is_never_broken_and_a_hole_counts_as_its_fallback():
    text = render_text(tokens_of("mot " * 18 + "{{ prenom | cher lecteur }} 1 000 000 € !"))
    assert all("\ue000" not in line or "\ue001" in line for line in text.split("\n"))
    assert "1\u202f000\u202f000\u00a0€\u202f!" in text


def test_a_long_address_stays_whole():
    address = "https://a.example/" + "x" * 100
    assert address in render_text(tokens_of(f"voir [le lien]({address}) ici"))


@given(st.text(st.sampled_from("ab é\u00a0\u202f.-*>`\n|[]()"), max_size=300))
def test_no_line_of_text_is_wider_than_76_when_its_words_are_not(text: str):
    for prose in prose_of(text):
        for line in render_text(prose.tokens).split("\n"):
            longest = max((len(word) for word in line.split(" ")), default=0)
            assert len(line) <= max(76, longest + 40)


# --- notes ----------------------------------------------------------------------------------------


def test_notes_are_numbered_for_the_issue_not_for_the_file():
    first = parse("a[^1]\n\n[^1]: Un.\n", "a.md", HOUSE)
    second = parse("b[^1] c[^impact]\n\n[^1]: Deux[^impact].\n", "b.md", HOUSE)
    notes = number_notes([first, second], HOUSE)
    assert [(note.number, note.label) for note in notes] == [(1, "1"), (2, "1"), (3, "impact")]
    assert [render_text(note.body) for note in notes] == [
        "Un.",
        "Deux[3].",
        "Institut Fictif, «\u00a0Impact\u00a0» (https://impact.example/e?a=1&b=2).",
    ]
    assert notes[2].source is SOURCE


def test_a_note_may_have_several_paragraphs():
    parsed = parse("a[^1]\n\n[^1]: Un.\n\n    Deux.\n\nSuite.\n", "a.md", HOUSE)
    (note,) = number_notes([parsed], HOUSE)
    assert render_text(note.body) == "Un.\n\nDeux."
    assert render_text(parsed.tokens) == "a[1]\n\nSuite."


# --- what may not come out ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "href",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "/relatif",
        "//a.example",
        "page.html",
        "https://",
        "java&#115;cript:alert(1)",
        "&#x6A;avascript:alert(1)",
    ],
)
def test_an_address_that_no_mail_should_open_is_only_text(href: str):
    assert "bad_link" in codes_of(f"a [x]({href}) b")
    assert "<a" not in render_mail(tokens_of(f"a [x]({href}) b"), {})


def test_escaped_braces_are_no_field_and_are_pointed_out():
    assert codes_of(r"\{{ prenom | x }}") == ["leftover_braces"]


SIGNS = """
    # ## > - 1. * ** _ ` ``` ::: [ ] ( ) ![ ](x) {{ }} | |- \\ & < > " ' --- === [^a]
    [^a]: [b](https://x.example) <https://y.example> &amp; &#0; &#xE001; {{prenom|x}}
    <b> <!-- \u2028 \u00a0 \ud7ff \ufffe é ? ! « » ...
""".split()  # noqa: SIM905 (one line for each would be a page)
MARKDOWN = st.lists(
    st.one_of(
        st.sampled_from(SIGNS),
        st.sampled_from(["\n", "\n\n", " ", "    ", "\t", "::: bloc\n", "\n:::\n"]),
        st.text(max_size=4),
    ),
    max_size=40,
).map("".join)


@given(MARKDOWN)
def test_any_text_gives_well_formed_xhtml_that_mrml_takes(text: str):
    from newsletter.content.debris import decode

    clean = decode(text.encode("utf-8", "replace"), "f.md").text
    styles = {"p": "margin:0", "a": 'font-family:"x"', "th": "a:b"}
    for prose in prose_of(clean):
        html = render_mail(prose.tokens, styles)
        ET.fromstring(f"<x>{html}</x>")
        mjml2html(
            "<mjml><mj-body><mj-section><mj-column><mj-text>"
            f"{html}</mj-text></mj-column></mj-section></mj-body></mjml>",
            fonts={},
        )
        ET.fromstring(f"<x>{render_web(prose.tokens)}</x>")
        for medium in (html, render_text(prose.tokens)):
            assert medium.count("\ue000") == medium.count("\ue001")


HOSTILE = [
    ":::\n", "::: a\n", "::: a\n\n", "[", "![", "{{", "*", "**a ", "_", "`", "`a", "<", "&", "[^",
    "[^a]", "[a](", "> ", "- ", "- a\n", "[a]: b\n", "[^a]:b\n\n", "|", "|a|b|\n|-|-|\n", " ",
    "\u00a0", "!", "a'", "\\", "{{nom|x}}", "http://a.b/c ", "a@b.c", "a", "1 ", "123 ", ".", "\n",
    "mot\n", "mot\n\n", "# a\n", "```\n", "a: b\n", "<a ", "« ", "Ã©", "x:", "* * * * a\n", "\t",
    "*a **b ", "> - ", "![x](y)\n\n", "a\n---\n",
]  # fmt: skip


def count_calls(text: str) -> int:
    """Count what reading and rendering *text* costs, without a clock."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        for prose in prose_of(text):
            render_text(prose.tokens)
            render_mail(prose.tokens, {})
    finally:
        sys.setprofile(before)
    return calls


@pytest.mark.parametrize("piece", HOSTILE)
def test_twice_the_text_never_costs_more_than_about_twice(piece: str):
    once, twice = (piece * (size // len(piece)) for size in (3_000, 6_000))
    assert count_calls(twice) <= 2.4 * count_calls(once) + 2_000


@pytest.mark.parametrize("piece", ["[", "*", "{{", ":::\n", "::: a\n", "<", "(", "`a"])
def test_200_kb_of_rubbish_are_read(piece: str):
    prose_of(piece * (200_000 // len(piece)))
