"""Links: they lead somewhere, safely, under a name that says where.

Empty, ``#`` and malformed links are found when the issue is read.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from newsletter.checks.checked import Checked, Link, links
from newsletter.checks.faults import find
from newsletter.checks.outline import outline
from newsletter.config import is_loopback
from newsletter.model import Finding, Place

VAGUE = {
    "ici", "cliquez ici", "cliquer ici", "c est ici", "par ici", "la", "lien", "ce lien", "voir",
    "en savoir", "en savoir +", "en savoir plus", "lire", "lire la suite", "la suite", "suite",
    "decouvrir", "telecharger", "plus d infos", "plus d informations", "page", "cette page", "site",
    "here", "click here", "read more", "more",
}  # fmt: skip
# RFC 2606 and RFC 6761: names that lead nowhere on the Internet.
RESERVED = (".example", ".test", ".invalid", ".localhost", ".local")
RESERVED_NAMES = {"example.com", "example.org", "example.net", "localhost"}
_DUMMY = re.compile(
    r"\b(?:xxx+|todo|a-completer|lien-a-venir)\b|//(?:www\.)?exemple\.|…|\.\.\.", re.IGNORECASE
)


def insecure_links(checked: Checked) -> Iterator[Finding]:
    """Links in http:// that leave this machine."""
    for link in links(checked):
        if link.href.startswith("http://") and not is_loopback(urlsplit(link.href).hostname or ""):
            yield find("insecure_link", link.place, href=link.href)


def placeholder_links(checked: Checked) -> Iterator[Finding]:
    """Dummies, and reserved names as soon as the relay can reach real people."""
    real = not checked.settings.all_loopback
    for link in links(checked):
        host = urlsplit(link.href).hostname or ""
        if _DUMMY.search(link.href) or (real and is_reserved(host)):
            yield find("placeholder_link", link.place, href=link.href)


def is_reserved(host: str) -> bool:
    """True for names and addresses that mean nothing outside a test."""
    host = host.lower().rstrip(".")
    if host in RESERVED_NAMES or host.endswith(RESERVED):
        return True
    if host.endswith(tuple(f".{name}" for name in RESERVED_NAMES)):
        return True
    try:
        return not ip_address(host).is_global
    except ValueError:
        return False


def duplicate_labels(checked: Checked) -> Iterator[Finding]:
    """The same words for different targets, said once for each such label (A2)."""
    for label, place in _ambiguous(checked).items():
        yield find("duplicate_label", place, label=label)


def vague_labels(checked: Checked) -> Iterator[Finding]:
    """Words that say nothing; one that stands for two targets is said to be double already."""
    ambiguous = {_fold(label) for label in _ambiguous(checked)}
    for link in links(checked):
        folded = _fold(link.label)
        if folded in VAGUE and folded not in ambiguous:
            yield find("vague_label", link.place, label=link.label)


def _ambiguous(checked: Checked) -> Mapping[str, Place | None]:
    """Map each label that has two targets to the place of the second."""
    places = {link.href: link.place for link in links(checked)}
    first: dict[str, str] = {}
    found: dict[str, Place | None] = {}
    for label, href in _named_targets(checked):
        if first.setdefault(_fold(label), href) != href:
            found.setdefault(label, places.get(href))
    return found


def _named_targets(checked: Checked) -> Iterable[tuple[str, str]]:
    if checked.edition is not None:
        anchors = outline(checked.edition.html).anchors
        return [(anchor.name, anchor.href) for anchor in anchors if anchor.name]
    return [(link.label, link.href) for link in links(checked) if link.label]


def _fold(text: str) -> str:
    """Case, accents, apostrophes and punctuation aside."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(char for char in plain if not unicodedata.combining(char))
    return " ".join(re.sub(r"[^\w+]+", " ", letters).split())


def judge_answers(found: Iterable[Link], answers: Mapping[str, str]) -> Iterator[Finding]:
    """Findings from what links answered: '' fine, an address for a redirection, else the fault."""
    for link in found:
        answer = answers.get(link.href, "")
        if answer.startswith(("http://", "https://")):
            yield find("redirected_link", link.place, href=link.href, target=answer)
        elif answer:
            yield find("dead_link", link.place, href=link.href, answer=answer)
