"""Facts about the linter before and after MJML."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter import words
from newsletter.mail import lint, mjml_rules
from newsletter.mail.lint import Origin, lint_html, lint_mjml, transfer_bytes
from newsletter.model import Place, Severity

ORIGIN = Origin(block="essai", template="templates/blocks/essai.j2", place=Place("10-a.md", 7))
WAY_OUT = '<a href="\ue000unsubscribe_url|https://a.example/\ue001">x</a>'


def codes(mjml: str, parent: str | None = "mj-column") -> list[str]:
    return [finding.code for finding in lint_mjml(mjml, ORIGIN, parent=parent)]


def after(html: str, **options) -> list[str]:
    return [finding.code for finding in lint_html(html, ORIGIN, whole=False, **options)]


WRONG = {
    "<mj-txt>a</mj-txt>": "unknown_tag",
    '<mj-text colour="red">a</mj-text>': "unknown_attribute",
    "<mj-section></mj-section>": "wrong_parent",
    "<mj-text><mj-text>a</mj-text></mj-text>": "wrong_parent",
    "<p>a</p>": "wrong_parent",
    "<mj-carousel></mj-carousel>": "forbidden_tag",
    '<mj-text padding="0 40px">a</mj-text>': "bare_zero",
    '<mj-text padding="10px 40px 0 40px">a</mj-text>': "bare_zero",
    '<mj-button href="https://a.example" inner-padding="0">a</mj-button>': "bare_zero",
    '<mj-text color="#abc">a</mj-text>': "short_colour",
    '<mj-text><p style="color:#abc">a</p></mj-text>': "short_colour",
    '<mj-image src="a.png" width="10px" />': "missing_alt",
    '<mj-text><img src="a.png"></mj-text>': "missing_alt",
    '<mj-image alt="a" width="10px" />': "missing_attribute",
    "<mj-button>a</mj-button>": "empty_link",
    '<mj-text><a href="">a</a></mj-text>': "empty_link",
    '<mj-text><a href=" # ">a</a></mj-text>': "empty_link",
    "<mj-text><a>a</a></mj-text>": "empty_link",
    "<mj-text><p>a</mj-text>": "markup",
    "<mj-text>a</p></mj-text>": "markup",
    "<mj-text>5 < 6</mj-text>": "markup",
    "<mj-text><p title=x>a</p></mj-text>": "markup",
    "<mj-text><![CDATA[a]]></mj-text>": "markup",
    "<?xml version='1.0'?>": "markup",
    "<!doctype html>": "markup",
    "<mj-text>": "markup",
    "<mj-text><table><tr><td>a</td></tr></table></mj-text>": "layout_role",
}  # fmt: skip


@pytest.mark.parametrize("mjml", WRONG)
def test_a_mistake_in_mjml_gives_exactly_its_finding(mjml):
    assert codes(mjml) == [WRONG[mjml]]


RIGHT = [
    "<mj-text>a</mj-text>",
    '<mj-text padding="0px 40px" color="#aabbcc">a<br>b<hr/></mj-text>',
    '<mj-image src="https://a.example/a.png" alt="" width="10px" />',
    '<mj-text><table role="presentation"><tr><td>a</td></tr></table></mj-text>',
    '<mj-text><table><tr><th scope="col">a</th></tr></table></mj-text>',
    '<mj-text><table cellpadding="0" border="0" role="presentation"></table></mj-text>',
    "<mj-text>a &amp; b &nbsp; &#8239; > c</mj-text>",
    '<mj-raw><tr><td><a href="https://a.example/#x">#abc</a></td></tr></mj-raw>',
    '<mj-text><a href="mailto:a@example.org">a</a></mj-text>',
]


@pytest.mark.parametrize("mjml", RIGHT)
def test_sound_mjml_gives_nothing(mjml):
    assert codes(mjml) == []


def test_a_whole_document_needs_a_language_and_a_title():
    assert codes("<mjml><mj-body></mj-body></mjml>", None) == [
        "missing_attribute", "missing_attribute", "missing_title",
    ]  # fmt: skip


def test_a_whole_document_may_be_sound():
    document = (
        '<mjml lang="fr" dir="ltr"><mj-head><mj-title>a</mj-title><mj-attributes>'
        '<mj-all font-family="Arial" /><mj-text color="#000000" /></mj-attributes>'
        "<mj-style>.a > b { color: red }</mj-style></mj-head><mj-body><mj-section><mj-column>"
        "<mj-text>a</mj-text></mj-column></mj-section></mj-body></mjml>"
    )
    assert codes(document, None) == []


def test_a_finding_names_the_block_and_the_editors_line_and_never_an_offset():
    finding = lint_mjml("<mj-text>\n<mj-txt></mj-txt></mj-text>", ORIGIN, parent="mj-column")[0]
    assert (finding.file, finding.line, finding.severity) == ("10-a.md", 7, Severity.ERROR)
    assert "essai" in finding.message.format_map(finding.facts)
    assert "mj-text" in finding.remedy.format_map(finding.facts)


def test_without_a_place_a_finding_names_the_template():
    finding = lint_mjml("<mj-x></mj-x>", Origin(template="templates/mail/a.j2"), parent="mj-body")[
        0
    ]
    assert finding.file == "templates/mail/a.j2"


@given(st.text(max_size=80))
def test_any_text_is_judged_without_a_failure(text):
    lint_mjml(text, ORIGIN, parent="mj-column")
    lint_html(text, ORIGIN)


def test_every_parent_in_the_table_is_a_tag_of_the_table():
    for rule in mjml_rules.RULES.values():
        assert rule.parents <= set(mjml_rules.RULES)
    assert not set(mjml_rules.RULES) & set(mjml_rules.FORBIDDEN)


# --- after the engine ----------------------------------------------------------------------------


WRONG_HTML = {
    "<div><mj-txt>a</mj-txt></div>": "left_component",
    "<p>{{ prenom }}</p>": "left_braces",
    "<p>\ue000first_name|a</p>": "broken_hole",
    "<p>first_name|a\ue001</p>": "broken_hole",
    "<p>\ue000First Name|a\ue001</p>": "broken_hole",
    '<!--[if mso | IE]><td style="width:640px;"><![endif]-->': "outlook_width",
    '<!--[if mso]><table width="601"><![endif]-->': "outlook_width",
    '<img src="a" width="700" alt="">': "outlook_width",
    "<!--[if mso]><td>": "unbalanced",
    "<!--[if mso]><!--[if mso]><![endif]-->": "unbalanced",
    "</td><![endif]-->": "unbalanced",
    '<img alt="a\\u{a0}b" width="10">': "spoilt_attribute",
}  # fmt: skip


@pytest.mark.parametrize("html", WRONG_HTML)
def test_a_mistake_in_html_gives_exactly_its_finding(html):
    assert after(html) == [WRONG_HTML[html]]


@pytest.mark.parametrize(
    "html",
    [
        '<div class="mj-column-per-100 mj-outlook-group-fix">a</div>',
        '<!--[if mso | IE]><td style="width:600px;"><![endif]-->',
        "<!--[if !mso]><!--><meta><!--<![endif]-->",
        "<p>\ue000first_name|chère lectrice\ue001</p>",
        "<p>a\\u{a0}b</p>",
    ],
)
def test_sound_html_gives_nothing(html):
    assert after(html) == []


def test_a_narrower_body_has_a_lower_limit():
    assert after('<img src="a" width="500" alt="">', body_width=480) == ["outlook_width"]


def test_a_message_needs_a_way_out():
    assert [finding.code for finding in lint_html("<p>a</p>", ORIGIN)] == ["no_unsubscribe"]
    assert lint_html(WAY_OUT, ORIGIN) == ()


@pytest.mark.parametrize(
    ("size", "severity"),
    [(69_000, None), (72_000, Severity.WARNING), (99_000, Severity.ERROR)],
)
def test_a_heavy_message_is_warned_of_then_refused(size, severity):
    """A5: Gmail clips near 102 KB, and the unsubscribe link goes."""
    found = lint_html(WAY_OUT + "a" * 70 * (size // 73), ORIGIN)
    assert [finding.severity for finding in found] == ([severity] if severity else [])


def test_braces_left_by_a_feed_are_only_a_warning():
    finding = lint_html("<p>{{7*7}}</p>", ORIGIN, whole=False)[0]
    assert finding.severity is Severity.WARNING
    assert "“{{”" in finding.message.format_map(finding.facts)


def test_the_weight_is_that_of_the_lighter_encoding_without_the_marks_of_holes():
    assert transfer_bytes("é" * 3000) < 9000
    assert transfer_bytes("\ue000first_name|\ue001") == 0


def test_every_message_has_its_french():
    pairs = [
        value
        for name, value in vars(lint).items()
        if name.isupper() and isinstance(value, tuple) and isinstance(value[0], str)
    ]
    assert len(pairs) > 15
    for pair in pairs:
        for sentence in pair:
            assert words.translate(sentence, "fr") != sentence
