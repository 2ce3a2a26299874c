"""Renders the golden issues in whatever process runs it: ``python rendering.py NAME FOLDER``.

The same input gives the same bytes on any machine, in any process (DESIGN 4): the issues of the
sample and of this folder, the sample's feeds as one week showed them, the keys of nobody.
"""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

from newsletter import config
from newsletter.editions import draft_issue
from newsletter.examples.fetch import read_sources
from newsletter.examples.judge import Bench, judge_feed
from newsletter.examples.parse import parse_feed
from newsletter.examples.vocabulary import build_vocabulary
from newsletter.model import IssueId
from newsletter.rendering import write_rendering
from newsletter.store import database, schema
from newsletter.store.examples import keep_sightings

REPOSITORY = Path(__file__).parent.parent.parent
GOLDEN = REPOSITORY / "tests" / "golden"
EXPECTED = GOLDEN / "expected"
# A golden issue: the publication it lies in, and its folder.
ISSUES = {
    "issue-a": ("sample", IssueId("2026-05-07")),
    "issue-b": ("sample", IssueId("2026-05-13")),
    "gallery": ("gallery", IssueId("2026-06-04")),
    "reference": ("reference", IssueId("2026-06-11")),
    "issue-c-clean": ("issue-c-clean", IssueId("2026-10-29")),
}
# The Tuesday before issue A.
COLLECTED_AT = datetime(2026, 5, 5, 8, 0, tzinfo=UTC)


def lay_out(name: str, folder: Path) -> config.Settings:
    """Copy the sample to *folder*, the issues of a golden publication over it."""
    shutil.copy(REPOSITORY / "newsletter.toml", folder)
    shutil.copytree(REPOSITORY / "templates", folder / "templates")
    ours = GOLDEN / name / "issues"
    kept = shutil.ignore_patterns("20*") if ours.is_dir() else None
    shutil.copytree(REPOSITORY / "issues", folder / "issues", ignore=kept)
    if ours.is_dir():
        shutil.copytree(ours, folder / "issues", dirs_exist_ok=True)
    return config.load_settings(folder / "newsletter.toml", environ={})


def collect(settings: config.Settings, engine: Engine) -> None:
    """Put into the database what the sample's feeds showed."""
    sources, _ = read_sources(settings)
    for source in sources:
        content = (settings.issues_dir / "feeds" / source.url.rpartition("/")[2]).read_bytes()
        bench = Bench(
            feed_url=source.url,
            source=source.title,
            vocabulary=build_vocabulary(settings.taxonomy),
            zone=settings.publication.zone,
            now=COLLECTED_AT,
        )
        sightings, _ = judge_feed(parse_feed(content, source.url), bench)
        with database.write(engine) as connection:
            keep_sightings(connection, sightings, COLLECTED_AT)


def render(name: str, folder: Path) -> dict[str, bytes]:
    """Return the files of a golden issue; pictures are in them by the hash of their bytes."""
    publication, issue_id = ISSUES[name]
    settings = lay_out(publication, folder)
    engine = database.open_engine(f"sqlite:///{folder / 'letter.db'}")
    schema.metadata.create_all(engine)
    collect(settings, engine)
    draft = draft_issue(settings, engine, issue_id)
    engine.dispose()
    assert draft.issue is not None, draft.findings
    assert draft.edition is not None, draft.findings
    written = write_rendering(settings, draft.issue, draft.edition, folder / "out")
    return {path.name: path.read_bytes() for path in written if path.parent.name != "media"}


if __name__ == "__main__":
    out = Path(sys.argv[2])
    for file, content in render(sys.argv[1], out).items():
        (out / file).write_bytes(content)
