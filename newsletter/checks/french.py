"""French: what a proofreader of the Imprimerie nationale's rules would mark (DOMAIN 5).

Spaces, apostrophes and ellipses are put right when an issue is read; here stands what touches words
and numbers, which nobody rewrites behind an editor's back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from re import Match

from newsletter.checks.checked import Checked, Passage, Role, passages
from newsletter.checks.faults import find, shorten
from newsletter.content.calendar import MONTHS_FR
from newsletter.model import Finding

NNBSP, NBSP = "\u202f", "\u00a0"
_CAPITAL = "A-ZÀÂÄÇÉÈÊËÎÏÔÖÙÛÜŸŒÆ"
# Two words or more in capitals, or one long enough to be no acronym. « CCAS, CAF, MSA » is a list.
_CAPITALS = re.compile(rf"\b[{_CAPITAL}]{{2,}}(?:[\s'’]+[{_CAPITAL}'’]+)+\b|\b[{_CAPITAL}]{{8,}}\b")
# Words that begin with an accented letter, by their unaccented beginning.
_ACCENTED = {
    "Etat": "État", "Elu": "Élu", "Ecole": "École", "Etude": "Étude", "Egalit": "Égalit",
    "Energi": "Énergi", "Equip": "Équip", "Equilibr": "Équilibr", "Educati": "Éducati",
    "Evenement": "Événement", "Evénement": "Événement", "Echange": "Échange", "Econom": "Économ",
    "Ecolog": "Écolog", "Ecrire": "Écrire", "Ecrit": "Écrit", "Ecout": "Écout",
    "Edite": "Édite", "Editi": "Éditi", "Edito": "Édito",
    "Elabor": "Élabor", "Elect": "Élect", "Elément": "Élément", "Elève": "Élève",
    "Emission": "Émission", "Epargn": "Épargn", "Epoque": "Époque", "Etape": "Étape",
    "Etabli": "Établi", "Etudi": "Étudi", "Evalu": "Évalu", "Evolu": "Évolu", "Evite": "Évite",
    "Etonn": "Étonn", "Etendre": "Étendre", "Emerg": "Émerg", "Elarg": "Élarg",
    "Etre": "Être", "Ile": "Île", "Oeuvre": "Œuvre", "Ca": "Ça", "Etes": "Êtes",
}  # fmt: skip
_WHOLE = {"Etat", "Elu", "Etre", "Ile", "Ca", "Oeuvre", "Etes"}
_ENGLISH = {"Economist", "Economics", "Economy", "Emergency"}
_UNACCENTED = re.compile(
    r"\b(?:" + "|".join(
        rf"{word}(?:e?s)?\b" if word in _WHOLE else rf"{word}\w*" for word in _ACCENTED
    ) + r")"
)  # fmt: skip
# « A » that begins a sentence and is a preposition.
_A = re.compile(
    r"(?:^|(?<=[.!?…]\s))A(?=\s(?:la|l[’']|partir|bientôt|suivre|noter|propos|travers|ce|cette|"
    r"chaque|nous|vous|vos|votre|notre|lire|voir|découvrir|deux|trois|quand|qui|quoi|son|sa|ses|"
    r"leur|tous|toutes|Paris|Lyon|Marseille)\b)"
)
# Words that capitals hide, as French writes them.
_IN_CAPITALS = {
    "RENTREE": "RENTRÉE", "VERITE": "VÉRITÉ", "ETAT": "ÉTAT", "ETUDE": "ÉTUDE", "ECOLE": "ÉCOLE",
    "ELU": "ÉLU", "ELUS": "ÉLUS", "ANNEE": "ANNÉE", "JOURNEE": "JOURNÉE", "SOCIETE": "SOCIÉTÉ",
    "QUALITE": "QUALITÉ", "SANTE": "SANTÉ", "EGALITE": "ÉGALITÉ", "LIBERTE": "LIBERTÉ",
    "FRATERNITE": "FRATERNITÉ", "SOLIDARITE": "SOLIDARITÉ", "METHODE": "MÉTHODE",
    "METHODES": "MÉTHODES", "DONNEES": "DONNÉES", "COMPETENCES": "COMPÉTENCES",
    "EVENEMENT": "ÉVÉNEMENT", "ENERGIE": "ÉNERGIE", "ECONOMIE": "ÉCONOMIE", "ETE": "ÉTÉ",
    "MOBILITE": "MOBILITÉ", "COMMUNAUTE": "COMMUNAUTÉ", "COLLECTIVITE": "COLLECTIVITÉ",
    "ACTIVITE": "ACTIVITÉ", "PRIORITE": "PRIORITÉ", "REUSSITE": "RÉUSSITE", "REGION": "RÉGION",
    "DEPARTEMENT": "DÉPARTEMENT", "IDEE": "IDÉE", "IDEES": "IDÉES", "EQUIPE": "ÉQUIPE",
}  # fmt: skip
_CAPITAL_WORD = re.compile(rf"\b[{_CAPITAL}]{{3,}}\b")
_ORDINAL = re.compile(
    r"\b(?P<number>\d+)\s?(?P<end>i?[èée]mes?|[èé]mes?|i[èée]res?|[èé]res?|ere|iers?|nde?s?)\b"
    r"|\b(?P<century>[IVXLC]+)(?P<ending>i?[èée]mes?)\b"
)
_NUMBER_SIGN = re.compile(r"\b([Nn])[oº]\s?(\d+)")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:\.\d{3})+(?![\d.,]?\d)")
_DATE = re.compile(rf"\b(0\d|1(?=\s)|\d{{1,2}}|1er)(\s)({'|'.join(MONTHS_FR)})\b", re.IGNORECASE)
_NUMERIC_DATE = re.compile(r"(?<![\d/])(\d{1,2})/(\d{1,2})/(\d{4})(?![\d/])")
_TIME = re.compile(r"\b([01]?\d|2[0-3])\s?[hH](?:\s?([0-5]\d))?\b")
_STRAIGHT = re.compile(r'(?<![\w(=])"([^"\n]{2,80})"')
_BREAKING = re.compile(r"\S+ (?:[;:!?»%€](?!\w)|$)|« \S+")
_MISPLACED = re.compile(r"[^\s–—]+\s+[,.](?=\s|$)|[^\W\d]+,[^\W\d]+")
_REPEATED = re.compile(r"\b(\w{2,})\s+\1\b", re.IGNORECASE)
_MAY_REPEAT = {"nous", "vous", "faire", "en", "très", "oui", "non", "si"}
_INCLUSIVE = re.compile(
    r"\b\w+(?:[·•‧]\w+)+\b|\b\w+\((?:e|ne|se|trice|euse|ère)s?\)(?:s\b)?"
    r"|(?<![\w@./-])\w{2,}\.(?:e|ne|trice|rice|euse|ère)(?:\.?s)?\b(?![@/-]|\.\w\w)"
)


def french_passages(checked: Checked) -> Iterator[Passage]:
    """Yield the words of the issue when its language is French, and none otherwise."""
    if checked.language == "fr":
        yield from passages(checked)


def all_capitals(checked: Checked) -> Iterator[Finding]:
    """Words shouted (A3: capitals are the layout's): said once for each passage."""
    for passage in french_passages(checked):
        match = _CAPITALS.search(without_glossary(passage.text, checked))
        if match:
            said = shorten(match.group(0).strip())
            yield find("all_capitals", passage.at(match.start()), text=said)


def missing_accents(checked: Checked) -> Iterator[Finding]:
    """« Etat », « A partir », « RENTREE »: said once for each passage."""
    for passage in french_passages(checked):
        text = without_glossary(passage.text, checked)
        beginnings = (match for match in _UNACCENTED.finditer(text) if match[0] not in _ENGLISH)
        found = [*beginnings, *_A.finditer(text), *_unaccented_capitals(text)]
        if found:
            first = min(found, key=lambda match: match.start())
            words = ", ".join(match.group(0) for match in sorted(found, key=Match.start))
            right = ", ".join(_accented(match.group(0)) for match in sorted(found, key=Match.start))
            place = passage.at(first.start())
            yield find("missing_accents", place, text=shorten(words), right=shorten(right))


def _unaccented_capitals(text: str) -> Iterator[Match[str]]:
    return (match for match in _CAPITAL_WORD.finditer(text) if match.group(0) in _IN_CAPITALS)


def _accented(word: str) -> str:
    if word == "A":
        return "À"
    if word in _IN_CAPITALS:
        return _IN_CAPITALS[word]
    beginning = max((known for known in _ACCENTED if word.startswith(known)), key=len)
    return _ACCENTED[beginning] + word[len(beginning) :]


def ordinals(checked: Checked) -> Iterator[Finding]:
    """« 1ére », « 7ème », « 2nd », « XXIème »."""
    for passage in french_passages(checked):
        for match in _ORDINAL.finditer(passage.text):
            number, end = match["number"] or match["century"], match["end"] or match["ending"]
            right = _ordinal(number, end)
            place = passage.at(match.start())
            yield find("ordinal", place, text=match.group(0), right=right)


def _ordinal(number: str, end: str) -> str:
    plural = "s" if end.endswith("s") else ""
    if end.startswith("nd"):
        return f"{number}{'de' if 'e' in end else 'd'}{plural}"
    if number == "1":
        return f"1er{plural}" if end.startswith("ier") else f"1re{plural}"
    return f"{number}e{plural}"


def thousands(checked: Checked) -> Iterator[Finding]:
    """« 1.000 »: a full stop is no French separator."""
    for passage in french_passages(checked):
        for match in _THOUSANDS.finditer(passage.text):
            right = match.group(0).replace(".", NNBSP)
            yield find("thousands", passage.at(match.start()), text=match.group(0), right=right)


def number_signs(checked: Checked) -> Iterator[Finding]:
    """« no 5 » for « n° 5 »."""
    for passage in french_passages(checked):
        for match in _NUMBER_SIGN.finditer(passage.text):
            right = f"{match[1]}°{NBSP}{match[2]}"
            place = passage.at(match.start())
            yield find("number_sign", place, text=match.group(0), right=right)


def numeric_dates(checked: Checked) -> Iterator[Finding]:
    """« 21/05/2026 »: a screen reader speaks fractions."""
    for passage in french_passages(checked):
        for match in _NUMERIC_DATE.finditer(passage.text):
            day, month, year = map(int, match.groups())
            place = passage.at(match.start())
            try:
                date(year, month, day)
            except ValueError:
                yield find("impossible_date", place, text=match.group(0))
                continue
            right = f"{'1er' if day == 1 else day} {MONTHS_FR[month - 1]} {year}"
            yield find("date_form", place, text=match.group(0), right=right)


def date_forms(checked: Checked) -> Iterator[Finding]:
    """« 05 mai », « 1 mai », « 5 Mai »."""
    for passage in french_passages(checked):
        for match in _DATE.finditer(passage.text):
            day, space, month = match.groups()
            number = "1er" if day.lstrip("0") in {"1", "1er"} else day.lstrip("0")
            right = f"{number}{space}{month.lower()}"
            if right != match.group(0):
                place = passage.at(match.start())
                yield find("date_form", place, text=match.group(0), right=right)


def time_forms(checked: Checked) -> Iterator[Finding]:
    """« 14h30 » for « 14 h 30 »."""
    for passage in french_passages(checked):
        for match in _TIME.finditer(passage.text):
            hour, minutes = match.groups()
            right = f"{hour} h {minutes}" if minutes else f"{hour} h"
            if right != re.sub(r"\s", " ", match.group(0)):
                place = passage.at(match.start())
                yield find("time_form", place, text=match.group(0), right=right)


def quotation_marks(checked: Checked) -> Iterator[Finding]:
    """Straight quotation marks around French words."""
    for passage in french_passages(checked):
        for match in _STRAIGHT.finditer(passage.text):
            place = passage.at(match.start())
            yield find("quotation_marks", place, text=shorten(match.group(1)))


def breaking_spaces(checked: Checked) -> Iterator[Finding]:
    """A plain space where a line must not break."""
    for passage in french_passages(checked):
        if passage.role in {Role.SUBJECT, Role.PREHEADER, Role.FIELD}:
            continue  # an inbox shows one line; fields are put right when they are rendered
        for match in _BREAKING.finditer(passage.text):
            if not match.group(0).endswith(" "):
                place = passage.at(match.start())
                yield find("breaking_space", place, text=shorten(match.group(0)))


def misplaced_spaces(checked: Checked) -> Iterator[Finding]:
    """« mot , mot » and « mot,mot »: what is left of a paste or of a second thought."""
    for passage in french_passages(checked):
        for match in _MISPLACED.finditer(passage.text):
            place = passage.at(match.start())
            yield find("misplaced_space", place, text=shorten(match.group(0)))


def repeated_words(checked: Checked) -> Iterator[Finding]:
    """« de de »: a slip of the hand."""
    for passage in french_passages(checked):
        for match in _REPEATED.finditer(passage.text):
            if match.group(1).lower() not in _MAY_REPEAT and not match.group(1).isdigit():
                place = passage.at(match.start())
                yield find("repeated_word", place, text=match.group(1))


def inclusive_points(checked: Checked) -> Iterator[Finding]:
    """Advice only, never a verdict: the house's charter decides (DOMAIN 5)."""
    for passage in french_passages(checked):
        for match in _INCLUSIVE.finditer(passage.text):
            yield find("inclusive_point", passage.at(match.start()), text=match.group(0))


def without_glossary(text: str, checked: Checked) -> str:
    """Return *text* with the house's own spellings blanked, so that nothing is said of them."""
    plain = text.replace(NBSP, " ").replace(NNBSP, " ")
    for entry in checked.glossary.values():
        plain = re.sub(
            rf"(?<!\w){re.escape(entry.term)}(?!\w)", lambda found: "¤" * len(found[0]), plain
        )
    return plain
