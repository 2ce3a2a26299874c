"""What we write to one reader: confirmation, welcome, renewal.

In: the settings, the links. Out: subject and plain text, in the publication's language. Never: a
word that somebody typed into a form (T6): a stranger's address must not carry a stranger's message.
"""

from __future__ import annotations

from dataclasses import dataclass

from newsletter.config import Settings
from newsletter.words import translate

CONFIRMATION = (
    "Confirm your subscription to {name}",
    """\
Hello,

Somebody, probably you, asked to receive {name} at this address.
To confirm, open this page and press its button:

{link}

The link is good for 48 hours. If it was not you, do nothing:
nobody will write to you again.

{publisher}
{contact}
""",
)
ALREADY = (
    "You receive {name} already",
    """\
Hello,

Somebody, probably you, asked to receive {name} at this address.
You receive it already: there is nothing to do.
To choose what you receive, or how often:

{link}

{publisher}
{contact}
""",
)
WELCOME = (
    "Welcome to {name}",
    """\
Hello,

Your subscription to {name} is confirmed. Thank you!

To read right away:

{latest}

To choose what you receive and how often, to pause or to leave, at any time:

{link}

This letter holds no tracker of any kind. And if you reply to it, a person reads you.

{publisher}
{contact}
""",
)
RENEWAL = (
    "Would you like to go on receiving {name}?",
    """\
Hello,

You have been receiving {name} for a long time, and we do not follow what you read: that is
how we like it. It also means that we cannot know whether you still want it.

If you do, open this page and press its button:

{link}

If not, do nothing: without an answer we shall end by forgetting your address.

{publisher}
{contact}
""",
)
DATA = (
    "What we keep about you",
    """\
Hello,

You asked {name} for everything that we keep about you. Here it is.

To have it all erased, open this page within 48 hours and press its button:

{link}

If it was not you who asked, do nothing.

{data}

{publisher}
{contact}
""",
)


@dataclass(frozen=True, slots=True)
class Written:
    """A subject and a text, ready to be queued."""

    subject: str
    text: str


def write(letter: tuple[str, str], settings: Settings, **links: str) -> Written:
    """Fill one of the letters above in the publication's language."""
    publication = settings.publication
    facts = {
        "name": publication.name,
        "publisher": publication.publisher or publication.name,
        "contact": publication.contact or settings.sender.reply_to,
        **links,
    }
    subject, text = (translate(part, publication.language, facts) for part in letter)
    return Written(subject=subject, text=text)
