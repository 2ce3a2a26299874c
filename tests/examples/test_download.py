"""TLS, and what the clock allows: the rest of a download is seen through collect."""

import datetime as dt
import ssl

import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from newsletter.config import Feeds
from newsletter.examples import download as module
from newsletter.examples.download import download
from newsletter.examples.polling import FeedState
from newsletter.examples.reports import FeedFailed
from tests.examples.entries import rss


@pytest.fixture
def certificate(tmp_path, now):
    """A self-signed certificate for carnet.example, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "carnet.example")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2120, 1, 1, tzinfo=dt.UTC))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("carnet.example")]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def tls_server(server, certificate):
    """The feed server behind TLS; ``names`` are those it was asked for in the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.names = []
    context.sni_callback = lambda _socket, name, _context: server.names.append(name)
    server.wrap(context)
    return server


def ask(host, port, **how):
    url = f"https://{host}:{port}/rss"
    return download(
        FeedState(url=url, current_url=url),
        Feeds(allow_private=(f"{host}:{port}",), total_timeout_s=60),
        agent="essai",
        resolve=lambda *_: ["127.0.0.1"],
        **how,
    )


def test_the_name_stays_in_the_handshake_while_the_address_is_ours(
    tls_server, certificate, monkeypatch
):
    trusting = ssl.create_default_context(cafile=certificate)
    monkeypatch.setattr(module, "_tls", lambda: trusting)
    tls_server.serve("/rss", rss())
    assert ask("carnet.example", tls_server.port).content == rss()
    assert tls_server.names == ["carnet.example"]


def test_a_certificate_of_another_name_is_refused(tls_server, certificate, monkeypatch):
    trusting = ssl.create_default_context(cafile=certificate)
    monkeypatch.setattr(module, "_tls", lambda: trusting)
    with pytest.raises(FeedFailed) as failed:
        ask("autre.example", tls_server.port)
    assert failed.value.reason == "connect_failed"


def test_a_certificate_nobody_vouches_for_is_refused(tls_server):
    with pytest.raises(FeedFailed) as failed:
        ask("carnet.example", tls_server.port)
    assert failed.value.reason == "connect_failed"


def test_the_clock_bounds_the_whole_download(server):
    server.serve("/rss", rss())
    ticks = iter(range(0, 10_000, 40))  # of the 60 s it may take
    with pytest.raises(FeedFailed) as failed:
        ask("carnet.example", server.port, clock=lambda: next(ticks))
    assert failed.value.reason == "timed_out"


def test_a_second_look_up_is_never_made(server):
    """Rebinding: the first answer is the one that is checked and the one that is used."""
    asked = []

    def once(host, port):
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    server.serve("/rss", rss())
    url = f"http://carnet.example:{server.port}/rss"
    answer = download(
        FeedState(url=url, current_url=url),
        Feeds(allow_private=(f"carnet.example:{server.port}",)),
        agent="essai",
        resolve=once,
    )
    assert answer.content == rss()
    assert asked == ["carnet.example"]


def test_only_the_public_addresses_of_a_mixed_answer_are_tried(monkeypatch):
    tried = []

    def refuse(self, host, port, *_):
        tried.append(host)
        raise httpcore.ConnectError("closed")

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", refuse)
    with pytest.raises(FeedFailed):
        download(
            FeedState(url="http://a.example/", current_url="http://a.example/"),
            Feeds(),
            agent="essai",
            resolve=lambda *_: ["10.0.0.1", "192.0.2.1", "8.8.8.8", "::1"],
        )
    assert tried == ["8.8.8.8"]


@pytest.mark.parametrize("host", ["①②⑦.⓪.⓪.①", "127.0.0.1\t", "\x00"])
def test_a_host_that_only_httpx_refuses_is_a_failure_of_the_feed(host):
    url = f"http://{host}/"
    with pytest.raises(FeedFailed):
        download(FeedState(url=url, current_url=url), Feeds(), agent="x")
