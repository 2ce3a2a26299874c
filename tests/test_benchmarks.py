"""The benchmarks still run: what they compare is the code of today. No time is judged here."""

from __future__ import annotations

import pytest

from benchmarks import composing, rivals
from benchmarks.courier import send_prebuilt
from benchmarks.end_to_end import dispatch_once
from benchmarks.figures import Options
from benchmarks.messages import SMALL
from tests.delivery.sink import Manners, Sink

FEW = 40


@pytest.fixture
def sink(tmp_path):
    with Sink(tmp_path / "record.jsonl", Manners(chunking=True)) as running:
        yield running


@pytest.mark.parametrize("chunking", [False, True], ids=["data", "bdat"])
def test_the_courier_submits_each_message_once(sink, chunking):
    send_prebuilt(sink.port, FEW, b"Subject: x\r\n\r\nx\r\n", chunking=chunking)
    assert len({accepted.recipient for accepted in sink.accepted()}) == FEW


def test_a_dispatch_under_measure_reaches_everybody(sink):
    dispatch_once(sink.port, FEW, SMALL)  # it gives up when somebody was not sent
    assert len(sink.accepted()) == FEW


def test_the_naive_rival_does_as_much(sink):
    rivals.naive(sink.port, FEW, SMALL)
    assert len(sink.accepted()) == FEW


@pytest.mark.parametrize("measure", [composing.measure, composing.measure_dkim])
def test_composing_and_signing_give_a_figure_for_each_size(monkeypatch, measure):
    monkeypatch.setattr(Options, "count", lambda *_: FEW)
    monkeypatch.setattr(rivals, "openssl_rsa_per_s", lambda: 1_000.0)  # eight seconds of its own
    figures = [*measure(Options(rounds=1))]
    assert len(figures) == 2
    assert all(figure.measured > 0 for figure in figures)
