"""Facts about the summary on top of a proof."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe

from newsletter.mail.proofs import SHOWN, Summary, add_summary
from newsletter.mail.single import Proof, make_proof
from newsletter.model import Digest, Finding, IssueId, Severity
from tests.golden.rendering import EXPECTED
from tests.mail.test_compose import EDITION
from tests.waiting import PATIENCE_S


def finding(severity, message="Le lien {href} ne répond pas.", line=12):
    return Finding(
        severity=severity,
        code="x",
        message=message,
        remedy="Corrigez-le.",
        file="issues/2026-05-07/10-a.md" if line else None,
        line=line or None,
        facts={"href": "<b>https://x.test</b>"},
    )


def summary(**changes):
    facts = {
        "issue_id": IssueId("2026-05-07"),
        "number": 3,
        "digest": Digest("0123456789abcdef" * 4),
        "needed": 2,
        "signed": ("Dominique Essai",),
        "waiting": ("Camille Exemple",),
    }
    return Summary(**(facts | changes))


@pytest.fixture
def proof(settings):
    return make_proof(EDITION, settings=settings, number=3)


def both(proof: Proof) -> tuple[str, str]:
    """Return the words of both parts, no-break spaces taken for plain ones."""
    return " ".join(proof.text.split()), proof.html.replace("\u00a0", " ")


def test_a_proof_without_findings_says_so(proof):
    for part in both(add_summary(proof, summary(), language="fr")):
        assert "aucune remarque" in part
        assert "Épreuve n° 3 du numéro 2026-05-07" in part


def test_errors_come_first_with_file_line_and_remedy(proof):
    found = (finding(Severity.ADVICE, "Un conseil.", 0), finding(Severity.ERROR))
    text, html = both(add_summary(proof, summary(findings=found), language="fr"))
    for part in (text, html):
        assert "erreurs : 1 ; avertissements : 0 ; conseils : 1" in part
        assert part.index("Erreur (issues/2026-05-07/10-a.md:12)") < part.index("Un conseil.")
        assert "Corrigez-le." in part
    assert "<b>https://x.test</b>" in text
    assert "&lt;b&gt;https://x.test&lt;/b&gt;" in html


def test_a_long_list_is_cut_and_says_how_to_see_the_rest(proof):
    found = tuple(finding(Severity.WARNING, f"Numéro {n}.") for n in range(SHOWN + 2))
    text, _ = both(add_summary(proof, summary(findings=found), language="fr"))
    assert f"Numéro {SHOWN - 1}." in text
    assert f"Numéro {SHOWN}." not in text
    assert "Et 2 de plus : newsletter check 2026-05-07" in text


def test_the_approvals_the_digest_and_how_to_answer_are_there(proof):
    for part in both(add_summary(proof, summary(), language="fr")):
        assert "Approuvé par : Dominique Essai (1 sur 2)." in part
        assert "Peuvent encore approuver : Camille Exemple." in part
        assert "0123456789abcdef" in part
        assert "répondez à ce message" in part
        assert "newsletter approve 2026-05-07" in part


def test_a_text_with_its_signatures_waits_for_nobody(proof):
    complete = summary(needed=1)
    assert "Peuvent encore" not in add_summary(proof, complete, language="fr").text
    unsigned = add_summary(proof, summary(signed=()), language="fr").text
    assert "personne encore (0 sur 2)" in unsigned


def test_the_mail_itself_follows_untouched(proof):
    made = add_summary(proof, summary(), language="fr")
    assert made.subject == proof.subject
    assert made.text.endswith(proof.text)
    box = made.html.index("<table"), made.html.index("</table>") + len("</table>")
    assert made.html[: box[0]] + made.html[box[1] :] == proof.html


def test_a_finding_cannot_open_a_hole(proof):
    hostile = finding(Severity.ERROR, "a \ue000first_name|x\ue001 b")
    made = add_summary(proof, summary(findings=(hostile,)), language="fr")
    assert "\ue000" not in made.text + made.html


def test_another_language_gets_the_words_of_the_source(proof):
    assert "The checks have no remark." in add_summary(proof, summary(), language="en").text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_box_stands_in_the_mail_without_a_fault(browser, scheme):
    """Below the preheader, within the mail's landmark, the same in both schemes."""
    html = (EXPECTED / "issue-b" / "index.html").read_text("utf-8")
    found = (finding(Severity.ERROR), finding(Severity.ADVICE))
    made = add_summary(
        Proof(subject="", text="", html=html), summary(findings=found), language="fr"
    )
    context = browser.new_context(viewport={"width": 375, "height": 900}, color_scheme=scheme)
    context.set_default_timeout(PATIENCE_S * 1000)
    page = context.new_page()
    page.route("**/*", lambda route: route.abort())
    page.set_content(made.html)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    violations = Axe().run(page).response["violations"]
    box = page.evaluate("getComputedStyle(document.querySelector('[bgcolor=\"#fff6dc\"]')).color")
    context.close()
    assert [(fault["id"], fault["nodes"][0]["html"]) for fault in violations] == []
    assert box == "rgb(36, 48, 58)"
    assert made.html.index("C’est mercredi") < made.html.index("Épreuve n°")
