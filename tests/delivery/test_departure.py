from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.delivery.departure import LEASE, Step, next_step
from newsletter.delivery.states import RUN_DEADLINE
from newsletter.model import IssueId, Run, RunId, RunState

LATENESS = timedelta(hours=3)
SECOND = timedelta(seconds=1)


def a_run(now, state, **changes):
    return Run(
        id=RunId(1),
        issue_id=IssueId("2026-05-07"),
        kind="issue",
        slot_at=now,
        state=state,
        **changes,
    )


def step(run, at, slot, **changes):
    return next_step(run, at, slot_at=slot, max_lateness=LATENESS, **changes)


@pytest.mark.parametrize("state", [None, RunState.DUE, RunState.HELD])
@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (-SECOND, Step.WAIT),
        (timedelta(0), Step.JUDGE),
        (timedelta(minutes=20), Step.JUDGE),
        (LATENESS, Step.JUDGE),
        (LATENESS + SECOND, Step.MISS),
        (timedelta(days=30), Step.MISS),
    ],
)
def test_a_slot_is_judged_from_its_instant_to_the_last_of_its_lateness(now, state, after, expected):
    run = state and a_run(now, state)
    assert step(run, now + after, now) is expected


def test_a_planned_skip_is_written_when_its_time_comes(now):
    assert step(None, now - SECOND, now, skipped=True) is Step.WAIT
    assert step(None, now, now, skipped=True) is Step.SKIP
    assert step(None, now + timedelta(days=9), now, skipped=True) is Step.SKIP


@pytest.mark.parametrize("state", [RunState.MISSED, RunState.SKIPPED, RunState.DONE])
def test_what_is_settled_rests_until_a_person_acts(now, state):
    assert step(a_run(now, state), now + SECOND, now) is Step.REST


def test_a_begun_run_goes_on_long_after_its_lateness(now):
    run = a_run(now, RunState.DISPATCHING, started_at=now + LATENESS)
    assert step(run, now + timedelta(hours=7), now) is Step.RESUME


def test_a_begun_run_is_left_to_the_one_alive_at_it(now):
    lease = now + timedelta(seconds=60)
    run = a_run(now, RunState.DISPATCHING, started_at=now, lease_until=lease)
    assert step(run, lease - SECOND, now) is Step.REST
    assert step(run, lease, now) is Step.RESUME


def test_a_stopped_run_says_so_though_somebody_alive_is_still_at_it(now):
    lease = now + timedelta(seconds=60)
    run = a_run(now, RunState.DISPATCHING, started_at=now, lease_until=lease, stopped=True)
    assert step(run, lease - SECOND, now) is Step.STOPPED


def test_a_lease_given_by_a_clock_that_went_back_holds_nobody_up(now):
    lease = now + timedelta(hours=2)
    run = a_run(now, RunState.DISPATCHING, started_at=now, lease_until=lease)
    assert step(run, now, now) is Step.RESUME
    assert step(run, lease - LEASE, now) is Step.REST


def test_a_stopped_run_is_not_gone_on_with_and_still_expires(now):
    run = a_run(now, RunState.DISPATCHING, started_at=now, stopped=True)
    assert step(run, now + timedelta(hours=2), now) is Step.STOPPED
    assert step(run, now + RUN_DEADLINE, now) is Step.EXPIRE


def test_a_begun_run_expires_after_a_day(now):
    run = a_run(now, RunState.DISPATCHING, started_at=now)
    assert step(run, now + RUN_DEADLINE - SECOND, now) is Step.RESUME
    assert step(run, now + RUN_DEADLINE, now) is Step.EXPIRE


def test_a_done_run_rests_for_ever(now):
    run = a_run(now, RunState.DONE, started_at=now)
    assert step(run, now + timedelta(days=400), now) is Step.REST


@given(
    state=st.sampled_from([RunState.DUE, RunState.HELD]),
    minutes=st.integers(-10_000, 10_000),
    skipped=st.booleans(),
)
def test_nothing_starts_outside_its_window(state, minutes, skipped, moment):
    after = timedelta(minutes=minutes)
    found = step(a_run(moment, state), moment + after, moment, skipped=skipped)
    inside = timedelta(0) <= after <= LATENESS and not skipped
    assert (found is Step.JUDGE) == inside
    assert found not in {Step.RESUME, Step.EXPIRE, Step.REST}


@pytest.fixture(scope="module")
def moment():
    from datetime import UTC, datetime

    return datetime(2026, 5, 7, 6, tzinfo=UTC)
