"""Everything the checks can find, on one page.

In: a code, a place, facts. Out: a ``Finding``. What reading an issue finds is in
``content.faults``. Never: a sentence made of translated pieces; the French of each message and
remedy stands in ``locale/fr/checks.po``, a bad and a good example of each in ``docs/checks.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from newsletter.model import Finding, Place, Severity

ERROR, WARNING, ADVICE = Severity.ERROR, Severity.WARNING, Severity.ADVICE


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of thing to say."""

    severity: Severity
    message: str
    remedy: str


FAULTS: Final[dict[str, Fault]] = {
    # --- links
    "insecure_link": Fault(
        WARNING,
        "The link {href} is not secure.",
        "Write https:// if the site has it.",
    ),
    "placeholder_link": Fault(
        ERROR,
        "The link {href} is only a placeholder.",
        "Write the address of the real page.",
    ),
    "vague_label": Fault(
        WARNING,
        "The link “{label}” does not say where it leads.",
        "Say what one finds there, for instance “Download the charter (PDF)”.",
    ),
    "duplicate_label": Fault(
        WARNING,
        "Two links say “{label}” and lead to different pages.",
        "Give each a name of its own: a screen reader lists links without their context.",
    ),
    "dead_link": Fault(
        WARNING,
        "The link {href} does not answer: {answer}.",
        "Check the address in a browser, then correct it.",
    ),
    "redirected_link": Fault(
        ADVICE,
        "The link {href} leads on to {target}.",
        "Write the last address.",
    ),
    # --- structure
    "heading_jump": Fault(
        WARNING,
        "The heading “{text}” jumps from level {before} to level {level}.",
        "Write it with {hashes}.",
    ),
    "title_level": Fault(
        WARNING,
        "“{text}” is a title of the highest level, which is the issue's own.",
        "Write it with ##.",
    ),
    "duplicate_title": Fault(
        WARNING,
        "Two titles of this issue say “{text}”.",
        "Change one: a reader who jumps from title to title must tell them apart.",
    ),
    "long_alt": Fault(
        ADVICE,
        "This alternative text is long: {length} characters.",
        "Keep to {limit}, and say the rest in the text beside the picture.",
    ),
    "poor_text": Fault(
        WARNING,
        "The text part lacks what the mail shows: “{text}”.",
        "Complete the macro “text” of the block that shows it.",
    ),
    "broken_outline": Fault(
        WARNING,
        "The mail's headings do not follow each other: {outline}.",
        "Check the levels in the block that writes them.",
    ),
    "low_contrast": Fault(
        ERROR,
        "“{text}” is hard to read: contrast {ratio}, where {wanted} is needed.",
        "Choose a darker or a lighter colour in templates/theme.toml.",
    ),
    "client_support": Fault(
        ADVICE,
        "The mail uses {feature}, which {clients} do not know.",
        "Take it out of templates/, or check that the mail reads well without it and add it to "
        "[support] accepted in templates/theme.toml.",
    ),
    "partial_support": Fault(
        ADVICE,
        "The mail uses {feature}, which {clients} know only in part.",
        "See caniemail.com for which part; if the mail reads well without it, add it to [support] "
        "accepted in templates/theme.toml.",
    ),
    # --- French
    "all_capitals": Fault(
        WARNING,
        "“{text}” is written in capitals.",
        "Write it in lower case with its accents; the layout makes the capitals.",
    ),
    "missing_accents": Fault(
        WARNING,
        "Accents are missing on capitals: “{text}”.",
        "Write for instance “{right}”.",
    ),
    "ordinal": Fault(
        WARNING,
        "“{text}” is not how an ordinal is written.",
        "Write “{right}”.",
    ),
    "thousands": Fault(
        WARNING,
        "“{text}” takes a full stop for thousands.",
        "Write “{right}”, with a space.",
    ),
    "number_sign": Fault(
        ADVICE,
        "“{text}” is not how a number is announced.",
        "Write “{right}”.",
    ),
    "date_form": Fault(
        ADVICE,
        "“{text}” is not how a date is written.",
        "Write “{right}”.",
    ),
    "time_form": Fault(
        ADVICE,
        "“{text}” is not how a time is written.",
        "Write “{right}”.",
    ),
    "quotation_marks": Fault(
        ADVICE,
        "“{text}” stands between straight quotation marks.",
        "Write « {text} ».",
    ),
    "breaking_space": Fault(
        WARNING,
        "A line could break before the sign in “{text}”.",
        "Put a no-break space there.",
    ),
    "misplaced_space": Fault(
        WARNING,
        "The space is misplaced in “{text}”.",
        "No space before a comma or a full stop, one after.",
    ),
    "repeated_word": Fault(
        WARNING,
        "“{text}” stands twice in a row.",
        "Delete one of the two.",
    ),
    "inclusive_point": Fault(
        ADVICE,
        "“{text}” is hard to read aloud for a screen reader.",
        "Write both forms, or a word for all: “les élues et élus”, “l'équipe”.",
    ),
    # --- words
    "misspelt_name": Fault(
        WARNING,
        "“{text}” is not how the house writes it.",
        "Write “{right}” (issues/glossary.toml).",
    ),
    "unexplained": Fault(
        ADVICE,
        "“{term}” is explained nowhere in this issue.",
        "At its first use, write for instance “{expansion} ({term})”.",
    ),
    "long_issue": Fault(
        ADVICE,
        "The mail has {words} words, {minutes} minutes of reading.",
        "Keep to {limit}; the rest can go behind a block that only the web copy shows.",
    ),
    "spelling": Fault(
        ADVICE,
        "“{word}” is not in the dictionary.",
        "Correct it, or add it to issues/glossary.toml.",
    ),
    # --- figures
    "figure_without_source": Fault(
        WARNING,
        "The figure “{value}” cites no source.",
        "Add a line “{field}: …” with the name of a source of issues/sources.toml.",
    ),
    "source_without_validity": Fault(
        WARNING,
        "The source “{source}” does not say until when it holds.",
        "Add valid_until to [{source}] in issues/sources.toml, or take a newer study.",
    ),
    "stale_source": Fault(
        WARNING,
        "The source “{source}” held until {day}.",
        "Take a newer figure, or put valid_until off after checking it.",
    ),
    "figure_reworded": Fault(
        WARNING,
        "The figure “{value}” was worded otherwise in the issue {issue}: “{sentence}”.",
        "Use the same words for the same figure, or cite another source.",
    ),
    # --- days
    "wrong_weekday": Fault(
        ERROR,
        "“{text}” is a {weekday}.",
        "Write “{right}”, or correct the day.",
    ),
    "impossible_date": Fault(
        ERROR,
        "“{text}” is in no calendar.",
        "Correct the day or the month.",
    ),
    "past_event": Fault(
        ERROR,
        "This event of {day} will be over when the issue leaves.",
        "Take it out, or announce the next one.",
    ),
    "expired_story": Fault(
        WARNING,
        "The story “{title}” is out of date since {day}.",
        "Take it out, or put its date off.",
    ),
    "folder_on_holiday": Fault(
        ERROR,
        "{day} is a holiday ({holiday}): this week's issue leaves on {moved}.",
        "Rename the folder to {folder}.",
    ),
    "no_slot": Fault(
        WARNING,
        "No issue leaves on {day} by itself.",
        "Rename the folder to {folder}, or send it by hand with: newsletter send {issue} --now",
    ),
    "two_for_one_slot": Fault(
        ERROR,
        "The folder {other} is for the same week.",
        "Keep one of the two folders, or move one to another week.",
    ),
    # --- examples
    "no_example": Fault(
        WARNING,
        "This issue shows no example.",
        "Write “{key}: 1” in the header, or tell one yourself.",
    ),
    "duplicate_example": Fault(
        ERROR,
        "The example “{example}” is asked for twice.",
        "Keep one of the two.",
    ),
    "featured_example": Fault(
        ERROR,
        "The example “{example}” was in the issue {issue} already.",
        "Choose another with: newsletter examples --unused",
    ),
    "few_examples": Fault(
        WARNING,
        "{wanted} examples are wanted and {found} found.",
        "Run newsletter collect, or ask for fewer.",
    ),
    # --- envelope
    "no_preheader": Fault(
        WARNING,
        "This issue has no preheader: inboxes will show its first words.",
        "Add a line “{key}: …” that completes the subject.",
    ),
    "long_subject": Fault(
        WARNING,
        "The subject has {length} characters: a phone cuts it after about {limit}.",
        "Say the essential first, and shorten it.",
    ),
    "short_subject": Fault(
        WARNING,
        "The subject has only {length} characters.",
        "Say what this issue is about.",
    ),
    "long_preheader": Fault(
        ADVICE,
        "The preheader has {length} characters: inboxes show about {limit}.",
        "Shorten it.",
    ),
    "same_preheader": Fault(
        WARNING,
        "The preheader repeats the subject.",
        "Let it say something more.",
    ),
    "emoji_in_subject": Fault(
        ADVICE,
        "The subject holds “{emoji}”.",
        "Take it out: screen readers speak it, and filters count it.",
    ),
    "number_taken": Fault(
        ERROR,
        "The issue {other} has the number {number} too.",
        "Write “{key}: {free}”.",
    ),
    "no_legal_notice": Fault(
        ERROR,
        "The legal notice lacks {name}.",
        "Fill in [publication] {name} in newsletter.toml.",
    ),
    "reserved_address": Fault(
        ERROR,
        "The address {address} of newsletter.toml is only an example.",
        "Write a real address before you write to real people.",
    ),
    # --- weight
    "weight": Fault(
        ERROR,
        "The mail weighs {size} KB: Gmail cuts its end off, with the way out, near 102 KB.",
        "Shorten it below {limit} KB: move long texts to the web copy.",
    ),
    "heavy": Fault(
        WARNING,
        "The mail weighs {size} KB; more than {limit} KB is a lot.",
        "Shorten it, or move long texts to the web copy.",
    ),
    "many_pictures": Fault(
        ADVICE,
        "The mail shows {count} pictures; {limit} are plenty.",
        "Keep those that say something.",
    ),
    "heavy_pictures": Fault(
        WARNING,
        "The pictures weigh {size} KB together; {limit} KB is plenty.",
        "Reduce or leave out the heaviest: {heaviest}.",
    ),
    "tracking_pixel": Fault(
        ERROR,
        "The mail loads a picture that could follow its readers: {src}.",
        "Take it out: this letter follows nobody.",
    ),
    # --- the edition
    "rendering": Fault(
        ERROR,
        "This cannot be rendered: {reason}.",
        "{remedy}",
    ),
}  # fmt: skip


def find(
    code: str,
    place: Place | None = None,
    *,
    severity: Severity | None = None,
    **facts: str | int,
) -> Finding:
    """Return the finding *code*; *severity* replaces the usual one where circumstances do."""
    fault = FAULTS[code]
    return Finding(
        severity=severity or fault.severity,
        code=code,
        message=fault.message,
        remedy=fault.remedy,
        file=place.file if place else None,
        line=place.line if place else None,
        facts=facts,
    )


def shorten(text: str, length: int = 60) -> str:
    """Return *text* cut to a length that a message can quote, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
