"""``python -m benchmarks [NAME …]``: run them, print the table, target beside measured."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks import composing, end_to_end, postgresql, scale, transport
from benchmarks.figures import Figure, Options, describe_machine, say, table, to_json

BENCHMARKS = {
    "end_to_end": end_to_end.measure,
    "transport": transport.measure,
    "round_trip": transport.measure_round_trip,
    "compose": composing.measure,
    "dkim": composing.measure_dkim,
    "memory": scale.measure_memory,
    "first_message": scale.measure_first,
    "postgresql": postgresql.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--rounds", type=int, default=Options.rounds, help="of each contender (4)")
    parser.add_argument("--quick", action="store_true", help="fewer messages")
    parser.add_argument("--out", type=Path, help="write the figures as JSON to this file")
    given = parser.parse_args()
    if unknown := set(given.names) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    options = Options(rounds=given.rounds, quick=given.quick)
    before = describe_machine()
    say(f"{before['date']}, {before['cores']} cores, load {before['load']}, {before['system']}")
    figures: list[Figure] = []
    for name in given.names or BENCHMARKS:
        say(f"\n{name}")
        for figure in BENCHMARKS[name](options):
            figures.append(figure)
            say(figure.line())
        _write(given.out, before, figures)
    say(f"\nload at the end {describe_machine()['load']}\n")
    say("\n".join(table(figures)))
    return 0 if all(figure.holds for figure in figures) else 1


def _write(path: Path | None, before: dict[str, object], figures: list[Figure]) -> None:
    if path is not None:
        said = {
            "machine": before,
            "load_at_end": describe_machine()["load"],
            "figures": [to_json(figure) for figure in figures],
        }
        path.write_text(json.dumps(said, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
