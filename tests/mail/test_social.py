"""Facts about the words to post about an issue."""

from __future__ import annotations

from newsletter.content.files import read_issue
from newsletter.mail.social import LIMIT, social_text
from newsletter.model import Issue, IssueId, Place, Prose, Story

URL = "https://lettre.example/2026-05-07/"


def read_sample(golden_publication) -> Issue:
    issue = read_issue(golden_publication("sample"), IssueId("2026-05-07")).issue
    assert issue is not None
    return issue


def test_a_post_ends_with_the_only_link(golden_publication):
    said = social_text(read_sample(golden_publication), url=URL)
    assert said.endswith(f"{URL}\n")
    assert said.count("://") == 1


def test_a_post_has_no_markup_and_speaks_to_nobody_by_name(golden_publication):
    said = social_text(read_sample(golden_publication), url=URL)
    assert not set(said) & set("*<>[]{}_\ue000")
    assert "Bonjour" not in said


def test_a_post_names_the_issue_and_every_story(golden_publication):
    issue = read_sample(golden_publication)
    said = social_text(issue, url=URL)
    assert said.startswith(issue.subject)
    assert all(story.title in said for story in issue.stories)


def test_a_post_is_never_longer_than_its_limit_and_keeps_its_link():
    place = Place("issue.md", 1)
    stories = tuple(
        Story(slug=f"s{n}", title="Un titre assez long pour un article " * 3, place=place,
              nodes=(Prose(tokens=(), place=place),))
        for n in range(100)
    )  # fmt: skip
    issue = Issue(id=IssueId("2026-05-07"), number=1, subject="Objet", place=place, stories=stories)
    said = social_text(issue, url=URL)
    assert len(said) <= LIMIT + 1
    assert said.endswith(f"{URL}\n")


def test_a_post_announces_nothing_that_does_not_follow(golden_publication):
    said = social_text(read_sample(golden_publication), url=URL)
    assert "Envie d’essayer\u202f?\n" in said
    assert [line for line in said.splitlines() if line.endswith(":")] == []
