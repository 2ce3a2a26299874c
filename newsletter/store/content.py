"""What editors froze: editions and their pictures, approvals, proofs, corrections.

In: a connection inside a transaction of the caller, values of the model, `now`. Out: the same
values. Never: an edition changed once written; a new rendering is a new digest and a new row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from newsletter.model import Approval, Digest, Edition, IssueId, Picture, RunState
from newsletter.store import schema
from newsletter.store.database import dialect_insert

_edition = schema.edition
_picture = schema.picture
_approval = schema.approval
_proof = schema.proof
_correction = schema.correction
_run = schema.run


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """What is kept beside an edition's bytes: whose it is, and what the archive searches."""

    number: int
    author: str = ""
    search: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A dated correction of the web copy."""

    issue_id: IssueId
    at: datetime
    by: str
    note: str
    web: str


# --- editions ------------------------------------------------------------------------------------


def save_edition(connection: Connection, edition: Edition, filed: Filed, now: datetime) -> None:
    """Keep an edition and its pictures; nothing happens when its digest is there already."""
    for picture in edition.pictures:
        connection.execute(
            dialect_insert(connection, _picture)
            .values(
                name=picture.name,
                content=picture.content,
                width=picture.width,
                height=picture.height,
            )
            .on_conflict_do_nothing()
        )
    connection.execute(
        dialect_insert(connection, _edition)
        .values(
            digest=edition.digest,
            issue_id=edition.issue_id,
            number=filed.number,
            subject=edition.subject,
            preheader=edition.preheader,
            sender=edition.sender,
            html=edition.html,
            text=edition.text,
            web=edition.web,
            audience_rule=edition.audience_rule,
            picks=list(edition.picks),
            pictures=[picture.name for picture in edition.pictures],
            search=dict(filed.search or {}),
            author=filed.author,
            created_at=now,
        )
        .on_conflict_do_nothing()
    )


def read_edition(connection: Connection, digest: str) -> Edition | None:
    """Return an edition with the bytes of its pictures, or None."""
    row = connection.execute(select(_edition).where(_edition.c.digest == digest)).first()
    if row is None:
        return None
    pictures = (read_picture(connection, name) for name in row.pictures)
    return Edition(
        issue_id=IssueId(row.issue_id),
        subject=row.subject,
        preheader=row.preheader,
        sender=row.sender,
        html=row.html,
        text=row.text,
        web=row.web,
        audience_rule=row.audience_rule,
        picks=tuple(row.picks),
        pictures=tuple(picture for picture in pictures if picture),
        digest=Digest(row.digest),
    )


def read_filed(connection: Connection, digest: str) -> Filed | None:
    row = connection.execute(select(_edition).where(_edition.c.digest == digest)).first()
    return Filed(number=row.number, author=row.author, search=row.search) if row else None


def read_picture(connection: Connection, name: str) -> Picture | None:
    row = connection.execute(select(_picture).where(_picture.c.name == name)).first()
    if row is None:
        return None
    return Picture(name=row.name, content=row.content, width=row.width, height=row.height)


def public_digest(connection: Connection, issue_id: str) -> Digest | None:
    """Return the edition that the web shows of an issue: the one sent, else the newest frozen."""
    sent = connection.scalar(
        select(_run.c.digest).where(
            _run.c.issue_id == issue_id, _run.c.kind == "issue", _run.c.started_at.is_not(None)
        )
    )
    newest = (
        select(_edition.c.digest)
        .where(_edition.c.issue_id == issue_id)
        .order_by(_edition.c.created_at.desc(), _edition.c.digest)
        .limit(1)
    )
    found = sent or connection.scalar(newest)
    return Digest(found) if found else None


# --- approvals -----------------------------------------------------------------------------------


def add_approval(connection: Connection, approval: Approval) -> None:
    """Record a signature; the same person signing the same digest again changes nothing."""
    for known in read_approvals(connection, approval.issue_id):
        if (known.digest, known.by) == (approval.digest, approval.by):
            return
    connection.execute(
        insert(_approval).values(
            issue_id=approval.issue_id, digest=approval.digest, by=approval.by, at=approval.at
        )
    )


def read_approvals(connection: Connection, issue_id: str) -> tuple[Approval, ...]:
    """Return the signatures that stand, oldest first."""
    rows = connection.execute(
        select(_approval)
        .where(_approval.c.issue_id == issue_id, _approval.c.withdrawn_at.is_(None))
        .order_by(_approval.c.at, _approval.c.id)
    )
    return tuple(
        Approval(issue_id=IssueId(row.issue_id), digest=Digest(row.digest), by=row.by, at=row.at)
        for row in rows
    )


def approved_issues(connection: Connection) -> frozenset[str]:
    """Return the issues that somebody has signed and nobody withdrawn."""
    signed = select(_approval.c.issue_id).where(_approval.c.withdrawn_at.is_(None)).distinct()
    return frozenset(connection.scalars(signed))


def withdraw_approvals(connection: Connection, issue_id: str, now: datetime) -> int:
    """Void every signature of an issue and return how many; none once its run has begun."""
    begun = select(_run.c.id).where(
        _run.c.issue_id == issue_id,
        _run.c.kind == "issue",
        _run.c.state.in_((RunState.DISPATCHING, RunState.DONE)),
    )
    result = connection.execute(
        update(_approval)
        .where(
            _approval.c.issue_id == issue_id,
            _approval.c.withdrawn_at.is_(None),
            ~begun.exists(),
        )
        .values(withdrawn_at=now)
    )
    return result.rowcount


# --- proofs and corrections ----------------------------------------------------------------------


def number_proof(connection: Connection, issue_id: str, digest: str, now: datetime) -> int:
    """Return N of [BAT vN]: the rank of this digest among those proofed (DESIGN 7)."""
    known = select(_proof.c.number).where(_proof.c.issue_id == issue_id, _proof.c.digest == digest)
    last = select(func.coalesce(func.max(_proof.c.number), 0)).where(_proof.c.issue_id == issue_id)
    found = connection.scalar(known)
    if found is None:
        found = int(connection.scalar(last) or 0) + 1
        connection.execute(
            insert(_proof).values(issue_id=issue_id, digest=digest, number=found, at=now)
        )
    return int(found)


def add_correction(connection: Connection, correction: Correction) -> None:
    connection.execute(
        insert(_correction).values(
            issue_id=correction.issue_id,
            at=correction.at,
            by=correction.by,
            note=correction.note,
            web=correction.web,
        )
    )


def read_corrections(connection: Connection, issue_id: str) -> tuple[Correction, ...]:
    """Return the corrections of an issue, oldest first; the last one's ``web`` is the public."""
    rows = connection.execute(
        select(_correction)
        .where(_correction.c.issue_id == issue_id)
        .order_by(_correction.c.at, _correction.c.id)
    )
    return tuple(
        Correction(issue_id=IssueId(row.issue_id), at=row.at, by=row.by, note=row.note, web=row.web)
        for row in rows
    )
