"""Asks each link of an issue whether it answers: ``check --online``, and nothing else.

In: an issue, settings. Out: findings for dead and redirected links. Never: asked during a run, a
cookie, a body read, more than one request at a time to one site. The only check that touches the
network, and the only one not in ``CHECKS``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from urllib.parse import urlsplit

from newsletter.checks.checked import Link, every_node, links_of
from newsletter.checks.links import judge_answers
from newsletter.config import Settings
from newsletter.model import Finding, Issue

# Returns '' when the page answers, an address when it redirects there for good, else the fault.
Ask = Callable[[str], str]
TIMEOUT_S = 15.0
SITES_AT_ONCE = 8
# These say "not to a machine" rather than "gone".
_SHY = {401, 403, 405, 406, 429, 999}


def ask_links(issue: Issue, settings: Settings) -> tuple[Finding, ...]:
    """Ask every link once; return what is dead, and what has moved for good."""
    found = web_links(issue)
    addresses = sorted({link.href for link in found})
    agent = f"newsletter-check (+{settings.publication.base_url})"
    answers = _ask_all(addresses, partial(ask_page, agent=agent))
    return judge_links(issue, answers)


def judge_links(issue: Issue, answers: Mapping[str, str]) -> tuple[Finding, ...]:
    """Return the findings for these answers, at the place of each link."""
    return tuple(judge_answers(web_links(issue), answers))


def web_links(issue: Issue) -> tuple[Link, ...]:
    """Return the links of an issue that lead to the web."""
    return tuple(
        link
        for node in every_node(issue)
        for link in links_of(node)
        if link.href.startswith(("http://", "https://"))
    )


def _ask_all(addresses: Iterable[str], ask: Ask) -> dict[str, str]:
    """Ask each site's pages one after another, several sites at once."""
    sites = [list(group) for _, group in groupby(addresses, key=lambda one: urlsplit(one).netloc)]

    def ask_site(pages: list[str]) -> dict[str, str]:
        return {page: ask(page) for page in pages}

    answers: dict[str, str] = {}
    with ThreadPoolExecutor(SITES_AT_ONCE) as pool:
        for found in pool.map(ask_site, sites):
            answers |= found
    return answers


def ask_page(address: str, *, agent: str) -> str:
    """Ask one page without reading it; follow no redirection that is only for now."""
    import httpx  # the network is asked for only here

    try:
        with httpx.stream(
            "GET", address, headers={"User-Agent": agent}, timeout=TIMEOUT_S, trust_env=False
        ) as answer:
            status, target = answer.status_code, answer.headers.get("location", "")
    except httpx.TimeoutException:
        return f"> {TIMEOUT_S:.0f} s"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return type(error).__name__
    if status in {301, 308} and target:
        return str(httpx.URL(address).join(target))
    return str(status) if status >= 400 and status not in _SHY else ""
