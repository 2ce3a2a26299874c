"""`make soak`: the random kills of the suite again and again, at other moments each time.

Each round is the suite's own test (tests/delivery/test_crashes.py): twelve runs, up to nine kills
each, on SQLite and PostgreSQL, judged by the recording sink alone. The first failure ends it and
names the seed that repeats it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = "tests/delivery/test_crashes.py::test_random_kills_lose_track_of_nobody"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="about a hundred kills each")
    parser.add_argument("--first-seed", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder, "record")
        for seed in range(chosen.first_seed, chosen.first_seed + chosen.rounds):
            print(f"round {seed} (NEWSLETTER_SOAK_SEED={seed})", flush=True)
            known = {"NEWSLETTER_SOAK_SEED": str(seed), "NEWSLETTER_SOAK_RECORD": str(record)}
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-n", "2", TESTS],
                env={**os.environ, **known},
                check=False,
            )
            if done.returncode:
                sys.exit(f"NEWSLETTER_SOAK_SEED={seed} fails: repeat it with that variable set")
            print(add_up(record.read_text("utf-8").splitlines()), flush=True)


def add_up(lines: list[str]) -> str:
    """Return what came of all runs so far, by database; one that lost or repeated ends it."""
    said = []
    for database in ("sqlite", "postgresql"):
        runs = [list(map(int, line.split()[1:])) for line in lines if line.startswith(database)]
        kills, unknown, bound = (sum(column) for column in zip(*runs, strict=True))
        said.append(
            f"{database}: {len(runs)} runs, {kills} kills, 0 duplicates, 0 silent losses, "
            f"{unknown} unknown (at most {bound} allowed)"
        )
    return "\n".join(said)


if __name__ == "__main__":
    main()
