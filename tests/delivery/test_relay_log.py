"""What a Postfix log proves, and when it proves nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from newsletter.delivery.relay_log import read_relay_log, read_time

NOW = datetime(2026, 5, 7, 9, 0, tzinfo=UTC)
PARIS = timezone(timedelta(hours=2))
LOG = """\
May  7 08:00:01 relay postfix/smtpd[7]: connect from localhost[127.0.0.1]
May  7 08:00:02 relay postfix/cleanup[9]: 4A1B: message-id=<taken@example.org>
May  7 08:00:02 relay postfix/qmgr[3]: 4A1B: from=<x@example.org>, size=9, nrcpt=1 (queue active)
May  7 08:00:03 relay postfix/cleanup[9]: 4A1C: message-id=<cut@example.org>
May  7 08:00:04 relay postfix/smtpd[7]: lost connection after DATA from localhost[127.0.0.1]
May  7 08:00:05 relay postfix/cleanup[9]: 4A1D: message-id=<other@example.org>
May  7 08:00:05 relay postfix/qmgr[3]: 4A1D: from=<x@example.org>, size=9, nrcpt=1 (queue active)
May  7 08:10:00 relay postfix/anvil[8]: statistics: max connection rate 1/60s
   a line without a time
"""
WANTED = {"<taken@example.org>", "<cut@example.org>", "<never@example.org>"}


def read(text: str = LOG):
    return read_relay_log(text.splitlines(True), WANTED, now=NOW, zone=PARIS)


def test_taken_is_what_entered_the_active_queue():
    assert read().taken == {"<taken@example.org>"}


def test_a_log_covers_what_lies_between_its_first_and_last_line():
    log = read()
    first = datetime(2026, 5, 7, 6, 0, 1, tzinfo=UTC)
    last = datetime(2026, 5, 7, 6, 10, tzinfo=UTC)
    assert (log.first_at, log.last_at) == (first, last)
    second = timedelta(seconds=1)
    assert log.covers(first, last)
    assert not log.covers(first - second, last)
    assert not log.covers(first, last + second)


def test_in_the_hour_told_twice_a_log_covers_no_more_than_it_surely_does():
    lines = [f"Oct 26 02:{minute}:00 relay postfix/anvil[8]: statistics\n" for minute in (10, 50)]
    log = read_relay_log(
        lines, WANTED, now=datetime(2025, 10, 27, tzinfo=UTC), zone=ZoneInfo("Europe/Paris")
    )
    # It may begin at 00:10 or at 01:10 UTC, and end at 00:50 or at 01:50.
    for hour in (0, 1):
        moment = datetime(2025, 10, 26, hour, 30, tzinfo=UTC)
        assert not log.covers(moment, moment)


@pytest.mark.parametrize("text", ["", "nothing here\n", "\n\n"])
def test_a_log_without_times_covers_nothing(text):
    assert not read(text).covers(NOW, NOW)


@pytest.mark.parametrize(
    ("line", "at"),
    [
        ("2026-05-07T08:00:02.123+02:00 relay", datetime(2026, 5, 7, 6, 0, 2, 123000, tzinfo=UTC)),
        ("2026-05-07T06:00:02Z relay", datetime(2026, 5, 7, 6, 0, 2, tzinfo=UTC)),
        ("2026-05-07T08:00:02+0200 relay", datetime(2026, 5, 7, 6, 0, 2, tzinfo=UTC)),
        ("Dec 31 23:59:59 relay", datetime(2025, 12, 31, 21, 59, 59, tzinfo=UTC)),
        ("Feb 29 10:00:00 relay", None),
        ("Foo  1 10:00:00 relay", None),
    ],
)
def test_a_time_is_read_in_both_styles_and_the_year_is_the_last_possible(line, at):
    assert read_time(line, now=NOW, zone=PARIS) == at


def test_a_message_id_alone_proves_nothing():
    log = read_relay_log(LOG.splitlines()[3:4], WANTED, now=NOW, zone=PARIS)
    assert log.taken == frozenset()
