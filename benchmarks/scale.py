"""The dispatcher's memory, and how long a large audience waits for its first message."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from benchmarks import readers, sinks
from benchmarks.dispatching import Spent, run_dispatcher
from benchmarks.figures import Figure, Options, say
from benchmarks.messages import TINY

FEW, MANY, QUICK_MANY = 10_000, 1_000_000, 200_000


def measure_memory(options: Options) -> Iterator[Figure]:
    """Yield the dispatcher's peak, and what a hundred times as many readers add to it."""
    many = options.count(MANY, QUICK_MANY)
    small, large = _dispatch(FEW), _dispatch(many)
    detail = f"[{FEW:,}: {small.peak_mb:.1f} MB; {many:,}: {large.peak_mb:.1f} MB]"
    yield Figure(
        benchmark="memory",
        what=f"peak resident memory, {many:,} readers, freezing included",
        rival="a bound of 96 MB",
        measured=large.peak_mb,
        target=96,
        sign="≤",
        unit="MB",
        detail=detail,
    )
    yield Figure(
        benchmark="memory",
        what=f"{many:,} readers over {FEW:,}",
        rival=f"the same dispatcher at {FEW:,}",
        measured=large.peak_mb - small.peak_mb,
        target=5,
        sign="≤",
        unit="MB",
        detail=detail,
    )
    loaded = (*small.forbidden, *large.forbidden)
    yield Figure(
        benchmark="memory",
        what="rendering, feed and web modules in the process",
        rival="none",
        measured=len(loaded),
        target=0,
        sign="≤",
        unit="modules",
        detail=", ".join(loaded),
    )


def measure_first(options: Options) -> Iterator[Figure]:
    """Yield the seconds from the start of a run to its first accepted message."""
    many = options.count(MANY, QUICK_MANY)
    small, large = _dispatch(FEW), _dispatch(many)
    yield Figure(
        benchmark="first_message",
        what=f"{many:,} readers, from start_run to the first 250",
        rival=f"the same at {FEW:,}: {small.first_s:.2f} s",
        measured=large.first_s,
        target=5,
        sign="≤",
        unit="s",
        detail=f"[of which freezing {large.freeze_s:.2f} s]",
    )


@lru_cache
def _dispatch(count: int) -> Spent:
    """One run serves both benchmarks: the relay is the fast sink, the message is tiny."""
    with (
        sinks.fast_sink() as port,
        tempfile.TemporaryDirectory(prefix="newsletter-bench-") as folder,
    ):
        settings = readers.make_publication(Path(folder), port)
        run_id = readers.open_run(settings, count, TINY, frozen=False)
        spent = run_dispatcher(Path(folder), run_id, freeze=TINY.name, timeout_s=3600)
        stored_mb = (Path(folder) / "newsletter.db").stat().st_size / 1e6
    if spent.sent != count:
        raise SystemExit(f"{spent.sent} of {count} were sent")
    say(
        f"  {count:,} readers: {count / spent.wall_s:,.0f}/s, CPU"
        f" {1000 * spent.cpu_s / count:.3f} s/1000, {spent.peak_mb:.1f} MB at most,"
        f" {spent.late_mb:.1f} MB in the second half; database {stored_mb:.0f} MB,"
        f" log {spent.wal_mb:.0f} MB at most; frozen in {spent.freeze_s:.1f} s,"
        f" first message after {spent.first_s:.1f} s"
    )
    return spent
