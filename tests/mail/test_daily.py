from datetime import date

import pytest

from newsletter.mail.daily import read_on

PAGE = "a<!--before 2026-05-13-->À venir<!--on-->Aujourd’hui<!--after-->\nPassé<!--end-->b"


@pytest.mark.parametrize(
    ("day", "words"),
    [(12, "aÀ venirb"), (13, "aAujourd’huib"), (14, "a\nPasséb")],
)
def test_a_page_says_what_holds_on_its_day(day, words):
    assert read_on(PAGE, date(2026, 5, day)) == words


def test_each_choice_has_a_day_of_its_own():
    two = PAGE + PAGE.replace("05-13", "06-01")
    assert read_on(two, date(2026, 5, 20)) == "a\nPassébaÀ venirb"


def test_a_page_without_choices_is_left_alone():
    assert read_on("<p>a<!-- b --></p>", date(2026, 5, 13)) == "<p>a<!-- b --></p>"
