"""The ledger of a run on both databases: audience, lease, windows, tally, endings."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import insert, select, update

from newsletter.errors import Conflict, NotFound
from newsletter.model import DeliveryState as State
from newsletter.model import Tally
from newsletter.store import breakdown, database, ledger, owners, schema, settling, waiting, windows
from newsletter.store.windows import Result
from tests.delivery.scenery import fill, start_run

MINUTE = timedelta(minutes=1)


def alive(_name: str) -> bool:
    return False


@pytest.fixture
def run_id(engine, now):
    return start_run(engine, now, readers=6)


@pytest.fixture
def take(engine, run_id, now):
    """Take the run as somebody, *minutes* after its start."""

    def claim(owner="me", *, minutes=0, is_dead=alive):
        at = now + minutes * MINUTE
        with database.write(engine) as connection:
            return ledger.claim_lease(
                connection, run_id, owner, now=at, until=at + MINUTE, is_dead=is_dead
            )

    return claim


@pytest.fixture
def free(engine, run_id, now):
    """Free the run for workers, *minutes* after its start."""

    def ask(*, minutes=0, is_dead=alive):
        with database.write(engine) as connection:
            return ledger.free_run(connection, run_id, now=now + minutes * MINUTE, is_dead=is_dead)

    return ask


@pytest.fixture
def readers(engine, run_id):
    with database.read(engine) as connection:
        return [row.subscriber_id for row in waiting.pick(connection, run_id, after=-1, size=10)]


@pytest.fixture
def commit(engine, now):
    """Write one window."""

    def write(lease, *, results=(), intents=()):
        with database.write(engine) as connection:
            addresses = dict(
                connection.execute(
                    select(schema.subscriber.c.id, schema.subscriber.c.address)
                ).all()
            )
            intents = {reader: addresses[reader] for reader in intents}
            return windows.commit_window(
                connection, lease, results=results, intents=intents, now=now
            )

    return write


def tally_of(engine, run_id):
    with database.read(engine) as connection:
        return breakdown.tally(connection, run_id)


# --- the start


def test_the_audience_is_frozen_at_the_start(engine, run_id, now):
    with database.write(engine) as connection:
        fill(connection, 3, start=100)
    assert tally_of(engine, run_id) == Tally(audience=6, pending=6)


def test_a_run_begins_once(engine, run_id, now):
    with database.write(engine) as connection, pytest.raises(Conflict):
        ledger.start_run(
            connection, run_id, digest="x", select_audience=select(schema.subscriber.c.id), now=now
        )
    assert tally_of(engine, run_id).audience == 6


def test_an_empty_audience_is_done_at_once(engine, now):
    run_id = start_run(engine, now, readers=1, domains={"x.example": 1})
    with database.write(engine) as connection:
        connection.execute(update(schema.delivery).values(state="cancelled"))
        assert ledger.finish(connection, run_id, now=now)
        assert ledger.finish(connection, run_id, now=now)


# --- the lease


def test_one_holds_the_run_and_the_fence_grows(take):
    first = take("me")
    assert take("you") is None
    assert take("you", minutes=2).fence == first.fence + 1


def test_a_dead_holder_is_replaced_before_the_lease_is_over(take):
    first = take("me")
    assert take("you", is_dead=lambda name: name == "me").fence == first.fence + 1


@pytest.mark.parametrize("minutes", [0, 2])
def test_workers_have_no_run_that_a_dispatcher_has(engine, run_id, take, free, minutes):
    assert free()
    lease = take("me", minutes=minutes)
    assert not free(minutes=minutes)
    with database.write(engine) as connection:
        assert ledger.release_lease(connection, lease)
    assert free(minutes=minutes)
    assert take("me").fence == lease.fence + 1  # between two workers it does not move


@pytest.mark.parametrize("proof", [{"minutes": 2}, {"is_dead": lambda name: name == "me"}])
def test_a_run_is_freed_of_who_ended_under_a_new_fence(take, free, commit, readers, proof):
    old = take("me")
    assert free(**proof)
    assert commit(old, intents=readers[:1]).lost
    assert take("you").fence == old.fence + 2


def test_a_run_that_has_not_begun_cannot_be_taken(engine, now):
    with database.write(engine) as connection:
        run_id = connection.execute(
            insert(schema.run).values(
                issue_id="2026-05-14", kind="issue", slot_at=now, state="due", created_at=now
            )
        ).inserted_primary_key[0]
        with pytest.raises(NotFound):
            ledger.claim_lease(connection, run_id, "me", now=now, until=now, is_dead=alive)


def test_who_lost_the_lease_claims_nobody_but_still_records(take, readers, commit, engine, run_id):
    old = take("me")
    commit(old, intents=readers[:2])
    new = take("you", minutes=2)
    answer = commit(
        old,
        intents=readers[2:4],
        results=[
            Result(readers[0], True, State.SENT, reply="250 ok"),
            Result(readers[3], False, State.REFUSED, "refused", "550 no"),
        ],
    )
    assert answer.lost
    assert not answer.granted
    tally = tally_of(engine, run_id)
    assert (tally.sent, tally.sending, tally.refused, tally.pending) == (1, 1, 0, 4)
    assert len(commit(new, intents=readers[2:4]).granted) == 2
    with database.write(engine) as connection:
        assert not ledger.release_lease(connection, old)
        assert ledger.release_lease(connection, new)
    assert take("third").fence == new.fence + 1


# --- windows


def test_an_intent_is_granted_once(take, readers, commit):
    lease = take()
    assert set(commit(lease, intents=readers[:3]).granted) == set(readers[:3])
    with_another_fence = take("you", minutes=2)
    assert commit(with_another_fence, intents=readers[:3]).granted == set()


def test_an_intent_asked_again_by_the_same_owner_stands(take, readers, commit):
    """The answer to a commit may be lost with its connection: the claim is not."""
    lease = take()
    first = commit(lease, intents=readers[:3])
    assert commit(lease, intents=readers[:3]).granted == first.granted


@pytest.mark.parametrize("state", ["unsubscribed", "suppressed", "erased"])
def test_who_left_since_the_start_is_not_granted(take, readers, commit, engine, run_id, state):
    with database.write(engine) as connection:
        connection.execute(
            update(schema.subscriber)
            .where(schema.subscriber.c.id == readers[0])
            .values(state=state)
        )
    granted = commit(take(), intents=readers[:2]).granted
    assert set(granted) == {readers[1]}
    with database.write(engine) as connection:
        assert waiting.cancel_gone(connection, run_id) == 1


def test_an_address_that_changed_since_it_was_read_is_not_granted(
    take, readers, commit, engine, run_id, now
):
    lease = take()
    with database.write(engine) as connection:
        old = waiting.pick(connection, run_id, after=-1, size=1)[0].address
        connection.execute(
            update(schema.subscriber)
            .where(schema.subscriber.c.id == readers[0])
            .values(address="neuve@lecteurs.example")
        )
        answer = windows.commit_window(
            connection, lease, results=(), intents={readers[0]: old}, now=now
        )
    assert answer.granted == set()
    assert commit(lease, intents=readers[:1]).granted == {readers[0]}


def test_the_address_is_kept_from_the_claim_until_settled(take, readers, commit, engine):
    with database.write(engine) as connection:
        connection.execute(
            update(schema.subscriber)
            .where(schema.subscriber.c.id == readers[0])
            .values(address="neuve@lecteurs.example")
        )
    lease = take()
    commit(lease, intents=readers[:1])

    def kept():
        with database.read(engine) as connection:
            return connection.scalar(
                select(schema.delivery.c.address).where(
                    schema.delivery.c.subscriber_id == readers[0]
                )
            )

    assert kept() == "neuve@lecteurs.example"
    commit(lease, results=[Result(readers[0], True, State.UNKNOWN, "drop")])
    assert kept() == "neuve@lecteurs.example"
    commit(lease, results=[Result(readers[0], True, State.SENT, reply="250 late")])
    assert kept() is None


def test_a_stopped_run_grants_nobody_and_says_so(take, readers, commit, engine, run_id, now):
    lease = take()
    with database.write(engine) as connection:
        ledger.stop_run(connection, run_id, reason="by hand", now=now)
    answer = commit(lease, intents=readers[:1])
    assert answer.stopped
    assert not answer.granted


def test_leaving_in_mid_run_cancels_what_waits_and_nothing_enters_sending(
    take, readers, commit, engine, run_id
):
    lease = take()
    commit(lease, intents=readers[:1])
    with database.write(engine) as connection:
        assert waiting.cancel_reader(connection, readers[0]) == 0  # already on its way
        assert waiting.cancel_reader(connection, readers[1]) == 1
    assert commit(lease, intents=[readers[1]]).granted == set()
    assert tally_of(engine, run_id).cancelled == 1


def test_an_early_answer_settles_a_row_that_was_never_claimed(
    take, readers, commit, engine, run_id, now
):
    lease = take()
    due = now + 5 * MINUTE
    commit(
        lease,
        results=[
            Result(readers[0], False, State.REFUSED, "no_such_address", "550 5.1.1 nobody"),
            Result(readers[1], False, State.DEFERRED, "greylisted", "450", 1, 0, due),
            Result(readers[2], False, State.PENDING, "drop", "", 0, 1),
        ],
    )
    tally = tally_of(engine, run_id)
    assert (tally.refused, tally.deferred, tally.pending) == (1, 1, 4)
    with database.write(engine) as connection:
        assert waiting.next_due_at(connection, run_id) == due
        assert waiting.wake_due(connection, run_id, now=due - MINUTE) == 0
        assert waiting.wake_due(connection, run_id, now=due) == 1
        assert waiting.next_due_at(connection, run_id) is None
        rows = waiting.pick(connection, run_id, after=-1, size=10)
    assert {row.subscriber_id: (row.tries, row.drops) for row in rows}[readers[1]] == (1, 0)
    assert {row.subscriber_id: (row.tries, row.drops) for row in rows}[readers[2]] == (0, 1)


def test_what_is_not_sent_leaves_an_event_with_the_raw_reply(take, readers, commit, engine):
    lease = take()
    commit(lease, intents=readers[:2])
    commit(
        lease,
        results=[
            Result(readers[0], True, State.SENT, reply="250 ok"),
            Result(readers[1], True, State.REFUSED, "refused", "550 5.0.0 no"),
        ],
    )
    with database.read(engine) as connection:
        rows = connection.execute(
            select(schema.event.c.kind, schema.event.c.subscriber_id, schema.event.c.raw).where(
                schema.event.c.subscriber_id.is_not(None)
            )
        ).all()
    assert [tuple(row) for row in rows] == [("refused", readers[1], "550 5.0.0 no")]


# --- death


def test_only_a_proof_of_death_makes_a_row_unknown(engine, run_id, take, readers, commit, now):
    with owners.open_owner(engine) as name:
        lease = take(name)
        commit(lease, intents=readers[:2])
        with database.write(engine) as connection:
            is_dead = owners.death_prover(engine, connection)
            assert not is_dead(name)
            later = now + timedelta(days=3)
            assert owners.bury_dead(connection, run_id, is_dead=is_dead, now=later) == 0
    with database.write(engine) as connection:
        is_dead = owners.death_prover(engine, connection)
        assert is_dead(name)
        assert owners.bury_dead(connection, run_id, is_dead=is_dead, now=now) == 2
    assert tally_of(engine, run_id).unknown == 2


def test_a_name_from_elsewhere_proves_nothing(engine):
    with database.write(engine) as connection:
        is_dead = owners.death_prover(engine, connection)
        assert not is_dead("file:another-machine:boot:0123456789abcdef")
        assert not is_dead("somebody")


def test_another_boot_of_this_machine_is_a_proof(sqlite_engine):
    with owners.open_owner(sqlite_engine) as name, database.write(sqlite_engine) as connection:
        kind, machine, _, word = name.split(":")
        is_dead = owners.death_prover(sqlite_engine, connection)
        assert is_dead(f"{kind}:{machine}:another-boot:{word}")
        assert not is_dead(name)


def test_an_owner_given_up_too_early_still_records_its_answer(
    engine, run_id, take, readers, commit, now
):
    lease = take("me")
    commit(lease, intents=readers[:1])
    with database.write(engine) as connection:
        owners.bury_dead(connection, run_id, is_dead=lambda _: True, now=now)
    assert tally_of(engine, run_id).unknown == 1
    commit(lease, results=[Result(readers[0], True, State.SENT, reply="250 ok")])
    assert tally_of(engine, run_id).sent == 1


def test_racing_dispatchers_get_the_run_one_at_a_time(engine, run_id, now):
    fences, gate = [], threading.Barrier(4)

    def race(owner):
        gate.wait()
        with database.write(engine) as connection:
            lease = ledger.claim_lease(
                connection, run_id, owner, now=now, until=now + MINUTE, is_dead=alive
            )
        fences.append(lease and lease.fence)

    threads = [threading.Thread(target=race, args=(f"racer{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(fences, key=str) == [1, None, None, None]


# --- endings


def test_the_deadline_expires_what_waits_and_finishes_the_run(
    engine, run_id, take, readers, commit, now
):
    lease = take()
    commit(lease, intents=readers[:1])
    commit(lease, results=[Result(readers[0], True, State.SENT)])
    with database.write(engine) as connection:
        assert not ledger.finish(connection, run_id, now=now)
        assert waiting.expire(connection, run_id, now=now) == 5
        assert ledger.finish(connection, run_id, now=now)
    assert tally_of(engine, run_id) == Tally(audience=6, sent=1, expired=5)


def test_the_list_of_one_state_holds_address_reason_and_reply(
    engine, run_id, take, readers, commit, now
):
    commit(take(), results=[Result(readers[0], False, State.REFUSED, "refused", "550 no")])
    with database.read(engine) as connection:
        (refused,) = breakdown.readers(connection, run_id, State.REFUSED)
        assert len(list(breakdown.readers(connection, run_id))) == 6
    assert refused.address.endswith("@lecteurs.example")
    assert (refused.reason, refused.reply, refused.at) == ("refused", "550 no", now)


# --- settling


@pytest.fixture
def doubted(take, readers, commit):
    lease = take()
    commit(lease, intents=readers[:3])
    commit(lease, results=[Result(reader, True, State.UNKNOWN, "drop") for reader in readers[:3]])
    return readers[:3]


def test_a_proof_settles_the_unknown_both_ways(engine, run_id, doubted, now):
    with database.write(engine) as connection:
        assert [doubt.subscriber_id for doubt in settling.unknown_readers(connection, run_id)] == (
            doubted
        )
        assert settling.settle_present(connection, run_id, doubted[:1], proof="log", now=now) == 1
        assert settling.settle_absent(connection, run_id, doubted[1:2]) == 1
        assert settling.settle_absent(connection, run_id, doubted[:1]) == 0
    tally = tally_of(engine, run_id)
    assert (tally.sent, tally.pending, tally.unknown) == (1, 4, 1)


def test_left_readers_stay_unknown_and_are_counted_as_settled(engine, run_id, doubted, now):
    with database.write(engine) as connection:
        assert settling.leave_unknown(connection, run_id, now=now) == 3
        assert settling.resend_unknown(connection, run_id, now=now) == 0
    tally = tally_of(engine, run_id)
    assert (tally.unknown, tally.left) == (3, 3)


def test_a_resend_reopens_a_done_run_for_another_24_hours(engine, run_id, doubted, now):
    with database.write(engine) as connection:
        waiting.expire(connection, run_id, now=now)
        assert ledger.finish(connection, run_id, now=now)
        later = now + timedelta(days=2)
        assert settling.resend_unknown(connection, run_id, now=later) == 3
        row = connection.execute(select(schema.run)).one()
    assert (row.state, row.reopened_at, row.started_at) == ("dispatching", later, now)
    assert tally_of(engine, run_id).pending == 3


def test_refused_for_a_reason_that_was_mended_can_be_retried(
    engine, run_id, take, readers, commit, now
):
    commit(
        take(),
        results=[
            Result(readers[0], False, State.REFUSED, "policy", "550 5.7.1"),
            Result(readers[1], False, State.REFUSED, "no_such_address", "550 5.1.1"),
        ],
    )
    with database.write(engine) as connection:
        assert settling.retry_refused(connection, run_id, "policy", now=now) == 1
    tally = tally_of(engine, run_id)
    assert (tally.pending, tally.refused) == (5, 1)


def test_a_stop_outlives_the_settling_of_its_readers(engine, run_id, now):
    with database.write(engine) as connection:
        ledger.stop_run(connection, run_id, reason="by hand", now=now)
        settling.reopen_run(connection, run_id, now=now)
        row = connection.execute(select(schema.run)).one()
    assert (row.state, row.stopped, row.reason) == ("dispatching", True, "by hand")
