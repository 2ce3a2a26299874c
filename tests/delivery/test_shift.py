"""One desk for the batches of a run: what it keeps between them, and when it is given up."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import select, text, update

from newsletter import running
from newsletter.config import DomainPace, Relay
from newsletter.delivery import commits, desk, queue, resolving
from newsletter.delivery.departure import LEASE
from newsletter.delivery.desk import RESTED, Ending
from newsletter.delivery.dispatch import Errand, settle_dead
from newsletter.delivery.pages import EVERYBODY
from newsletter.delivery.shift import Shift, Shifts, share_settings
from newsletter.errors import StoreError
from newsletter.mail.compose import compile_message
from newsletter.model import RunId, RunState
from newsletter.store import (
    breakdown,
    database,
    identity,
    ledger,
    owners,
    runs,
    schema,
    settling,
)
from tests.delivery.scenery import start_run, states_of, with_relay
from tests.delivery.sink import Manners, Rule
from tests.waiting import PATIENCE_S, wait_until

STALE_S = 4.0
OWNERS = (  # each has two sessions
    "SELECT pid, objid FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
    "WHERE locktype = 'advisory' AND datname = current_database()"
)


def test_workers_share_what_the_relays_allow(settings):
    relay = Relay(url="smtp://relay.example:25", rate_per_s=30, rate_per_hour=900)
    shared = share_settings(settings.model_copy(update={"relay": relay, "relays": (relay,)}), 3)
    assert (shared.relay.rate_per_s, shared.relays[0].rate_per_hour) == (10, 300)


@pytest.mark.parametrize(
    ("workers", "connections", "rate_per_s"), [(1, 4, 8.0), (2, 2, 4.0), (3, 1, 8 / 3), (8, 1, 1.0)]
)
def test_workers_share_what_a_domain_bears(settings, workers, connections, rate_per_s):
    pace = DomainPace(connections=4, rate_per_s=8, max_messages_per_connection=100)
    quiet = DomainPace(max_messages_per_connection=50)
    domains = {"orange.example": pace, "wanadoo.example": quiet}
    relay = with_relay(settings, "smtp://relay.example:25", domains=domains)
    shared = share_settings(relay, workers).relay.domains
    assert shared["orange.example"] == pace.model_copy(
        update={"connections": connections, "rate_per_s": rate_per_s}
    )
    assert shared["wanadoo.example"] == quiet


class Scene:
    """A run in batches of two readers, towards a relay of one connection."""

    def __init__(self, engine, settings, keys, now, sink, *, readers=6, window=None):
        self.engine, self.sink, self.now = engine, sink, now
        self.stop = threading.Event()
        self.run_id = RunId(start_run(engine, now, readers=readers))
        self.errand = Errand(
            settings=with_relay(settings, sink.url, connections=1, window=window),
            engine=engine,
            keys=keys,
            clock=lambda: now,
            stop=self.stop,
        )
        with database.read(engine) as connection:
            self.batches = queue.find_batches(connection, self.run_id, 2)

    @property
    def run(self):
        with database.read(self.engine) as connection:
            return runs.read_run_by_id(connection, self.run_id)

    def claim(self, owner):
        """Take the run as a dispatcher."""
        with database.write(self.engine) as connection:
            return ledger.claim_lease(
                connection, self.run_id, owner,
                now=self.now, until=self.now + LEASE, is_dead=lambda _: False,
            )  # fmt: skip

    def open_shift(self):
        return Shift(self.errand, self.run, 1)

    def count_owners(self):
        """How many owners a session holds the lock of."""
        with database.read(self.engine) as connection:
            return len({row.objid for row in connection.execute(text(OWNERS))})

    def end_owners(self):
        """End the sessions that prove the owners alive."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM ({OWNERS}) AS owners"))
        wait_until(lambda: self.count_owners() == 0)

    def count_connections(self):
        return len({accepted.connection for accepted in self.sink.accepted()})


class Gate:
    """Keeps a ledger that lost its session from opening another before the test lets it."""

    def __init__(self, monkeypatch):
        self.is_open, self.passed = threading.Event(), threading.Event()
        self.is_open.set()
        monkeypatch.setattr(commits, "BEAT_S", 0.02)
        monkeypatch.setattr(commits, "RETRY_S", 0.01)
        monkeypatch.setattr(owners, "stand_for", self._stand_for)
        monkeypatch.setattr(commits, "commit_window", self._commit_window)
        self._owner = ""
        self._windows = -1  # since the session was opened again

    def _stand_for(self, connection, owner, real=owners.stand_for):
        again, self._owner = owner == self._owner, self._owner or owner
        if again:
            self.is_open.wait()
            self._windows = 0
        return real(connection, owner)

    def _commit_window(self, connection, lease, real=commits.commit_window, **given):
        if lease.owner == self._owner and self._windows >= 0:
            self._windows += 1
            if self._windows == 2:  # the answer to the first is known
                self.passed.set()
        return real(connection, lease, **given)

    @contextmanager
    def dispatching(self, scene):
        """Dispatch the run; inside, one message is taken, and what the ledger lost is lost."""
        shifts = Shifts(scene.errand, STALE_S)
        with ThreadPoolExecutor(1) as pool:
            batch = pool.submit(shifts.dispatch, scene.run_id, *EVERYBODY)
            wait_until(scene.sink.accepted)
            self.is_open.clear()
            try:
                yield
            finally:
                self.is_open.set()
                self.passed.wait(PATIENCE_S)
                scene.sink.manners.release.set()
            batch.result()
        shifts.leave()


@pytest.fixture
def open_scene(postgres_engine, settings, keys, now, start_sink, monkeypatch):
    """Return the function that sets the scene; whatever shift is left ends with the test.

    No shift ends by itself before the test says so: a second is soon over on a busy machine.
    """
    monkeypatch.setattr(desk, "REST_S", PATIENCE_S)
    opened = []

    def open_(manners=None, **given):
        sink = start_sink(manners or Manners())
        opened.append(Scene(postgres_engine, settings, keys, now, sink, **given))
        return opened[-1]

    yield open_
    for scene in opened:
        scene.stop.set()
    for thread in threading.enumerate():
        if thread.name == "shift":
            thread.join()


def test_every_batch_is_dispatched(open_scene):
    scene = open_scene()
    shifts = Shifts(scene.errand, STALE_S)
    for after, until in scene.batches:
        shifts.dispatch(scene.run_id, after, until)
    shifts.leave()
    assert set(states_of(scene.engine, scene.run_id).values()) == {"sent"}
    assert len(scene.sink.accepted()) == 6
    assert scene.run.state is RunState.DONE


def test_nothing_of_a_restored_database_leaves_by_a_worker_that_knows_it(open_scene):
    scene = open_scene()
    settings, engine = scene.errand.settings, scene.engine
    running.is_restored(settings, engine, scene.now)
    with database.read(engine) as connection:
        mark = runs.read_mark(connection)
    identity.write_file(settings, mark._replace(generation=mark.generation + 1))
    shifts = Shifts(scene.errand, STALE_S)
    shifts.dispatch(scene.run_id, *EVERYBODY)
    assert scene.sink.accepted() == []
    assert running.adopt(settings, engine, scene.now)
    resolving.resend(engine, scene.run_id, now=scene.now)
    shifts = Shifts(scene.errand, STALE_S)
    shifts.dispatch(scene.run_id, *EVERYBODY)
    shifts.leave()
    assert len(scene.sink.accepted()) == 6


def test_a_batch_reaches_its_own_readers_only(open_scene):
    scene = open_scene()
    shift = scene.open_shift()
    shift.dispatch(*scene.batches[1])
    assert len(scene.sink.accepted()) == 2
    shift.dispatch(*scene.batches[0])
    shift.leave()
    assert len(scene.sink.accepted()) == 4


def test_a_batch_says_whether_readers_wait_after_it(open_scene):
    scene = open_scene()
    shift = scene.open_shift()
    assert [shift.dispatch(*batch) for batch in scene.batches] == [
        Ending(goes_on=True),
        Ending(goes_on=True),
        Ending(),
    ]
    shift.leave()


def test_the_run_ends_with_the_batch_that_ends_last(open_scene):
    scene = open_scene()
    shifts = Shifts(scene.errand, STALE_S)
    for after, until in (*scene.batches[1:], scene.batches[0]):
        assert scene.run.state is RunState.DISPATCHING
        shifts.dispatch(scene.run_id, after, until)
    shifts.leave()
    assert scene.run.state is RunState.DONE


def test_the_connection_stays_from_batch_to_batch(open_scene):
    scene = open_scene()
    shift = scene.open_shift()
    for batch in scene.batches:
        shift.dispatch(*batch)
    shift.leave()
    assert scene.count_connections() == 1


def test_a_shift_says_once_which_relays_it_has_not_with_every_batch(open_scene):
    scene = open_scene()
    for batches in (scene.batches[:2], scene.batches[2:]):
        shift = scene.open_shift()
        for batch in batches:
            shift.dispatch(*batch)
        shift.leave()
    with database.read(scene.engine) as connection:
        offers = settling.read_offers(connection, scene.run_id)
        events = [*breakdown.stream_events(connection, scene.run_id)]
    assert len(offers.owners) == 2
    assert offers.relays == {scene.sink.url.removeprefix("smtp://") + "@" + owners.machine_id()}
    assert [event["kind"] for event in events] == ["run_started", *["dispatch_begun"] * 2]


def test_the_owner_stays_until_the_shift_ends(open_scene):
    scene = open_scene()
    shift = scene.open_shift()
    shift.dispatch(*scene.batches[0])
    assert scene.count_owners() == 1
    shift.leave()
    wait_until(lambda: scene.count_owners() == 0)


def test_what_the_relay_taught_stays(open_scene):
    limit = Rule("mail", "421 4.7.0 too many messages in this session", skip=1, times=1)
    scene = open_scene(Manners(rules=[limit], pipelining=False), readers=10)
    shift = scene.open_shift()
    for batch in scene.batches:
        shift.dispatch(*batch)
    shift.leave()
    # One message a session, learnt in the first batch: nobody is refused again.
    assert scene.count_connections() == 10


def test_without_another_batch_it_ends_by_itself(open_scene, monkeypatch):
    monkeypatch.setattr(desk, "REST_S", 0.01)
    scene = open_scene()
    shift = scene.open_shift()
    shift.dispatch(*scene.batches[0])
    wait_until(lambda: shift.is_over)
    wait_until(lambda: scene.sink.worst["open"] == 0)


def test_a_batch_that_comes_too_late_is_not_begun(open_scene):
    scene = open_scene()
    shift = scene.open_shift()
    shift.dispatch(*scene.batches[0])
    shift.leave()
    assert shift.dispatch(*scene.batches[1]) == RESTED
    assert len(scene.sink.accepted()) == 2


def test_another_shift_takes_the_batch_that_came_too_late(open_scene, monkeypatch):
    monkeypatch.setattr(desk, "REST_S", 0.0)
    scene = open_scene()
    shifts = Shifts(scene.errand, STALE_S)
    for after, until in scene.batches:
        shifts.dispatch(scene.run_id, after, until)
    assert len(scene.sink.accepted()) == 6


def test_the_stop_flag_ends_a_shift_between_two_batches(open_scene):
    scene = open_scene()
    shift = scene.open_shift()
    shift.dispatch(*scene.batches[0])
    scene.stop.set()
    wait_until(lambda: shift.is_over and scene.count_owners() == 0)


def test_a_shift_whose_proof_of_life_is_lost_takes_no_other_batch(open_scene, monkeypatch):
    monkeypatch.setattr("newsletter.delivery.shift.LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(commits, "BEAT_S", 3_600)
    scene = open_scene()
    shifts = Shifts(scene.errand, STALE_S)
    shifts.dispatch(scene.run_id, *scene.batches[0])
    scene.end_owners()
    shifts.dispatch(scene.run_id, *scene.batches[1])
    shifts.leave()
    assert len(scene.sink.accepted()) == 4
    assert scene.count_connections() == 2


def test_a_worker_taken_for_dead_sends_nothing_more(open_scene, monkeypatch):
    """Its claims were given up, proved absent and sent by another before its next window.

    The one that the relay has taken already is its own: it hears the answer.
    """
    scene = open_scene(Manners(rules=[Rule("accepted", "hold", times=1)]), window=6)
    gate = Gate(monkeypatch)
    with gate.dispatching(scene):
        scene.end_owners()
        settle_dead(scene.engine, scene.run, scene.now)
        assert list(states_of(scene.engine, scene.run_id).values()) == ["unknown"] * 6
        with database.write(scene.engine) as connection:
            (taken,) = connection.scalars(
                select(schema.subscriber.c.id).where(
                    schema.subscriber.c.address == scene.sink.accepted()[0].recipient
                )
            )
            ids = connection.scalars(select(schema.delivery.c.subscriber_id)).all()
            assert settling.settle_absent(connection, scene.run_id, set(ids) - {taken}) == 5
        scene.sink.manners.rules.clear()
        another = scene.open_shift()
        another.dispatch(*EVERYBODY)
        another.leave()
    assert len(scene.sink.accepted()) == 6
    assert set(states_of(scene.engine, scene.run_id).values()) == {"sent"}


def test_a_worker_whom_nobody_took_for_dead_meanwhile_goes_on(open_scene, monkeypatch):
    scene = open_scene(Manners(rules=[Rule("accepted", "hold", times=1)]), window=6)
    gate = Gate(monkeypatch)
    with gate.dispatching(scene):
        scene.end_owners()
    assert len(scene.sink.accepted()) == 6
    assert set(states_of(scene.engine, scene.run_id).values()) == {"sent"}


def test_a_run_that_was_stopped_gets_no_shift(open_scene):
    scene = open_scene()
    with database.write(scene.engine) as connection:
        connection.execute(update(schema.run).values(stopped=True))
    Shifts(scene.errand, STALE_S).dispatch(scene.run_id, *scene.batches[0])
    assert scene.sink.accepted() == []


def test_a_batch_reaches_nobody_while_a_dispatcher_has_the_run(open_scene):
    scene = open_scene()
    shifts = Shifts(scene.errand, STALE_S)
    with owners.open_owner(scene.engine) as owner:
        lease = scene.claim(owner)
        shifts.dispatch(scene.run_id, *scene.batches[0])
        assert scene.sink.accepted() == []
        with database.write(scene.engine) as connection:
            ledger.release_lease(connection, lease)
    shifts.dispatch(scene.run_id, *scene.batches[0])
    shifts.leave()
    assert len(scene.sink.accepted()) == 2


def test_a_batch_takes_the_run_of_a_dead_dispatcher(open_scene):
    scene = open_scene()
    shifts = Shifts(scene.errand, STALE_S)
    dead = scene.claim("session:1")  # no session holds that lock
    for after, until in scene.batches:
        shifts.dispatch(scene.run_id, after, until)
    shifts.leave()
    assert len(scene.sink.accepted()) == 6
    assert scene.run.fence == dead.fence + 1


def test_a_run_stopped_since_the_last_look_loses_nobody_and_sends_nothing(open_scene, monkeypatch):
    monkeypatch.setattr("newsletter.delivery.shift.LOOK_EVERY_S", 60.0)
    scene = open_scene()
    shifts = Shifts(scene.errand, STALE_S)
    shifts.dispatch(scene.run_id, *scene.batches[0])
    with database.write(scene.engine) as connection:
        connection.execute(update(schema.run).values(stopped=True))
    shifts.dispatch(scene.run_id, *scene.batches[1])
    shifts.leave()
    assert len(scene.sink.accepted()) == 2
    assert list(states_of(scene.engine, scene.run_id).values()).count("pending") == 4


def test_another_run_is_looked_at_whenever_it_comes(open_scene, monkeypatch):
    monkeypatch.setattr("newsletter.delivery.shift.LOOK_EVERY_S", 60.0)
    scene = open_scene()
    shifts = Shifts(scene.errand, STALE_S)
    shifts.dispatch(scene.run_id, *scene.batches[0])
    shifts.dispatch(RunId(scene.run_id + 1), *scene.batches[1])
    shifts.leave()
    assert len(scene.sink.accepted()) == 2


def test_what_ended_a_shift_reaches_who_waits_for_the_batch(open_scene, monkeypatch):
    scene = open_scene()

    def fail(*_given):
        raise StoreError("the database does not answer: away")

    monkeypatch.setattr("newsletter.delivery.shift.settle_dead", fail)
    with pytest.raises(StoreError, match="away"):
        scene.open_shift().dispatch(*scene.batches[0])


def test_a_run_is_compiled_once(open_scene, monkeypatch):
    scene = open_scene()
    compiled = []
    monkeypatch.setattr(
        "newsletter.delivery.dispatch.compile_message",
        lambda *args, **kwargs: compiled.append(1) or compile_message(*args, **kwargs),
    )
    for batch in scene.batches:
        shift = scene.open_shift()
        shift.dispatch(*batch)
        shift.leave()
    assert len(compiled) == 1
