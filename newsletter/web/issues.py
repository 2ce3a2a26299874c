"""What everybody may read: issues, pictures, the list of issues; and whether we are well.

In: requests. Out: what was frozen, events in their state of the day. Never: an issue rendered on
the way, a file path.
"""

from __future__ import annotations

from datetime import date

from fastapi import APIRouter
from fastapi.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from sqlalchemy import select

from newsletter.mail import holes
from newsletter.mail.daily import read_on
from newsletter.metrics import find_faults
from newsletter.store import content, database, runs
from newsletter.store.schema import edition, run
from newsletter.web.site import READ, Here

router = APIRouter()

TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
}


@router.api_route("/{issue_id}/", methods=READ)
def show_issue(site: Here, issue_id: str) -> HTMLResponse:
    """The web copy as it reads today: as it was sent, or corrected; unlisted until it left."""
    with database.read(site.engine) as connection:
        digest = content.public_digest(connection, issue_id) if _is_day(issue_id) else None
        found = content.read_edition(connection, digest) if digest else None
        corrections = content.read_corrections(connection, issue_id) if found else ()
        left = found is not None and runs.read_run(connection, issue_id)
    if found is None:
        return site.render("missing", status=404)
    web = corrections[-1].web if corrections else found.web
    page = HTMLResponse(read_on(web, site.today()))
    page.headers["Cache-Control"] = "public, max-age=300"
    if not left or left.started_at is None:
        page.headers["X-Robots-Tag"] = "noindex, nofollow"
    return page


@router.api_route("/{issue_id}/mail", methods=READ)
def show_mail(site: Here, issue_id: str) -> HTMLResponse:
    """The mail as it was sent, to nobody: fallbacks for names, public pages for personal links."""
    with database.read(site.engine) as connection:
        digest = content.public_digest(connection, issue_id) if _is_day(issue_id) else None
        found = content.read_edition(connection, digest) if digest else None
    if found is None:
        return site.render("missing", status=404)
    page = HTMLResponse(holes.fill(found.html, {}, is_html=True))
    page.headers["Cache-Control"] = "public, max-age=300"
    page.headers["X-Robots-Tag"] = "noindex, nofollow"  # the web copy is the page to find
    return page


@router.api_route("/{issue_id:path}", methods=READ, include_in_schema=False)
def add_slash(site: Here, issue_id: str) -> Response:
    if _is_day(issue_id):
        return RedirectResponse(f"/{issue_id}/", status_code=308)
    return site.render("missing", status=404)


listed = APIRouter()


@listed.api_route("/media/{name}", methods=READ)
def show_picture(site: Here, name: str) -> Response:
    """A picture, named by its content: it can be kept for ever."""
    with database.read(site.engine) as connection:
        picture = content.read_picture(connection, name)
    kind = TYPES.get(name.rpartition(".")[2])
    if picture is None or kind is None:
        return site.render("missing", status=404)
    kept = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(picture.content, media_type=kind, headers=kept)


@listed.api_route("/archive/", methods=READ)
def list_issues(site: Here) -> HTMLResponse:
    """Every issue that left, newest first."""
    query = (
        select(run.c.issue_id, edition.c.number, edition.c.subject)
        .join_from(run, edition, run.c.digest == edition.c.digest)
        .where(run.c.kind == "issue", run.c.started_at.is_not(None))
        .order_by(run.c.issue_id.desc())
    )
    with database.read(site.engine) as connection:
        rows = connection.execute(query).all()
    issues = [
        {
            "id": row.issue_id,
            "number": row.number,
            "subject": row.subject,
            "day_label": site.long_date(date.fromisoformat(row.issue_id)),
        }
        for row in rows
    ]
    return site.render("archive", private=False, issues=issues)


@listed.api_route("/healthz", methods=READ)
def show_health(site: Here) -> JSONResponse:
    """200 while the scheduler ticks and claims what is due; else 503 and why (S6)."""
    problems = find_faults(site.settings, site.engine, site.clock())
    with database.read(site.engine) as connection:
        beat = runs.read_heartbeat(connection)
    told = {
        "status": "failing" if problems else "ok",
        "problems": problems,
        "heartbeat_at": beat and beat.isoformat(),
    }
    return JSONResponse(told, 503 if problems else 200, {"Cache-Control": "no-store"})


@listed.api_route("/robots.txt", methods=READ)
def show_robots() -> PlainTextResponse:
    closed = ("c", "e", "p", "r", "u", "proof")
    return PlainTextResponse("User-agent: *\n" + "".join(f"Disallow: /{p}\n" for p in closed))


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
