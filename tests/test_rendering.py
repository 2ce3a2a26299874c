"""`render`: files that open by a click, for a reader who does not exist."""

import email
import json
import re
import shutil
from datetime import date
from email import policy
from pathlib import Path

import pytest

from newsletter.editions import draft_issue
from newsletter.errors import ConfigError
from newsletter.model import IssueId
from newsletter.rendering import write_rendering
from tests.pressroom import REPOSITORY, open_publication, write_issue

ISSUE = IssueId("2026-05-07")
STORY = """\
---
titre: Une cuisine pour trois
---
{{ prenom | Bonjour }}, trois communes ont ouvert une cuisine.

![Une cuisine et trois paniers](images/legumerie.png "La cuisine, en mai.")

[Lire leur histoire](https://cuisine.example/histoire)
"""
NAMES = {"index.html", "web.html", "issue.txt", "issue.eml", "social.txt", "edition.json"}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Settings, issue and edition of an issue with a picture and a personal field."""
    from newsletter.store import database, schema

    root = tmp_path_factory.mktemp("publication")
    settings = open_publication(root)
    images = write_issue(settings, ISSUE, story=STORY) / "images"
    images.mkdir()
    shutil.copy(REPOSITORY / "issues" / ISSUE / "images" / "legumerie.png", images)
    engine = database.open_engine(f"sqlite:///{root / 'newsletter.db'}")
    schema.metadata.create_all(engine)
    draft = draft_issue(settings, engine, ISSUE, today=date(2026, 5, 7))
    engine.dispose()
    assert draft.edition is not None
    return settings, draft.issue, draft.edition


@pytest.fixture(scope="module")
def folder(drawn, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    write_rendering(*drawn, out)
    return out


def read(folder, name):
    return (folder / name).read_text(encoding="utf-8")


def test_it_returns_the_files_it_wrote(drawn, tmp_path):
    written = write_rendering(*drawn, tmp_path / "new" / "folder")
    assert all(path.is_file() for path in written)
    below = {str(path.relative_to(tmp_path / "new" / "folder")) for path in written}
    picture = drawn[2].pictures[0].name
    assert below == {*NAMES, f"media/{picture}"}


def test_the_pages_show_pictures_that_lie_beside_them(folder):
    for name in ("index.html", "web.html"):
        shown = set(re.findall(r'src="([^"]+)"', read(folder, name)))
        assert shown
        assert all(one.startswith("media/") and (folder / one).is_file() for one in shown)


def test_pictures_can_be_put_into_the_page_itself(drawn, tmp_path):
    write_rendering(*drawn, tmp_path, inline_images=True)
    assert not (tmp_path / "media").exists()
    assert re.search(r'src="data:image/(png|jpeg);base64,[A-Za-z0-9+/]+=*"',
                     read(tmp_path, "index.html"))  # fmt: skip


def test_personal_places_are_filled_for_nobody_real(folder):
    assert "Camille, trois communes" in read(folder, "issue.txt")
    assert "Camille, trois communes" in read(folder, "index.html")
    for name in NAMES - {"issue.eml"}:
        assert not re.search("[\ue000\ue001]", read(folder, name)), name


def test_the_message_is_the_one_that_would_leave_and_opens_no_link(folder, drawn):
    message = email.message_from_bytes((folder / "issue.eml").read_bytes(), policy=policy.default)
    assert message["To"].addresses[0].addr_spec == "camille@example.org"
    assert message["Subject"] == drawn[2].subject
    assert message["Date"].datetime.isoformat() == "2026-05-07T08:00:00+02:00"
    parts = [part.get_content_type() for part in message.iter_parts()]
    assert parts == ["text/plain", "text/html"]


def test_the_facts_of_the_edition_stand_in_json(folder, drawn):
    facts = json.loads(read(folder, "edition.json"))
    _, _, edition = drawn
    assert facts["issue"] == ISSUE
    assert facts["digest"] == edition.digest
    assert facts["subject"] == edition.subject
    assert facts["pictures"] == [picture.name for picture in edition.pictures]
    assert facts["html_bytes"] == len(edition.html.encode())


def test_the_words_to_post_end_with_the_address_of_the_issue(folder):
    assert read(folder, "social.txt").endswith(f"/{ISSUE}/\n")


def test_the_same_edition_gives_the_same_bytes(drawn, folder, tmp_path):
    for path in write_rendering(*drawn, tmp_path):
        assert path.read_bytes() == (folder / path.relative_to(tmp_path)).read_bytes()


def test_a_folder_that_cannot_be_written_is_one_clear_error(drawn, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError) as caught:
        write_rendering(*drawn, tmp_path / "file")
    assert caught.value.path == str(tmp_path / "file")


def test_nothing_of_this_machine_is_written(folder, drawn):
    for path in Path(folder).rglob("*.*"):
        assert str(drawn[0].root).encode() not in path.read_bytes()
