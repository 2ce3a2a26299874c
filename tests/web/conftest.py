"""The public pages over the sample's templates, a clock to turn, and one reader."""

import asyncio
import re
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from newsletter import membership
from newsletter.audience.tokens import Purpose, sign
from newsletter.config import Taxonomy, Term
from newsletter.store import audience, database
from newsletter.store.schema import letter, metadata
from newsletter.web.app import create_app
from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent.parent
ADDRESS = "maelle.kerguen@example.org"


class Clock:
    """A clock that tests turn by hand."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def turn(self, **step: float) -> None:
        self.now += timedelta(**step)


class Visitor:
    """A visitor who follows no redirect and keeps no cookie; the application itself answers."""

    def __init__(self, app, address: str = "visitor.test") -> None:
        self._app, self._address = app, address

    def request(self, method: str, url: str, **request) -> httpx.Response:
        return asyncio.run(self._ask(method, url, **request))

    async def _ask(self, method: str, url: str, **request) -> httpx.Response:
        asked = httpx.ASGITransport(
            self._app, client=(self._address, 1), raise_app_exceptions=False
        )
        async with httpx.AsyncClient(transport=asked, base_url="http://127.0.0.1:8017") as client:
            return await client.request(method, url, **request)

    def get(self, url: str, **request) -> httpx.Response:
        return self.request("GET", url, **request)

    def post(self, url: str, **request) -> httpx.Response:
        return self.request("POST", url, **request)


@pytest.fixture
def clock(now):
    return Clock(now)


@pytest.fixture
def publication(settings):
    """Settings with the sample's templates and a vocabulary."""
    shutil.copytree(ROOT / "templates", settings.root / "templates")
    taxonomy = Taxonomy(
        objectives=(Term(slug="hybridation", label="Hybridation"),),
        profiles=(Term(slug="media", label="Média"),),
        territories=(Term(slug="bretagne", label="Bretagne"),),
    )
    return settings.model_copy(update={"taxonomy": taxonomy})


@pytest.fixture
def app(publication, sqlite_engine, keys, clock):
    return create_app(publication, sqlite_engine, keys, clock)


@pytest.fixture
def client(app) -> Visitor:
    return Visitor(app)


@pytest.fixture
def reader(sqlite_engine, keys, now):
    """Maëlle, who receives the letter."""
    return membership.add_subscriber(
        sqlite_engine, keys, ADDRESS, basis="consentement", evidence="bulletin", by="Théo",
        now=now, first_name="Maëlle", last_name="Kerguen", organisation="Ville de Lise",
    )  # fmt: skip


@pytest.fixture
def leave_url(reader, keys) -> str:
    return f"/u/{sign(keys, Purpose.UNSUBSCRIBE, reader.id, 12)}"


@pytest.fixture
def preferences_url(reader, keys) -> str:
    return f"/p/{sign(keys, Purpose.PREFERENCES, reader.id, 12)}"


@pytest.fixture
def person(sqlite_engine):
    """Read somebody back by address."""

    def _person(address: str = ADDRESS):
        with database.read(sqlite_engine) as connection:
            return audience.find(connection, address)

    return _person


@pytest.fixture
def letters(sqlite_engine):
    """The letters queued so far, oldest first."""

    def _letters(kind: str = "") -> list:
        with database.read(sqlite_engine) as connection:
            rows = connection.execute(select(letter).order_by(letter.c.id)).all()
        return [row for row in rows if kind in {"", row.kind}]

    return _letters


@pytest.fixture
def link_of(letters):
    """The path of the link in the last letter of a kind, which may follow the answer (T7)."""

    def _link(kind: str) -> str:
        wait_until(lambda: letters(kind))
        return re.search(r"http://[^/]+(/[a-z]/\S+)", letters(kind)[-1].text)[1]

    return _link


@pytest.fixture
def sign_up(client, clock):
    """Fill the form as a person does: look, wait, type, press."""

    def _sign_up(address: str, *, wait: float = 5, headers=None, **fields):
        page = client.get("/").text
        shown = re.search(r'name="shown" value="([^"]+)"', page)[1]
        clock.turn(seconds=wait)
        data = {"email": address, "website": "", "shown": shown} | fields
        return client.post("/", data=data, headers=headers)

    return _sign_up


@pytest.fixture
def dump(sqlite_engine):
    """Everything that every table holds."""

    def _dump() -> list:
        with database.read(sqlite_engine) as connection:
            return [connection.execute(select(table)).all() for table in metadata.sorted_tables]

    return _dump
