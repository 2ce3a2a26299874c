from datetime import timedelta

import pytest

from newsletter.examples.polling import (
    FeedAnswer,
    after_answer,
    after_failure,
    explain_failure,
    is_due,
    new_feed,
)
from newsletter.examples.reports import FeedFailed

URL = "https://a.example/rss"
DAY = timedelta(days=1)


def failure(status, retry_after="", reason="busy"):
    return FeedFailed(reason, URL, status=status, retry_after=retry_after)


@pytest.mark.parametrize(
    ("status", "retry_after", "wait"),
    [
        (503, "3600", timedelta(hours=1)),
        (429, "999999999999", DAY),
        (503, "Thu, 07 May 2026 07:00:00 GMT", timedelta(hours=1)),
        (503, "Sat, 09 May 2026 07:00:00 GMT", DAY),
        (503, "Thu, 01 Jan 1970 00:00:00 GMT", timedelta(minutes=15)),
        (503, "bientôt", timedelta(minutes=15)),
        (503, "-5", timedelta(minutes=15)),
        (500, "", timedelta(minutes=15)),
        (404, "3600", None),
        (403, "", None),
    ],
)
def test_a_server_is_left_alone_as_long_as_it_asks(now, status, retry_after, wait):
    after = after_failure(new_feed(URL), failure(status, retry_after), now)
    assert after.next_poll_at == (now + wait if wait else None)
    assert is_due(after, now + DAY)


def test_repeated_faults_of_a_server_double_the_wait_up_to_a_day(now):
    feed, waits = new_feed(URL), []
    for _ in range(9):
        feed = after_failure(feed, failure(502, reason="bad_status"), now)
        waits.append(feed.next_poll_at - now)
    assert waits[:3] == [timedelta(minutes=minutes) for minutes in (15, 30, 60)]
    assert waits[-1] == DAY


def test_an_answer_forgives_everything(now):
    failed = after_failure(new_feed(URL), failure(500), now)
    after = after_answer(failed, FeedAnswer(content=b"x", final_url=URL, etag='"1"'), now)
    assert (after.failures, after.failing_since, after.next_poll_at) == (0, None, None)
    assert (after.etag, after.validators_for, after.last_ok_at) == ('"1"', URL, now)


def test_validators_belong_to_the_address_that_gave_them(now):
    moved = FeedAnswer(content=b"x", final_url="https://b.example/", etag='"1"')
    assert after_answer(new_feed(URL), moved, now).validators_for == "https://b.example/"


def test_not_modified_keeps_the_validators(now):
    feed = after_answer(new_feed(URL), FeedAnswer(content=b"x", final_url=URL, etag='"1"'), now)
    assert after_answer(feed, FeedAnswer(content=None, final_url=URL), now).etag == '"1"'


def test_another_target_starts_the_count_of_days_again(now):
    feed = new_feed(URL)
    for day, target in enumerate(("b", "b", "c", "b", "b", "b")):
        answer = FeedAnswer(
            content=b"x", final_url=target, permanent_url=f"https://{target}.example/"
        )
        assert feed.current_url == URL
        feed = after_answer(feed, answer, now + day * DAY)
    assert feed.current_url == "https://b.example/"


def test_only_410_closes_a_feed(now):
    assert after_failure(new_feed(URL), failure(410, reason="gone"), now).disabled
    assert not after_failure(new_feed(URL), failure(404, reason="missing"), now).disabled


def test_a_page_missing_for_seven_days_gets_another_finding(now):
    missing = failure(404, reason="missing")
    feed = after_failure(new_feed(URL), missing, now)
    assert explain_failure(feed, missing, now + 6 * DAY).code == "missing"
    assert explain_failure(feed, missing, now + 7 * DAY).code == "missing_for_a_week"
