"""Reading an issue's folder: what comes out, and one finding for each mistake."""

from __future__ import annotations

import random
from datetime import date

import pytest

from newsletter import config
from newsletter.content.files import (
    is_issue_id,
    list_issues,
    load_registries,
    read_issue,
    read_pictures,
)
from newsletter.model import Block, Convention, IssueId, Prose, Severity

from .conftest import ISSUE, ISSUE_ID, STORY, Read

FOLDER = f"issues/{ISSUE_ID}"


def one_finding(reading):
    assert [finding.code for finding in reading.findings] == [reading.findings[0].code]
    return reading.findings[0]


def test_a_clean_issue_has_no_finding(read: Read):
    reading = read(story="Du texte.\n")
    assert reading.findings == ()
    assert reading.issue is not None
    assert reading.issue.day == date(2026, 11, 26)
    assert (reading.issue.number, reading.issue.subject) == (166, "Des légumeries partagées")
    assert [story.slug for story in reading.issue.stories] == ["histoire"]
    assert reading.issue.stories[0].title == "Une légumerie"


def test_stories_come_in_the_order_of_their_files(read: Read):
    reading = read({"20-b.md": STORY + "b", "10-a.md": STORY + "a", "05-c.MD": STORY + "c"})
    assert [story.slug for story in reading.issue.stories] == ["c", "a", "b"]


def test_every_key_of_both_headers_is_read_in_french_and_in_english(read: Read):
    issue = (
        "---\nNuméro : 166\nobjet: « Jeudi de l'ODD 17 » : des légumeries\n# un commentaire\n"
        "accroche: Trois communes\ntheme: co-construction\nexemples: 2\nauteur: camille essai\n"
        "segment: elus\n---\nÉdito"
    )
    story = (
        "---\ntitle: Une légumerie\ntype: Exemple\nobjectifs: hybridation, Co-construction"
        " territoriale\nodd: 2, 11\nterritoire: Vallée\nprofils: elus, citoyens\n"
        "profondeur: 4\nexpire: 3 décembre 2026\n---\nTexte"
    )
    reading = read({"10-a.md": story}, issue=issue)
    assert reading.findings == ()
    found = reading.issue
    assert found.subject == "«\u00a0Jeudi de l’ODD\u00a017\u00a0»\u00a0: des légumeries"
    assert (found.preheader, found.theme) == ("Trois communes", "co-construction")
    assert (found.wanted_examples, found.author, found.segment) == (2, "Camille Essai", "elus")
    told = found.stories[0]
    assert (told.kind, told.objectives) == ("exemple", ("hybridation", "co-construction"))
    assert (told.sdgs, told.territory, told.depth) == ((2, 11), "Vallée", 4)
    assert (told.profiles, told.expires) == (("elus", "citoyens"), date(2026, 12, 3))


def test_examples_may_be_named(read: Read):
    reading = read(issue=ISSUE.replace("objet", "exemples: a1b2, c3d4\nobjet"))
    assert reading.issue.wanted_examples == ("a1b2", "c3d4")


def test_the_plain_conventions_become_blocks(read: Read):
    story = (
        "Du texte.\n\n[S'inscrire](https://example.org/i?a=1&b=é)\n\n"
        '![Une cuisine](images/legumerie.png "À Trois-Rives")\n\n'
        "[![La vidéo](images/legumerie.png)](https://example.org/v)\n\n"
        "> On a essayé.\n> — Aïcha Lemoine, maire\n\n---\n\nFin.\n"
    )
    reading = read(story=story)
    assert reading.findings == ()
    nodes = reading.issue.stories[0].nodes
    kinds = [node.convention if isinstance(node, Block) else None for node in nodes]
    assert kinds == [
        None,
        Convention.BUTTON,
        Convention.FIGURE,
        Convention.THUMBNAIL,
        Convention.QUOTE,
        Convention.DIVIDER,
        None,
    ]
    path = f"{FOLDER}/images/legumerie.png"
    assert nodes[1].fields == {"label": "S’inscrire", "href": "https://example.org/i?a=1&b=é"}
    assert nodes[2].fields == {"src": path, "alt": "Une cuisine", "caption": "À Trois-Rives"}
    assert nodes[3].fields["href"] == "https://example.org/v"
    assert nodes[4].fields == {"attribution": "Aïcha Lemoine, maire"}
    assert isinstance(nodes[4].body[0], Prose)
    assert [node.place.line for node in nodes] == [4, 6, 8, 10, 12, 15, 17]


def test_a_block_has_validated_fields(read: Read):
    story = (
        "::: ressource La charte : l'essentiel\nlien : https://example.org/c.pdf\nformat: PDF\n"
        "pages: 1 200\nle: 26/11/2026\nimage: images/legumerie.png\nmots: a, b\ngratuit: oui\n"
        "note: Une **note**[^impact]\navec: riveraine\nsource: impact\n\nLe corps.\n:::\n"
    )
    reading = read(story=story)
    assert reading.findings == ()
    (block,) = reading.issue.stories[0].nodes
    assert block.title == "La charte\u00a0: l’essentiel"
    fields = dict(block.fields)
    assert isinstance(fields.pop("note"), Prose)
    assert fields == {
        "lien": "https://example.org/c.pdf",
        "format": "PDF",
        "pages": 1200,
        "le": date(2026, 11, 26),
        "image": f"{FOLDER}/images/legumerie.png",
        "mots": ("a", "b"),
        "gratuit": True,
        "avec": ("riveraine",),
        "source": "impact",
    }
    assert [type(node) for node in block.body] == [Prose]
    assert reading.issue.notes[0].source.id == "impact"


def test_blocks_nest_one_level(read: Read):
    story = "::: colonnes\n::: encadre Un\nA\n:::\n\n::: encadre Deux\nB\n:::\n:::\n"
    reading = read(story=story)
    assert reading.findings == ()
    (outer,) = reading.issue.stories[0].nodes
    assert [(node.name, node.title) for node in outer.body] == [
        ("encadre", "Un"),
        ("encadre", "Deux"),
    ]


# Each mistake of an editor gives exactly one finding: what is written, its code, its line.
MISTAKES = {
    "unknown key": ("---\ntitre: T\nobjectif: hybridation\n---\n", "unknown_key", 3),
    "bad date": ("---\ntitre: T\nexpire: 31/02/2026\n---\n", "bad_date", 3),
    "bad number": ("---\ntitre: T\nprofondeur: beaucoup\n---\n", "bad_count", 3),
    "bad goal": ("---\ntitre: T\nodd: 18\n---\n", "bad_sdgs", 3),
    "unknown objective": ("---\ntitre: T\nobjectifs: hybridaton\n---\n", "unknown_term", 3),
    "missing title": ("---\ntype: exemple\n---\n", "missing_key", 1),
    "empty title": ("---\ntitre:\n---\n", "bad_text", 2),
    "title in quotes alone": ('---\ntitre: ""\n---\n', "bad_text", 2),
    "title in French quotes alone": ("---\ntitre: «\u00a0»\n---\n", "bad_text", 2),
    "misspelt title": ("---\ntitr: T\n---\n", "unknown_key", 2),
    "key given twice": ("---\ntitre: T\ntitle: U\n---\n", "duplicate_key", 3),
    "line without key": ("---\ntitre: T\nsans clé\n---\n", "header_line", 3),
    "no header": ("Du texte\n", "no_header", 1),
    "unclosed header": ("---\ntitre: T\n\nDu texte\n", "unclosed_header", 1),
    "unknown block": (STORY + "::: resource T\nlien: #\n:::\n", "unknown_block", 4),
    "missing field": (STORY + "\n::: ressource T\nformat: PDF\n:::\n", "missing_field", 5),
    "unknown field": (
        STORY + "::: ressource T\nlien: https://example.org\nformt: PDF\n:::\n",
        "unknown_field",
        6,
    ),
    "misspelt required field": (
        STORY + "::: ressource T\nlein: https://example.org\n:::\n",
        "unknown_field",
        5,
    ),
    "bad value": (
        STORY + "::: ressource T\nlien: https://example.org\npages: douze\n:::\n",
        "bad_int",
        6,
    ),
    "bad address": (STORY + "::: ressource T\nlien: odd17.org\n:::\n", "bad_url", 5),
    "empty address": (STORY + "::: ressource T\nlien: #\n:::\n", "empty_link", 5),
    "unknown partner": (
        STORY + "::: ressource T\nlien: https://example.org\navec: riverain\n:::\n",
        "unknown_partner",
        6,
    ),
    "unknown source": (
        STORY + "::: ressource T\nlien: https://example.org\nsource: impct\n:::\n",
        "unknown_source",
        6,
    ),
    "field given twice": (
        STORY + "::: ressource T\nlien: https://example.org\nlien: https://example.org\n:::\n",
        "duplicate_key",
        6,
    ),
    "bad yes or no": (
        STORY + "::: ressource T\nlien: https://example.org\ngratuit: si\n:::\n",
        "bad_bool",
        6,
    ),
    "unclosed block": (
        STORY + "::: encadre T\n\nA\n\n::: encadre U\nB\n:::\n",
        "unclosed_block",
        4,
    ),
    "stray fence": (STORY + "Texte\n\n:::\n\nTexte\n", "stray_fence", 6),
    "block in a list": (STORY + "- a\n\n  ::: encadre T\n  b\n\n  :::\n", "stray_fence", 6),
    "block too deep": (
        STORY + "::: colonnes\n::: encadre A\n::: encadre B\n:::\n:::\n:::\n",
        "nested_block",
        6,
    ),
    "block where none may stand": (
        STORY + "::: encadre A\nTexte\n\n::: encadre B\nTexte\n:::\n:::\n",
        "misplaced_block",
        7,
    ),
    "examples where only the web copy would show them": (
        STORY + "::: suite\nTexte\n\n::: exemples\n:::\n:::\n",
        "misplaced_block",
        7,
    ),
    "missing picture": (STORY + "![Vue](images/legumrie.png)\n", "picture_missing", 4),
    "no alternative text": (STORY + "\n![](images/legumerie.png)\n", "no_alt", 5),
    "picture in a text": (STORY + "Voir ![v](images/legumerie.png) ici\n", "inline_picture", 4),
    "picture elsewhere": (STORY + "![Vue](https://example.org/a.png)\n", "picture_remote", 4),
    "picture outside": (STORY + "![Vue](../../../secret.png)\n", "picture_outside", 4),
    "absolute picture": (STORY + "![Vue](/etc/passwd)\n", "picture_outside", 4),
    "not a picture": (STORY + "![Vue](../partners.toml)\n", "picture_kind", 4),
    "link to #": (STORY + "a\n[lien](#) b\n", "empty_link", 5),
    "empty link": (STORY + "[lien]()\n", "empty_link", 4),
    "script link": (STORY + "[lien](javascript:alert(1))\n", "bad_link", 4),
    "link without text": (STORY + "a [](https://example.org) b\n", "empty_label", 4),
    "bare button": (STORY + "<https://example.org/x>\n", "bare_link", 4),
    "bare address": (STORY + "Voir https://example.org/x ici\n", "bare_link", 4),
    "unknown personal field": (STORY + "{{ prenon | Bonjour }}\n", "unknown_personal", 4),
    "field without fallback": (STORY + "{{ prenom }}\n", "no_fallback", 4),
    "braces": (STORY + "{{7*7}}\n", "leftover_braces", 4),
    "braces in a link": (STORY + "a [x](https://example.org/{{nom}}) b\n", "leftover_braces", 4),
    "braces in a title": ("---\ntitre: Bonjour {{ prenom | vous }}\n---\n", "leftover_braces", 2),
    "unknown note": (STORY + "a[^impacts]\n", "unknown_note", 4),
    "unused note": (STORY + "a\n\n[^1]: Une note.\n", "unused_note", 6),
    "note written twice": (STORY + "a[^1]\n\n[^1]: Une.\n\n[^1]: Deux.\n", "duplicate_note", 8),
    "HTML": (STORY + "un <b>mot</b>\n", "raw_html", 4),
    "script": (STORY + "un <script>alert(1)</script>\n", "raw_html", 4),
    "Word's paragraph": (STORY + "texte<o:p></o:p>\n", "word_debris", 4),
    "Word's style": (STORY + "style mso-list: l0\n", "word_debris", 4),
    "private font": (STORY + "a \uf04a b\n", "private_character", 4),
    "Word's bullets": (STORY + "\uf0b7\tun\n\uf0b7\tdeux\n", "word_bullet", 4),
    "forged hole": (STORY + "a \ue000first_name|x\ue001 b\n", "private_character", 4),
    "soft hyphen": (STORY + "a\u00adb\n", "hidden_character", 4),
    "vertical tab": (STORY + "a\u000bb\n", "control_character", 4),
    "control character": (STORY + "a\x07b\n", "control_character", 4),
    "wrong encoding": (STORY + "LÃ©gumerie\n", "mojibake", 4),
    "indented text": (STORY + "a\n\n    b\n", "indented_code", 6),
    "accidental heading": (STORY + "Fin du texte\n---\n", "underlined_heading", 4),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_gives_exactly_one_finding_with_its_line(read: Read, mistake: str):
    text, code, line = MISTAKES[mistake]
    finding = one_finding(read({"10-a.md": text}))
    assert (finding.code, finding.file, finding.line) == (code, f"{FOLDER}/10-a.md", line)


ISSUE_MISTAKES = {
    "no number": ("---\nobjet: O\n---\n", "missing_key", 1),
    "bad number": ("---\nobjet: O\nnumero: cent\n---\n", "bad_count", 3),
    "no subject": ("---\nnumero: 1\n---\n", "missing_key", 1),
    "bad examples": ("---\nnumero: 1\nobjet: O\nexemples: -2\n---\n", "bad_examples", 4),
    "unknown segment": ("---\nnumero: 1\nobjet: O\nsegment: elu\n---\n", "unknown_segment", 4),
    "unknown author": ("---\nnumero: 1\nobjet: O\nauteur: Personne\n---\n", "unknown_author", 4),
    "break in the subject": ("---\nnumero: 1\nobjet: O\u2028P\n---\n", "control_character", 3),
    "empty file": (" \n\n", "empty_file", 1),
}


@pytest.mark.parametrize("mistake", ISSUE_MISTAKES)
def test_each_mistake_of_issue_md_gives_exactly_one_finding(read: Read, mistake: str):
    text, code, line = ISSUE_MISTAKES[mistake]
    finding = one_finding(read(issue=text))
    assert (finding.code, finding.file, finding.line) == (code, f"{FOLDER}/issue.md", line)


def test_all_mistakes_come_at_once(read: Read):
    texts = {f"{n:02}-m.md": MISTAKES[name][0] for n, name in enumerate(MISTAKES)}
    codes = {MISTAKES[name][1] for name in MISTAKES}
    assert {finding.code for finding in read(texts).findings} >= codes - {"slug_taken"}


@pytest.mark.parametrize("issue_id", ["", "..", "../x", "2026-02-30", "2026-1-1", "brouillon"])
def test_a_folder_that_is_no_day_is_a_finding(publication: config.Settings, issue_id: str):
    reading = read_issue(publication, IssueId(issue_id))
    assert reading.issue is None
    assert one_finding(reading).code == "bad_folder"


def test_an_issue_that_does_not_exist_is_a_finding(publication: config.Settings):
    assert one_finding(read_issue(publication, IssueId("2026-12-03"))).code == "no_folder"


def test_a_folder_without_issue_md_is_a_finding(publication: config.Settings):
    assert one_finding(read_issue(publication, ISSUE_ID)).code == "no_issue_file"


def test_windows_1252_is_said_and_read_all_the_same(read: Read):
    reading = read(issue=ISSUE.replace("\n", "\r\n").encode("cp1252"))
    finding = one_finding(reading)
    assert (finding.code, finding.line) == ("not_utf8", 3)
    assert reading.issue.subject == "Des légumeries partagées"


def test_utf_16_is_said_and_read_all_the_same(read: Read):
    reading = read(issue=ISSUE.encode("utf-16"))
    assert one_finding(reading).facts["encoding"] == "UTF-16"
    assert reading.issue.number == 166


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(read: Read):
    reading = read(issue=b"\xef\xbb\xbf" + ISSUE.replace("\n", "\r\n").encode())
    assert reading.findings == ()
    assert reading.issue.subject == "Des légumeries partagées"


def test_a_binary_file_is_refused(read: Read):
    assert one_finding(read({"10-a.md": b"PK\x03\x04\x00\x00"})).code == "not_text"


def test_a_huge_file_is_refused_unread(read: Read):
    assert one_finding(read({"10-a.md": b"x" * 500_001})).code == "too_large"


def test_a_word_document_beside_the_stories_is_pointed_out(read: Read):
    finding = one_finding(read({"20-texte.docx": b"PK"}))
    assert (finding.code, finding.severity) == ("ignored_file", Severity.ADVICE)


def test_a_story_that_links_out_of_the_publication_is_refused(
    read: Read, publication: config.Settings, tmp_path_factory: pytest.TempPathFactory
):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.md"
    secret.write_text(STORY, encoding="utf-8")
    (publication.issues_dir / ISSUE_ID / "10-a.md").symlink_to(secret)
    assert one_finding(read()).code == "outside_file"


def test_a_picture_that_links_out_of_the_publication_is_refused(
    read: Read, publication: config.Settings, tmp_path_factory: pytest.TempPathFactory
):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.png"
    secret.write_bytes(b"x")
    (publication.issues_dir / ISSUE_ID / "images" / "vue.png").symlink_to(secret)
    assert one_finding(read(story="![Vue](images/vue.png)\n")).code == "picture_outside"


def test_a_folder_named_like_a_story_is_a_finding(read: Read, publication: config.Settings):
    (publication.issues_dir / ISSUE_ID / "10-a.md").mkdir()
    assert one_finding(read()).code == "unreadable"


def test_a_picture_is_found_whatever_its_case_and_composition(
    read: Read, publication: config.Settings
):
    images = publication.issues_dir / ISSUE_ID / "images"
    (images / "E\u0301te\u0301.PNG").write_bytes(b"x")
    reading = read(story="![Vue](images/été.png)\n\n![Vue](<images\\LEGUMERIE.png>)\n")
    assert reading.findings == ()


def test_pictures_are_read_for_figures_fields_and_logos(read: Read, publication: config.Settings):
    logo = publication.issues_dir / "logo.png"
    logo.write_bytes(b"logo")
    partners = publication.issues_dir / "partners.toml"
    partners.write_text('[r]\nname = "R"\nlogo = "issues/logo.png"\n', encoding="utf-8")
    images = publication.issues_dir / ISSUE_ID / "images"
    (images / "a.png").write_bytes(b"a")
    reading = read(
        story="![Vue](images/a.png)\n\n::: colonnes\n::: ressource T\n"
        "lien: https://example.org\nimage: images/legumerie.png\navec: r\n:::\n:::\n"
    )
    assert reading.findings == ()
    pictures = read_pictures(publication, reading.issue)
    assert sorted(pictures) == [
        f"{FOLDER}/images/a.png",
        f"{FOLDER}/images/legumerie.png",
        "issues/logo.png",
    ]
    assert pictures[f"{FOLDER}/images/a.png"] == b"a"


def test_issues_are_listed_by_day_and_nothing_else(publication: config.Settings):
    for name in ("2026-05-07", "brouillon", "2026-13-01"):
        (publication.issues_dir / name).mkdir()
    assert list_issues(publication) == ("2026-05-07", "2026-11-26")
    assert not is_issue_id("2026-11-26x")


def test_an_optional_field_left_empty_is_a_field_not_given(read: Read):
    story = "::: ressource T\nlien: https://example.org\npages:\nformat:\n:::\n"
    reading = read(story=story)
    assert reading.findings == ()
    assert list(reading.issue.stories[0].nodes[0].fields) == ["lien"]


@pytest.mark.parametrize(
    ("size", "code"), [(0, "picture_empty"), (12_000_001, "picture_large"), (1, None)]
)
def test_a_picture_is_neither_empty_nor_huge(
    read: Read, publication: config.Settings, size: int, code: str | None
):
    path = publication.issues_dir / ISSUE_ID / "images" / "a.png"
    with path.open("wb") as picture:
        picture.truncate(size)
    findings = read(story="![Vue](images/a.png)\n").findings
    assert [finding.code for finding in findings] == ([code] if code else [])


def test_a_missing_picture_names_the_nearest(read: Read):
    finding = one_finding(read(story="![Vue](images/legumrie.png)\n"))
    assert finding.facts["nearest"] == "images/legumerie.png"


def test_a_picture_that_has_gone_is_left_out(read: Read, publication: config.Settings):
    issue = read(story="![Vue](images/legumerie.png)\n").issue
    (publication.issues_dir / ISSUE_ID / "images" / "legumerie.png").unlink()
    assert dict(read_pictures(publication, issue)) == {}


def test_two_stories_of_one_name_get_two_anchors(read: Read):
    reading = read({"10-a.md": STORY, "20-a.md": STORY})
    assert one_finding(reading).code == "slug_taken"
    assert [story.slug for story in reading.issue.stories] == ["a", "a-2"]


def test_a_publication_without_issues_lists_none(settings: config.Settings):
    assert list_issues(settings) == ()


def test_the_theme_may_forbid_the_narrow_space(read: Read, publication: config.Settings):
    theme = publication.templates_dir / "theme.toml"
    theme.write_text("[typography]\nnnbsp = false\n", encoding="utf-8")
    reading = read({"10-a.md": "---\ntitre: Vraiment ?\n---\n"})
    assert reading.issue.stories[0].title == "Vraiment\u00a0?"


def test_registries_are_read_by_id(publication: config.Settings):
    registries = load_registries(publication)
    assert registries.findings == ()
    assert registries.partners["riveraine"].name == "Fondation Riveraine"
    assert registries.sources["impact"].valid_until == date(2027, 1, 1)
    assert registries.glossary["ODD 17"].term == "ODD 17"


def test_a_missing_logo_is_a_finding(publication: config.Settings):
    path = publication.issues_dir / "partners.toml"
    path.write_text('[r]\nname = "R"\nlogo = "issues/absent.png"\n', encoding="utf-8")
    (finding,) = load_registries(publication).findings
    assert (finding.code, finding.file, finding.line) == (
        "picture_missing",
        "issues/partners.toml",
        3,
    )


def test_a_hundred_random_files_never_raise(read: Read):
    chance = random.Random(17)
    pieces = rb"""::: --- {{ }} [^a] ]( ![ > - |a| |-|-| titre: ``` * lien: # <o:p> &#xE000; [^a]:
    encadre # ::: ressource | _ ! ? : ; % 12 000 http://x.y a@b.c""".split()
    pieces += [
        b"\n",
        b"\n",
        b" ",
        b"    ",
        b"\r",
        b"\xe9",
        b"\x00",
        b"\xff\xfe",
        b"\xc2\xa0",
        b"\xee\x80\x80",
    ]
    for _ in range(100):
        noise = b"".join(chance.choice(pieces) for _ in range(chance.randrange(80)))
        noise += chance.randbytes(chance.randrange(20))
        reading = read({"10-a.md": noise}, issue=noise if chance.random() < 0.3 else ISSUE)
        assert isinstance(reading.findings, tuple)
