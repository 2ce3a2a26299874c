"""What a web copy says differently before, on and after a day: an event to come, of today, past.

In: a page as it was frozen, the day somebody reads it. Out: the page of that day. Never: a new
rendering: the three wordings were frozen together, between comments that no editor can write.
"""

from __future__ import annotations

import re
from datetime import date

_CHOICE = re.compile(
    r"<!--before (\d{4}-\d{2}-\d{2})-->(.*?)<!--on-->(.*?)<!--after-->(.*?)<!--end-->", re.DOTALL
)


def read_on(page: str, day: date) -> str:
    """Return *page* as it reads on *day*."""

    def choose(found: re.Match[str]) -> str:
        before, on, after = found.group(2, 3, 4)
        turning = date.fromisoformat(found.group(1))
        return before if day < turning else on if day == turning else after

    return _CHOICE.sub(choose, page)
