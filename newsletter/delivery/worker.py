"""One dispatch worker on PostgreSQL: takes batches, sends them with the very same loop.

In: an errand (settings, engine, keys, clock, stop flag). Out: nothing; it works until it is
stopped. Never: state of its own: whatever it was doing when it died, the ledger and the queue know.
Any number of them work side by side, none leads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from newsletter.delivery import processor, queue
from newsletter.delivery.dispatch import Errand, conclude, settle_dead
from newsletter.delivery.shift import Shifts
from newsletter.errors import ConfigError, StoreError
from newsletter.model import Run, RunId, RunState
from newsletter.store import database, identity, runs

if TYPE_CHECKING:
    from procrastinate import App, JobContext

WATCH_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Tempo:
    """How often a worker shows that it lives, and looks after the dead."""

    heartbeat_s: float = 10.0
    stale_s: float = queue.STALE_S
    sweep_s: float = 15.0
    polling_s: float = 5.0


def work(
    errand: Errand, *, tempo: Tempo | None = None, on_start: Callable[[], None] | None = None
) -> None:
    """Take batches until the errand's stop flag is set; raise ConfigError on SQLite.

    *on_start* is called once nothing keeps the worker from working.
    """
    if errand.engine.dialect.name != "postgresql":
        raise ConfigError(
            "workers need PostgreSQL",
            key="database.url",
            remedy="on SQLite `newsletter run` and `send` dispatch by themselves",
        )
    if on_start is not None:
        on_start()
    with processor.giving_way():
        asyncio.run(_Worker(errand, tempo or Tempo()).run())


log = logging.getLogger(__name__)


class _Worker:
    """Procrastinate's worker, a sweep beside it, and the stop flag above both."""

    def __init__(self, errand: Errand, tempo: Tempo) -> None:
        self._errand = errand
        self._tempo = tempo
        self._shifts = Shifts(errand, tempo.stale_s)

    async def run(self) -> None:
        """Work until stopped; a worker that the others took for dead begins again as a new one."""
        from procrastinate.exceptions import ConnectorException

        while not self._is_stopped():
            try:
                await self._work_once()
            except ConnectorException as error:  # pruned, or the database was away
                log.warning("worker begins again: %s", error.__cause__ or error)
                await asyncio.sleep(self._tempo.polling_s)
        await asyncio.to_thread(self._shifts.leave)

    def _is_stopped(self) -> bool:
        return self._errand.stop is not None and self._errand.stop.is_set()

    async def _work_once(self) -> None:
        app = self._open_app()
        async with app.open_async():
            tempo = self._tempo
            worker = asyncio.create_task(
                app.run_worker_async(
                    concurrency=1,
                    install_signal_handlers=False,
                    fetch_job_polling_interval=tempo.polling_s,
                    update_heartbeat_interval=tempo.heartbeat_s,
                    stalled_worker_timeout=tempo.stale_s,
                    delete_jobs="successful",
                )
            )
            sweep = asyncio.create_task(self._sweep_for_ever(app))
            try:
                await self._wait_for_stop(worker)
            finally:
                sweep.cancel()
                worker.cancel()  # it ends after the batch in hand, which sees the flag as well
                await asyncio.gather(worker, sweep, return_exceptions=True)

    async def _wait_for_stop(self, worker: asyncio.Task[None]) -> None:
        while not self._is_stopped():
            done, _ = await asyncio.wait({worker}, timeout=WATCH_S)
            if done:
                worker.result()
                return

    def _open_app(self) -> App:
        from procrastinate import App, PsycopgConnector

        url = self._errand.engine.url.set(drivername="postgresql")
        app = App(connector=PsycopgConnector(conninfo=url.render_as_string(hide_password=False)))

        @app.task(name=queue.TASK, pass_context=True)
        def dispatch(
            context: JobContext,
            run: int,
            after: int,
            until: int,
            first: bool = False,  # noqa: FBT001, FBT002 - a job's arguments go by name
        ) -> None:
            """Run in a thread: the loop of the dispatch is its own."""
            self._shifts.dispatch(RunId(run), after, until)
            if first:
                self._follow(RunId(run), context.job.id)

        return app

    async def _sweep_for_ever(self, app: App) -> None:
        from procrastinate.exceptions import ConnectorException

        while True:
            await asyncio.sleep(self._tempo.sweep_s)
            try:
                await self._retry_stalled(app)
                await asyncio.to_thread(self._look_after_runs)
            except (StoreError, ConnectorException) as error:
                # A sweep that ended here would leave the deferred and the dead for ever.
                log.warning("the next sweep tries again: %s", error.__cause__ or error)

    async def _retry_stalled(self, app: App) -> None:
        """Start the jobs of dead workers again: nobody else does (RECIPES 4)."""
        manager: Any = app.job_manager
        for job in await manager.get_stalled_jobs(seconds_since_heartbeat=self._tempo.stale_s):
            await manager.retry_job(job)

    def _look_after_runs(self) -> None:
        """Settle the dead, wake who is due, hand out what nobody has: any worker may."""
        engine, now = self._errand.engine, self._errand.clock()
        if identity.is_older(self._errand.settings, engine):
            log.warning("worker holds: this database was restored; newsletter adopt ends it")
            return
        with database.read(engine) as connection:
            begun = runs.unfinished_runs(connection)
        for run in begun:
            settle_dead(engine, run, now)
            if not run.stopped and self._hand_over(run):
                conclude(self._errand, run)  # else its dispatcher does

    def _follow(self, run_id: RunId, job_id: int | None) -> None:
        """Let the others follow those who went first, now that the job of these has ended."""
        with database.read(self._errand.engine) as connection:
            run = runs.read_run_by_id(connection, run_id)
        if run is not None and run.state is RunState.DISPATCHING and not run.stopped:
            self._hand_over(run, ended=job_id)

    def _hand_over(self, run: Run, *, ended: int | None = None) -> bool:
        engine, now = self._errand.engine, self._errand.clock()
        return queue.hand_over(engine, run, now=now, stale_s=self._tempo.stale_s, ended=ended)
