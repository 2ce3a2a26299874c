"""What MJML we allow ourselves, as data.

In: nothing. Out: for each tag the parents it may stand in and the attributes it knows. The engine
copies a mistyped tag or attribute through in silence (EMAIL A1), so ``mail.lint`` reads this table
before it. Never: a rule about one publication's templates.
"""

from __future__ import annotations

from dataclasses import dataclass

_PADDING = frozenset({
    "padding", "padding-top", "padding-right", "padding-bottom", "padding-left",
})  # fmt: skip
_BORDER = frozenset({
    "border", "border-top", "border-right", "border-bottom", "border-left", "border-radius",
})  # fmt: skip
_INNER_BORDER = frozenset(f"inner-{name}" for name in _BORDER)
_BACKGROUND = frozenset({
    "background-color", "background-url", "background-repeat", "background-size",
    "background-position", "background-position-x", "background-position-y",
})  # fmt: skip
_FONT = frozenset({
    "font-family", "font-size", "font-style", "font-weight", "letter-spacing", "line-height",
    "color", "text-decoration", "text-transform",
})  # fmt: skip
# Every visible component takes these two.
_COMMON = frozenset({"css-class", "mj-class"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One tag: where it may stand, what it may carry, what it must carry."""

    parents: frozenset[str]
    attributes: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    # HTML stands inside, not components.
    holds_html: bool = False


def _rule(parents: str, *groups: frozenset[str], required: str = "", html: bool = False) -> Rule:
    known = frozenset().union(*groups)
    needed = frozenset(required.split())
    return Rule(
        parents=frozenset(parents.split()),
        attributes=known | needed,
        required=needed,
        holds_html=html,
    )


_BODY_LEVEL = "mj-body"
_COLUMN_LEVEL = "mj-column"

RULES: dict[str, Rule] = {
    "mjml": _rule("", required="lang dir"),
    "mj-head": _rule("mjml"),
    "mj-body": _rule("mjml", _COMMON, frozenset({"background-color", "width"})),
    "mj-title": _rule("mj-head"),
    "mj-attributes": _rule("mj-head"),
    "mj-breakpoint": _rule("mj-head", required="width"),
    "mj-style": _rule("mj-head"),
    # Inside mj-attributes these carry any attribute of any component.
    "mj-all": _rule("mj-attributes"),
    "mj-class": _rule("mj-attributes", required="name"),
    "mj-raw": _rule("mj-head mj-body mj-section mj-column mj-wrapper", html=True),
    "mj-wrapper": _rule(
        _BODY_LEVEL,
        _COMMON,
        _BACKGROUND,
        _BORDER,
        _PADDING,
        frozenset({"full-width", "text-align"}),
    ),
    "mj-section": _rule(
        "mj-body mj-wrapper",
        _COMMON,
        _BACKGROUND,
        _BORDER,
        _PADDING,
        frozenset({"direction", "full-width", "text-align"}),
    ),
    "mj-group": _rule(
        "mj-section",
        _COMMON,
        frozenset({"background-color", "direction", "vertical-align", "width"}),
    ),
    "mj-column": _rule(
        "mj-section mj-group",
        _COMMON,
        _BORDER,
        _INNER_BORDER,
        _PADDING,
        frozenset({
            "background-color", "inner-background-color", "vertical-align", "width", "direction",
        }),
    ),
    "mj-text": _rule(
        _COLUMN_LEVEL,
        _COMMON,
        _FONT,
        _PADDING,
        frozenset({"align", "container-background-color", "height"}),
        html=True,
    ),
    "mj-table": _rule(
        _COLUMN_LEVEL,
        _COMMON,
        _FONT,
        _PADDING,
        frozenset({
            "align", "border", "cellpadding", "cellspacing", "container-background-color",
            "role", "table-layout", "width",
        }),
        html=True,
    ),
    "mj-button": _rule(
        _COLUMN_LEVEL,
        _COMMON,
        _FONT,
        _BORDER,
        _PADDING,
        frozenset({
            "align", "background-color", "container-background-color", "height",
            "inner-padding", "name", "rel", "target", "text-align", "title", "vertical-align",
            "width",
        }),
        required="href",
        html=True,
    ),
    "mj-image": _rule(
        _COLUMN_LEVEL,
        _COMMON,
        _BORDER,
        _PADDING,
        frozenset({
            "align", "container-background-color", "fluid-on-mobile", "font-size", "height",
            "href", "max-height", "name", "rel", "sizes", "srcset", "target", "title", "usemap",
        }),
        required="src alt width",
    ),
    "mj-divider": _rule(
        _COLUMN_LEVEL,
        _COMMON,
        _PADDING,
        frozenset({
            "align", "border-color", "border-style", "border-width",
            "container-background-color", "width",
        }),
    ),
    "mj-spacer": _rule(
        _COLUMN_LEVEL, _COMMON, _PADDING, frozenset({"container-background-color", "height"})
    ),
}  # fmt: skip

# Tags of MJML that we never use, and why (DESIGN 3, EMAIL A1–A4).
FORBIDDEN: dict[str, str] = {
    "mj-accordion": "most clients show it open or not at all",
    "mj-carousel": "it fails in most clients",
    "mj-font": "no web font",
    "mj-hero": "its fluid height is broken in the engine",
    "mj-html-attributes": "the engine refuses it",
    "mj-include": "use a Jinja include: the engine loses the cause of an error",
    "mj-navbar": "it needs a checkbox that Outlook shows",
    "mj-preview": "its white hidden text costs 0.7 of spam score",
    "mj-social": "its icons come from a foreign server",
}
