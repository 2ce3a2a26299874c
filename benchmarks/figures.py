"""What a benchmark gives back: a ratio to a named rival, its target, what it cost.

Rivals are interleaved: each round runs every contender once, and the ratio of a round compares
runs that were neighbours in time. Every other round goes backwards, so that nobody is always the
one who finds the disk at rest. A figure is the median over the rounds.
"""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

Run = Callable[[], tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How long to measure: ``quick`` keeps everything under some minutes."""

    rounds: int = 4
    quick: bool = False

    def count(self, whole: int, quick: int) -> int:
        return quick if self.quick else whole


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table; ``sign`` says on which side of the target *measured* should be."""

    benchmark: str
    what: str
    rival: str
    measured: float
    target: float
    sign: str = "≥"
    unit: str = "×"
    detail: str = ""

    @property
    def holds(self) -> bool:
        return self.measured >= self.target if self.sign == "≥" else self.measured <= self.target

    def line(self) -> str:
        verdict = "holds" if self.holds else "MISSED"
        return (
            f"{verdict:6}  {self.what}: {_number(self.measured)} {self.unit}"
            f" (target {self.sign} {_number(self.target)}; rival: {self.rival}) {self.detail}"
        )


@dataclass(frozen=True)
class Sample:
    """One run of one contender: messages a second, CPU seconds of its process for 1,000."""

    rate: float
    cpu: float


Samples = Mapping[str, list[Sample]]


def interleave(contenders: Mapping[str, tuple[Run, int]], rounds: int) -> Samples:
    """Run every contender once in each round, A B B A …; each is (run, messages)."""
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    order = list(contenders)
    for number in range(1, rounds + 1):
        for name in order:
            run, count = contenders[name]
            wall, cpu = run()
            sample = Sample(count / wall, 1000 * cpu / count)
            samples[name].append(sample)
            say(f"  round {number}: {name}: {sample.rate:,.0f}/s, CPU {sample.cpu:.3f} s/1000")
        order.reverse()
    return samples


def rate_ratio(samples: Samples, ours: str, rival: str) -> float:
    """Return how many times faster *ours* is, by the clock on the wall."""
    pairs = zip(samples[ours], samples[rival], strict=True)
    return statistics.median(a.rate / b.rate for a, b in pairs)


def cpu_ratio(samples: Samples, ours: str, rival: str) -> float:
    """Return the share of the rival's CPU seconds that *ours* takes."""
    pairs = zip(samples[ours], samples[rival], strict=True)
    return statistics.median(a.cpu / b.cpu for a, b in pairs)


def sum_up(samples: Samples) -> str:
    """Return the medians behind a ratio: rates and CPU seconds for 1,000 messages."""
    parts = [
        f"{name} {statistics.median(s.rate for s in runs):,.0f}/s"
        f" at {statistics.median(s.cpu for s in runs):.3f} CPU s/1000"
        for name, runs in samples.items()
    ]
    return "[" + "; ".join(parts) + "]"


def say(text: str) -> None:
    print(text, flush=True)


def describe_machine() -> dict[str, object]:
    """Return what a figure depends on and nobody chose."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": len(os.sched_getaffinity(0)),
        "load": [round(load, 1) for load in os.getloadavg()],
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
    }


def to_json(figure: Figure) -> dict[str, object]:
    return {**asdict(figure), "holds": figure.holds}


def table(figures: list[Figure]) -> Iterator[str]:
    """Yield the lines of a Markdown table, target beside measured."""
    yield "| benchmark | what | rival | target | measured | |"
    yield "|---|---|---|---|---|---|"
    for one in figures:
        verdict = "holds" if one.holds else "**missed**"
        yield (
            f"| {one.benchmark} | {one.what} | {one.rival} | {one.sign} {_number(one.target)}"
            f" {one.unit} | {_number(one.measured)} {one.unit} | {verdict} |"
        )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
