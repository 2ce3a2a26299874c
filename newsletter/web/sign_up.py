"""The way in: the sign-up form, and the page that confirms (T6, T7, P7).

In: requests. Out: pages. Never: an answer that differs for an address we know, a state changed by
GET or HEAD (D9), mail sent while somebody waits for a page.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse
from starlette.background import BackgroundTask

from newsletter import membership
from newsletter.audience.addresses import mask, read_address
from newsletter.errors import NewsletterError, RowError
from newsletter.store import audience, database, inviting, tokens
from newsletter.web import forms
from newsletter.web.site import READ, Here, Site

router = APIRouter()
log = logging.getLogger(__name__)

STALE = "This page had been open for too long, or not for long enough. Please press again."


@router.api_route("/", methods=READ)
def show_form(site: Here) -> HTMLResponse:
    return _form(site)


@router.post("/")
def sign_up(
    request: Request,
    site: Here,
    email: Annotated[str, Form()] = "",
    website: Annotated[str, Form()] = "",  # the honeypot: people do not see it, robots fill it
    shown: Annotated[str, Form()] = "",
) -> HTMLResponse:
    if website:
        return site.render("asked")
    now = site.clock()
    if not forms.is_fresh(site.keys, shown, now):
        return _form(site, email=email, error=site.say(STALE), status=422)
    try:
        read_address(email)
    except RowError as error:
        return _form(site, email=email, error=site.say(error.message), status=422)
    allowed = site.limiter.allow(site.client(request), now)
    if not allowed or membership.is_flooded(site.settings, site.engine, now):
        return _too_many(site)
    page = site.render("asked")
    # After the answer: how long it takes would tell whether the address is known (T7).
    page.background = BackgroundTask(_join, site, email, now)
    return page


def _join(site: Site, email: str, now: datetime) -> None:
    try:
        joined = membership.join(
            site.settings,
            site.engine,
            site.keys,
            email,
            notice_version=site.notice_version(),
            source="web",
            now=now,
            random_bytes=site.random_bytes,
        )
    except NewsletterError:
        log.exception("a sign-up was lost")
    else:
        log.info("sign-up outcome=%s", joined)


@router.api_route("/c/{token}", methods=READ)
def show_confirmation(site: Here, token: str) -> HTMLResponse:
    with database.read(site.engine) as connection:
        found = tokens.find(connection, token, purpose="confirm", now=site.clock())
        address = audience.get(connection, found).address if found else ""
    if not address:
        return site.render("stale", status=404)
    return site.render("confirm", token=token, masked=mask(address))


@router.post("/c/{token}")
def confirm(site: Here, token: str) -> HTMLResponse:
    person = membership.confirm(site.settings, site.engine, site.keys, token, now=site.clock())
    if person is None:
        return site.render("stale", status=404)
    link = inviting.preferences_link(site.settings, site.keys, person.id)
    return site.render("welcome", preferences_url=link)


def _form(site: Site, *, email: str = "", error: str = "", status: int = 200) -> HTMLResponse:
    stamp = forms.stamp(site.keys, site.clock())
    return site.render("join", shown=stamp, email=email, error=error, status=status, private=False)


def _too_many(site: Site) -> HTMLResponse:
    page = site.render("busy", status=429)
    page.headers["Retry-After"] = "3600"
    return page
