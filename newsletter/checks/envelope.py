"""The envelope: subject, preheader, number, legal notice, addresses."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from newsletter.checks.checked import Checked
from newsletter.checks.faults import find
from newsletter.checks.links import is_reserved
from newsletter.config import FILE_NAME, PLACEHOLDER
from newsletter.content.headers import alias
from newsletter.model import Finding, Place, Severity

SUBJECT_LIMIT = 60
SUBJECT_LEAST = 8
PREHEADER_LIMIT = 110
# P13: what the law wants at the foot of every message.
NOTICE = ("publisher", "address", "director", "contact", "host")


def subject_length(checked: Checked) -> Iterator[Finding]:
    """A phone shows about sixty characters; no subject at all is an error of the header's."""
    length = len(checked.issue.subject)
    if length > SUBJECT_LIMIT:
        yield find("long_subject", checked.header("subject"), length=length, limit=SUBJECT_LIMIT)
    elif 0 < length < SUBJECT_LEAST:
        yield find("short_subject", checked.header("subject"), length=length)


def emoji_in_subject(checked: Checked) -> Iterator[Finding]:
    """Advice: screen readers speak each one, and filters count them."""
    found = [char for char in checked.issue.subject if unicodedata.category(char) == "So"]
    if found:
        yield find("emoji_in_subject", checked.header("subject"), emoji="".join(found))


def preheader(checked: Checked) -> Iterator[Finding]:
    """The line that an inbox shows after the subject."""
    issue = checked.issue
    if not issue.preheader:
        key = alias("preheader", checked.language)
        yield find("no_preheader", issue.place, key=key)
    elif issue.preheader.casefold().strip(" .") == issue.subject.casefold().strip(" ."):
        yield find("same_preheader", checked.header("preheader"))
    elif len(issue.preheader) > PREHEADER_LIMIT:
        length = len(issue.preheader)
        yield find(
            "long_preheader", checked.header("preheader"), length=length, limit=PREHEADER_LIMIT
        )


def number_taken(checked: Checked) -> Iterator[Finding]:
    """Two issues of one number: readers quote it."""
    free = max(checked.numbers.values(), default=0) + 1
    for other, number in checked.numbers.items():
        if number == checked.issue.number and other != checked.issue.id:
            key = alias("number", checked.language)
            place = checked.header("number")
            yield find("number_taken", place, other=other, number=number, key=key, free=free)


def legal_notice(checked: Checked) -> Iterator[Finding]:
    """Missing or still the starter's words: an error as soon as real people can be reached."""
    severity = Severity.WARNING if checked.settings.all_loopback else Severity.ERROR
    for name in NOTICE:
        said = getattr(checked.settings.publication, name)
        if not said or PLACEHOLDER in said:
            place = checked.header(name, Place(FILE_NAME, 1))
            yield find("no_legal_notice", place, severity=severity, name=name)


def reserved_addresses(checked: Checked) -> Iterator[Finding]:
    """The starter's addresses, once the relay can reach real people."""
    if checked.settings.all_loopback:
        return
    sender = checked.settings.sender
    written = (sender.address, sender.reply_to, sender.bounce_address)
    for address in dict.fromkeys(filter(None, written)):
        if is_reserved(address.rpartition("@")[2]):
            yield find("reserved_address", Place(FILE_NAME, 1), address=address)
