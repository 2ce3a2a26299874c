"""The share of a large audience that goes first: how many, and whether the others may follow.

In: the tally that former dispatches left, then each verdict. Out: yes, not yet, or never without a
person. Never: a socket, a clock, a database.
"""

from __future__ import annotations

from dataclasses import dataclass

from newsletter.delivery.states import Blame, Verdict
from newsletter.model import DeliveryState, Tally

MIN_AUDIENCE = 5_000  # below, the canary would be the audience
SHARE = 0.01
MAX_REFUSED = 0.02


def measure(audience: int) -> int:
    """Return how many go first; 0: nobody, all go at once."""
    return int(audience * SHARE) if audience >= MIN_AUDIENCE else 0


def count_missing(tally: Tally) -> int:
    """Return how many of the share that goes first are still to be heard of; 0 for none."""
    return max(0, measure(tally.audience) - tally.sent - tally.refused)


def count_unasked(tally: Tally) -> int:
    """Return how many of the share were not yet offered to a relay, or are due again.

    Somebody else is asked for each who is unknown: a share of which nobody was heard says nothing.
    """
    asked = tally.sent + tally.refused + tally.deferred + tally.sending
    return max(0, measure(tally.audience) - asked)


@dataclass(slots=True)
class Canary:
    """What became of the share that goes first."""

    answered: int
    taken: int
    refused: int

    def count(self, verdict: Verdict) -> None:
        if verdict.blame is not Blame.CONNECTION:
            self.answered += 1
            self.taken += verdict.state is DeliveryState.SENT
            self.refused += verdict.state is DeliveryState.REFUSED

    @property
    def is_dead(self) -> bool:
        """True when so many were refused that a person must look."""
        return self.refused > MAX_REFUSED * self.answered

    @property
    def said(self) -> str:
        """Why a person must look."""
        return f"{self.refused} of the first {self.answered} readers were refused"

    @property
    def sings(self) -> bool:
        """True when it went well enough to let the others go: most were not put off."""
        return self.taken > self.answered / 2


def open_canary(tally: Tally) -> Canary:
    """Go on with what former dispatches heard: those they put off are asked again."""
    return Canary(tally.sent + tally.refused, tally.sent, tally.refused)


def recall(tally: Tally) -> Canary:
    """Return what became of a share that was all asked; who was put off has answered."""
    return Canary(tally.sent + tally.refused + tally.deferred, tally.sent, tally.refused)
