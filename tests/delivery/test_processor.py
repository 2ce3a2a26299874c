"""One core for what takes turns, all of them for what does not; and who waits for whom."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from newsletter.delivery import processor
from newsletter.delivery.dispatch import Errand, dispatch
from newsletter.delivery.worker import work
from newsletter.mail.compose import Compiled
from tests.delivery.scenery import start_run, with_relay
from tests.delivery.sink import Manners
from tests.mail.test_dkim import pem


def cores():
    return os.sched_getaffinity(0)


def test_one_of_the_cores_that_were_allowed_is_left():
    before = cores()
    with processor.one_core() as allowed:
        assert allowed == before
        assert len(cores()) == 1
        assert cores() <= before


def test_all_of_them_are_back_afterwards():
    before = cores()
    with pytest.raises(ZeroDivisionError), processor.one_core():
        1 / 0  # noqa: B018 - any error
    assert cores() == before


def test_a_thread_started_meanwhile_is_on_the_same_core():
    with processor.one_core(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(cores).result() == cores()


def test_a_thread_may_go_back_to_all_of_them():
    before = cores()
    with processor.one_core() as allowed:
        initial = {"initializer": processor.allow, "initargs": (allowed,)}
        with ThreadPoolExecutor(1, **initial) as pool:
            assert pool.submit(cores).result() == before


def test_a_system_that_forbids_it_is_obeyed(monkeypatch):
    def refuse(_pid, _cores):
        raise PermissionError(1, "not in this sandbox")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    before = cores()
    with processor.one_core():
        assert cores() == before


def test_a_system_without_proc_is_left_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(processor, "_STAT", tmp_path / "stat")
    before = cores()
    with processor.one_core():
        assert cores() == before


def test_a_dispatch_runs_on_one_core_and_gives_it_back(engine, settings, keys, now, start_sink):
    seen = []

    def clock():
        seen.append(cores())
        return now

    before = cores()
    sink = start_sink(Manners())
    run_id = start_run(engine, now, readers=5)
    dispatch(with_relay(settings, sink.url), engine, keys, run_id, clock=clock)
    assert min(map(len, seen)) == 1
    assert cores() == before


def test_signing_keeps_all_of_them(engine, settings, keys, now, start_sink, monkeypatch):
    key = settings.root / "var/dkim.pem"
    key.write_bytes(pem(rsa.generate_private_key(65537, 2048)))
    key.chmod(0o600)
    seen, compose = set(), Compiled.compose

    def spy(compiled, reader):
        seen.add(frozenset(cores()))
        return compose(compiled, reader)

    monkeypatch.setattr(Compiled, "compose", spy)
    sink = start_sink(Manners())
    run_id = start_run(engine, now, readers=5)
    relay = with_relay(settings, sink.url).relay
    dkim = relay.dkim.model_copy(update={"selector": "a", "key_file": "var/dkim.pem"})
    signing = settings.model_copy(
        update={"relay": relay.model_copy(update={"url": sink.url, "dkim": dkim})}
    )
    assert dispatch(signing, engine, keys, run_id, clock=lambda: now).tally.sent == 5
    assert seen == {frozenset(cores())}


def policy():
    return os.sched_getscheduler(0)


def test_a_thread_started_meanwhile_gives_way_too():
    with processor.giving_way(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(policy).result() == policy() == os.SCHED_BATCH


def test_the_usual_policy_is_back_afterwards():
    before = policy()
    with pytest.raises(ZeroDivisionError), processor.giving_way():
        1 / 0  # noqa: B018 - any error
    assert policy() == before


def test_a_policy_that_somebody_chose_is_kept(monkeypatch):
    monkeypatch.setattr(os, "sched_getscheduler", lambda _pid: os.SCHED_IDLE)
    chosen = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda *given: chosen.append(given))
    with processor.giving_way():
        pass
    assert chosen == []


def test_a_system_that_forbids_to_give_way_is_obeyed(monkeypatch):
    def refuse(*_given):
        raise PermissionError(1, "not in this sandbox")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    before = policy()
    with processor.giving_way():
        assert policy() == before


def test_a_system_without_policies_is_left_alone(monkeypatch):
    monkeypatch.delattr(os, "sched_getscheduler")
    with processor.giving_way():
        pass


def test_a_worker_gives_way(postgres_engine, settings, keys, now):
    seen = []

    class Stop:
        def is_set(self):
            seen.append(policy())
            return True

    engine = postgres_engine
    work(Errand(settings=settings, engine=engine, keys=keys, clock=lambda: now, stop=Stop()))
    assert set(seen) == {os.SCHED_BATCH}
