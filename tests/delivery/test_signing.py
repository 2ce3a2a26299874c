import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from newsletter.config import Dkim, Relay
from newsletter.delivery.signing import load_signer
from newsletter.errors import ConfigError
from tests.mail.test_dkim import pem


@pytest.fixture
def publication(settings):
    files = {
        "var/dkim.pem": rsa.generate_private_key(65537, 2048),
        "var/ed25519.pem": ed25519.Ed25519PrivateKey.generate(),
    }
    for name, key in files.items():
        (settings.root / name).write_bytes(pem(key))
        (settings.root / name).chmod(0o600)
    return settings


def with_dkim(settings, **dkim):
    return settings.model_copy(update={"relay": Relay(dkim=Dkim(**dkim))})


def test_without_a_selector_nobody_signs(settings):
    assert load_signer(settings) is None


def test_keys_are_read_relative_to_the_publication(publication):
    signer = load_signer(
        with_dkim(
            publication,
            selector="a",
            key_file="var/dkim.pem",
            ed25519_selector="b",
            ed25519_key_file="var/ed25519.pem",
        )
    )
    assert [key.selector for key in signer.keys] == ["a", "b"]
    assert signer.domain == "example.org"


def test_another_domain_may_sign(publication):
    settings = with_dkim(publication, selector="a", key_file="var/dkim.pem", domain="x.test")
    assert load_signer(settings).domain == "x.test"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_key_that_others_can_read_is_refused(publication, mode):
    (publication.root / "var/dkim.pem").chmod(mode)
    with pytest.raises(ConfigError, match="others can read") as caught:
        load_signer(with_dkim(publication, selector="a", key_file="var/dkim.pem"))
    assert "chmod 600" in caught.value.remedy


def test_a_missing_key_names_its_setting(settings):
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        load_signer(with_dkim(settings, selector="a", key_file="var/none.pem"))
    assert caught.value.key == "relay.dkim.key_file"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("dkim.pem", b"no key"),
        ("dkim.pem", pem(rsa.generate_private_key(65537, 1024))),
        ("dkim.pem", pem(ed25519.Ed25519PrivateKey.generate())),
        ("ed25519.pem", b"no key"),
        ("ed25519.pem", pem(rsa.generate_private_key(65537, 2048))),
    ],
)
def test_a_key_of_the_wrong_kind_names_its_file_and_its_setting(publication, name, content):
    (publication.root / "var" / name).write_bytes(content)
    settings = with_dkim(
        publication,
        selector="a",
        key_file="var/dkim.pem",
        ed25519_selector="b",
        ed25519_key_file="var/ed25519.pem",
    )
    with pytest.raises(ConfigError) as caught:
        load_signer(settings)
    assert caught.value.path == str(publication.root / "var" / name)
    assert caught.value.message.startswith(caught.value.key)
    assert "ed25519" in caught.value.key or name == "dkim.pem"
