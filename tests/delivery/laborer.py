"""A dispatch worker in a process of its own, quick to show life and to look after the dead."""

from __future__ import annotations

import faulthandler
import json
import signal
import sys
import threading
from datetime import datetime
from pathlib import Path

from newsletter import config
from newsletter.delivery.dispatch import Errand
from newsletter.delivery.worker import Tempo, work
from newsletter.store import database
from tests.delivery.scenery import with_relay


def main() -> None:
    order = json.loads(sys.argv[1])
    settings = config.load_settings(Path(order["root"]) / "newsletter.toml", environ={})
    now, stop = datetime.fromisoformat(order["now"]), threading.Event()
    faulthandler.register(signal.SIGUSR1)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    errand = Errand(
        settings=with_relay(settings, order["relay"], connections=2, window=8),
        engine=database.open_engine(order["database"]),
        keys=config.Keys(versions={1: b"\x01" * 32}, pepper=b"\x02" * 32),
        clock=lambda: now,
        stop=stop,
    )
    work(errand, tempo=Tempo(heartbeat_s=0.5, stale_s=4.0, sweep_s=0.5, polling_s=0.2))


if __name__ == "__main__":
    main()
