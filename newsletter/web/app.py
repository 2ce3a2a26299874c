"""The public pages as an ASGI application.

In: settings, a database, keys, a clock. Out: a FastAPI application. Never: a session, a cookie, a
trace of an error shown to a visitor, a page of ours framed by another site.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from sqlalchemy import Engine
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from newsletter.config import Keys, Settings
from newsletter.errors import StoreError
from newsletter.templating import open_templates
from newsletter.web import issues, reader, sign_up
from newsletter.web.site import Site

MAX_REQUEST = 1024 * 1024
log = logging.getLogger(__name__)


def create_app(
    settings: Settings, engine: Engine, keys: Keys, clock: Callable[[], datetime]
) -> FastAPI:
    """Return the application of a publication's readers."""
    app = FastAPI(
        title=settings.publication.name,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # a POST that is redirected is a departure that fails (RFC 8058)
    )
    app.state.site = Site(
        settings=settings,
        engine=engine,
        keys=keys,
        clock=clock,
        templates=open_templates(settings),
    )
    for router in (sign_up.router, reader.router, issues.listed, issues.router):
        app.include_router(router)
    app.middleware("http")(_guard)
    app.add_middleware(_limit_bodies)
    app.add_exception_handler(HTTPException, _say_missing)
    app.add_exception_handler(RequestValidationError, _say_wrong)
    app.add_exception_handler(StoreError, _say_busy)
    return app


def _limit_bodies(app: ASGIApp) -> ASGIApp:
    """End a body that grows beyond reason while it comes: chunks tell no length beforehand.

    A file in a form would otherwise fill the disk (multipart is spooled there).
    """

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        received = 0

        async def count() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_REQUEST:
                raise HTTPException(status_code=413)
            return message

        await app(scope, count if scope["type"] == "http" else receive, send)

    return limited


async def _guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse bodies beyond reason, and put the same locks on every answer."""
    size = request.headers.get("content-length", "0")
    if not size.isdecimal() or int(size) > MAX_REQUEST:
        return Response(status_code=413)
    response = await call_next(request)
    site: Site = request.app.state.site
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'unsafe-inline'; "
        f"img-src 'self' {site.origin}; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["Permissions-Policy"] = "interest-cohort=()"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    return response


async def _say_missing(request: Request, error: Exception) -> HTMLResponse:
    status = error.status_code if isinstance(error, HTTPException) else 404
    page = _site(request).render("missing", status=status)
    if isinstance(error, HTTPException) and error.headers:
        page.headers.update(error.headers)
    return page


async def _say_wrong(request: Request, _error: Exception) -> HTMLResponse:
    return _site(request).render("missing", status=422)


async def _say_busy(request: Request, error: Exception) -> HTMLResponse:
    log.error("the database refused a request: %s", error)
    page = _site(request).render("unavailable", status=503)
    page.headers["Retry-After"] = "60"
    return page


def _site(request: Request) -> Site:
    site: Site = request.app.state.site
    return site
