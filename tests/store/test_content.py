from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from newsletter.model import Approval, Digest, Edition, IssueId, Picture, RunState
from newsletter.store import content, database, runs, schema
from newsletter.store.content import Correction, Filed

ISSUE = IssueId("2026-05-07")
MINUTE = timedelta(minutes=1)
PICTURE = Picture(name="0" * 64 + ".png", content=b"\x89PNG", width=2, height=1)
EDITION = Edition(
    issue_id=ISSUE,
    subject="« Jeudi » : des légumeries",
    preheader="Trois communes.",
    sender="La Lettre <lettre@example.org>",
    html="<p>Bonjour \ue000first_name|à vous\ue001</p>",
    text="Bonjour \ue000first_name|à vous\ue001\n",
    web="<article></article>",
    audience_rule="weekly",
    picks=("legumerie", "tiers-lieu"),
    pictures=(PICTURE,),
    digest=Digest("a" * 64),
)
FILED = Filed(number=141, author="Camille Exemple", search={"theme": "co-construction"})


@pytest.fixture
def saved(engine, now):
    with database.write(engine) as connection:
        content.save_edition(connection, EDITION, FILED, now)
    return EDITION


def test_an_edition_comes_back_byte_for_byte(engine, saved):
    with database.read(engine) as connection:
        assert content.read_edition(connection, EDITION.digest) == EDITION
        assert content.read_filed(connection, EDITION.digest) == FILED
        assert content.read_picture(connection, PICTURE.name) == PICTURE
        assert content.read_edition(connection, "b" * 64) is None
        assert content.read_filed(connection, "b" * 64) is None
        assert content.read_picture(connection, "none.png") is None


def test_a_saved_edition_never_changes(engine, saved, now):
    with database.write(engine) as connection:
        content.save_edition(connection, replace(EDITION, html="other"), FILED, now)
        assert content.read_edition(connection, EDITION.digest) == EDITION


def test_the_web_shows_the_newest_frozen_edition_until_one_is_sent(engine, saved, now):
    newer = replace(EDITION, digest=Digest("b" * 64))
    with database.write(engine) as connection:
        assert content.public_digest(connection, "2026-05-21") is None
        content.save_edition(connection, newer, FILED, now + MINUTE)
        assert content.public_digest(connection, ISSUE) == newer.digest
        run = runs.ensure_run(connection, ISSUE, slot_at=now, now=now)
        connection.execute(
            update(schema.run)
            .where(schema.run.c.id == run.id)
            .values(digest=EDITION.digest, started_at=now, state=RunState.DONE)
        )
        assert content.public_digest(connection, ISSUE) == EDITION.digest


def signed(by, at):
    return Approval(issue_id=ISSUE, digest=EDITION.digest, by=by, at=at)


def test_a_person_signs_a_digest_once(engine, now):
    with database.write(engine) as connection:
        content.add_approval(connection, signed("Camille", now))
        content.add_approval(connection, signed("Camille", now + MINUTE))
        content.add_approval(connection, signed("Dominique", now + MINUTE))
        assert content.read_approvals(connection, ISSUE) == (
            signed("Camille", now),
            signed("Dominique", now + MINUTE),
        )


def test_withdrawn_signatures_no_longer_stand(engine, now):
    with database.write(engine) as connection:
        content.add_approval(connection, signed("Camille", now))
        assert content.withdraw_approvals(connection, ISSUE, now) == 1
        assert content.read_approvals(connection, ISSUE) == ()
        content.add_approval(connection, signed("Camille", now + MINUTE))
        assert len(content.read_approvals(connection, ISSUE)) == 1


@pytest.mark.parametrize("state", [RunState.DISPATCHING, RunState.DONE])
def test_nothing_is_withdrawn_once_the_run_has_begun(engine, now, state):
    with database.write(engine) as connection:
        content.add_approval(connection, signed("Camille", now))
        run = runs.ensure_run(connection, ISSUE, slot_at=now, now=now)
        connection.execute(
            update(schema.run).where(schema.run.c.id == run.id).values(state=state, started_at=now)
        )
        assert content.withdraw_approvals(connection, ISSUE, now) == 0
        assert len(content.read_approvals(connection, ISSUE)) == 1


def test_a_proof_is_numbered_by_its_digest(engine, now):
    with database.write(engine) as connection:
        numbers = [
            content.number_proof(connection, ISSUE, digest * 64, now)
            for digest in ("a", "b", "a", "c", "b")
        ]
    assert numbers == [1, 2, 1, 3, 2]


def test_corrections_are_kept_in_order(engine, now):
    first = Correction(issue_id=ISSUE, at=now, by="Camille", note="34 %", web="<p>1</p>")
    second = replace(first, at=now + MINUTE, web="<p>2</p>")
    with database.write(engine) as connection:
        content.add_correction(connection, first)
        content.add_correction(connection, second)
        assert content.read_corrections(connection, ISSUE) == (first, second)
