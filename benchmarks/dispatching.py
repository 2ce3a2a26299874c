"""The dispatcher under measure, a process of its own: ``dispatch`` as the scheduler calls it.

In: a publication's folder, a run, whether to freeze its audience first. Out, on stdout as JSON:
wall and CPU seconds of the call, the memory at its marks, the modules that must not be there.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import resource
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from newsletter.config import load_keys, load_settings
from newsletter.delivery.dispatch import dispatch
from newsletter.model import RunId, Tally
from newsletter.store import opening

# Rendering, feeds and web: none may be in the process that dispatches (DESIGN 6).
FORBIDDEN = (
    "apscheduler", "fastapi", "feedparser", "httpx", "jinja2", "markdown_it", "mjml", "nh3",
    "newsletter.mail.render", "newsletter.templating", "newsletter.web", "PIL", "starlette",
    "typer", "uvicorn", "watchfiles",
)  # fmt: skip
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Spent:
    """What one dispatch took; memory in MB over its life, sampled from outside."""

    wall_s: float
    cpu_s: float
    sent: int
    first_s: float
    freeze_s: float
    rss_mb: tuple[float, ...]
    wal_mb: float  # the largest that SQLite's log became
    forbidden: tuple[str, ...]

    @property
    def peak_mb(self) -> float:
        return max(self.rss_mb, default=0.0)

    @property
    def late_mb(self) -> float:
        """The highest of the second half: what is kept, not what starting took."""
        return max(self.rss_mb[len(self.rss_mb) // 2 :], default=0.0)


def run_dispatcher(folder: Path, run_id: int, *, freeze: str = "", timeout_s: float = 900) -> Spent:
    """Dispatch in a process of its own and return what it says of itself."""
    arguments = [sys.executable, "-m", "benchmarks.dispatching", str(folder), str(run_id)]
    if freeze:
        arguments += ["--freeze", freeze]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE)
    samples: list[tuple[float, float]] = []
    watch = threading.Thread(
        target=_sample, args=(process, folder / "newsletter.db-wal", samples), daemon=True
    )
    watch.start()
    try:
        printed, _ = process.communicate(timeout=timeout_s)
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.returncode:
        raise SystemExit(f"the dispatcher ended with {process.returncode}")
    said = json.loads(printed)
    return Spent(
        **{**said, "forbidden": tuple(said["forbidden"])},
        rss_mb=tuple(rss for rss, _ in samples),
        wal_mb=max((wal for _, wal in samples), default=0.0),
    )


def _sample(
    process: subprocess.Popen[bytes], wal: Path, samples: list[tuple[float, float]]
) -> None:
    statm = Path(f"/proc/{process.pid}/statm")
    while process.poll() is None:
        try:
            rss = int(statm.read_text().split()[1]) * PAGE / 1e6
            samples.append((rss, wal.stat().st_size / 1e6 if wal.exists() else 0.0))
        except (OSError, IndexError, ValueError):
            return
        time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("run_id", type=int)
    parser.add_argument("--freeze", default="")
    parser.add_argument("--profile", default="")
    given = parser.parse_args()
    settings = load_settings(given.folder / "newsletter.toml", environ={})
    keys = load_keys(settings, environ={})
    engine = opening.open_store(settings)
    first: list[float] = []

    def note(tally: Tally) -> None:
        if tally.sent and not first:
            first.append(time.perf_counter())

    profiler = cProfile.Profile() if given.profile else None
    start = time.perf_counter()
    if given.freeze:
        from benchmarks import messages, readers

        size = {size.name: size for size in messages.SIZES}[given.freeze]
        readers.freeze(engine, settings, RunId(given.run_id), size)
    frozen = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_SELF)
    if profiler:
        profiler.enable()
    result = dispatch(
        settings, engine, keys, given.run_id, clock=lambda: datetime.now(UTC), progress=note
    )
    if profiler:
        profiler.disable()
        pstats.Stats(profiler, stream=sys.stderr).sort_stats(given.profile).print_stats(45)
    end = time.perf_counter()
    after = resource.getrusage(resource.RUSAGE_SELF)
    if not result.finished:
        raise SystemExit(f"not finished: {result}")
    said = {
        "wall_s": end - frozen,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "sent": result.tally.sent,
        "first_s": (first[0] if first else end) - start,
        "freeze_s": frozen - start,
        "forbidden": [name for name in FORBIDDEN if name in sys.modules],
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
