"""Opaque words that stand for one reader of one run: links to leave, VERP, Message-ID.

In: the publication's keys, a purpose, a subscriber's random id, a run's id (0 for none). Out: a
token, or the facts of one that is ours. Never: an address, a clock, or a token told apart from
another by the time its refusal takes.

A token is lower-case base32 (RFC 4648 §6, without padding) and survives case folding, for mail
systems change the case of local parts::

    version  subscriber     run       tag
    2        13 symbols     0 to 13   26 symbols = 130 bits of HMAC-SHA256

The tag covers purpose, version, run and subscriber (T1). It is deterministic: the same reader of
the same run has the same links, the same Message-ID and the same envelope on any repeat. The
highest key version signs, in a run that of its start; every version still in the keys opens.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from newsletter.config import Keys
from newsletter.errors import TokenError

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_VALUES = {symbol: value for value, symbol in enumerate(_ALPHABET)}
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
# One symbol for each octet of a digest: its low five bits.
_TAG_SYMBOLS = bytes(ord(_ALPHABET[octet & 31]) for octet in range(256))

_INNER = bytes(octet ^ 0x36 for octet in range(256))
_OUTER = bytes(octet ^ 0x5C for octet in range(256))

_VERSION_LENGTH = 2
_SUBSCRIBER_LENGTH = 13  # 65 bits for an id of 63
_TAG_LENGTH = 26  # 130 bits: no less than the 128 of T1
_HEAD_LENGTH = _VERSION_LENGTH + _SUBSCRIBER_LENGTH
_MAX_LENGTH = _HEAD_LENGTH + 13 + _TAG_LENGTH
_MAX_ID = 2**63 - 1


class Purpose(StrEnum):
    """What a token is good for; one never opens for another purpose."""

    UNSUBSCRIBE = "unsubscribe"  # the one-click link (RFC 8058)
    PREFERENCES = "preferences"
    BOUNCE = "bounce"  # the envelope sender's local part (VERP)
    MESSAGE = "message"  # the Message-ID's local part
    LETTER = "letter"  # the Message-ID of a letter; a number of its own in the subscriber's place


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """Whom a token stands for; ``run_id`` is 0 when it belongs to no run."""

    subscriber_id: int
    run_id: int


def sign(keys: Keys, purpose: Purpose, subscriber_id: int, run_id: int) -> str:
    """Return the token of one reader of one run."""
    return minter(keys, purpose, run_id)(spell(subscriber_id)).decode("ascii")


def spell(subscriber_id: int) -> bytes:
    """Return the 13 symbols that stand for a subscriber in every token."""
    if not 0 <= subscriber_id <= _MAX_ID:
        raise ValueError(f"no token can carry subscriber {subscriber_id}")
    # _spell(subscriber_id, 13), unrolled: every message pays for it.
    return (
        _ALPHABET[subscriber_id >> 60]
        + _PAIRS[subscriber_id >> 50 & 1023]
        + _PAIRS[subscriber_id >> 40 & 1023]
        + _PAIRS[subscriber_id >> 30 & 1023]
        + _PAIRS[subscriber_id >> 20 & 1023]
        + _PAIRS[subscriber_id >> 10 & 1023]
        + _PAIRS[subscriber_id & 1023]
    ).encode("ascii")


def minter(
    keys: Keys, purpose: Purpose, run_id: int, *, version: int | None = None
) -> Callable[[bytes], bytes]:
    """Return the function that signs for each spelled subscriber of one run, in 1 µs.

    *version* is for opening old tokens and for a run that has begun; else the current one signs.
    """
    number = keys.current if version is None else version
    if not 0 <= number < 32**_VERSION_LENGTH or not 0 <= run_id <= _MAX_ID:
        raise ValueError(f"no token can carry version {number} and run {run_id}")
    head = _spell(number, _VERSION_LENGTH).encode("ascii")
    run = _spell_shortest(run_id).encode("ascii")
    # HMAC (RFC 2104 §2) with both pads hashed once: half the time of a copied hmac object.
    key = _pad(keys.versions[number])
    open_inner = sha256(key.translate(_INNER) + f"{purpose}:{number}:{run_id}:".encode()).copy
    open_outer = sha256(key.translate(_OUTER)).copy

    def mint(subscriber: bytes) -> bytes:
        inner, outer = open_inner(), open_outer()
        inner.update(subscriber)
        outer.update(inner.digest())
        return head + subscriber + run + outer.digest()[:_TAG_LENGTH].translate(_TAG_SYMBOLS)

    return mint


def _pad(key: bytes) -> bytes:
    block = sha256().block_size
    return (key if len(key) <= block else sha256(key).digest()).ljust(block, b"\0")


def open_token(keys: Keys, purpose: Purpose, token: str) -> TokenFacts:
    """Return the facts of a token of ours, in any mix of case.

    Raise TokenError for any other: unknown, of another purpose, of a key that is gone.
    """
    # Only ASCII: U+212A, the Kelvin sign, would fold to a letter of the alphabet.
    text = token.lower() if token.isascii() else ""
    run_length = len(text) - _HEAD_LENGTH - _TAG_LENGTH
    if not 0 <= run_length <= _MAX_LENGTH - _HEAD_LENGTH - _TAG_LENGTH or not _VALUES.keys() >= {
        *text
    }:
        raise _not_ours()
    version = _read(text[:_VERSION_LENGTH])
    subscriber_id = _read(text[_VERSION_LENGTH:_HEAD_LENGTH])
    run_id = _read(text[_HEAD_LENGTH : _HEAD_LENGTH + run_length])
    if version not in keys.versions or max(subscriber_id, run_id) > _MAX_ID:
        raise _not_ours()
    # Signing again also refuses a second spelling of the same numbers.
    expected = minter(keys, purpose, run_id, version=version)(spell(subscriber_id))
    if not hmac.compare_digest(expected, text.encode("ascii")):
        raise _not_ours()
    return TokenFacts(subscriber_id=subscriber_id, run_id=run_id)


def _not_ours() -> TokenError:
    return TokenError("this link is not one of ours, or is no longer valid")


def _spell(number: int, length: int) -> str:
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(length)))


def _spell_shortest(number: int) -> str:
    return _spell(number, (number.bit_length() + 4) // 5)


def _read(symbols: str) -> int:
    number = 0
    for symbol in symbols:
        number = number << 5 | _VALUES[symbol]
    return number
