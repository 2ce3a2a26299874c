"""Examples: at least one, none twice, none that readers have had already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from newsletter.checks.checked import Checked
from newsletter.checks.faults import find
from newsletter.content.headers import alias
from newsletter.model import Finding


def no_example(checked: Checked) -> Iterator[Finding]:
    """The letter's promise: it illustrates.

    A story whose kind is named like the block of examples tells one itself.
    """
    own = {name for name, role in checked.roles.items() if role == "examples"}
    told = any(story.kind in own for story in checked.issue.stories)
    if not checked.issue.examples and not told:
        key = alias("examples", checked.language)
        yield find("no_example", checked.header("examples"), key=key)


def duplicate_examples(checked: Checked) -> Iterator[Finding]:
    """One id written twice in the header."""
    wanted = checked.issue.wanted_examples
    if isinstance(wanted, int):
        return
    for example, count in Counter(wanted).items():
        if count > 1:
            yield find("duplicate_example", checked.header("examples"), example=example)


def few_examples(checked: Checked) -> Iterator[Finding]:
    """Fewer than were asked for; ids that no feed brought are found when they are picked."""
    wanted = checked.issue.wanted_examples
    found = len(checked.issue.examples)
    if isinstance(wanted, int) and found < wanted:
        yield find("few_examples", checked.header("examples"), wanted=wanted, found=found)


def featured_examples(checked: Checked) -> Iterator[Finding]:
    """An example published once is never news again (F5)."""
    for example in checked.issue.examples:
        for issue_id in checked.featured.get(example.id, ()):
            if issue_id != checked.issue.id:
                place = checked.header("examples")
                yield find("featured_example", place, example=example.id, issue=issue_id)
                break
