"""Prose tokens → XHTML: for the mail with styles written into the tags, for the web without.

In: tokens. Out: well-formed XHTML; MRML's strict parser must never fail on it. In the mail a
personal field is a hole, U+E000 name|fallback U+E001; the web copy prints the fallback.
Never: a character of an editor's text unescaped; a picture, which is a block of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from markdown_it.token import Token

HOLE_OPENS, HOLE_CLOSES = "\ue000", "\ue001"
VOID = {"hr", "br"}
CELLS = {"th", "td"}


def render_mail(tokens: Sequence[Token], styles: Mapping[str, str], *, shift: int = 0) -> str:
    """Return *tokens* for a mail; *styles* maps a tag to its CSS, *shift* lowers the headings."""
    return _Writer(styles=styles, shift=shift, holes=True).write(tokens)


def render_web(tokens: Sequence[Token], *, shift: int = 0) -> str:
    """Return *tokens* as semantic HTML; note references carry the anchors of their notes."""
    return _Writer(styles={}, shift=shift, holes=False).write(tokens)


def hole(name: str, fallback: str) -> str:
    """Return the place where a reader's own word will stand; *fallback* is already escaped."""
    return f"{HOLE_OPENS}{name}|{fallback}{HOLE_CLOSES}"


class _Writer:
    """Writes tokens in order; the only state is the medium."""

    def __init__(self, *, styles: Mapping[str, str], shift: int, holes: bool) -> None:
        self.styles = styles
        self.shift = shift
        self.holes = holes

    def write(self, tokens: Iterable[Token]) -> str:
        return "".join(map(self._token, tokens))

    def _token(self, token: Token) -> str:  # noqa: PLR0911 (one return a kind)
        match token.type:
            case "inline":
                return self.write(token.children or ())
            case "text":
                return escape(token.content)
            case "softbreak":
                return "\n"
            case "code_inline":
                return f"<code{self._style('code')}>{escape(token.content)}</code>"
            case "code_block" | "fence":
                return f"<pre{self._style('pre')}>{escape(token.content)}</pre>\n"
            case "field":
                return self._field(token)
            case "note_ref":
                return self._note(token)
            case "image":
                return self.write(token.children or ())
            case _:
                return self._tag(token)

    def _tag(self, token: Token) -> str:
        if token.hidden or not token.tag:
            return ""
        tag = self._lower(token.tag)
        if token.nesting < 0:
            return f"</{tag}>" + ("\n" if token.block else "")
        close = " />" if tag in VOID else ">"
        after = "\n" if tag in VOID or (token.block and token.type in _CONTAINERS) else ""
        return f"<{tag}{self._attributes(token, tag)}{close}{after}"

    def _lower(self, tag: str) -> str:
        if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
            return f"h{min(int(tag[1]) + self.shift, 6)}"
        return tag

    def _attributes(self, token: Token, tag: str) -> str:
        said: dict[str, str] = {}
        own = ""
        for name, value in token.attrs.items():
            if name == "style" and tag in CELLS:
                own = str(value)
            elif (token.tag, name) in {("a", "href"), ("a", "title"), ("ol", "start")}:
                said[name] = str(value)
        if tag == "th":
            said["scope"] = "col"
        style = ";".join(part for part in (self.styles.get(tag, "").rstrip(";"), own) if part)
        if style:
            said["style"] = style
        return "".join(f' {name}="{escape(value)}"' for name, value in said.items())

    def _style(self, tag: str) -> str:
        style = self.styles.get(tag, "")
        return f' style="{escape(style)}"' if style else ""

    def _field(self, token: Token) -> str:
        fallback = escape(token.meta["fallback"])
        return hole(token.meta["name"], fallback) if self.holes else fallback

    def _note(self, token: Token) -> str:
        number = token.meta.get("number")
        if number is None:
            return escape(token.content)
        anchor = token.meta["anchor"]
        role = "" if self.holes else ' role="doc-noteref"'
        return (
            f"<sup{self._style('sup')}>"
            f'<a href="#note-{number}" id="{anchor}"{role}{self._style("a")}>{number}</a></sup>'
        )


_CONTAINERS = {
    "bullet_list_open", "ordered_list_open", "blockquote_open", "table_open", "thead_open",
    "tbody_open", "tr_open",
}  # fmt: skip
