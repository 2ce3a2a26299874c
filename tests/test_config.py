import stat
from datetime import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url

from newsletter import config
from newsletter.errors import ConfigError
from tests.conftest import MINIMAL_TOML


@pytest.fixture
def write(tmp_path):
    def write_toml(extra="", base=MINIMAL_TOML):
        path = tmp_path / "newsletter.toml"
        path.write_text(base + extra, encoding="utf-8")
        return path

    return write_toml


def refusal(path, environ=None):
    with pytest.raises(ConfigError) as refused:
        config.load_settings(path, environ=environ or {})
    return refused.value


def line_of(path, text):
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, start=1) if text in line)


def test_an_unknown_setting_is_named_with_its_line_and_the_nearest_known_one(write):
    path = write("[relay]\nconections = 4\n")
    error = refusal(path)
    assert (error.key, error.line) == ("relay.conections", line_of(path, "conections"))
    assert "connections" in error.remedy


def test_an_unknown_section_suggests_the_nearest_known_one(write):
    error = refusal(write("[relai]\nurl = 'embedded:'\n"))
    assert error.remedy == "did you mean relay?"


def test_a_wrong_value_is_named_with_its_line(write):
    path = write("[schedule]\nday = 'jeudi'\n")
    error = refusal(path)
    assert (error.key, error.line) == ("schedule.day", line_of(path, "jeudi"))


def test_broken_toml_is_one_line_with_its_place(write):
    path = write("[relay\n")
    error = refusal(path)
    assert (error.path, error.line) == (str(path), line_of(path, "[relay"))


def test_a_file_that_is_not_utf8_is_said_to_be_so(tmp_path):
    path = tmp_path / "newsletter.toml"
    path.write_bytes(b"# a\n# b\n# \xe9\n")
    error = refusal(path)
    assert error.line == 3
    assert "UTF-8" in str(error)


def test_a_missing_file_says_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="newsletter init"):
        config.load_settings(environ={})


def test_the_file_is_found_from_a_folder_below(write, tmp_path, monkeypatch):
    write()
    below = tmp_path / "issues" / "2026-05-07"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert config.load_settings(environ={}).root == tmp_path.resolve()


def test_the_environment_wins(write):
    environ = {"NEWSLETTER_RELAY__URL": "smtp://relay.example:587", "NEWSLETTER_CRASH_AT": "x:1"}
    assert config.load_settings(write(), environ=environ).relay.host == "relay.example"


def test_a_list_comes_from_the_environment_as_json(write):
    environ = {"NEWSLETTER_FEEDS__ALLOW_PRIVATE": '["127.0.0.1:8080"]'}
    settings = config.load_settings(write(), environ=environ)
    assert settings.feeds.allow_private == ("127.0.0.1:8080",)


def test_a_broken_list_in_a_variable_is_named(write):
    assert refusal(write(), environ={"NEWSLETTER_FEEDS__ALLOW_PRIVATE": '["a'}).path == (
        "NEWSLETTER_FEEDS__ALLOW_PRIVATE"
    )


def test_a_wrong_variable_is_named_as_a_variable(write):
    error = refusal(write(), environ={"NEWSLETTER_RELAY__CONNECTIONS": "many"})
    assert error.path == "NEWSLETTER_RELAY__CONNECTIONS"


def test_a_public_address_must_be_https(write):
    base = MINIMAL_TOML.replace(
        "[publication]\n", '[publication]\nbase_url = "http://lettre.example.org"\n'
    )
    assert "https" in str(refusal(write(base=base)))


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("[schedule]\ntime = 8\n", 'schedule.time: is not a time of day; write it as "08:00"'),
        ("[schedule]\ntime = '8h'\n", "schedule.time: is not a time of day"),
        ("[schedule]\ntime = '24:00'\n", "schedule.time: is not a time of day"),
        ("[relay]\nurl = 'smtp://relay.example:99999'\n", "relay.url: Port out of range"),
        ("[relay]\nurl = 'smtp://relay.example:0'\n", "relay.url: Port out of range"),
        ("[relay]\nwindow = true\n", "relay.window: must be a number, neither true nor false"),
        ("[relay]\nconnections = true\n", "relay.connections: must be a number"),
        ("[schedule]\nmax_lateness_h = true\n", "schedule.max_lateness_h: must be a number"),
        ("[relay]\nrate_per_s = inf\n", "relay.rate_per_s: must be a finite number"),
        ("[relay]\nrate_per_hour = nan\n", "relay.rate_per_hour: must be a finite number"),
        ("[feeds]\npoll_every_h = inf\n", "feeds.poll_every_h: must be a finite number"),
        (
            "[relay.domains.'a.example']\nrate_per_s = nan\n",
            "relay.domains.a.example.rate_per_s: must be a finite number",
        ),
        ("[relay]\nurl = 'smtp://relay.example/path'\n", "relay.url: ends with its port"),
        ("[relay]\nurl = 'smtp://relay.example:25?tls=no'\n", "relay.url: ends with its port"),
        ("[relay]\nurl = 'smtp:// relay.example'\n", "relay.url: holds a blank"),
        ("[relay]\nurl = 'smtp://relay%20.example'\n", "relay.url: holds a blank"),
        ("[relay]\nurl = 'smtp://%00@relay.example'\n", "relay.url: holds a blank or a control"),
        ("[relay]\nurl = 'smtp://relay..example:25'\n", "relay.url: names no possible host"),
        ("[relay]\nurl = 'smtp://.example'\n", "relay.url: names no possible host"),
        (f"[relay]\nurl = 'smtps://{'a' * 64}.example'\n", "relay.url: names no possible host"),
        (f"[relay]\nurl = 'smtp://{'é' * 60}.example'\n", "relay.url: names no possible host"),
        ("[relay]\nurl = 'smtp://a\u0627b.example'\n", "relay.url: names no possible host"),
        ("[[relays]]\nurl = 'smtp://relay..example'\n", "relays.0.url: names no possible host"),
        ("[database]\nurl = 'sqlite://'\n", "database.url: must begin with sqlite:///"),
        ("[database]\nurl = 'sqlite:///a.db?foo=bar'\n", "database.url: takes no options"),
        *(
            (f"[database]\nurl = 'postgresql+psycopg://{place}'\n", f"database.url: {said}")
            for place, said in (
                ("u@h:abc/x", "is not the URL of a database"),
                ("u@h:/x", "is not the URL of a database"),
                ("u@[::1/x", "is not the URL of a database"),
                ("u@::1/x", "is not the URL of a database"),
                ("u@h1:5432,h2:5433/x", "is not the URL of a database"),
                ("u@h:0/x", "Port out of range"),
                ("u@h:65536/x", "Port out of range"),
            )
        ),
        ("[approval]\nneeded = 0\n", "approval.needed: must be greater than or equal to 1"),
        ("[[approval]]\nneeded = 1\n", "approval: must be one table: write [approval]"),
        ("[people]\nname = 'x'\n", "people: must be a list of tables: write [[people]]"),
        ("[[people]]\nname = 'x'\naddress = 'x'\n", "people.0.address: is not an address"),
        ("[taxonomy]\nkinds = ['a']\n", "taxonomy.kinds.0: must be a table"),
        ("[feeds]\nallow_private = 'h:1'\n", "feeds.allow_private: must be a list"),
        (
            "[[schedule.pauses]]\nstart = 2026-08-31\nend = 2026-08-01\n",
            "schedule.pauses.0: ends before it starts",
        ),
    ],
)
def test_what_a_setting_must_be_is_said_in_the_words_of_the_file(write, extra, said):
    error = refusal(write(extra))
    assert error.message.startswith(said)
    assert error.line


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("selector = 'jeudis 2026'\nkey_file = 'a'", "selector: is not a selector"),
        ("selector = 'jeudis;2026'\nkey_file = 'a'", "selector: is not a selector"),
        ("selector = 'été'\nkey_file = 'a'", "selector: is not a selector"),
        ("selector = 'a..b'\nkey_file = 'a'", "selector: is not a selector"),
        ("selector = '-a'\nkey_file = 'a'", "selector: is not a selector"),
        (f"selector = '{'a' * 64}'\nkey_file = 'a'", "selector: is not a selector"),
        ("domain = 'mairie-évry.example'", "domain: is not a domain"),
        ("selector = 'a'", "key_file: is missing beside selector"),
        ("key_file = 'a'", "selector: is missing beside key_file"),
        (
            "selector = 'a'\nkey_file = 'a'\ned25519_selector = 'b'",
            "ed25519_key_file: is missing beside ed25519_selector",
        ),
        (
            "selector = 'a'\nkey_file = 'a'\ned25519_key_file = 'b'",
            "ed25519_selector: is missing beside ed25519_key_file",
        ),
        (
            "ed25519_selector = 'b'\ned25519_key_file = 'b'",
            "selector: is missing beside ed25519_selector",
        ),
        (
            "selector = 'a'\nkey_file = 'a'\ned25519_selector = 'A'\ned25519_key_file = 'b'",
            "ed25519_selector: is that of the RSA key as well",
        ),
    ],
)
def test_signing_that_nobody_could_verify_is_refused(write, extra, said):
    error = refusal(write(f"[relay.dkim]\n{extra}\n"))
    assert error.message.startswith(f"relay.dkim.{said}")
    assert (bool(error.line), bool(error.remedy)) == (True, True)


@pytest.mark.parametrize("selector", ["jeudis2026", "2026.jeudis", "a-b", "X", "a" * 63])
def test_a_selector_may_be_any_name_of_dns(write, selector):
    extra = f"[relay.dkim]\nselector = '{selector}'\nkey_file = 'a.pem'\n"
    assert config.load_settings(write(extra), environ={}).relay.dkim.selector == selector


@pytest.mark.parametrize(
    "name",
    ["X: y", "X-Once:", "X Once", "É", "a" * 61, "From", "to", "SUBJECT", "Date", "Message-Id",
     "list-unsubscribe", "List-X", "DKIM-Signature", "Mime-Version", "content-type", "Bcc",
     "Reply-To", "Sender", "Received", "Return-Path", "Resent-To", "Feedback-ID"],
)  # fmt: skip
def test_an_idempotency_header_that_would_ruin_a_message_is_refused(write, name):
    path = write(f"[relay]\nidempotency_header = '{name}'\n")
    error = refusal(path)
    assert (error.key, error.line) == ("relay.idempotency_header", line_of(path, "idempotency"))
    assert "Idempotency-Key" in str(error)


@pytest.mark.parametrize("name", ["", "Resend-Idempotency-Key", "X-Entity-Ref-ID", "Listing"])
def test_an_idempotency_header_may_have_any_other_name(write, name):
    path = write(f"[relay]\nidempotency_header = '{name}'\n")
    assert config.load_settings(path, environ={}).relay.idempotency_header == name


def test_a_bounce_address_too_long_for_a_token_is_refused_before_thursday(write):
    path = write(base=MINIMAL_TOML.replace("retours@", "retours-du-jeudi@"))  # 16 characters
    error = refusal(path)
    assert (error.key, error.line) == ("sender.bounce_address", line_of(path, "bounce_address"))
    assert "15 characters" in error.remedy
    environ = {"NEWSLETTER_RELAY__VERP": "false"}
    assert config.load_settings(path, environ=environ).sender.bounce_address
    assert config.load_settings(
        write(base=MINIMAL_TOML.replace("retours@", f"{'a' * 15}@")), environ={}
    )


FIRST = "[relay]\nurl = 'smtp://one.example.org'\n"
SECOND = "[[relays]]\nurl = 'smtp://two.example.org'\n"
EMBEDDED = "[relay]\nurl = 'embedded:'\n"


def test_an_account_of_a_relay_may_have_a_blank_in_its_name(write):
    path = write("[relay]\nurl = 'smtp://jean%20dupont@relay.example:587'\n")
    assert config.load_settings(path, environ={}).relay.account == "jean dupont"


def test_several_relays_are_each_somewhere(write):
    settings = config.load_settings(write(FIRST + SECOND), environ={})
    assert [relay.host for relay in (settings.relay, *settings.relays)] == [
        "one.example.org", "two.example.org",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("extra", "key", "at"),
    [
        (FIRST + "[[relays]]\nweight = 2\n", "relays.0.url", "[[relays]]"),
        (FIRST + SECOND + "\n[[relays]] # third\n", "relays.1.url", "third"),
        (FIRST + SECOND + "[[relays]]\nurl = 'embedded:' # no\n", "relays.1.url", "# no"),
        (FIRST + "[[relays]]\nurl = 'embedded:'\n", "relays.0.url", "embedded:"),
        (EMBEDDED + SECOND, "relay.url", "embedded:"),
        (EMBEDDED + "[[relays]]\nurl = 'embedded:' # no\n", "relays.0.url", "# no"),
        (SECOND, "relays", "[[relays]]"),
    ],
)
def test_no_share_of_the_readers_stays_on_this_machine_beside_a_relay(write, extra, key, at):
    path = write(extra)
    error = refusal(path)
    assert (error.key, error.path, error.line) == (key, str(path), line_of(path, at))
    assert 'write url = "smtp://' in error.remedy


@pytest.mark.parametrize(
    ("extra", "key", "remedy"),
    [
        ("verp = true # it", "verp", "[relay]"),
        ("window = 0 # it", "window", "[relay]"),
        ("idempotency_header = 'X-Once' # it", "idempotency_header", "[relay]"),
        ("[relays.dkim] # it\nselector = 'a'\nkey_file = 'a.pem'", "dkim", "[relay.dkim]"),
    ],
)
def test_what_holds_for_all_relays_is_refused_in_one(write, extra, key, remedy):
    path = write(FIRST + "verp = false\n" + SECOND + SECOND + f"{extra}\n")
    error = refusal(path)
    assert (error.key, error.line) == (f"relays.1.{key}", line_of(path, "# it"))
    assert f"set it in {remedy}" in error.remedy


def test_what_a_domain_bears_holds_for_each_relay_that_does_not_say_otherwise(write):
    limits = "[relay.domains.'orange.example']\nconnections = 2\n"
    own = "[relays.domains.'free.example']\nconnections = 3\n"
    settings = config.load_settings(write(FIRST + limits + SECOND + SECOND + own), environ={})
    inherited, own = (relay.domains for relay in settings.relays)
    assert {name: pace.connections for name, pace in inherited.items()} == {"orange.example": 2}
    assert {name: pace.connections for name, pace in own.items()} == {"free.example": 3}


def test_a_further_relay_has_its_password_from_the_environment(write):
    environ = {"NEWSLETTER_RELAYS__1__PASSWORD": "b", "NEWSLETTER_RELAYS__0__PASSWORD": "a"}
    settings = config.load_settings(write(FIRST + SECOND + SECOND), environ=environ)
    assert [relay.password for relay in settings.relays] == ["a", "b"]


@pytest.mark.parametrize(
    "variable",
    ["NEWSLETTER_RELAYS__1__PASSWORD", "NEWSLETTER_RELAYS__X__PASSWORD", "NEWSLETTER_RELAYS__0",
     "NEWSLETTER_RELAYS__0__URL__X", "NEWSLETTER_RELAYS__-1__PASSWORD"],
)  # fmt: skip
def test_a_variable_of_no_relay_is_named(write, variable):
    error = refusal(write(FIRST + SECOND), {variable: "secret"})
    assert (error.path, "secret" in str(error)) == (variable, False)


def test_a_variable_that_wins_over_the_file_is_blamed_in_its_place(write):
    error = refusal(write(FIRST + SECOND), {"NEWSLETTER_RELAY__URL": "embedded:"})
    assert (error.key, error.path, error.line) == ("relay.url", "NEWSLETTER_RELAY__URL", None)


@pytest.mark.parametrize(
    "url",
    ["smtp://relay.example.", "smtp://mairie-évry.example:587", "smtp://[::1]:25", "smtp://relay",
     "smtp://192.0.2.1", f"smtp://{'a' * 63}.example"],
)  # fmt: skip
def test_a_relay_may_have_any_name_that_can_be_looked_up(write, url):
    assert config.load_settings(write(f"[relay]\nurl = '{url}'\n"), environ={}).relay.url == url


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("list_id", ""), ("list_id", "a b <c>"), ("name", ""), ("language", "xx"),
        ("language", "../fr"), ("base_url", "https://"), ("base_url", "https://a.example/?x=1"),
        ("base_url", "https://a.example:0"), ("base_url", "https://a.example:x"),
        ("address", "lettre"), ("address", "é@example.org"), ("bounce_address", "a b@c.example"),
    ],
)  # fmt: skip
def test_a_value_that_no_message_could_carry_is_refused(write, key, value):
    lines = [line for line in MINIMAL_TOML.splitlines() if not line.startswith(f"{key} =")]
    section = "[sender]" if key.endswith("address") else "[publication]"
    lines.insert(lines.index(section) + 1, f'{key} = "{value}"')
    error = refusal(write(base="\n".join(lines)))
    assert error.key.endswith(f".{key}")


@pytest.mark.parametrize(
    "limit", ["connections = 0", "connections = 65", "max_messages_per_connection = 0",
              "rate_per_s = 0.0", "rate_per_s = -1"],
)  # fmt: skip
def test_a_domain_that_could_never_be_written_to_is_refused(write, limit):
    error = refusal(write(f"[relay.domains.'orange.example']\n{limit}\n"))
    assert error.key == f"relay.domains.orange.example.{limit.split(' ')[0]}"


@pytest.mark.parametrize(
    ("header", "key", "remedy"),
    [
        ("domains.orange.fr", "orange.fr", "orange.fr"),
        ("domains.mail.free.example", "mail.free.example", "mail.free.example"),
        ("domains.'@orange.fr'", "@orange.fr", "orange.fr"),
        ("domains.'*.orange.fr'", "*.orange.fr", "orange.fr"),
        ("domains.'orange.fr.'", "orange.fr.", "orange.fr"),
        ("domains.'mairie-évry.example'", "mairie-évry.example", "xn--mairie-vry-h7a.example"),
        ("domains.orange", "orange", "orange.fr"),
    ],
)
def test_a_domain_that_no_address_has_is_refused(write, header, key, remedy):
    path = write(f"[relay.{header}]\nconnections = 2\n")
    error = refusal(path)
    assert (error.key, error.line) == (f"relay.domains.{key}", line_of(path, header))
    assert error.remedy.startswith("write ")
    assert error.remedy.endswith(f'[relay.domains."{remedy}"]')


def test_an_account_without_a_password_is_refused_when_somebody_is_written_to(write):
    account = "[relay]\nurl = 'smtp://compte@one.example.org'\n"
    further = "[[relays]]\nurl = 'smtp://compte@two.example.org'\n"
    path = write(account + further)
    for variable in ("NEWSLETTER_RELAY__PASSWORD", "NEWSLETTER_RELAYS__0__PASSWORD"):
        other = {"NEWSLETTER_RELAY__PASSWORD", "NEWSLETTER_RELAYS__0__PASSWORD"} - {variable}
        settings = config.load_settings(path, environ=dict.fromkeys(other, "x"))
        with pytest.raises(ConfigError) as refused:
            config.require_passwords(settings)
        assert variable in refused.value.remedy
    config.require_passwords(config.load_settings(write(FIRST + SECOND), environ={}))


@pytest.mark.parametrize("clock", ["'8:30'", "'08:30'", "08:30:00", "'08:30:00'"])
def test_a_time_of_day_can_be_written_in_these_ways(write, clock):
    settings = config.load_settings(write(f"[schedule]\ntime = {clock}\n"), environ={})
    assert settings.schedule.time == time(8, 30)


def test_a_missing_setting_is_named_with_the_line_of_its_section(write):
    path = write(base=MINIMAL_TOML.replace('list_id = "lettre.example.org"\n', ""))
    error = refusal(path)
    assert (error.line, error.message) == (1, "publication.list_id: is missing")


@pytest.mark.parametrize(
    ("variable", "said"),
    [("NEWSLETTER_RELY__URL", "unknown"), ("NEWSLETTER_PUBLICATION__NAME__X", "no section")],
)
def test_a_variable_of_no_section_is_named(write, variable, said):
    error = refusal(write(), {variable: "x"})
    assert (error.path, said in error.message) == (variable, True)


@pytest.mark.parametrize(
    ("extra", "variable"),
    [
        ("[relay]\npassword = 'secret'\n", "NEWSLETTER_RELAY__PASSWORD"),
        (
            f"{FIRST}{SECOND}password = 'secret'\n",
            "NEWSLETTER_RELAYS__0__PASSWORD",
        ),
        (
            "[database]\nurl = 'postgresql+psycopg://us:secret@db.example/x'\n",
            "NEWSLETTER_DATABASE__URL",
        ),
    ],
)
def test_a_password_in_a_file_that_others_read_is_refused(write, extra, variable):
    path = write(extra)
    path.chmod(0o644)
    error = refusal(path)
    assert (variable in error.remedy, error.line, "secret" in str(error)) == (
        True, line_of(path, "secret"), False,
    )  # fmt: skip
    path.chmod(0o600)
    assert config.load_settings(path, environ={})


def test_an_at_sign_in_the_password_of_a_database_is_told_how_to_be_written(write):
    variable = {"NEWSLETTER_DATABASE__URL": "postgresql+psycopg://u:p@rt@h/x"}
    error = refusal(write(), variable)
    assert (error.path, "p@rt" in str(error)) == ("NEWSLETTER_DATABASE__URL", False)
    assert "%40" in str(error)


def test_a_database_without_a_password_may_stand_in_a_file_that_others_read(write):
    path = write("[database]\nurl = 'postgresql+psycopg://us@db.example:5432/x'\n")
    path.chmod(0o644)
    assert config.load_settings(path, environ={})


@pytest.mark.parametrize(
    "place",
    ["", "/x", "h", "h/x", "u@h:5432/x", "u@[::1]:5432/x", "u@[::1]/x", "u@h1,h2/x", "u:p%40w@h/x",
     "u:p/w?[@h:1/x", "u@%2Frun%2Fpostgresql/x", "/x?host=/run/postgresql", "u@h/x?sslmode=require",
     "u@h/x?host=a:1&host=b:2"],
)  # fmt: skip
def test_a_database_may_stand_wherever_sqlalchemy_finds_it(write, place):
    url = f"postgresql+psycopg://{place}"
    assert make_url(url)
    environ = {"NEWSLETTER_DATABASE__URL": url}
    assert config.load_settings(write(), environ=environ).database_url == url


def test_a_password_in_the_relay_url_is_refused(write):
    error = refusal(write("[relay]\nurl = 'smtp://me:secret@relay.example'\n"))
    assert "secret" not in error.message
    assert "NEWSLETTER_RELAY__PASSWORD" in str(error)


@pytest.mark.parametrize("control", ["\\r\\n", "\\u0000", "\\u2028", "\\u0085"])
def test_a_control_character_in_a_header_bound_setting_is_refused(write, control):
    base = MINIMAL_TOML.replace(
        "La Lettre d'essai\"\naddress", f'La Lettre{control}Bcc: x@example.org"\naddress'
    )
    assert "control" in str(refusal(write(base=base)))


@pytest.mark.parametrize(
    ("url", "required"),
    [
        ("embedded:", False),
        ("smtp://127.0.0.1:25", False),
        ("smtp://localhost", False),
        ("smtp://127.evil.example", True),
        ("smtps://relay.example", True),
    ],
)
def test_tls_is_required_everywhere_but_on_loopback(write, url, required):
    assert config.load_settings(
        write(f"[relay]\nurl = '{url}'\n"), environ={}
    ).relay.tls_required is (required)


def test_replies_go_to_the_sender_unless_said_otherwise(settings):
    assert settings.sender.reply_to == settings.sender.address


def test_a_relative_database_stands_in_the_publications_folder(settings):
    assert settings.database_url == f"sqlite:///{settings.root}/subscribers/newsletter.db"


def test_written_keys_are_private_and_can_be_read_back(settings):
    path = settings.var_dir / "keys"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert config.load_keys(settings, environ={}).current == 1


def test_keys_are_never_overwritten(settings):
    with pytest.raises(FileExistsError):
        config.write_keys(settings.var_dir / "keys")


def test_keys_that_others_can_read_are_refused(settings):
    path = settings.var_dir / "keys"
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        config.load_keys(settings, environ={})


def test_missing_keys_say_how_to_get_them_back(settings):
    (settings.var_dir / "keys").unlink()
    with pytest.raises(ConfigError, match="copy"):
        config.load_keys(settings, environ={})


def test_keys_come_from_the_environment_too(settings):
    environ = {"NEWSLETTER_KEYS": f"1:{'0a' * 32},2:{'0b' * 32},pepper:{'0c' * 32}"}
    keys = config.load_keys(settings, environ=environ)
    assert keys.current == 2
    assert keys.versions[1] == b"\x0a" * 32


def test_keys_never_show_in_a_log(settings):
    keys = config.load_keys(settings, environ={})
    assert keys.versions[1].hex() not in f"{keys!r}{keys}"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200))
def test_any_file_gives_settings_or_one_clear_error(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("any") / "newsletter.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError):
        config.load_settings(path, environ={})


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.evil.example", False),
     ("10.0.0.1", False), ("", False)],
)  # fmt: skip
def test_loopback_is_an_address_of_this_machine(host, loopback):
    assert config.is_loopback(host) is loopback
