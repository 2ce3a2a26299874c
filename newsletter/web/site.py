"""What every page needs: settings, database, keys, the clock, templates.

In: the parts. Out: a rendered page with the headers its kind asks for. Never: a page of one person
that a cache, a search engine or a Referer could pass on (T1).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

from babel.dates import format_date
from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import Engine

from newsletter.audience import consent
from newsletter.config import Keys, Settings
from newsletter.membership import RandomBytes
from newsletter.templating import Templates, blaming
from newsletter.web.limits import Limiter, client_of
from newsletter.words import translate

READ = ["GET", "HEAD"]  # the methods of a page
# Pages behind a token, or made for one person.
PRIVATE = {
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex, nofollow",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The parts that the routes share; made once by ``create_app``."""

    settings: Settings
    engine: Engine
    keys: Keys
    clock: Callable[[], datetime]
    templates: Templates
    random_bytes: RandomBytes = secrets.token_bytes
    limiter: Limiter = field(default_factory=Limiter)

    def render(
        self, name: str, *, status: int = 200, private: bool = True, **values: Any
    ) -> HTMLResponse:
        """Render ``templates/web/pages/<name>.html.j2``."""
        page = HTMLResponse(self.write(f"web/pages/{name}.html.j2", **values), status_code=status)
        if private:
            page.headers.update(PRIVATE)
        return page

    def write(self, path: str, **values: Any) -> str:
        base = self.settings.publication.base_url
        with blaming(self.settings.root, path=f"templates/{path}"):
            return self.templates.html.get_template(path).render(
                publication=self.settings.publication.model_dump(),
                look=self.templates.theme,
                language=self.settings.publication.language,
                home_url=f"{base}/",
                archive_url=f"{base}/archive/",
                retention=self.settings.retention.model_dump(),
                **values,
            )

    def notice_version(self) -> str:
        """The name of the words that the sign-up page shows about people's data (P6, P8)."""
        return consent.notice_version(self.write("web/pages/notice.html.j2"))

    def say(self, message: str) -> str:
        return translate(message, self.settings.publication.language)

    def today(self) -> date:
        """The day in the publication's own zone."""
        return self.clock().astimezone(self.settings.publication.zone).date()

    def long_date(self, day: date) -> str:
        return format_date(day, "long", locale=self.settings.publication.language)

    def client(self, request: Request) -> str:
        """Who asks: the peer, or whom a trusted proxy says it speaks for."""
        peer = request.client.host if request.client else ""
        said = request.headers.get("x-forwarded-for", "")
        return client_of(peer, said, self.settings.web.trusted_proxies)

    @property
    def origin(self) -> str:
        parts = urlsplit(self.settings.publication.base_url)
        return f"{parts.scheme}://{parts.netloc}"


def _find_site(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


Here = Annotated[Site, Depends(_find_site)]
