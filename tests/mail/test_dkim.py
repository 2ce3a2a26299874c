import base64
import re
import shutil
import subprocess
from datetime import UTC, datetime
from types import SimpleNamespace

import dkim as dkimpy
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from newsletter.config import Dkim
from newsletter.errors import ConfigError
from newsletter.mail.compose import Reader, compile_message
from newsletter.mail.dkim import dns_records, make_signer
from tests.mail.test_compose import EDITION, READER

DATE = datetime(2026, 11, 26, 7, 0, tzinfo=UTC)
SELECTORS = Dkim(
    selector="jeudi", key_file="rsa.pem", ed25519_selector="jeudi-ed", ed25519_key_file="ed.pem"
)


def pem(key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture(scope="session")
def signer():
    return make_signer(
        SELECTORS,
        domain="example.org",
        rsa_pem=pem(rsa.generate_private_key(65537, 2048)),
        ed25519_pem=pem(ed25519.Ed25519PrivateKey.generate()),
    )


def compose(publication, keys, signer, reader=READER) -> bytes:
    compiled = compile_message(
        EDITION, settings=publication, keys=keys, run_id=5, date=DATE, signer=signer
    )
    return compiled.compose(reader).content


class _VerifyKey:
    """PyNaCl's, by cryptography: dkimpy does the rest of RFC 8463 itself."""

    def __init__(self, public, encoder):
        self._key = ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(public))

    def verify(self, digest, signature):
        self._key.verify(signature, digest)
        return digest


@pytest.fixture
def opendkim(signer, tmp_path):
    """What Debian's opendkim says of each signature; it reads the records from a file."""
    program = shutil.which("opendkim", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        pytest.fail("opendkim is missing: apt-get install opendkim")
    records = "".join(f"{name} {value}\n" for name, value in dns_records(signer))
    (tmp_path / "published").write_text(records)
    conf = tmp_path / "opendkim.conf"
    conf.write_text(f"Mode v\nSyslog no\nTestPublicKeys {tmp_path / 'published'}\n")

    def judge(content: bytes) -> list[str]:
        message = tmp_path / "message.eml"
        message.write_bytes(content)
        command = [program, "-vvv", "-x", str(conf), "-t", str(message)]
        said = subprocess.run(command, capture_output=True, text=True, check=True)
        return re.findall(r"dkim=(\w+)", said.stdout)

    return judge


@pytest.fixture
def verify(signer, monkeypatch):
    nacl = SimpleNamespace(
        signing=SimpleNamespace(VerifyKey=_VerifyKey),
        encoding=SimpleNamespace(Base64Encoder=None),
        exceptions=SimpleNamespace(BadSignatureError=InvalidSignature),
    )
    monkeypatch.setattr(dkimpy, "nacl", nacl, raising=False)
    published = {f"{name}.".encode(): value.encode() for name, value in dns_records(signer)}

    def verdicts(content: bytes) -> list[bool]:
        return [
            holds(dkimpy.DKIM(content), index) for index in range(content.count(b"DKIM-Signature:"))
        ]

    def holds(judge: dkimpy.DKIM, index: int) -> bool:
        try:
            return judge.verify(index, dnsfunc=lambda name, timeout=5: published[name])
        except dkimpy.ValidationError:  # "body hash mismatch"
            return False

    return verdicts


def test_both_signatures_verify_by_dkimpy(settings, keys, signer, verify):
    assert verify(compose(settings, keys, signer)) == [True, True]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=40,
)
@given(
    name=st.text(
        st.characters(codec="utf-8", exclude_characters="\x7f\x85\u2028\u2029", min_codepoint=32),
        min_size=1,
        max_size=90,
    )
)
def test_a_signature_holds_for_any_name(settings, keys, signer, verify, name):
    reader = Reader(subscriber_id=7, address="a@x.test", values={"first_name": name})
    assert verify(compose(settings, keys, signer, reader)) == [True, True]


@pytest.mark.parametrize(
    "change",
    [
        (b"Subject: ", b"Subject: Re: "),
        (b"To: Camille", b"To: Someone"),
        (b":8017/u/", b":8017/v/"),  # of no signature: base64 has no colon
        (b"List-Unsubscribe-Post: List-Unsubscribe", b"List-Unsubscribe-Post: Nothing"),
        (b"Message-ID: <a", b"Message-ID: <b"),
        (b"Bonjour", b"Bonsoir"),
        (b"\r\nFrom: ", b"\r\nFrom: Evil <e@evil.example>\r\nFrom: "),
        (b"\r\nFrom: ", b"\r\nX-New: x\r\nFrom: Evil <e@evil.example>\r\nFrom: "),
    ],
)
def test_a_change_on_the_way_voids_both(settings, keys, signer, verify, change):
    before, after = change
    content = compose(settings, keys, signer)
    assert before in content
    assert not any(verify(content.replace(before, after, 1)))


def test_folding_and_blanks_on_the_way_change_nothing(settings, keys, signer, verify):
    content = compose(settings, keys, signer)
    changed = content.replace(b"Subject: ", b"subject:   ").replace(
        b"List-Post: NO", b"List-Post:NO "
    )
    assert changed != content
    assert verify(changed + b"\r\n\r\n") == [True, True]


def test_the_same_message_has_the_same_signatures(settings, keys, signer):
    assert compose(settings, keys, signer) == compose(settings, keys, signer)


def test_both_headers_of_one_click_are_signed_and_from_twice(settings, keys, signer):
    head = compose(settings, keys, signer).partition(b"\r\n\r\n")[0]
    signed = head.replace(b"\r\n ", b"").partition(b"h=")[2].partition(b";")[0].split(b":")
    assert {b"list-unsubscribe", b"list-unsubscribe-post", b"to", b"message-id"} <= set(signed)
    assert signed.count(b"from") == 2


def test_no_line_of_a_signature_is_longer_than_78(settings, keys, signer):
    head = compose(settings, keys, signer).partition(b"\r\n\r\n")[0]
    assert max(map(len, head.split(b"\r\n"))) <= 78


def test_opendkim_says_the_same(settings, keys, signer, opendkim):
    content = compose(settings, keys, signer)
    assert opendkim(content) == ["pass", "pass"]
    assert opendkim(content.replace(b"Bonjour", b"Bonsoir")) == ["fail", "fail"]
    assert opendkim(content.replace(b"List-Unsubscribe:", b"X:")) == ["fail", "fail"]


def test_records_name_the_selectors_and_fit_the_format(signer):
    (rsa_name, rsa_value), (ed_name, ed_value) = dns_records(signer)
    assert (rsa_name, ed_name) == (
        "jeudi._domainkey.example.org",
        "jeudi-ed._domainkey.example.org",
    )
    assert rsa_value.startswith("v=DKIM1; k=rsa; p=MII")
    assert ed_value.startswith("v=DKIM1; k=ed25519; p=")
    assert len(base64.b64decode(ed_value.rpartition("=")[0].rpartition("p=")[2] + "=")) == 32


def test_an_rsa_signature_alone_is_enough(settings, keys, verify, signer):
    alone = type(signer)(domain=signer.domain, keys=signer.keys[:1])
    assert verify(compose(settings, keys, alone)) == [True]


@pytest.mark.parametrize(
    ("rsa_pem", "said"),
    [
        (b"", "cannot be read"),
        (b"-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n", "cannot be read"),
        (pem(rsa.generate_private_key(65537, 1024)), "2048"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "2048"),
    ],
)
def test_what_is_not_a_key_to_trust_is_refused(rsa_pem, said):
    with pytest.raises(ConfigError, match=said) as caught:
        make_signer(SELECTORS, domain="example.org", rsa_pem=rsa_pem)
    assert caught.value.key == "relay.dkim.key_file"


def test_an_rsa_key_is_not_an_ed25519_one(signer):
    key = pem(rsa.generate_private_key(65537, 2048))
    with pytest.raises(ConfigError, match="Ed25519"):
        make_signer(SELECTORS, domain="example.org", rsa_pem=key, ed25519_pem=key)
