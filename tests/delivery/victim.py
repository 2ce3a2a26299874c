"""Dispatches runs in processes that are meant to be killed.

One warm process imports everything once, then forks a child for each order it reads on stdin
(JSON: root, database, relay, run, window, connections, crash, now) and answers with the child's pid
and later its exit code: 0 finished, 4 something left, 9 crashed on order, 1 anything else.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path


class Victims:
    """The warm process, seen from the tests."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.delivery.victim"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=Path(__file__).parents[2],
        )  # fmt: skip

    def start(self, **order) -> int:
        """Begin a dispatch in a child; return its pid."""
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def wait(self) -> int:
        """Return the exit code of the child that was started last."""
        return int(self._process.stdout.readline())

    def run(self, **order) -> int:
        self.start(**order)
        return self.wait()

    def run_and_kill(self, is_time: Callable[[], bool], **order) -> int:
        """Kill the child when it is time, unless it has ended by then; return its exit code."""
        pid, ended = self.start(**order), threading.Event()

        def watch() -> None:
            while not is_time():
                if ended.wait(0.002):
                    return
            _kill(pid)

        killer = threading.Thread(target=watch)
        killer.start()
        code = self.wait()
        ended.set()
        killer.join()
        return code

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):  # it ended just now
        os.kill(pid, signal.SIGKILL)


def main() -> None:
    import newsletter.delivery.embedded  # noqa: F401 - warm
    from newsletter.delivery import dispatch  # noqa: F401 - warm

    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os._exit(_dispatch(json.loads(line)))
        print(pid, flush=True)  # noqa: T201 - the answer to the order
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - and how it ended


def _dispatch(order: dict) -> int:
    from newsletter import config
    from newsletter.delivery import crash_points, dispatch
    from newsletter.delivery.endpoints import Deadlines
    from newsletter.store import database
    from tests.delivery.scenery import with_relay

    root = Path(order["root"])
    settings = config.load_settings(root / "newsletter.toml", environ={})
    settings = with_relay(
        settings, order["relay"], window=order["window"], connections=order["connections"],
        chunking=order.get("chunking", "auto"),
    )  # fmt: skip
    keys = config.Keys(versions={1: b"\x01" * 32}, pepper=b"\x02" * 32)
    now = datetime.fromisoformat(order["now"])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    crash_points.arm(order.get("crash", ""))
    try:
        result = dispatch.dispatch(
            settings, database.open_engine(order["database"]), keys, order["run"],
            clock=lambda: now, stop=stop, deadlines=Deadlines(backoff=0.01),
        )  # fmt: skip
    except Exception:  # noqa: BLE001 - whatever it is, the test shall see it
        import traceback

        traceback.print_exc()
        return 1
    return 0 if result.finished else 4


if __name__ == "__main__":
    main()
