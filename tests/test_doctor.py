from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import Engine, event, insert, update

from newsletter import running
from newsletter.config import load_settings
from newsletter.delivery.smtp import probe_relay
from newsletter.doctor import Health, diagnose
from newsletter.errors import ConnectFailed
from newsletter.store import database, ledger, opening, runs, schema
from newsletter.store.trouble import keep_trouble
from tests.conftest import MINIMAL_TOML


def nothing(_name):
    return ()


def greeted(_settings):
    return "PIPELINING, STARTTLS"


def look(settings, now, look_up=nothing, probe=greeted):
    found = diagnose(settings, now=now, look_up=look_up, probe=probe)
    return {part.part: part for part in found}


@pytest.fixture
def load(tmp_path):
    """Read the settings of a publication with these lines below its own."""

    def read(more):
        path = tmp_path / "newsletter.toml"
        path.write_text(MINIMAL_TOML + more, encoding="utf-8")
        return load_settings(path, environ={})

    return read


@pytest.fixture
def real_names(monkeypatch):
    """Let example.org pass for a real domain: every name here is reserved."""
    monkeypatch.setattr("newsletter.doctor.is_reserved", lambda _: False)


@pytest.fixture
def public(load, real_names):
    """A publication whose relay is not on this machine."""
    signed = '[relay.dkim]\nselector = "s1"\nkey_file = "dkim.pem"\n'
    return load('[relay]\nurl = "smtp://relay.example:587"\n' + signed)


POSTFIX = '[relay]\nurl = "smtp://127.0.0.1:25"\n'
REMOTE = '[[relays]]\nurl = "smtp://relay.example:587"\n'


def test_a_fresh_publication_is_well_but_stays_here(settings, now):
    parts = look(settings, now)
    assert {part.health for part in parts.values()} == {Health.GOOD, Health.WARNING}
    assert "var/mailbox" in parts["relay"].seen


def test_missing_keys_are_bad(settings, now):
    (settings.var_dir / "keys").unlink()
    assert look(settings, now)["keys"].health is Health.BAD


@pytest.fixture
def ran(settings, now):
    """Let the publication have run, its last tick so long ago."""

    def run(age, born=None):
        engine = opening.open_store(settings)
        running.is_restored(settings, engine, born or now - age)
        with database.write(engine) as connection:
            runs.beat(connection, now - age)
        engine.dispose()

    return run


def test_an_old_heartbeat_is_bad(settings, now, ran):
    ran(timedelta(seconds=121))
    scheduler = look(settings, now)["scheduler"]
    assert (scheduler.health, scheduler.seen) == (
        Health.BAD, "last seen on 2026-05-07 at 05:57 UTC",
    )  # fmt: skip


def test_a_due_slot_that_nothing_looked_at_is_bad(settings, now, ran):
    later = now + timedelta(minutes=16)
    ran(timedelta(0), born=now - timedelta(days=1))
    engine = opening.open_store(settings)
    with database.write(engine) as connection:
        runs.beat(connection, later)
    engine.dispose()
    scheduler = look(settings, later)["scheduler"]
    assert (scheduler.health, "2026-05-07" in scheduler.seen) == (Health.BAD, True)


@pytest.mark.parametrize(
    ("reason", "health"),
    [("configuration", Health.BAD), ("stopped by Camille", Health.WARNING)],
)
def test_a_run_that_stands_still_is_named_with_what_goes_on(settings, now, ran, reason, health):
    ran(timedelta(0))
    engine = opening.open_store(settings)
    with database.write(engine) as connection:
        run = runs.ensure_run(connection, "2026-05-07", slot_at=now, now=now)
        connection.execute(update(schema.run).values(state="dispatching", started_at=now))
        ledger.stop_run(connection, run.id, reason=reason, now=now)
    engine.dispose()
    part = look(settings, now)["run"]
    assert (part.health, reason in part.seen) == (health, True)
    assert "newsletter send 2026-05-07" in part.remedy


@pytest.mark.parametrize(("minutes", "health"), [(1, Health.WARNING), (15, Health.BAD)])
def test_a_run_that_waits_for_its_relay_says_since_when_and_why(
    settings, now, ran, minutes, health
):
    ran(timedelta(0))
    engine = opening.open_store(settings)
    with database.write(engine) as connection:
        run_id = runs.ensure_run(connection, "2026-05-07", slot_at=now, now=now).id
        connection.execute(update(schema.run).values(state="dispatching", started_at=now))
        connection.execute(insert(schema.delivery).values(subscriber_id=1, run_id=run_id))
        keep_trouble(connection, run_id, reason="relay", said="relay.test is away", now=now)
    engine.dispose()
    part = look(settings, now + timedelta(minutes=minutes))["run"]
    assert (part.health, "06:00 UTC: relay.test is away" in part.seen) == (health, True)


def test_a_copied_database_is_bad_and_says_how_to_go_on(settings, now, ran):
    ran(timedelta(0))
    (settings.var_dir / "instance").unlink()
    database_part = look(settings, now)["database"]
    assert (database_part.health, "adopt" in database_part.remedy) == (Health.BAD, True)


def test_placeholders_in_the_legal_notice_are_named(settings, now):
    publication = settings.publication.model_copy(update={"director": "À COMPLÉTER (qui ?)"})
    parts = look(settings.model_copy(update={"publication": publication}), now)
    assert parts["legal notice"].seen == "missing: director"


def test_a_database_that_cannot_be_opened_is_bad_and_hides_nothing(settings, now):
    (settings.root / "subscribers").write_text("a file, not a folder", encoding="utf-8")
    parts = look(settings, now)
    assert parts["database"].health is Health.BAD
    assert parts["clock"].health is Health.GOOD


def test_a_database_that_cannot_be_written_is_bad_and_hides_nothing(settings, now, ran):
    ran(timedelta(0))
    opening.open_store(settings).dispose()

    @event.listens_for(Engine, "connect")
    def make_read_only(connection, _):
        connection.execute("PRAGMA query_only = on")

    try:
        parts = look(settings, now)
    finally:
        event.remove(Engine, "connect", make_read_only)
    assert parts["database"].health is Health.BAD
    assert parts["scheduler"].health is Health.GOOD


def test_a_relay_that_is_away_does_not_hide_the_others(load, now):
    def probe(settings):
        if settings.relay.host == "127.0.0.1":
            raise ConnectFailed("away", host="127.0.0.1", remedy="start it")
        return f"{settings.relay.host} answers"

    found = diagnose(load(POSTFIX + REMOTE), now=now, look_up=nothing, probe=probe)
    relays = [(part.health, part.seen) for part in found if part.part == "relay"]
    assert relays == [(Health.BAD, "away"), (Health.GOOD, "relay.example answers")]


def test_a_part_that_fails_says_its_remedy_once(load, now):
    signing = '[relay.dkim]\nselector = "a"\nkey_file = "none.pem"\n'
    part = look(load(POSTFIX + signing), now)["signing"]
    assert (part.health, part.remedy in part.seen) == (Health.BAD, False)


def test_a_domain_with_its_three_records_is_well(public, now):
    records = {
        "example.org": ("v=spf1 mx -all", "other"),
        "_dmarc.example.org": ("v=DMARC1; p=none",),
        "s1._domainkey.example.org": ("v=DKIM1; p=abc",),
    }
    parts = look(public, now, lambda name: records.get(name, ()))
    assert {parts[name].health for name in ("SPF", "DKIM", "DMARC")} == {Health.GOOD}


def test_the_domain_is_looked_up_when_the_relay_is_ones_own_postfix(load, real_names, now):
    parts = look(load(POSTFIX), now)
    assert (parts["SPF"].health, parts["DMARC"].health) == (Health.BAD, Health.BAD)
    assert '"v=spf1 a:<public name of this machine> -all"' in parts["SPF"].remedy


def test_the_spf_record_to_publish_admits_every_relay(load, real_names, now):
    wanted = '"v=spf1 a:<public name of this machine> a:relay.example -all"'
    assert wanted in look(load(POSTFIX + REMOTE), now)["SPF"].remedy


@pytest.mark.parametrize(
    ("relays", "health", "why"),
    [
        ("", Health.WARNING, "the relay is embedded"),
        (POSTFIX, Health.WARNING, "example.org is a reserved name"),
        (POSTFIX + REMOTE, Health.BAD, "example.org is a reserved name"),
    ],
)
def test_a_domain_that_is_not_looked_up_is_said_with_the_reason(load, now, relays, health, why):
    def refuse(name):
        raise AssertionError(name)

    parts = look(load(relays), now, refuse)
    assert parts["domain"].seen == f"SPF, DKIM and DMARC are not looked up: {why}"
    assert parts["domain"].health is health
    assert "SPF" not in parts


def test_one_relay_elsewhere_makes_the_legal_notice_necessary(load, now):
    for more, health in ((POSTFIX, Health.WARNING), (POSTFIX + REMOTE, Health.BAD)):
        settings = load(more)
        unnamed = settings.publication.model_copy(update={"director": ""})
        parts = look(settings.model_copy(update={"publication": unnamed}), now)
        assert parts["legal notice"].health is health


def test_two_spf_records_are_bad(public, now):
    parts = look(public, now, lambda name: ("v=spf1 a -all", "v=spf1 mx -all"))
    assert parts["SPF"].health is Health.BAD


def test_a_missing_record_is_spelled_out(public, now):
    parts = look(public, now)
    assert 'TXT record of example.org: "v=spf1 a:relay.example -all"' in parts["SPF"].remedy
    assert 'of _dmarc.example.org: "v=DMARC1; p=none; ' in parts["DMARC"].remedy


def test_the_key_we_sign_with_is_the_one_that_must_be_published(public, now, tmp_path):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = tmp_path / "dkim.pem"
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    path.chmod(0o600)
    dkim = public.relay.dkim.model_copy(update={"key_file": path.name})
    signing = public.model_copy(update={"relay": public.relay.model_copy(update={"dkim": dkim})})
    name = "s1._domainkey.example.org"
    another = look(signing, now, lambda asked: ("v=DKIM1; p=abc",) if asked == name else ())
    assert another["DKIM"].health is Health.BAD
    record = another["DKIM"].remedy.split('"')[1]
    ours = look(signing, now, lambda asked: (record,) if asked == name else ())
    assert ours["DKIM"].health is Health.GOOD


@pytest.mark.parametrize(
    ("bounce", "signs_as", "health"),
    [
        ("retours@example.org", "", Health.GOOD),
        ("retours@mail.example.org", "relay.example", Health.GOOD),
        ("retours@relay.example", "", Health.GOOD),  # signed as the sender's own domain
        ("retours@relay.example", "news.example.org", Health.GOOD),
        ("retours@relay.example", "relay.example", Health.BAD),
        ("retours@badexample.org", "relay.example", Health.BAD),
        ("retours@example.net", "relay.example", Health.BAD),
    ],
)
def test_spf_or_dkim_must_be_aligned_with_the_sender(public, now, bounce, signs_as, health):
    dkim = public.relay.dkim.model_copy(update={"domain": signs_as})
    relay = public.relay.model_copy(update={"dkim": dkim})
    sender = public.sender.model_copy(update={"bounce_address": bounce})
    parts = look(public.model_copy(update={"relay": relay, "sender": sender}), now)
    assert parts["alignment"].health is health


def sent_by(settings, address, **more):
    sender = settings.sender.model_copy(update={"address": address, **more})
    return settings.model_copy(update={"sender": sender})


@pytest.mark.parametrize(
    ("sender", "bounce", "health"),
    [
        ("jeudis.example.org", "bounce.example.org", Health.GOOD),
        ("Jeudis.Example.org", "a.b.example.org.", Health.GOOD),
        # As below asso.fr and co.uk, in a country that there is not.
        ("jeudis.lettre.asso.xx", "retours.lettre.asso.xx", Health.GOOD),
        ("lettre.asso.xx", "autre.asso.xx", Health.BAD),
        ("lettre.co.xx", "autre.co.xx", Health.BAD),
        ("lettre.asso.xx", "lettre.xx", Health.BAD),
    ],
)
def test_domains_of_one_organisation_are_aligned(load, real_names, now, sender, bounce, health):
    settings = sent_by(load(POSTFIX), f"lettre@{sender}", bounce_address=f"retours@{bounce}")
    assert look(settings, now)["alignment"].health is health


def test_the_policy_of_the_organisation_holds_for_a_domain_without_one(public, now):
    settings = sent_by(public, "lettre@jeudis.example.org")
    records = {"_dmarc.example.org": ("v=DMARC1; p=reject",)}
    found = look(settings, now, lambda name: records.get(name, ()))["DMARC"]
    assert (found.health, found.seen) == (
        Health.GOOD, "_dmarc.example.org: v=DMARC1; p=reject",
    )  # fmt: skip
    # Two records of its own are no policy, and the organisation's is not asked for.
    records["_dmarc.jeudis.example.org"] = ("v=DMARC1; p=none", "v=DMARC1; p=reject")
    found = look(settings, now, lambda name: records.get(name, ()))["DMARC"]
    assert (found.health, "_dmarc.jeudis.example.org: 2" in found.seen) == (Health.BAD, True)
    found = look(settings, now)["DMARC"]
    assert "_dmarc.jeudis.example.org and _dmarc.example.org: 0 records" in found.seen
    assert "record of _dmarc.jeudis.example.org: " in found.remedy


@pytest.mark.parametrize(
    ("record", "health"),
    [
        ("v=spf1 -all", Health.BAD),
        ("v=spf1", Health.BAD),
        ("v=spf1 ~ALL", Health.BAD),
        ("v=spf1 -mx ?a exp=why.example.org -all", Health.BAD),
        ("v=spf1 -all include:relay.example", Health.BAD),  # never reached
        ("v=spf1 -all redirect=relay.example", Health.BAD),  # ignored beside all
        ("v=spf1 redirect=relay.example ~all", Health.BAD),
        ("v=spf1 redirect=relay.example", Health.GOOD),
        ("v=spf1 include:relay.example -all", Health.GOOD),
        ("v=spf1 +ip4:192.0.2.1 ~all", Health.GOOD),
        ("v=spf1 ?all", Health.BAD),
    ],
)
def test_an_spf_record_that_admits_nobody_is_bad(public, now, record, health):
    found = look(public, now, lambda name: (record,) if name == "example.org" else ())["SPF"]
    assert (found.health, "admits no server" in found.seen) == (health, health is Health.BAD)
    assert ("v=spf1 a:relay.example -all" in found.remedy) is (health is Health.BAD)


@pytest.mark.parametrize("contact", ["05 00 00 00 00", "contact@example.org ou 05 00 00 00 00"])
def test_reports_go_to_reply_to_when_the_contact_is_no_address(public, now, contact):
    publication = public.publication.model_copy(update={"contact": contact})
    settings = public.model_copy(update={"publication": publication})
    assert 'rua=mailto:lettre@example.org"' in look(settings, now)["DMARC"].remedy
    assert 'rua=mailto:contact@example.org"' in look(public, now)["DMARC"].remedy


def test_a_relay_that_does_not_answer_is_bad(public, now):
    def refuse(settings):
        raise ConnectFailed("no answer", host=settings.relay.host)

    assert look(public, now, probe=refuse)["relay"].health is Health.BAD


def test_a_relay_whose_password_is_missing_is_bad_and_hides_nothing(public, now):
    account = public.relay.model_copy(update={"url": "smtp://compte@relay.example:587"})
    parts = look(public.model_copy(update={"relay": account}), now, probe=probe_relay)
    assert parts["relay"].health is Health.BAD
    assert "NEWSLETTER_RELAY__PASSWORD" in parts["relay"].remedy
    assert parts["clock"].health is Health.GOOD


def test_a_resolver_that_does_not_answer_is_a_warning(public, now):
    def broken(_name):
        raise OSError("timed out")

    assert look(public, now, broken)["SPF"].health is Health.WARNING


def test_a_signing_key_that_cannot_be_used_is_bad(public, now):
    signing = look(public, now)["signing"]
    assert (signing.health, "relay.dkim.key_file" in signing.remedy) == (Health.BAD, True)
