"""One dispatch worker, a process of its own: what ``newsletter worker`` starts."""

from __future__ import annotations

import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from newsletter.config import load_keys, load_settings
from newsletter.delivery.dispatch import Errand
from newsletter.delivery.worker import work
from newsletter.store import opening


def main() -> None:
    settings = load_settings(Path(sys.argv[1]) / "newsletter.toml", environ={})
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    work(
        Errand(
            settings=settings,
            engine=opening.open_store(settings),
            keys=load_keys(settings, environ={}),
            clock=lambda: datetime.now(UTC),
            stop=stop,
        )
    )


if __name__ == "__main__":
    main()
