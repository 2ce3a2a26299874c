"""The weekly run: `python scheduler.py` beside newsletter.toml, under systemd or any supervisor."""

import logging
from pathlib import Path

from newsletter.alarm import run_scheduler
from newsletter.config import find_file, load_settings

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for name in ("apscheduler", "mail.log"):  # the embedded relay would log addresses (P12)
        logging.getLogger(name).setLevel(logging.WARNING)
    run_scheduler(load_settings(find_file(Path(__file__).resolve().parent)))
