"""DKIM signatures (RFC 6376), relaxed/relaxed, by RSA-2048 and, beside it, Ed25519 (RFC 8463).

In: private keys, the headers that all messages of a run share; then one reader's headers and the
body. Out: DKIM-Signature lines to put first, and the records to publish. Never: a key file
(``delivery.signing`` reads it), nor ``l=``, which would let anybody add to the body.

The lines it signs are made by ``headers`` and ``parts``: they are already relaxed but for folds
and the case of names. The RSA operation releases the GIL: two threads sign twice as fast.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from newsletter.config import Dkim
from newsletter.errors import ConfigError
from newsletter.mail.headers import relaxed

# Signed where they stand. RFC 8058 §4 wants both List-Unsubscribe headers under the signature.
SIGNED = (
    "From", "Reply-To", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type",
    "Content-Transfer-Encoding", "List-Id", "List-Unsubscribe", "List-Unsubscribe-Post",
    "List-Help", "List-Subscribe", "List-Archive", "List-Post", "Feedback-ID", "Auto-Submitted",
)  # fmt: skip
# Signed once more than they stand (RFC 6376 §8.15): nobody can add a second one.
OVERSIGNED = ("From",)
_SIGNATURE_COLUMNS = 72


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """One private key under its selector; ``sign`` takes the SHA-256 of what is signed."""

    selector: str
    algorithm: str  # "rsa" or "ed25519"
    public: bytes  # as the record publishes it
    sign: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What all signatures of a run share, made ready: ``sign`` adds one reader's part."""

    stamps: tuple[_Stamp, ...]

    def sign(self, personal: Sequence[bytes], body: Sequence[bytes]) -> bytes:
        """Return the DKIM-Signature lines of a message.

        *personal* are its headers in the order given to ``prepare``, *body* is in relaxed form.
        """
        body_hash = hashlib.sha256(b"".join(body)).digest()
        tail = b"".join(map(relaxed, personal))
        bh = b64encode(body_hash)
        return b"".join([stamp.sign(tail, bh) for stamp in self.stamps])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stamp:
    key: SigningKey
    opening: bytes  # "DKIM-Signature: … bh=" as it is sent
    relaxed_opening: bytes
    shared: Any  # SHA-256 over the headers that all messages share

    def sign(self, tail: bytes, body_hash: bytes) -> bytes:
        digest = self.shared.copy()
        # §3.7: the signature's own header last, its b= empty, without CRLF.
        digest.update(tail + self.relaxed_opening + body_hash + b"; b=")
        signature = b64encode(self.key.sign(digest.digest()))
        rows = [
            signature[place : place + _SIGNATURE_COLUMNS]
            for place in range(0, len(signature), _SIGNATURE_COLUMNS)
        ]
        return self.opening + body_hash + b";\r\n b=" + b"\r\n ".join(rows) + b"\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """The signing keys of a domain."""

    domain: str
    keys: tuple[SigningKey, ...]

    def prepare(self, shared: Sequence[bytes], *, personal: Sequence[str]) -> Seal:
        """Return the seal of messages that share the header lines *shared*.

        *personal* names the headers of each message, in the order in which it will give them.
        There is no ``t=``: Date is signed and says it, and a verifier whose clock is late would
        doubt it.
        """
        wanted = {name.lower() for name in SIGNED}
        lines = [line for line in shared if _name(line) in wanted]
        names = [
            *map(_name, lines),
            *(name.lower() for name in personal),
            # §5.4.2: an instance that does not exist adds nothing to what is hashed.
            *(name.lower() for name in OVERSIGNED),
        ]
        digest = hashlib.sha256(b"".join(map(relaxed, lines)))
        return Seal(stamps=tuple(_stamp(self, key, names, digest) for key in self.keys))


def _stamp(signer: Signer, key: SigningKey, names: Sequence[str], shared: Any) -> _Stamp:
    rows = _fold_names(names)
    opening = (
        f"DKIM-Signature: v=1; a={key.algorithm}-sha256; c=relaxed/relaxed;\r\n"
        f" d={signer.domain}; s={key.selector};\r\n"
        f" h={rows};\r\n bh="
    ).encode("ascii")
    return _Stamp(
        key=key,
        opening=opening,
        relaxed_opening=relaxed(opening).removesuffix(b"\r\n"),
        shared=shared,
    )


def _fold_names(names: Sequence[str]) -> str:
    rows = [names[0]]
    for name in names[1:]:
        if len(rows[-1]) + 1 + len(name) > _SIGNATURE_COLUMNS:
            rows[-1] += ":"
            rows.append(name)
        else:
            rows[-1] += f":{name}"
    return "\r\n ".join(rows)


def _name(line: bytes) -> str:
    return line.partition(b":")[0].decode("ascii").lower()


# --- keys and records ----------------------------------------------------------------------------


RSA_SETTING, RSA_FILE = "relay.dkim.key_file", "var/dkim-rsa.pem"
ED25519_SETTING, ED25519_FILE = "relay.dkim.ed25519_key_file", "var/dkim-ed25519.pem"


def make_signer(dkim: Dkim, *, domain: str, rsa_pem: bytes, ed25519_pem: bytes = b"") -> Signer:
    """Return the signer of *dkim*; its domain is that of the sender unless it names another.

    Raise ConfigError when a key is not one, or is too short to be trusted.
    """
    keys = [_rsa_key(dkim.selector, rsa_pem)]
    if ed25519_pem:
        keys.append(_ed25519_key(dkim.ed25519_selector, ed25519_pem))
    return Signer(domain=dkim.domain or domain, keys=tuple(keys))


def _rsa_key(selector: str, pem: bytes) -> SigningKey:
    key = _load(pem, RSA_SETTING)
    if not isinstance(key, RSAPrivateKey) or key.key_size < 2048:
        raise ConfigError(
            f"{RSA_SETTING} is not an RSA key of 2048 bits",
            key=RSA_SETTING,
            remedy=f"name one there, made by: openssl genrsa -out {RSA_FILE} 2048",
        )
    padding, hashed = PKCS1v15(), Prehashed(hashes.SHA256())
    return SigningKey(
        selector=selector,
        algorithm="rsa",
        public=key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        sign=lambda digest: key.sign(digest, padding, hashed),
    )


def _ed25519_key(selector: str, pem: bytes) -> SigningKey:
    key = _load(pem, ED25519_SETTING)
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(
            f"{ED25519_SETTING} is not an Ed25519 key",
            key=ED25519_SETTING,
            remedy=f"name one there: openssl genpkey -algorithm ed25519 -out {ED25519_FILE}",
        )
    # RFC 8463 §3: Ed25519 signs the SHA-256 of the headers; the record holds the bare 32 octets.
    return SigningKey(
        selector=selector,
        algorithm="ed25519",
        public=key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw),
        sign=key.sign,
    )


def _load(pem: bytes, setting: str) -> object:
    try:
        return load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError(
            f"{setting} cannot be read as a private key",
            key=setting,
            remedy="it must be a PEM file, of the private key, without a password",
        ) from None


def dns_records(signer: Signer) -> tuple[tuple[str, str], ...]:
    """Return the TXT records to publish, as (name, value)."""
    return tuple(
        (
            f"{key.selector}._domainkey.{signer.domain}",
            f"v=DKIM1; k={key.algorithm}; p={b64encode(key.public).decode('ascii')}",
        )
        for key in signer.keys
    )
