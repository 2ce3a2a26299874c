"""Everything that reading an issue can find wrong, on one page.

In: a code, a place, facts. Out: a ``Finding``. Never: a sentence made of translated pieces; each
message and remedy is a whole sentence whose French stands in ``locale/fr/content.po``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from newsletter.model import Finding, Place, Severity

ERROR, WARNING, ADVICE = Severity.ERROR, Severity.WARNING, Severity.ADVICE


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of mistake; ``otherwise`` is the remedy when no near name is known."""

    severity: Severity
    message: str
    remedy: str
    otherwise: str = ""


FAULTS: Final[dict[str, Fault]] = {
    # --- the folder and its files
    "bad_folder": Fault(
        ERROR,
        "“{folder}” is not a day: an issue's folder is named after the day it leaves.",
        "Name the folder like 2026-11-26.",
    ),
    "no_folder": Fault(
        ERROR,
        "There is no issue {folder}.",
        "Create it with: newsletter new {folder}",
    ),
    "no_issue_file": Fault(
        ERROR,
        "The issue {folder} has no file issue.md.",
        "Create issue.md with its header (number, subject) and the editorial.",
    ),
    "unreadable": Fault(
        ERROR,
        "This file cannot be read: {reason}.",
        "Check that it exists and that you may open it, then save it again.",
    ),
    "outside_file": Fault(
        ERROR,
        "This file leads out of the publication's folder.",
        "Copy the file itself into the issue's folder instead of a link to it.",
    ),
    "too_large": Fault(
        ERROR,
        "This file is too large: {size} KB, where {limit} KB are plenty.",
        "Keep only the text here; pictures go into images/.",
    ),
    "empty_file": Fault(
        ERROR,
        "This file is empty.",
        "Write its header and its text, or delete the file.",
    ),
    "not_utf8": Fault(
        ERROR,
        "This file is not in UTF-8 but in {encoding}.",
        "Save it again with the encoding UTF-8.",
    ),
    "not_text": Fault(
        ERROR,
        "This file is not text.",
        "Copy its text into a plain text file (.md) saved in UTF-8.",
    ),
    "ignored_file": Fault(
        ADVICE,
        "{name} is not read: only .md files are stories.",
        "Save its text as a .md file, or take it out of the folder.",
    ),
    # --- characters
    "mojibake": Fault(
        WARNING,
        "“{text}” looks like accents read in the wrong encoding.",
        "Type these letters again, and save the file in UTF-8.",
    ),
    "control_character": Fault(
        WARNING,
        "This text held control characters ({count}); they have been taken out.",
        "Paste it again without formatting, or type this line again.",
    ),
    "private_character": Fault(
        WARNING,
        "This text held characters of a private font ({count}); they have been taken out.",
        "Type the sign again, or write a list with “- ” in front of each line.",
    ),
    "hidden_character": Fault(
        ADVICE,
        "This text held invisible characters ({count}); they have been taken out.",
        "Nothing to do; paste without formatting to avoid them.",
    ),
    "word_bullet": Fault(
        ADVICE,
        "Word's bullets ({count}) have been turned into a list.",
        "Write “- ” in front of each line of a list.",
    ),
    "word_debris": Fault(
        ERROR,
        "This line carries remains of Word: “{text}”.",
        "Delete them, or paste the text again without formatting.",
    ),
    "raw_html": Fault(
        ERROR,
        "HTML is not read here: “{text}” would be printed as it stands.",
        "Take it out; use Markdown, or a block (newsletter blocks).",
    ),
    # --- headers
    "no_header": Fault(
        ERROR,
        "This file does not begin with a header.",
        "Put “{keys}” between two lines “---” at the top of the file.",
    ),
    "unclosed_header": Fault(
        ERROR,
        "The header is not closed.",
        "Write a line “---” after the last key.",
    ),
    "header_line": Fault(
        ERROR,
        "“{text}” is neither a key with its value nor a comment.",
        "Write “key: value” on one line, or begin the line with #.",
    ),
    "unknown_key": Fault(
        ERROR,
        "Unknown key “{key}”.",
        "Did you mean “{nearest}”?",
        "Take it out, or use one of: {known}.",
    ),
    "duplicate_key": Fault(
        ERROR,
        "The key “{key}” is given twice.",
        "Keep one of them; the first is on line {first}.",
    ),
    "missing_key": Fault(
        ERROR,
        "The key “{key}” is missing.",
        "Add a line “{key}: …” to the header.",
    ),
    "unknown_term": Fault(
        ERROR,
        "“{value}” is not a known value of “{key}”.",
        "Did you mean “{nearest}”?",
        "Use one of: {known}.",
    ),
    "unknown_segment": Fault(
        ERROR,
        "There is no segment “{value}”.",
        "Did you mean “{nearest}”?",
        "Describe it under [segments] in newsletter.toml, or take the key out.",
    ),
    "unknown_author": Fault(
        WARNING,
        "“{value}” is not among the people of newsletter.toml.",
        "Did you mean “{nearest}”?",
        "Add this person under [[people]], or write a name that stands there.",
    ),
    # --- values
    "bad_text": Fault(
        ERROR,
        "“{key}” has no value.",
        "Write the value after the colon, or take the line out.",
    ),
    "bad_int": Fault(
        ERROR,
        "“{value}” is not a whole number, as “{key}” wants one.",
        "Write for instance “{key}: 12”.",
    ),
    "bad_count": Fault(
        ERROR,
        "“{value}” is not a number above zero, as “{key}” wants one.",
        "Write for instance “{key}: 12”.",
    ),
    "bad_date": Fault(
        ERROR,
        "“{value}” is not a date, as “{key}” wants one.",
        "Write for instance “{key}: 2026-11-26”.",
    ),
    "bad_bool": Fault(
        ERROR,
        "“{value}” is neither yes nor no, as “{key}” wants it.",
        "Write “{key}: yes” or “{key}: no”.",
    ),
    "bad_sdgs": Fault(
        ERROR,
        "“{value}” is not a list of goals from 1 to 17.",
        "Write for instance “{key}: 11, 17”.",
    ),
    "bad_examples": Fault(
        ERROR,
        "“{value}” is neither a number of examples nor a list of their ids.",
        "Write for instance “{key}: 2”, or “{key}: 0” for none.",
    ),
    "bad_url": Fault(
        ERROR,
        "“{value}” is not a web address.",
        "Write it whole, for instance https://example.org/page.",
    ),
    # --- blocks
    "unknown_block": Fault(
        ERROR,
        "There is no block “{name}”.",
        "Did you mean “{nearest}”?",
        "See the list with: newsletter blocks",
    ),
    "unclosed_block": Fault(
        ERROR,
        "The block “{name}” is not closed.",
        "Write a line “:::” where it ends.",
    ),
    "stray_fence": Fault(
        ERROR,
        "This “:::” opens and closes nothing.",
        "Delete it, or begin a block alone at the margin: “::: name Title”.",
    ),
    "nested_block": Fault(
        ERROR,
        "The block “{name}” stands too deep: a block holds blocks, and these hold none.",
        "Take it out of the block around it.",
    ),
    "misplaced_block": Fault(
        ERROR,
        "The block “{name}” cannot stand inside the block “{outer}”.",
        "Close “{outer}” with a line “:::” before it, and write “{name}” after.",
    ),
    "missing_field": Fault(
        ERROR,
        "The block “{name}” lacks its field “{key}”.",
        "Add a line “{key}: …” below the line “::: {name}”.",
    ),
    "unknown_field": Fault(
        ERROR,
        "The block “{name}” has no field “{key}”.",
        "Did you mean “{nearest}”?",
        "Its fields are: {known}. If this line is text, leave an empty line before it.",
    ),
    "unknown_partner": Fault(
        ERROR,
        "There is no partner “{value}” in issues/partners.toml.",
        "Did you mean “{nearest}”?",
        "Add this partner to issues/partners.toml.",
    ),
    "unknown_source": Fault(
        ERROR,
        "There is no source “{value}” in issues/sources.toml.",
        "Did you mean “{nearest}”?",
        "Add this source to issues/sources.toml.",
    ),
    # --- pictures
    "picture_missing": Fault(
        ERROR,
        "There is no picture {path}.",
        "Did you mean “{nearest}”?",
        "Put the picture into the folder images/ of the issue, and check its name.",
    ),
    "picture_outside": Fault(
        ERROR,
        "The picture {path} is outside the publication's folder.",
        "Copy it into the folder images/ of the issue.",
    ),
    "picture_remote": Fault(
        ERROR,
        "The picture {path} stands on another site.",
        "Download it into the folder images/ of the issue, with the right to use it.",
    ),
    "picture_kind": Fault(
        ERROR,
        "Mail programs do not show pictures like {path}.",
        "Use a .jpg, .png or .gif picture.",
    ),
    "picture_large": Fault(
        ERROR,
        "The picture {path} is too large: {size} MB.",
        "Reduce it below {limit} MB.",
    ),
    "picture_empty": Fault(
        ERROR,
        "The picture {path} is an empty file.",
        "Export the picture again.",
    ),
    "no_alt": Fault(
        ERROR,
        "The picture {path} has no alternative text.",
        "Say between the brackets what it shows: ![What one sees]({path}).",
    ),
    "inline_picture": Fault(
        ERROR,
        "The picture {path} stands inside a text.",
        "Put it alone on its line, with an empty line before and after.",
    ),
    # --- links
    "empty_link": Fault(
        ERROR,
        "The link “{label}” leads nowhere.",
        "Write its whole address, for instance https://example.org/page.",
    ),
    "bad_link": Fault(
        ERROR,
        "The link “{label}” has an address that no mail can open: “{href}”.",
        "Write the whole address, for instance https://example.org/page.",
    ),
    "empty_label": Fault(
        ERROR,
        "The link to {href} has no text.",
        "Say between the square brackets what one finds there.",
    ),
    "bare_link": Fault(
        WARNING,
        "The address {href} stands bare in the text.",
        "Say what one finds there: [The charter]({href}).",
    ),
    # --- personal fields
    "unknown_personal": Fault(
        ERROR,
        "There is no personal field “{name}”.",
        "Did you mean “{nearest}”?",
        "The personal fields are: {known}.",
    ),
    "no_fallback": Fault(
        WARNING,
        "The personal field “{name}” says nothing to readers who have not given theirs.",
        "Add a fallback after a bar, for instance {{{{ {name} | Bonjour }}}}.",
    ),
    "leftover_braces": Fault(
        ERROR,
        "“{text}” is not a personal field: it would be printed as it stands.",
        "Write a field like {{{{ {example} | Bonjour }}}}, in a text, never in a link or a title.",
    ),
    # --- notes
    "unknown_note": Fault(
        ERROR,
        "The note “{label}” is written nowhere.",
        "Did you mean “{nearest}”?",
        "Add a line “[^{label}]: …” to this file, or a source “{label}” to issues/sources.toml.",
    ),
    "unused_note": Fault(
        WARNING,
        "The note “{label}” is called nowhere.",
        "Put [^{label}] in the text, or delete the note.",
    ),
    "duplicate_note": Fault(
        ERROR,
        "The note “{label}” is written twice.",
        "Keep one of them; the first is on line {first}.",
    ),
    # --- layout
    "indented_code": Fault(
        WARNING,
        "This text would be shown as computer code, because its lines begin with spaces.",
        "Take away the spaces or tabs at the beginning of the lines.",
    ),
    "underlined_heading": Fault(
        WARNING,
        "“{text}” has become a heading, because of the line below it.",
        "Write “## {text}” for a heading; leave an empty line above a divider.",
    ),
    "long_paragraph": Fault(
        ERROR,
        "This paragraph is endless: {size} characters.",
        "Cut it into paragraphs, with an empty line between them.",
    ),
    "slug_taken": Fault(
        ADVICE,
        "Two stories of this issue have the same name “{slug}”.",
        "Rename one of the files.",
    ),
    # --- registries
    "bad_toml": Fault(
        ERROR,
        "This file is not valid TOML: {reason}.",
        "Mend that line; texts stand between quotes.",
    ),
    "bad_entry": Fault(
        ERROR,
        "The entry “{name}” is not a table of keys and values.",
        "Write “[{name}]” on one line, and its keys below.",
    ),
    "bad_registry_value": Fault(
        ERROR,
        "The key “{key}” of “{name}” has a value of the wrong kind.",
        "Write a text between quotes, or a list of texts, or a date like 2026-11-26.",
    ),
    "missing_registry_key": Fault(
        ERROR,
        "The entry “{name}” lacks its key “{key}”.",
        "Add a line “{key} = …” below [{name}].",
    ),
}


def find(code: str, place: Place, **facts: str | int) -> Finding:
    """Return the finding *code* at *place*; without a ``nearest`` the other remedy is given."""
    fault = FAULTS[code]
    remedy = fault.remedy
    if fault.otherwise and not facts.get("nearest"):
        remedy = fault.otherwise
    return Finding(
        severity=fault.severity,
        code=code,
        message=fault.message,
        remedy=remedy,
        file=place.file,
        line=place.line,
        facts=facts,
    )


def shorten(text: str, length: int = 60) -> str:
    """Return *text* cut to a length that a message can quote, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
