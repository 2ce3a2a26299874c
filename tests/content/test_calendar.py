import datetime as dt
from functools import cache
from importlib.resources import files
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.config import Pause, Schedule
from newsletter.content import calendar
from newsletter.errors import ConfigError

PARIS = ZoneInfo("Europe/Paris")
EIGHT = dt.time(8)
DAY = dt.timedelta(days=1)


def with_schedule(settings, **changes):
    schedule = settings.schedule.model_copy(update=changes)
    return settings.model_copy(update={"schedule": schedule})


# --- instants -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "hour"),
    [
        (dt.date(2026, 10, 22), 6),
        (dt.date(2026, 10, 29), 7),
        (dt.date(2027, 3, 25), 7),
        (dt.date(2027, 4, 1), 6),
    ],
)
def test_eight_in_paris_follows_summer_time(day, hour):
    expected = dt.datetime.combine(day, dt.time(hour), tzinfo=dt.UTC)
    assert calendar.instant(day, EIGHT, PARIS) == expected


def test_a_time_in_the_spring_gap_becomes_the_first_valid_instant_after_it():
    found = calendar.instant(dt.date(2027, 3, 28), dt.time(2, 30), PARIS)
    assert found == dt.datetime(2027, 3, 28, 1, 0, tzinfo=dt.UTC)
    assert found.astimezone(PARIS).time() == dt.time(3)


def test_a_time_told_twice_in_autumn_means_the_first():
    found = calendar.instant(dt.date(2027, 10, 31), dt.time(2, 30), PARIS)
    assert found == dt.datetime(2027, 10, 31, 0, 30, tzinfo=dt.UTC)


def test_a_day_that_a_zone_never_had_becomes_the_midnight_after_it():
    apia = ZoneInfo("Pacific/Apia")
    found = calendar.instant(dt.date(2011, 12, 30), EIGHT, apia)
    assert found.astimezone(apia).replace(tzinfo=None) == dt.datetime(2011, 12, 31)


def test_an_instant_is_the_first_valid_one_minute_by_minute():
    """Compare with a plain search forward through the day of a change."""
    lord_howe = ZoneInfo("Australia/Lord_Howe")  # half an hour
    for zone, day in ((lord_howe, dt.date(2026, 10, 4)), (PARIS, dt.date(2026, 3, 29))):
        for minute in range(0, 24 * 60, 10):
            time = dt.time(minute // 60, minute % 60)
            assert calendar.instant(day, time, zone) == first_valid(day, time, zone)


def first_valid(day, time, zone):
    wanted = dt.datetime.combine(day, time)
    moment = wanted.replace(tzinfo=dt.UTC) - DAY
    while moment.astimezone(zone).replace(tzinfo=None) < wanted:
        moment += dt.timedelta(minutes=10)
    return moment


# --- one slot a week, for ever ------------------------------------------------------------------


@cache
def distinct_zones():
    """One zone for each distinct set of rules: aliases would only repeat it."""
    rules = {}
    for name in sorted(available_timezones()):
        try:
            data = files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            data = name.encode()
        rules.setdefault(data, name)
    return tuple(ZoneInfo(name) for name in rules.values())


def weeks_of_change(zone):
    """Yield the Mondays, 1970–2100, of the weeks in which clocks of *zone* change.

    After 2037 a zone follows one rule for ever: every eighth year stands for the rest.
    """
    years = (*range(1970, 2038), *range(2040, 2101, 8))
    for year in years:
        start = dt.datetime(year, 1, 5)
        offsets = [(start + DAY * 7 * week).replace(tzinfo=zone).utcoffset() for week in range(53)]
        for week, (before, after) in enumerate(pairwise(offsets)):
            if before != after:
                moment = start + DAY * 7 * week
                yield moment.date() - DAY * moment.weekday()


def test_every_zone_has_one_slot_a_week_across_every_change_of_clocks():
    times = (dt.time(0), dt.time(1, 30), dt.time(2, 30), dt.time(23, 45))
    for number, zone in enumerate(distinct_zones()):
        for turn, monday in enumerate(weeks_of_change(zone)):
            # Times and weekdays take turns; Sunday, when most clocks change, is always there.
            time = times[(number + turn) % len(times)]
            for weekday in {6, turn % 7}:
                days = [monday + DAY * (weekday + 7 * week) for week in (-1, 0, 1, 2)]
                instants = [calendar.instant(day, time, zone) for day in days]
                for day, moment in zip(days, instants, strict=True):
                    shown = moment.astimezone(zone).replace(tzinfo=None)
                    late = shown - dt.datetime.combine(day, time)
                    assert dt.timedelta(0) <= late <= DAY, (zone.key, day, time)
                gaps = [later - earlier for earlier, later in pairwise(instants)]
                assert all(DAY * 5.9 <= gap <= DAY * 8.1 for gap in gaps), (zone.key, days)


@given(
    zone=st.sampled_from(sorted(available_timezones())).map(ZoneInfo),
    schedule=st.builds(
        Schedule,
        day=st.sampled_from(calendar.WEEKDAYS),
        time=st.times().map(lambda time: time.replace(microsecond=0)),
        holidays=st.sampled_from(["advance", "keep", "postpone", "skip"]),
        holidays_of=st.sampled_from(["FR", "FR-57", "DE", "CN", ""]),
    ),
    start=st.dates(dt.date(1970, 1, 1), dt.date(2100, 1, 1)),
)
def test_each_iso_week_has_exactly_one_nominal_slot_and_no_two_share_a_day(zone, schedule, start):
    nominal = list(islice(calendar.nominal_days(schedule, start), 60))
    weeks = [day.isocalendar()[:2] for day in nominal]
    mondays = [day - DAY * day.weekday() for day in nominal]
    assert len(set(weeks)) == len(weeks)
    assert all(later - earlier == DAY * 7 for earlier, later in pairwise(mondays))
    slots = [calendar.slot_of(day, schedule, zone) for day in nominal]
    leaving = [slot for slot in slots if not slot.skipped]
    assert all(earlier.day < later.day for earlier, later in pairwise(leaving))
    assert all(earlier.at < later.at for earlier, later in pairwise(leaving))


# --- holidays and pauses ------------------------------------------------------------------------

ASCENSION = dt.date(2026, 5, 14)


@pytest.mark.parametrize(
    ("rule", "day", "skipped"),
    [
        ("advance", dt.date(2026, 5, 13), ""),
        ("postpone", dt.date(2026, 5, 15), ""),
        ("keep", ASCENSION, ""),
        ("skip", ASCENSION, "holiday"),
    ],
)
def test_ascension_thursday_follows_the_rule(settings, rule, day, skipped):
    schedule = settings.schedule.model_copy(update={"holidays": rule})
    slot = calendar.slot_of(ASCENSION, schedule, PARIS)
    assert (slot.day, slot.skipped, slot.holiday) == (day, skipped, "Ascension")


def test_the_moved_slot_names_its_folder(settings):
    slot = calendar.slot_of(ASCENSION, settings.schedule, PARIS)
    assert slot.moved
    assert slot.issue_id == "2026-05-13"
    assert slot.at == dt.datetime(2026, 5, 13, 6, tzinfo=dt.UTC)


def test_a_slot_without_a_working_day_before_it_leaves_after_it():
    """Alsace: Good Friday and a weekend before Easter Monday."""
    schedule = Schedule(day="monday", holidays_of="FR-57")
    slot = calendar.slot_of(dt.date(2026, 4, 6), schedule, PARIS)
    assert slot.day == dt.date(2026, 4, 7)


def test_thursdays_that_are_holidays_in_france(settings):
    found = [
        day
        for day in islice(calendar.nominal_days(settings.schedule, dt.date(2025, 1, 1)), 480)
        if calendar.holiday(day, settings.schedule) and day.year < 2034
    ]
    expected = (
        "2025-05-01 2025-05-08 2025-05-29 2025-12-25 2026-01-01 2026-05-14 2027-05-06 2027-11-11 "
        "2028-05-25 2029-05-10 2029-11-01 2030-05-30 2030-08-15 2031-05-01 2031-05-08 2031-05-22 "
        "2031-12-25 2032-01-01 2032-05-06 2032-11-11 2033-05-26 2033-07-14"
    )
    assert [day.isoformat() for day in found] == expected.split()


def test_an_unknown_country_is_a_configuration_error():
    with pytest.raises(ConfigError) as caught:
        calendar.holiday(ASCENSION, Schedule(holidays_of="ZZ"))
    assert caught.value.key == "schedule.holidays_of"


def test_no_country_has_no_holiday():
    assert calendar.holiday(ASCENSION, Schedule(holidays_of="")) == ""


@pytest.mark.parametrize(
    ("start", "end"), [("2026-05-14", "2026-05-14"), ("2026-05-13", "2026-05-13")]
)
def test_a_pause_on_the_nominal_day_or_on_the_day_of_departure_skips_the_slot(start, end):
    pause = Pause(start=start, end=end, reason="pont")
    slot = calendar.slot_of(ASCENSION, Schedule(pauses=(pause,)), PARIS)
    assert (slot.skipped, slot.why, slot.issue_id) == ("pause", "pont", "2026-05-14")


# --- finding slots ------------------------------------------------------------------------------


def test_slots_between_two_instants_are_those_that_leave_then(settings):
    slots = calendar.slots_between(
        settings,
        dt.datetime(2026, 5, 7, 6, tzinfo=dt.UTC),
        dt.datetime(2026, 5, 21, 6, tzinfo=dt.UTC),
    )
    assert [slot.issue_id for slot in slots] == ["2026-05-07", "2026-05-13", "2026-05-21"]


def test_a_slot_brought_forward_is_found_from_the_day_it_leaves(settings):
    start = dt.datetime(2026, 5, 13, tzinfo=dt.UTC)
    slots = calendar.slots_between(settings, start, start + DAY)
    assert [slot.nominal for slot in slots] == [ASCENSION]


def test_slots_of_a_span_are_those_of_its_halves(settings):
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    middle, end = start + DAY * 150.3, start + DAY * 400
    halves = [
        *calendar.slots_between(settings, start, middle),
        *calendar.slots_between(settings, middle, end),
    ]
    assert list(calendar.slots_between(settings, start, end)) == halves
    assert len(halves) == 57


def test_a_day_without_departure_has_no_slot(settings):
    assert calendar.slot_leaving_on(ASCENSION, settings) is None
    assert calendar.slot_leaving_on(dt.date(2026, 5, 12), settings) is None
    assert calendar.slot_leaving_on(dt.date(2026, 5, 13), settings).nominal == ASCENSION


@given(day=st.dates(dt.date(1970, 1, 5), dt.date(2100, 1, 1)))
def test_the_slot_near_a_day_is_at_most_three_days_away(day):
    nominal = next(calendar.nominal_days(Schedule(), day - DAY * 3))
    assert abs(nominal - day) <= DAY * 3


def test_the_next_free_slot_jumps_over_what_is_taken_paused_or_past(settings):
    august = Pause(start="2026-07-30", end="2026-08-20", reason="été")
    settings = with_schedule(settings, pauses=(august,))
    now = dt.datetime(2026, 7, 16, 6, tzinfo=dt.UTC)
    assert calendar.next_free_slot(settings, {"2026-07-23"}, now).issue_id == "2026-08-27"
    assert calendar.next_free_slot(settings, (), now).issue_id == "2026-07-23"


def test_the_next_free_slot_is_the_moved_one_in_ascension_week(settings):
    now = dt.datetime(2026, 5, 8, tzinfo=dt.UTC)
    assert calendar.next_free_slot(settings, (), now).issue_id == "2026-05-13"


# --- dates as people read them ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "written"),
    [
        (dt.date(2026, 10, 1), "jeudi 1er octobre 2026"),
        (dt.date(2026, 5, 13), "mercredi 13 mai 2026"),
        (dt.date(2027, 2, 28), "dimanche 28 février 2027"),
    ],
)
def test_a_french_date_is_written_in_full_and_in_lower_case(day, written):
    assert calendar.long_date(day) == written


def test_another_language_gets_its_own_dates():
    assert calendar.long_date(dt.date(2026, 5, 7), "en") == "Thursday, May 7, 2026"
    assert calendar.long_time(dt.time(8), "en-GB") == "08:00"


@pytest.mark.parametrize(
    ("time", "written"), [(EIGHT, "8\u00a0h"), (dt.time(14, 30), "14\u00a0h\u00a030")]
)
def test_a_french_time_is_written_with_its_unit(time, written):
    assert calendar.long_time(time) == written


@given(st.dates(dt.date(1970, 1, 1), dt.date(2100, 12, 31)))
def test_a_written_date_is_read_back(day):
    (found,) = calendar.written_dates(f"Rendez-vous le {calendar.long_date(day)} à 13 h.")
    assert found.resolve(around=dt.date(2026, 1, 1)) == day
    assert found.weekday == day.weekday()


def test_a_date_without_a_year_is_the_nearest_one():
    (found,) = calendar.written_dates("le jeudi 7 janvier")
    assert found.resolve(around=dt.date(2026, 12, 17)) == dt.date(2027, 1, 7)


def test_a_date_that_no_calendar_has_resolves_to_nothing():
    (found,) = calendar.written_dates("le 31 avril 2026")
    assert found.resolve(around=dt.date(2026, 4, 1)) is None
