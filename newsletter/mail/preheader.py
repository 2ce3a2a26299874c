"""The line that a mailbox shows beside the subject, and the nothing that follows it.

In: the preheader. Out: invisible characters after it, so that no mailbox fills the line with the
first words of the message (EMAIL D). Never: white or tiny text, which costs 0.7 of spam score.
"""

from __future__ import annotations

from markupsafe import Markup

# The longest line that a known mailbox shows.
SHOWN = 150
# A joiner that draws nothing, a non-joiner, a space that does not collapse.
_NOTHING = "&#847;&zwnj;&nbsp;"


def padding(preheader: str) -> Markup:
    """Return what to write after *preheader* so that the body does not leak into the line."""
    return Markup(_NOTHING * max(0, SHOWN - len(preheader)))  # noqa: S704 (a constant of ours)
