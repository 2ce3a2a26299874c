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

TESTS = "tests/delivery/test_crashes.py::test_random_kills_lose_track_of_nobody"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="about a hundred kills each")
    parser.add_argument("--first-seed", type=int, default=1)
    chosen = parser.parse_args()
    for seed in range(chosen.first_seed, chosen.first_seed + chosen.rounds):
        print(f"round {seed} (NEWSLETTER_SOAK_SEED={seed})", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n", "2", TESTS],
            env={**os.environ, "NEWSLETTER_SOAK_SEED": str(seed)},
            check=False,
        )
        if done.returncode:
            sys.exit(f"NEWSLETTER_SOAK_SEED={seed} fails: repeat it with that variable set")


if __name__ == "__main__":
    main()
