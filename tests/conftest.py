"""Fixtures shared by every test: a database of each kind, settings, keys, an instant.

`engine` runs each test on SQLite and on PostgreSQL; the suite starts its own PostgreSQL server in
a temporary folder and stops it at the end.
"""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from types import CodeType

import hypothesis
import pytest
from jinja2 import nodes
from sqlalchemy import Engine, create_engine

from newsletter import config
from newsletter.store import database, opening, schema
from newsletter.templating import BlockEnvironment
from tests.cluster import Cluster
from tests.scratch import find_scratch
from tests.waiting import PATIENCE_S

# No clock judges a test: a busy machine is not a mistake.
hypothesis.settings.register_profile(
    "suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")

# Where pytest makes its folders; its workers are told by their environment.
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(find_scratch()))

MINIMAL_TOML = """\
[publication]
name = "La Lettre d'essai"
list_id = "lettre.example.org"
publisher = "Association d'essai"
address = "1 rue de l'Essai, 00000 Essai"
director = "Dominique Essai"
contact = "contact@example.org"
host = "Hébergeur d'essai"

[sender]
name = "La Lettre d'essai"
address = "lettre@example.org"
bounce_address = "retours@example.org"
"""


@pytest.fixture(scope="session", autouse=True)
def _compile_templates_once():
    """Compile the same text of a template once in a process, in whichever folder it lies.

    Hundreds of tests have the sample's templates in a folder of their own: 0.2 s each.
    """
    parse, compile_ = BlockEnvironment.parse, BlockEnvironment.compile
    trees: dict[str, nodes.Template] = {}
    codes: dict[tuple[str, str | None, object], CodeType] = {}

    def parse_once(environment, source, name=None, filename=None):
        if source not in trees:
            trees[source] = parse(environment, source, name, filename)
        return trees[source]

    def compile_once(environment, source, name=None, filename=None, **options):
        if options or filename is None:
            return compile_(environment, source, name, filename, **options)
        key = source, name, environment.autoescape
        if key not in codes:
            codes[key] = compile_(environment, source, name, filename)
        return _move(codes[key], filename)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BlockEnvironment, "parse", parse_once)
        patch.setattr(BlockEnvironment, "compile", compile_once)
        yield


def _move(code: CodeType, filename: str) -> CodeType:
    """Return the code as if it were of that file: tracebacks name it."""
    constants = tuple(
        _move(one, filename) if isinstance(one, CodeType) else one for one in code.co_consts
    )
    return code.replace(co_filename=filename, co_consts=constants)


@pytest.fixture
def now() -> datetime:
    """A Thursday of the sample's calendar, 08:00 in Paris."""
    return datetime(2026, 5, 7, 6, 0, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> config.Settings:
    """A publication's settings in an empty folder, with keys."""
    path = tmp_path / "newsletter.toml"
    path.write_text(MINIMAL_TOML, encoding="utf-8")
    config.write_keys(tmp_path / "var" / "keys")
    return config.load_settings(path, environ={})


@pytest.fixture
def keys() -> config.Keys:
    return config.Keys(versions={1: b"\x01" * 32}, pepper=b"\x02" * 32)


@pytest.fixture
def no_backoff(monkeypatch):
    """Relays that failed are tried again at once, and given up as soon."""
    for module in ("routes", "lanes"):
        monkeypatch.setattr(f"newsletter.delivery.{module}.backoff_s", lambda *_: 0.0)


@pytest.fixture(scope="session")
def golden_publication(tmp_path_factory: pytest.TempPathFactory):
    """Build ``tests/golden/<name>`` (or the ``sample``) as a publication; return its settings.

    A golden publication holds only the issues that differ: they are laid over the sample's
    settings, templates, registries and logos.
    """
    repository = Path(__file__).parent.parent

    def build(name: str) -> config.Settings:
        folder = tmp_path_factory.mktemp(name)
        shutil.copy(repository / "newsletter.toml", folder)
        shutil.copytree(repository / "templates", folder / "templates")
        ours = repository / "tests" / "golden" / name / "issues"
        kept = shutil.ignore_patterns("20*") if ours.is_dir() else None
        shutil.copytree(repository / "issues", folder / "issues", ignore=kept)
        if ours.is_dir():
            shutil.copytree(ours, folder / "issues", dirs_exist_ok=True)
        return config.load_settings(folder / "newsletter.toml", environ={})

    return build


@pytest.fixture(scope="session")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database with our tables and nobody in them."""
    path = tmp_path_factory.mktemp("sqlite") / "newsletter.db"
    engine = database.open_engine(f"sqlite:///{path}")
    schema.metadata.create_all(engine)
    engine.dispose()  # the last to close it leaves no journal behind
    return path.read_bytes()


@pytest.fixture
def sqlite_engine(tmp_path: Path, sqlite_file: bytes):
    path = tmp_path / "newsletter.db"
    path.write_bytes(sqlite_file)
    engine = database.open_engine(f"sqlite:///{path}")
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def postgres_admin(postgres_server: str):
    """What makes databases and removes them."""
    admin = create_engine(postgres_server + "/postgres", isolation_level="AUTOCOMMIT")
    yield admin
    admin.dispose()


@pytest.fixture
def postgres_url(postgres_server: str, postgres_admin: Engine):
    """The URL of a fresh database made from the template with our tables."""
    name = "t_" + os.urandom(6).hex()
    with postgres_admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE ours STRATEGY file_copy")
    yield f"{postgres_server}/{name}"
    with postgres_admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres_engine(postgres_url: str):
    engine = database.open_engine(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest):
    """The same test on both databases."""
    wanted = "sqlite_engine" if request.param == "sqlite" else "postgres_engine"
    return request.getfixturevalue(wanted)


@pytest.fixture(scope="session")
def postgres_server():
    """Start PostgreSQL on a free loopback port; yield its URL without a database."""
    # autovacuum: a plan is judged by the figures that its test gathered, and by no later ones.
    with Cluster("-c fsync=off -c autovacuum=off -c max_connections=200") as cluster:
        template = database.open_engine(cluster.create("ours"))
        opening.upgrade(template)  # its steps lay down the queue's tables as well
        template.dispose()
        yield cluster.url


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium. For one module only: Playwright's loop would refuse every asyncio.run."""
    from playwright.sync_api import sync_playwright

    chromium = Path("/usr/bin/chromium")
    if not chromium.exists():
        pytest.fail("Chromium is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=str(chromium),
            args=["--no-sandbox"] if os.geteuid() == 0 else [],
            timeout=PATIENCE_S * 1000,
        )
        yield opened
        opened.close()
