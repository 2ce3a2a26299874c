"""How tests wait: for a fact, asked again and again; the time only bounds a hang."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

PATIENCE_S = 120.0


def wait_until(condition: Callable[[], object]) -> None:
    pause, end = threading.Event(), time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it never came"
        pause.wait(0.01)
