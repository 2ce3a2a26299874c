"""A whole message of the sample before SpamAssassin's own rules, without any network."""

import os
import re
import subprocess

from tests.golden.rendering import EXPECTED

SCORED = re.compile(r"^ *(-?\d+\.\d) ([A-Z][A-Z0-9_]+) ", re.MULTILINE)


def test_nothing_in_the_full_issue_looks_like_spam(tmp_path):
    """At most 0.2 before the bonus that headers of a list earn (issue 3, point 2)."""
    message = (EXPECTED / "issue-a" / "issue.eml").read_bytes()
    report = subprocess.run(
        ["spamassassin", "--local", "--test-mode", "--nocreate-prefs", "--prefspath", os.devnull],
        input=message,
        capture_output=True,
        check=True,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"},
    ).stdout.decode("utf-8", "replace")
    details = report.partition("Content analysis details:")[2]
    scores = {name: float(score) for score, name in SCORED.findall(details)}
    assert "HTML_MESSAGE" in scores  # its rules did run
    assert sum(score for score in scores.values() if score > 0) <= 0.2, scores
