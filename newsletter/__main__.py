"""The ``newsletter`` command: runs the command line and turns every failure into one clear line."""

from __future__ import annotations

import sys

from newsletter.cli.app import run


def main() -> None:
    """Run the command that the arguments name and exit with its code."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
