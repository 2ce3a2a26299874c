"""Lines for the text part: folded at 76 columns, holes and addresses whole.

In: text as the templates give it. Out: the same words in lines of at most 76 characters, lists
hanging under their mark; an address longer than that stays whole on a line of its own. Never: a
space taken from inside a hole, a no-break space broken, a word cut.
"""

from __future__ import annotations

import re
import textwrap

WIDTH = 76
_HOLE = re.compile("\ue000[^\ue001]*\ue001")
_MARK = re.compile(r"(?:[-*•]|\d{1,3}[.)]|\[\d{1,3}\]|>) +")
# Stand-ins of a hole while lines are folded: private characters that no text carries.
_FIRST, _REST = "\ue002", "\ue003"


def fold(text: str) -> str:
    """Return *text* with every line folded at ``WIDTH``, at most one empty line in a row."""
    holes = _HOLE.findall(text)
    covered = _HOLE.sub(_cover, text)
    lines = [line for source in covered.split("\n") for line in _fold_line(source)]
    folded = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n") + "\n"
    waiting = iter(holes)
    return re.sub(f"{_FIRST}{_REST}*", lambda _: next(waiting), folded)


def _cover(found: re.Match[str]) -> str:
    """Return a word as long as the fallback of a hole."""
    fallback = found.group().partition("|")[2][:-1]
    return _FIRST + _REST * max(0, len(fallback) - 1)


def _fold_line(line: str) -> list[str]:
    line = line.rstrip(" \t")
    if len(line) <= WIDTH:
        return [line]
    indent = line[: len(line) - len(line.lstrip(" "))]
    mark = _MARK.match(line, len(indent))
    hanging = indent + " " * (len(mark.group()) if mark else 0)
    if mark and mark.group().startswith(">"):
        hanging = indent + mark.group()
    return textwrap.wrap(
        line,
        WIDTH,
        subsequent_indent=hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
