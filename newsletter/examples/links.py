"""Links of a feed: cleaned for readers, canonical for comparing (F5).

In: a link as the feed had it. Out: an http(s) link to a public host without tracking parameters, or
the reason why not; and a key that is equal for two spellings of one page. Never: a request.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit, urlunsplit

from newsletter.examples.addresses import is_public_host

MAX_LENGTH = 2_000
_TRACKING = re.compile(
    r"utm_|mtm_|pk_|piwik_|matomo_|at_(medium|campaign|source)|mc_[ce]id|fbclid|gclid|dclid|msclkid"
    r"|yclid|igshid|xtor|_hs(enc|mi)|ref_src",
    re.IGNORECASE,
)
# Percent-encode what would end a link early in a text or an attribute; leave the rest as written.
_UNSAFE = re.compile(r"[\s\"'<>`{}|\\^]")
DEFAULT_PORTS = {"http": 80, "https": 443}


class LinkRefused(ValueError):
    """A link that cannot be shown; ``code`` is link_missing, _scheme, _private or _odd."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def clean_link(link: str) -> str:
    """Return *link* as readers may follow it: http(s), public host, no tracking parameters.

    Raise LinkRefused otherwise.
    """
    link = link.strip()
    if not link:
        raise LinkRefused("link_missing")
    parts = _split(link)
    if parts.username is not None or parts.password is not None:
        raise LinkRefused("link_odd")  # https://known.example@elsewhere.example
    if not is_public_host(parts.hostname or ""):
        raise LinkRefused("link_private")
    query = "&".join(pair for pair in parts.query.split("&") if not _TRACKING.match(pair))
    cleaned = urlunsplit(parts._replace(netloc=parts.netloc.lower(), query=query))
    return _UNSAFE.sub(lambda found: "".join(f"%{b:02X}" for b in found.group().encode()), cleaned)


def _split(link: str) -> SplitResult:
    if len(link) > MAX_LENGTH:
        raise LinkRefused("link_odd")
    try:
        parts = urlsplit(link)
        _ = parts.port, parts.hostname
    except ValueError:
        raise LinkRefused("link_odd") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise LinkRefused("link_scheme")
    return parts


def link_key(link: str) -> str:
    """A key equal for two spellings of one page, '' when the link tells nothing (a home page).

    Scheme, ``www.``, case, default port, fragment, last slash, order and tracking of the query do
    not count.
    """
    try:
        parts = urlsplit(link)
        port_number = parts.port
    except ValueError:
        return ""
    path = parts.path.rstrip("/").lower()
    query = sorted(pair for pair in parts.query.lower().split("&") if pair)
    query = [pair for pair in query if not _TRACKING.match(pair)]
    if not path and not query:
        return ""
    host = (parts.hostname or "").removeprefix("www.")
    port = f":{port_number}" if port_number not in {None, *DEFAULT_PORTS.values()} else ""
    return f"{host}{port}{path}" + ("?" + "&".join(query) if query else "")
