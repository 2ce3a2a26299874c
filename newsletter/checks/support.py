"""Client support: what the mail uses that a mail client ignores, and that nobody has accepted (A5).

In: an edition's HTML, the features that the publication lives without (``[support] accepted`` of
``templates/theme.toml``), the facts of ``client_facts``. Out: a finding for each further feature.
Every mail fails somewhere; the difference from that baseline is what a change of the templates
has brought. Never: a network; what Outlook alone reads (conditional comments).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from newsletter.checks.checked import Checked
from newsletter.checks.client_facts import CLIENTS, PARTLY, UNSUPPORTED
from newsletter.checks.faults import find
from newsletter.model import Finding

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_RULE = re.compile(r"([^{};]*)\{")
_DECLARATION = re.compile(r"(?:^|[{;])\s*([a-z-]+)\s*:\s*([^;{}]*)", re.IGNORECASE)
_UNIT = re.compile(r"(?<![\w#.-])-?(?:\d+\.?\d*|\.\d+)(ch|rem|v[hw]|vmin|vmax)\b")
_MEDIA_FEATURE = re.compile(r"\(\s*(?:-webkit-)?(?:min-|max-)?([a-z-]+)")
_FORMAT = re.compile(r"\.([a-z0-9]+)(?:[?#].*)?$", re.IGNORECASE)
# What MJML and every mail carry, and no publication can take out, is in no baseline.
_IN_EVERY_MAIL = {
    "<body>", "<style>", "@media", "[dir]", "[height]", "[lang]", "[role]", "[width]",
    "background", "background-color", "border", "display", "display:none", "font-size",
    "font-weight", "height", "line-height", "margin", "max-width", "padding", "text-align",
    "text-decoration", "width",
}  # fmt: skip


def client_support(checked: Checked) -> Iterator[Finding]:
    """Features that a client does not know, or only in part, and that the theme does not accept."""
    if checked.edition is None:
        return
    for feature in sorted(features(checked.edition.html) - checked.accepted - _IN_EVERY_MAIL):
        if feature in UNSUPPORTED:
            yield find("client_support", feature=feature, clients=_named(UNSUPPORTED[feature]))
        elif feature in PARTLY:
            yield find("partial_support", feature=feature, clients=_named(PARTLY[feature]))


def _named(letters: str) -> str:
    return ", ".join(CLIENTS[letter] for letter in letters)


def features(html: str) -> set[str]:
    """Return every feature of *html* under the names of ``client_facts``."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.found


class _Reader(HTMLParser):
    """Collects elements, attributes, and what their styles use; comments are left out."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: set[str] = set()
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_style = tag == "style"
        self.found.add(f"<{tag}>")
        for name, value in attrs:
            self.found.add(f"[{name}]")
            self._read_attribute(name, value or "")
        given = dict(attrs)
        if tag == "meta" and given.get("name") == "color-scheme":
            self.found.add("<meta color-scheme>")

    def handle_endtag(self, tag: str) -> None:
        if tag == "style":
            self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.found |= _style_features(data)

    def _read_attribute(self, name: str, value: str) -> None:
        if name == "style":
            self.found |= _declared_features(value)
        elif name == "href" and value.startswith("#"):
            self.found.add("href=#")
        elif name == "src" and value.startswith("data:"):
            self.found.add("data:")
        elif name == "src" and (found := _FORMAT.search(value)):
            self.found.add(f".{found[1].lower()}")


def _style_features(css: str) -> set[str]:
    css = _COMMENT.sub("", css)
    found = _declared_features(css)
    for prelude in (match[1].strip() for match in _RULE.finditer(css)):
        if prelude.startswith("@"):
            rule = prelude.partition(" ")[0]
            found.add(rule)
            found |= {f"{rule} {feature}" for feature in _MEDIA_FEATURE.findall(prelude)}
        else:
            found |= set(re.findall(r"::?[a-z-]+", prelude))
            found |= {"[selector]"} if "[" in prelude else set()
    found |= set(re.findall(r"@import\b", css))
    return found


def _declared_features(css: str) -> set[str]:
    found: set[str] = set()
    for name, value in _DECLARATION.findall(css):
        word = value.replace("!important", "").strip().lower()
        found |= {name.lower(), f"{name.lower()}:{word}"}
        found |= {f"{function}()" for function in re.findall(r"([a-z-]+)\(", word)}
        found |= {f"1{unit}" for unit in _UNIT.findall(word)}
    return found
