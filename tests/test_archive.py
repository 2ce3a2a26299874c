"""Facts about the archive as plain files: what left, and nothing else."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta
from pathlib import Path

import feedparser
import pytest
from sqlalchemy import insert

from newsletter.archive import write_archive
from newsletter.config import Taxonomy, Term
from newsletter.errors import ConfigError
from newsletter.model import Digest, Edition, IssueId, Picture
from newsletter.store import content, database
from newsletter.store.content import Correction, Filed
from newsletter.store.schema import run

TODAY = date(2026, 6, 1)
ROOT = Path(__file__).parent.parent
BASE = "http://127.0.0.1:8017"
PICTURE = Picture(name="a" * 64 + ".png", content=b"\x89PNG...", width=1, height=1)
WEB = (
    f'<!doctype html><header><a href="{BASE}/archive/">Tous</a></header><article><h1>{{}}</h1>'
    f'<img src="{BASE}/media/{PICTURE.name}" alt=""></article>'
)


@pytest.fixture
def publication(settings):
    shutil.copytree(ROOT / "templates", settings.root / "templates")
    objectives = (Term(slug="hybridation", label="Hybridation des modèles"),)
    return settings.model_copy(update={"taxonomy": Taxonomy(objectives=objectives)})


@pytest.fixture
def leave(engine, now):
    """Return what lets an issue leave, or stay in another state."""

    def run_it(issue_id: str, subject: str, *, state: str = "done", theme: str = "") -> None:
        digest = Digest(issue_id.replace("-", "") * 8)
        made = Edition(
            issue_id=IssueId(issue_id), subject=subject, preheader="Une accroche.", sender="x",
            html="x", text="x", web=WEB.format(subject), audience_rule="weekly", picks=(),
            pictures=(PICTURE,), digest=digest,
        )  # fmt: skip
        filed = Filed(number=int(issue_id[-2:]), search={"theme": theme, "titles": ["Un récit"]})
        begun = now if state in {"done", "dispatching"} else None
        with database.write(engine) as connection:
            content.save_edition(connection, made, filed, now)
            row = {"issue_id": issue_id, "digest": digest, "slot_at": now, "state": state}
            connection.execute(insert(run).values(**row, created_at=now, started_at=begun))

    return run_it


def read_all(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_what_left_is_there_with_its_pictures_and_nothing_else(
    publication, engine, leave, tmp_path
):
    leave("2026-05-07", "Parti")
    leave("2026-05-13", "En route", state="dispatching")
    leave("2026-05-21", "Retenu", state="held")
    written = write_archive(publication, engine, tmp_path / "out", today=TODAY)
    found = read_all(tmp_path / "out")
    assert set(found) == {
        "2026-05-07/index.html", "2026-05-07/mail.html", "2026-05-13/index.html",
        "2026-05-13/mail.html", "feed.xml", "index.html", f"media/{PICTURE.name}", "search.json",
    }  # fmt: skip
    assert {path.relative_to(tmp_path / "out").as_posix() for path in written} == set(found)
    assert b"Retenu" not in b"".join(found.values())


def test_a_page_leads_to_the_files_beside_it(publication, engine, leave, tmp_path):
    leave("2026-05-07", "Parti")
    write_archive(publication, engine, tmp_path / "out", today=TODAY)
    page = read_all(tmp_path / "out")["2026-05-07/index.html"].decode()
    assert f'src="../media/{PICTURE.name}"' in page
    assert 'href="../index.html"' in page


def test_a_corrected_issue_shows_its_last_correction(publication, engine, leave, tmp_path, now):
    leave("2026-05-07", "Parti")
    with database.write(engine) as connection:
        for number in (1, 2):
            content.add_correction(
                connection,
                Correction(
                    issue_id=IssueId("2026-05-07"), at=now + timedelta(days=number), by="Maëlle",
                    note="x", web=f"<article>Correction {number}</article>",
                ),
            )  # fmt: skip
    write_archive(publication, engine, tmp_path / "out", today=TODAY)
    found = read_all(tmp_path / "out")
    assert found["2026-05-07/index.html"] == b"<article>Correction 2</article>"
    assert b"2026-05-09T06:00:00Z" in found["feed.xml"]
    assert "page corrigée".encode() in found["index.html"]


def test_the_list_has_the_newest_first_by_month_and_by_theme(publication, engine, leave, tmp_path):
    leave("2026-04-30", "Avril", theme="hybridation")
    leave("2026-05-07", "Mai <un>", theme="hybridation")
    leave("2026-05-21", "Mai deux", theme="Un autre thème")
    write_archive(publication, engine, tmp_path / "out", today=TODAY)
    page = read_all(tmp_path / "out")["index.html"].decode()
    by_month, _, by_theme = page.partition("Par thème")
    order = [
        by_month.index(words)
        for words in ("Mai 2026", "Mai deux", "Mai &lt;un&gt;", "Avril 2026", "Avril</a>")
    ]
    assert order == sorted(order)
    assert by_theme.index("Hybridation des modèles") < by_theme.index("Un autre thème")


def test_the_feed_is_atom_with_the_whole_article(publication, engine, leave, tmp_path):
    """RFC 4287 §4.1: id, title, updated, author, self; each entry its id, title and updated."""
    leave("2026-05-07", "Parti & revenu", theme="hybridation")
    write_archive(publication, engine, tmp_path / "out", today=TODAY)
    feed = feedparser.parse(read_all(tmp_path / "out")["feed.xml"])
    assert not feed.bozo
    assert feed.version == "atom10"
    assert feed.feed.id == f"{BASE}/"
    assert feed.feed.author == "Association d'essai"
    assert [link.rel for link in feed.feed.links] == ["alternate", "self"]
    (entry,) = feed.entries
    assert (entry.title, entry.id) == ("Parti & revenu", f"{BASE}/2026-05-07/")
    assert entry.updated == entry.published == "2026-05-07T06:00:00Z"
    assert entry.tags[0].label == "Hybridation des modèles"
    assert f"{BASE}/media/{PICTURE.name}" in entry.content[0].value


def test_the_search_index_has_what_readers_look_for(publication, engine, leave, tmp_path):
    leave("2026-05-07", "Parti", theme="hybridation")
    write_archive(publication, engine, tmp_path / "out", today=TODAY)
    (row,) = json.loads(read_all(tmp_path / "out")["search.json"])["issues"]
    assert row["url"] == f"{BASE}/2026-05-07/"
    assert row["theme"] == "Hybridation des modèles"
    assert row["titles"] == ["Un récit"]


def test_an_archive_without_issues_says_so(publication, engine, tmp_path):
    write_archive(publication, engine, tmp_path / "out", today=TODAY)
    found = read_all(tmp_path / "out")
    assert set(found) == {"feed.xml", "index.html", "search.json"}
    assert "pas encore paru" in found["index.html"].decode()
    assert not feedparser.parse(found["feed.xml"]).bozo


def test_writing_again_changes_no_byte_and_touches_no_file(publication, engine, leave, tmp_path):
    leave("2026-05-07", "Parti")
    first = write_archive(publication, engine, tmp_path / "out", today=TODAY)
    before = {path: path.stat().st_mtime_ns for path in first}
    write_archive(publication, engine, tmp_path / "again", today=TODAY)
    assert write_archive(publication, engine, tmp_path / "out", today=TODAY) == first
    assert read_all(tmp_path / "out") == read_all(tmp_path / "again")
    assert {path: path.stat().st_mtime_ns for path in first} == before


def test_a_folder_that_cannot_be_written_is_said(publication, engine, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_archive(publication, engine, tmp_path / "out", today=TODAY)
