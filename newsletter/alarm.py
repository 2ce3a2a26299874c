"""The alarm clock: one tick every 30 seconds, dispatches on threads of their own (S1, RECIPES 7).

In: settings, or the folder that holds them. Out: an exit code; it runs until SIGTERM or SIGINT,
and says in one line why it cannot. Never: a job store on disk, a decision
about time (``schedule``), more than one thread at one run.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from apscheduler.events import EVENT_SCHEDULER_STARTED
from apscheduler.schedulers.blocking import BlockingScheduler

from newsletter.config import Settings, find_file, load_keys, load_settings
from newsletter.delivery.dispatch import dispatch
from newsletter.delivery.states import hide_addresses
from newsletter.errors import ConfigError, NewsletterError
from newsletter.metrics import serve_figures
from newsletter.model import RunId
from newsletter.schedule import tick
from newsletter.store.opening import open_store

if TYPE_CHECKING:
    from newsletter.chores import Chore

log = logging.getLogger(__name__)

TICK_EVERY_S = 30
THREADS = 8


def now() -> datetime:
    """The instant, in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - the alarm is where the clock is


def run_here(folder: Path) -> int:
    """Run the scheduler of the publication in *folder*; return its exit code.

    0 when it was asked to end. What keeps it from beginning is one line on stderr: 2 when the
    settings are to be mended, 3 when the next start may find it mended, such as a database that is
    not up yet (DESIGN 8). Once it runs, no failure ends it.
    """
    try:
        run_scheduler(load_settings(find_file(folder)))
    except NewsletterError as error:
        sys.stderr.write(f"newsletter: {error}\n")
        return 2 if isinstance(error, ConfigError) else 3
    return 0


def run_scheduler(settings: Settings) -> None:
    """Tick until the process is asked to end; a dispatch in flight ends cleanly first."""
    engine, keys = open_store(settings), load_keys(settings)
    scheduler = BlockingScheduler(timezone=UTC)
    stop = threading.Event()

    def dispatch_run(run_id: RunId) -> None:
        result = dispatch(settings, engine, keys, run_id, clock=now, stop=stop)
        log.log(
            logging.WARNING if result.problem else logging.INFO,
            "dispatch run=%d finished=%s reason=%s%s",
            run_id,
            result.finished,
            result.reason,
            f" problem={hide_addresses(result.problem)}" if result.problem else "",
        )

    with ThreadPoolExecutor(THREADS) as pool, ExitStack() as watched:
        once = Once(pool)
        if settings.watch.port:
            watched.enter_context(serve_figures(settings, engine, settings.watch.port, now))

        def launch(run_id: RunId) -> None:
            once(f"run {run_id}", lambda: dispatch_run(run_id))

        scheduler.add_job(
            lambda: tick(settings, engine, keys, now(), launch=launch, aside=once),
            "interval",
            seconds=TICK_EVERY_S,
            id="tick",
            next_run_time=now(),
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1,
        )
        started, ended = threading.Event(), threading.Event()
        scheduler.add_listener(lambda _: started.set(), EVENT_SCHEDULER_STARTED)
        for sign in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sign, lambda *_: _end(scheduler, stop, started, ended))
        log.info("scheduler every=%ds", TICK_EVERY_S)
        scheduler.start()
        ended.wait()  # ``start`` may return before the last tick does, which needs the pool
    engine.dispose()


def _end(
    scheduler: BlockingScheduler,
    stop: threading.Event,
    started: threading.Event,
    ended: threading.Event,
) -> None:
    """Claim nobody more, let the tick end, then return from ``start``."""
    if stop.is_set():
        return
    stop.set()

    def shut_down() -> None:
        started.wait()  # asked before it began, it would begin all the same, and for ever
        scheduler.shutdown(wait=True)
        ended.set()

    # The handler interrupts the scheduler's own thread, which must not wait for itself.
    threading.Thread(target=shut_down, daemon=True).start()


class Once:
    """Puts chores on threads, one at a time under each name, and logs what they raise (S7).

    Not one-shot jobs of APScheduler: ``shutdown`` waits for the tick while it holds the lock that
    ``add_job`` would wait for.
    """

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._running: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, name: str, chore: Chore) -> None:
        """Begin *chore* unless one of this name is still at it."""
        with self._lock:
            if name in self._running:
                return
            self._running.add(name)
        self._pool.submit(self._do, name, chore)

    def _do(self, name: str, chore: Chore) -> None:
        try:
            chore()
        except NewsletterError as error:
            log.error("%s: %s", name, error)  # noqa: TRY400 - an expected failure needs no trace
        except Exception:
            log.exception("%s failed", name)
        finally:
            with self._lock:
                self._running.discard(name)
