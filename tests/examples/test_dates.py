from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.examples.dates import is_credible, read_date

PARIS = ZoneInfo("Europe/Paris")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Tue, 05 May 2026 08:30:00 +0200", "2026-05-05T06:30"),
        ("Tue, 05 May 2026 08:30:00 GMT", "2026-05-05T08:30"),
        ("Sat, 25 Apr 2026 10:12:00 CEST", "2026-04-25T08:12"),
        ("Thu, 08 Jan 2026 08:00:00 CET", "2026-01-08T07:00"),
        ("Thu, 08 Jan 2026 08:00:00 EST", "2026-01-08T13:00"),
        ("5 May 2026 08:30", "2026-05-05T06:30"),
        ("2026-05-04T18:20:00+02:00", "2026-05-04T16:20"),
        ("2026-05-04T18:20:00Z", "2026-05-04T18:20"),
        ("2026-05-04 18:20:00", "2026-05-04T16:20"),
        ("2026-05-04", "2026-05-03T22:00"),
        ("jeu. 14 mai 2026", "2026-05-13T22:00"),
        ("jeudi 1er octobre 2026", "2026-09-30T22:00"),
        ("le 14 février 2026 à 8 h 30", "2026-02-14T07:30"),
        ("mer. 29 avr. 2026, 14:05", "2026-04-29T12:05"),
        ("3 AOÛT 2026", "2026-08-02T22:00"),
        ("14/05/2026", "2026-05-13T22:00"),
        ("18/04/2026 09:30", "2026-04-18T07:30"),
        ("1762326000", "2025-11-05T07:00"),
        ("1762326000000", "2025-11-05T07:00"),
    ],
)
def test_dates_are_read_as_people_and_programs_write_them(written, read):
    assert read_date(written, PARIS) == datetime.fromisoformat(read).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    ["", "hier", "31 février 2026", "2026-13-45", "jeu. 32 mai 2026", "mai 2026", "25:00",
     "Tue, 05 May 2026 99:99:99 +0200", "5 vendémiaire 2026", "10/13/2026", "0000-00-00"],
)  # fmt: skip
def test_what_is_no_date_is_none(written):
    assert read_date(written, PARIS) is None


@given(st.text())
def test_any_text_is_a_date_or_none(written):
    read_date(written, PARIS)


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_iso_dates_round_trip(instant):
    assert read_date(instant.isoformat(), PARIS) == instant


def test_only_dates_from_2000_to_tomorrow_are_credible(now):
    assert is_credible(now + timedelta(hours=24), now)
    assert not is_credible(now + timedelta(hours=25), now)
    assert not is_credible(datetime(1999, 12, 31, tzinfo=UTC), now)
