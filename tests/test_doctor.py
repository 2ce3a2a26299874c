from datetime import timedelta

import pytest
from sqlalchemy import insert

from newsletter.config import load_settings
from newsletter.doctor import Health, diagnose
from newsletter.errors import ConnectFailed
from newsletter.store import database, opening, schema
from tests.conftest import MINIMAL_TOML


def nothing(_name):
    return ()


def greeted(_settings):
    return "PIPELINING, STARTTLS"


def look(settings, now, look_up=nothing, probe=greeted):
    found = diagnose(settings, now=now, look_up=look_up, probe=probe)
    return {part.part: part for part in found}


@pytest.fixture
def public(tmp_path):
    """A publication whose relay is not on this machine."""
    path = tmp_path / "newsletter.toml"
    path.write_text(
        MINIMAL_TOML + '[relay]\nurl = "smtp://relay.example:587"\n[relay.dkim]\nselector = "s1"\n',
        encoding="utf-8",
    )
    return load_settings(path, environ={})


def test_a_fresh_publication_is_well_but_stays_here(settings, now):
    parts = look(settings, now)
    assert {part.health for part in parts.values()} == {Health.GOOD, Health.WARNING}
    assert "var/mailbox" in parts["relay"].seen


def test_missing_keys_are_bad(settings, now):
    (settings.var_dir / "keys").unlink()
    assert look(settings, now)["keys"].health is Health.BAD


def test_an_old_heartbeat_is_bad(settings, now):
    engine = opening.open_store(settings)
    with database.write(engine) as connection:
        connection.execute(
            insert(schema.instance).values(
                id="a", created_at=now, heartbeat_at=now - timedelta(seconds=121)
            )
        )
    engine.dispose()
    assert look(settings, now)["scheduler"].health is Health.BAD


def test_placeholders_in_the_legal_notice_are_named(settings, now):
    publication = settings.publication.model_copy(update={"director": "À COMPLÉTER (qui ?)"})
    parts = look(settings.model_copy(update={"publication": publication}), now)
    assert parts["legal notice"].seen == "missing: director"


def test_a_database_that_cannot_be_opened_is_bad_and_hides_nothing(settings, now):
    (settings.root / "subscribers").write_text("a file, not a folder", encoding="utf-8")
    parts = look(settings, now)
    assert parts["database"].health is Health.BAD
    assert parts["clock"].health is Health.GOOD


def test_a_domain_with_its_three_records_is_well(public, now):
    records = {
        "example.org": ("v=spf1 -all", "other"),
        "_dmarc.example.org": ("v=DMARC1; p=none",),
        "s1._domainkey.example.org": ("v=DKIM1; p=abc",),
    }
    parts = look(public, now, lambda name: records.get(name, ()))
    assert {parts[name].health for name in ("SPF", "DKIM", "DMARC")} == {Health.GOOD}


def test_two_spf_records_are_bad(public, now):
    parts = look(public, now, lambda name: ("v=spf1 a -all", "v=spf1 mx -all"))
    assert parts["SPF"].health is Health.BAD


def test_a_relay_that_does_not_answer_is_bad(public, now):
    def refuse(settings):
        raise ConnectFailed("no answer", host=settings.relay.host)

    assert look(public, now, probe=refuse)["relay"].health is Health.BAD


def test_a_resolver_that_does_not_answer_is_a_warning(public, now):
    def broken(_name):
        raise OSError("timed out")

    assert look(public, now, broken)["SPF"].health is Health.WARNING
