"""One run over real sockets: every reader once, every answer in its place."""

from __future__ import annotations

import pytest

from newsletter.delivery.dispatch import dispatch
from newsletter.model import Tally
from tests.delivery.scenery import start_run, states_of, with_relay
from tests.delivery.sink import Manners


@pytest.mark.parametrize("window", [0, 4])
@pytest.mark.parametrize(
    "manners",
    [
        Manners(),
        Manners(pipelining=False),
        Manners(chunking=True),
        Manners(helo_only=True, enhanced=False),
    ],
    ids=["pipelined", "serial", "bdat", "helo"],
)
def test_every_reader_gets_one_message(engine, settings, keys, now, start_sink, manners, window):
    sink = start_sink(manners)
    run_id = start_run(engine, now, readers=57)
    result = dispatch(
        with_relay(settings, sink.url, window=window), engine, keys, run_id, clock=lambda: now
    )
    assert result.tally == Tally(audience=57, sent=57)
    assert result.finished
    accepted = sink.accepted()
    assert sorted(a.recipient for a in accepted) == sorted(states_of(engine, run_id))
    assert len({a.message_id for a in accepted}) == 57
    assert {a.date for a in accepted} == {"Thu, 07 May 2026 08:00:00 +0200"}
    assert sink.worst["bare_lf"] == 0
    assert sink.worst["line"] <= 78
