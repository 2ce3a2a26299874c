"""The weekly run: `python scheduler.py` beside newsletter.toml, under systemd or any supervisor."""

import logging
import sys
from pathlib import Path

from newsletter.alarm import run_here

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for name in ("apscheduler", "mail.log"):  # the embedded relay would log addresses (P12)
        logging.getLogger(name).setLevel(logging.WARNING)
    sys.exit(run_here(Path(__file__).resolve().parent))
