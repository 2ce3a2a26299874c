"""French typography: the no-break spaces, apostrophes and ellipses that editors do not type.

In: a text and a profile. Out: the same words, with U+202F before ; ! ? and in thousands, U+00A0
before : and inside « » and before units, ’ and …. Never: a changed word, number or sign; an edit
inside an address, a time, code, a personal field or a word of the glossary (DESIGN 3, DOMAIN 5).
Twice is once.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Final

NBSP: Final = "\u00a0"
NNBSP: Final = "\u202f"
# Stands for what typography must not look into: code, a personal field, a picture.
OPAQUE: Final = "\ufffc"
BLANKS: Final = " \u00a0\u202f"

UNITS = (
    "%|‰|€|M€|k€|Md€|\\$|£|°C|°|km²|km/h|km|m²|m³|cm|mm|m|ha|kg|mg|g|t|hl|cl|ml|L|l|kWh|MWh|GWh|kW|MW"
    "|W|h|min|s|j|ans?|mois|jours?|Mo|Ko|ko|Go|To|pages?|millions?|milliards?|mille|points?"
)
TITLES = "M|MM|Mme|Mmes|Mlle|Dr|Pr|St|Ste|Mgr|Me"
PAGES = "n°|N°|nᵒ|p\\.|pp\\.|art\\.|chap\\.|vol\\.|fig\\.|§"

# What is kept comes first. A run of blanks is tried at its first blank only: linear time.
MARKS = re.compile(
    rf"""
    (?P<keep>
        \{{\{{[^{{}}\n]{{0,200}}\}}\}}                          # a personal field
      | [A-Za-z][\w+.-]{{1,20}}://[^\s<>«»{OPAQUE}]*          # an address of the web
      | \b(?:mailto|tel):[^\s<>«»{OPAQUE}]+
      | (?<![\w.@+-])[\w.+-]{{1,64}}@[\w-]{{1,63}}(?:\.[\w-]{{1,63}}){{1,8}}
      | (?<![\w.@-])(?:[A-Za-z0-9-]{{1,63}}\.){{1,8}}[a-z]{{2,12}}(?![\w.])(?:[/?\#]\S*)?
      | (?<!\d)\d{{1,2}}:\d{{2}}(?::\d{{2}})?(?!\d)           # 10:30
      | (?<![{BLANKS}])[{BLANKS}]++[:;]-?[)(DPp](?!\w)        # emoticons
      | (?<![\w{BLANKS}])[:;]-[)(DPp](?!\w)
      | (?<![{BLANKS}])[{BLANKS}]*+:[a-z_]{{2,30}}:
    )
  | (?P<open>«[{BLANKS}]*+)
  | (?P<close>(?<![{BLANKS}])[{BLANKS}]*+»)
  | (?P<high>(?<![{BLANKS}])[{BLANKS}]*+[;!?]++)
  | (?P<colon>(?<![{BLANKS}])[{BLANKS}]*+:++)
  | (?P<dots>\.{{2,}}+)
  | (?P<apostrophe>')
  | (?P<thousands>(?<!\d)(?<!\d[,.{BLANKS}])\d{{1,3}}(?:[{BLANKS}]\d{{3}}){{1,5}}(?!\d))
  | (?P<clock>(?<=\d)[{BLANKS}]*+h[{BLANKS}]++(?=\d\d?\b))
  | (?P<unit>(?<=\d)[{BLANKS}]++(?=(?:{UNITS})(?![\w’'])))
  | (?P<sign>(?<=\d)(?=[%€‰]))
  | (?P<title>\b(?:{TITLES})\.?[{BLANKS}](?=[^\W\d_a-z]))
  | (?P<page>(?<!\w)(?:{PAGES})[{BLANKS}]?(?=\d))
    """,
    re.VERBOSE,
)
# No blank is put in behind these: they open something, or are marks themselves.
OPENERS = ";!?:([{«¿¡/-–—*_\"“‘'"
SPACES = " \u00a0\u202f\n\t"
CLOSERS = ')]}»"”’*_…,. \u00a0\u202f\n\t'


@dataclass(frozen=True, slots=True)
class Profile:
    """How a language is set. ``fine`` is the space before ; ! ? and in thousands."""

    fine: str = NNBSP
    protected: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace ``text[start:end]`` by ``by``: blanks, an apostrophe or dots change, nothing else."""

    start: int
    end: int
    by: str


def open_profile(
    language: str, *, nnbsp: bool = True, protected: Iterable[str] = ()
) -> Profile | None:
    """Return the profile of *language*; None for a language without rules here.

    ``nnbsp=False`` is for subjects, and for mail programs that show U+202F as a box. *protected*
    are the words of the glossary.
    """
    if language.partition("-")[0].lower() != "fr":
        return None
    return Profile(NNBSP if nnbsp else NBSP, _protect(tuple(sorted(set(protected)))))


@lru_cache(maxsize=16)
def _protect(terms: tuple[str, ...]) -> re.Pattern[str] | None:
    words = sorted((term for term in terms if term.strip()), key=len, reverse=True)
    if not words:
        return None
    either = "|".join(
        f"[{BLANKS}]".join(re.escape(part) for part in re.split(f"[{BLANKS}]+", word.strip()))
        for word in words
    )
    return re.compile(rf"(?<!\w)(?:{either})(?!\w)")


def typeset(text: str, profile: Profile | None) -> str:
    """Return *text* set by *profile*; unchanged without one."""
    if profile is None:
        return text
    for edit in reversed(find_edits(text, profile)):
        text = text[: edit.start] + edit.by + text[edit.end :]
    return text


def find_edits(text: str, profile: Profile) -> list[Edit]:
    """Return what must change in *text*, in order, without overlap."""
    terms = list(profile.protected.finditer(text)) if profile.protected else []
    edits = [edit for term in terms for edit in _join_pair(term)]
    spans = iter(terms)
    span = next(spans, None)
    for mark in MARKS.finditer(text):
        while span and span.end() <= mark.start():
            span = next(spans, None)
        if span and span.start() < mark.end() and mark.start() < span.end():
            continue
        rule = RULES.get(mark.lastgroup or "")
        if rule and (edit := rule(text, mark, profile)):
            edits.append(edit)
    return sorted(edits, key=lambda edit: edit.start)


def _join_pair(term: re.Match[str]) -> list[Edit]:
    """« ODD 17 » is one word: no break before the number."""
    found = re.fullmatch(r"\S+([ \u202f])\d+", term.group())
    if not found:
        return []
    start = term.start() + found.start(1)
    return [Edit(start, start + 1, NBSP)]


def _replace(start: int, end: int, text: str, by: str) -> Edit | None:
    return None if text[start:end] == by else Edit(start, end, by)


def _before(text: str, mark: re.Match[str]) -> str:
    return text[mark.start() - 1] if mark.start() else "\n"


def _after(text: str, mark: re.Match[str]) -> str:
    return text[mark.end() : mark.end() + 1] or "\n"


def _blanks(mark: re.Match[str]) -> int:
    """Return where the blanks in front of a mark end."""
    said = mark.group()
    return mark.start() + len(said) - len(said.lstrip(BLANKS))


def _open(text: str, mark: re.Match[str], _: Profile) -> Edit | None:
    if _after(text, mark) in "\n»":
        return None
    return _replace(mark.start() + 1, mark.end(), text, NBSP)


def _close(text: str, mark: re.Match[str], _: Profile) -> Edit | None:
    if _before(text, mark) in "\n«":
        return None
    return _replace(mark.start(), mark.end() - 1, text, NBSP)


def _high(text: str, mark: re.Match[str], profile: Profile) -> Edit | None:
    end = _blanks(mark)
    before = _before(text, mark)
    if before == "\n":
        return None
    if end == mark.start() and (before in OPENERS or _after(text, mark) not in CLOSERS):
        return None  # « a;b », « (?) »: not the end of a word
    return _replace(mark.start(), end, text, profile.fine)


def _colon(text: str, mark: re.Match[str], _: Profile) -> Edit | None:
    end = _blanks(mark)
    before = _before(text, mark)
    if before == "\n" or mark.end() - end > 1:
        return None
    if end == mark.start() and (before in OPENERS or _after(text, mark) not in f"»{SPACES}"):
        return None
    return _replace(mark.start(), end, text, NBSP)


def _dots(_: str, mark: re.Match[str], __: Profile) -> Edit | None:
    return Edit(mark.start(), mark.end(), "…") if len(mark.group()) == 3 else None


def _apostrophe(text: str, mark: re.Match[str], _: Profile) -> Edit | None:
    after = _after(text, mark)
    if not _before(text, mark).isalpha() or not (after.isalnum() or after in f'«“"{OPAQUE}'):
        return None
    return Edit(mark.start(), mark.end(), "’")


def _thousands(text: str, mark: re.Match[str], profile: Profile) -> Edit | None:
    by = re.sub(f"[{BLANKS}]", profile.fine, mark.group())
    return _replace(mark.start(), mark.end(), text, by)


def _blank(text: str, mark: re.Match[str], _: Profile) -> Edit | None:
    return _replace(mark.start(), mark.end(), text, NBSP)


def _clock(text: str, mark: re.Match[str], _: Profile) -> Edit | None:
    by = f"{NBSP}h{NBSP}" if mark.group()[0] in BLANKS else f"h{NBSP}"
    return _replace(mark.start(), mark.end(), text, by)


def _title(text: str, mark: re.Match[str], _: Profile) -> Edit | None:
    if not _after(text, mark).isupper():
        return None
    return _replace(mark.end() - 1, mark.end(), text, NBSP)


def _page(text: str, mark: re.Match[str], _: Profile) -> Edit | None:
    said = mark.group().rstrip(BLANKS)
    return _replace(mark.start() + len(said), mark.end(), text, NBSP)


RULES: Final[dict[str, Callable[[str, re.Match[str], Profile], Edit | None]]] = {
    "open": _open,
    "close": _close,
    "high": _high,
    "colon": _colon,
    "dots": _dots,
    "apostrophe": _apostrophe,
    "thousands": _thousands,
    "unit": _blank,
    "sign": _blank,
    "clock": _clock,
    "title": _title,
    "page": _page,
}


def typeset_pieces(pieces: Sequence[str | None], profile: Profile | None) -> list[str | None]:
    """Set one text that markup cuts in pieces; None is a piece that stays closed (code, a field).

    A rule sees the whole: in « **gras** ? » the blank belongs to the second piece, the word before
    it to the first.
    """
    if profile is None:
        return list(pieces)
    shown = [OPAQUE if piece is None else piece for piece in pieces]
    starts = [0, *accumulate(len(piece) for piece in shown)]
    cells: list[list[str]] = [list(piece) for piece in shown]
    for edit in reversed(find_edits("".join(shown), profile)):
        _apply(edit, pieces, starts, cells)
    return [
        None if piece is None else "".join(cell) for piece, cell in zip(pieces, cells, strict=True)
    ]


def _apply(
    edit: Edit, pieces: Sequence[str | None], starts: Sequence[int], cells: list[list[str]]
) -> None:
    owner = bisect_right(starts, edit.start) - 1
    if owner >= len(cells) or pieces[owner] is None:  # an insertion right before a closed piece
        owner = max(index for index in range(owner) if pieces[index])
    at = edit.start - starts[owner]
    for position in range(edit.end - 1, edit.start - 1, -1):
        piece = bisect_right(starts, position) - 1
        cells[piece][position - starts[piece]] = ""
    cells[owner][at:at] = [edit.by]
