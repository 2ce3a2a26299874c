"""What a Postfix log proves, and when it proves nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from newsletter.delivery import relay_log
from newsletter.delivery.relay_log import Ids, read_relay_log, read_time

NOW = datetime(2026, 5, 7, 9, 0, tzinfo=UTC)
PARIS = timezone(timedelta(hours=2))
LOG = """\
May  7 08:00:01 relay postfix/smtpd[7]: connect from localhost[127.0.0.1]
May  7 08:00:01 relay postfix/smtpd[7]: 4A1B: client=localhost[127.0.0.1]
May  7 08:00:02 relay postfix/cleanup[9]: 4A1B: message-id=<taken@example.org>
May  7 08:00:02 relay postfix/qmgr[3]: 4A1B: from=<x@example.org>, size=9, nrcpt=1 (queue active)
May  7 08:00:03 relay postfix/smtpd[7]: 4A1C: client=localhost[127.0.0.1]
May  7 08:00:03 relay postfix/cleanup[9]: 4A1C: message-id=<cut@example.org>
May  7 08:00:04 relay postfix/smtpd[7]: lost connection after DATA (91 bytes) from localhost[::1]
May  7 08:00:04 relay postfix/smtpd[7]: disconnect from localhost[127.0.0.1] data=1/2
May  7 08:00:05 relay postfix/cleanup[9]: 4A1D: message-id=<other@example.org>
May  7 08:00:05 relay postfix/qmgr[3]: 4A1D: from=<x@example.org>, size=9, nrcpt=1 (queue active)
May  7 08:10:00 relay postfix/anvil[8]: statistics: max connection rate 1/60s
   a line without a time
"""
TAKEN, CUT, NEVER, SENT = 4, 3, 2, 1
READERS = {"taken": TAKEN, "cut": CUT, "never": NEVER, "other": SENT}


def read(text: str = LOG, *, zone=PARIS, now=NOW):
    lines = text.splitlines(True)
    return read_relay_log(lines, READERS.get, {TAKEN, CUT, NEVER}, now=now, zone=zone)


def test_taken_is_what_entered_the_active_queue():
    assert read().taken == {TAKEN}


def test_cut_is_what_smtpd_was_still_reading_when_it_lost_the_client():
    assert read().begun == frozenset()


@pytest.mark.parametrize(
    "word", ["timeout after DATA (91 bytes)", "lost connection after BDAT (9 bytes)"]
)
def test_cut_is_also_what_came_too_slowly_or_in_chunks(word):
    assert read(LOG.replace("lost connection after DATA (91 bytes)", word)).begun == frozenset()


@pytest.mark.parametrize(
    "word",
    [
        "lost connection after END-OF-MESSAGE",
        "lost connection after RSET",
        "lost connection after DATA",
        "timeout after END-OF-MESSAGE",
    ],
)
def test_begun_is_what_was_read_whole_and_is_not_queued_yet(word):
    # The active queue was full: taken, and not yet seen by qmgr.
    assert read(LOG.replace("lost connection after DATA (91 bytes)", word)).begun == {CUT}


def test_begun_is_what_a_process_received_for_the_client_before():
    lines = LOG.splitlines(True)
    lines.insert(6, "May  7 08:00:03 relay postfix/smtpd[7]: connect from another[127.0.0.2]\n")
    assert read("".join(lines)).begun == {CUT}


def test_what_was_cut_and_came_again_is_taken_once_it_is_queued():
    again = "May  7 08:00:09 relay postfix/cleanup[9]: 4A1E: message-id=<cut@example.org>\n"
    assert read(LOG + again).begun == {CUT}
    queued = "May  7 08:00:09 relay postfix/qmgr[3]: 4A1E: from=<x@example.org> (queue active)\n"
    log = read(LOG + again + queued)
    assert (log.taken, log.begun) == ({TAKEN, CUT}, frozenset())


def test_a_queue_id_given_to_another_message_says_nothing_of_the_first():
    log = read(LOG.replace("4A1D", "4A1C"))
    assert (log.taken, log.begun) == ({TAKEN}, frozenset())
    log = read(LOG.replace("4A1D", "4A1C").replace("lost connection", "dropped"))
    assert (log.taken, log.begun) == ({TAKEN}, {CUT})


def test_a_queue_id_of_what_was_cut_says_nothing_of_the_next():
    assert read(LOG.replace("4A1D", "4A1C").replace("other@", "never@")).taken == {TAKEN, NEVER}
    log = read(
        "".join(LOG.splitlines(True)[:8]) + LOG.splitlines(True)[5].replace("cut@", "never@")
    )
    assert log.begun == {NEVER}


def test_every_reader_whose_message_is_named_is_seen_in_order():
    assert list(read().seen) == [SENT, CUT, TAKEN]


def test_any_number_of_ids_is_read_in_order(monkeypatch):
    monkeypatch.setattr(relay_log, "_SORTED_AT_ONCE", 3)
    ids = Ids()
    for reader in (8, 3, 5, 2**62, 1, 5, 0, 4):
        ids.add(reader)
    assert list(ids) == [0, 1, 3, 4, 5, 5, 8, 2**62]


@pytest.mark.parametrize(
    "word",
    [
        "relay postfix/master[2]: daemon started -- version 3.7.11, configuration /etc/postfix",
        "relay rsyslogd: imuxsock[pid 7]: 812 messages lost due to rate-limiting",
        "relay systemd-journald[5]: Suppressed 812 messages from postfix.service",
    ],
)
def test_a_log_confesses_where_lines_may_be_missing(word):
    log = read(LOG + f"May  7 08:20:00 {word}\n")
    hole = datetime(2026, 5, 7, 6, 20, tzinfo=UTC)
    second = timedelta(seconds=1)
    assert log.has_hole(hole, hole)
    assert not log.has_hole(hole - 2 * second, hole - second)
    assert not log.has_hole(hole + second, hole + 2 * second)
    assert not read().holes


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
    log = read(
        "".join(lines), now=datetime(2025, 10, 27, tzinfo=UTC), zone=ZoneInfo("Europe/Paris")
    )
    # It may begin at 00:10 or at 01:10 UTC, and end at 00:50 or at 01:50.
    for hour in (0, 1):
        moment = datetime(2025, 10, 26, hour, 30, tzinfo=UTC)
        assert not log.covers(moment, moment)


def test_in_the_hour_told_twice_a_hole_is_in_both():
    lines = "Oct 26 02:30:00 relay postfix/master[2]: daemon started -- version 3.7.11\n"
    log = read(lines, now=datetime(2025, 10, 27, tzinfo=UTC), zone=ZoneInfo("Europe/Paris"))
    for hour in (0, 1):
        moment = datetime(2025, 10, 26, hour, 30, tzinfo=UTC)
        assert log.has_hole(moment, moment)


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
        ("2026-13-45T10:00:00Z relay", None),
        ("Foo  1 10:00:00 relay", None),
    ],
)
def test_a_time_is_read_in_both_styles_and_the_year_is_the_last_possible(line, at):
    assert read_time(line, now=NOW, zone=PARIS) == at


def test_a_message_id_alone_proves_nothing():
    log = read("".join(LOG.splitlines(True)[5:6]))
    assert (log.taken, log.begun) == (frozenset(), {CUT})


def test_a_log_that_ends_after_now_covers_no_more_than_until_now():
    log = read(LOG + "2030-01-01T00:00:00Z relay postfix/anvil[8]: statistics\n")
    assert log.last_at == NOW
