"""A reader's own pages: leave, preferences, renewal, their data.

In: requests with a token in their path. Out: pages. Never: a cookie, a login, a redirect (RFC
8058), a name or a whole address shown to whoever holds a forwarded mail, a state changed by GET.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from newsletter import membership, retention
from newsletter.audience.addresses import mask
from newsletter.audience.tokens import Purpose, TokenFacts, open_token, sign
from newsletter.errors import Conflict, NotFound, TokenError
from newsletter.model import Subscriber, SubscriberId, SubscriberState
from newsletter.store import audience, database, tokens
from newsletter.web import forms
from newsletter.web.site import READ, Here, Site

router = APIRouter()

MAX_BODY = 64 * 1024
_RECEIVING = {SubscriberState.ACTIVE, SubscriberState.PAUSED, SubscriberState.PENDING}


async def _read_body(request: Request) -> bytes:
    """The body of a form, up to 64 KB; longer ones are cut, and mean nothing."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY:
            return b""
    return body


Body = Annotated[bytes, Depends(_read_body)]


# --- leaving ---------------------------------------------------------------------------------


@router.api_route("/u/{token}", methods=READ)
def show_leaving(site: Here, token: str) -> HTMLResponse:
    """One visible button, and the way to less below it, never before it (D10)."""
    facts = _open(site, Purpose.UNSUBSCRIBE, token)
    person = _find(site, facts)
    if facts is None or person is None or person.state not in _RECEIVING:
        return site.render("left")
    preferences = sign(site.keys, Purpose.PREFERENCES, facts.subscriber_id, facts.run_id)
    return site.render(
        "leave", token=token, masked=mask(person.address), preferences_url=f"/p/{preferences}"
    )


@router.post("/u/{token}")
def leave(site: Here, token: str, body: Body) -> HTMLResponse:
    """The page's button and the mail program's own one (RFC 8058): 200 and done, for any token."""
    facts = _open(site, Purpose.UNSUBSCRIBE, token)
    if facts is not None:
        how = "one-click" if b"List-Unsubscribe=One-Click" in body else "page"
        membership.leave(site.engine, site.keys, facts, how=how, now=site.clock())
    return site.render("left")


# --- preferences -----------------------------------------------------------------------------


@router.api_route("/p/{token}", methods=READ)
def show_preferences(site: Here, token: str) -> HTMLResponse:
    person = _find(site, _open(site, Purpose.PREFERENCES, token))
    if person is None or person.state not in _RECEIVING:
        return site.render("stale", status=404)
    return _preferences(site, token, person)


@router.post("/p/{token}")
def choose(site: Here, token: str, body: Body) -> HTMLResponse:
    person = _find(site, _open(site, Purpose.PREFERENCES, token))
    if person is None or person.state not in _RECEIVING:
        return site.render("stale", status=404)
    fields = parse_qs(body.decode("utf-8", errors="replace"), keep_blank_values=True)
    answers = forms.read_answers(fields, site.settings.taxonomy, site.today())
    if answers.errors:
        return _preferences(site, token, person, answers=answers)
    try:
        changed = membership.choose(
            site.engine, site.keys, person.id, answers.choices, now=site.clock()
        )
    except Conflict:  # they left on another page in the meantime
        return site.render("stale", status=404)
    return _preferences(site, token, changed, saved=True)


@router.post("/p/{token}/data")
def ask_for_data(site: Here, token: str) -> HTMLResponse:
    """Send what we hold to the person's own address: whoever holds the link sees nothing (P9)."""
    facts = _open(site, Purpose.PREFERENCES, token)
    if facts is not None:
        retention.send_data(
            site.settings,
            site.engine,
            SubscriberId(facts.subscriber_id),
            now=site.clock(),
            random_bytes=site.random_bytes,
        )
    return site.render("data")


# --- by letter -------------------------------------------------------------------------------


@router.api_route("/e/{token}", methods=READ)
def show_erasing(site: Here, token: str) -> HTMLResponse:
    if not _is_good(site, token, "erase"):
        return site.render("stale", status=404)
    return site.render("erase", token=token)


@router.post("/e/{token}")
def erase(site: Here, token: str) -> HTMLResponse:
    done = retention.erase_by_link(site.engine, site.keys, token, now=site.clock())
    return site.render("erased") if done else site.render("stale", status=404)


@router.api_route("/r/{token}", methods=READ)
def show_renewal(site: Here, token: str) -> HTMLResponse:
    if not _is_good(site, token, "renewal"):
        return site.render("stale", status=404)
    return site.render("renew", token=token)


@router.post("/r/{token}")
def renew(site: Here, token: str) -> HTMLResponse:
    person = membership.renew(site.engine, site.keys, token, now=site.clock())
    return site.render("renewed") if person else site.render("stale", status=404)


@router.api_route("/proof", methods=READ)
def show_proof(site: Here) -> HTMLResponse:
    """Where the personal links of a proof lead (DESIGN 7)."""
    return site.render("proof")


# --- shared ----------------------------------------------------------------------------------


def _open(site: Site, purpose: Purpose, token: str) -> TokenFacts | None:
    try:
        return open_token(site.keys, purpose, token)
    except TokenError:
        return None


def _find(site: Site, facts: TokenFacts | None) -> Subscriber | None:
    if facts is None:
        return None
    try:
        with database.read(site.engine) as connection:
            return audience.get(connection, SubscriberId(facts.subscriber_id))
    except NotFound:
        return None


def _is_good(site: Site, token: str, purpose: str) -> bool:
    with database.read(site.engine) as connection:
        return tokens.find(connection, token, purpose=purpose, now=site.clock()) is not None


def _preferences(
    site: Site,
    token: str,
    person: Subscriber,
    *,
    saved: bool = False,
    answers: forms.Answers | None = None,
) -> HTMLResponse:
    """Show the form: what is kept of *person*, or the *answers* that must be looked at again."""
    taxonomy = site.settings.taxonomy
    august = forms.next_august(site.today())
    paused = person.paused_until is not None and person.paused_until >= site.today()
    pause = "none" if not paused else "august" if _dates(person) == august else "until"
    errors: Mapping[str, str] = {}
    if answers is not None:
        errors, pause = answers.errors, answers.pause
        person = replace(person, **answers.sound)
    regions = {term.slug: term.label for term in taxonomy.territories}
    return site.render(
        "preferences",
        status=422 if errors else 200,
        token=token,
        masked=mask(person.address),
        person=person,
        saved=saved,
        errors={name: site.say(said) for name, said in errors.items()},
        pause=pause,
        august=august,
        pause_label=site.long_date(person.paused_until) if paused and person.paused_until else "",
        region=regions.get(person.region, person.region),
        regions=sorted(regions.values()),
        taxonomy=taxonomy.model_dump(),
        unsubscribe_url=f"/u/{sign(site.keys, Purpose.UNSUBSCRIBE, person.id, 0)}",
    )


def _dates(person: Subscriber) -> tuple[object, object]:
    return person.paused_from, person.paused_until
