"""Edition + reader → bytes, without and with a DKIM signature, on one core."""

from __future__ import annotations

import random
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import readers, rivals
from benchmarks.figures import Figure, Options, interleave, rate_ratio, say, sum_up
from benchmarks.messages import BIG, SMALL, Size, address, make_edition
from newsletter.config import Dkim, load_keys
from newsletter.mail.compose import Compiled, Reader, compile_message
from newsletter.mail.dkim import Signer, make_signer


def measure(options: Options) -> Iterator[Figure]:
    """Yield messages composed a second by one core, and the ratio to EmailMessage."""
    count, few = options.count(60_000, 20_000), options.count(600, 200)
    people = _people(count)
    for size in (BIG, SMALL):
        say(f"composing, {size.name}")
        samples = interleave(
            {
                "compose": (partial(_compose, _compile(size), people), count),
                "EmailMessage": (partial(rivals.build, size, few), few),
            },
            options.rounds,
        )
        yield Figure(
            benchmark="compose",
            what=f"{size.name}, messages a second and core",
            rival="EmailMessage.as_bytes()",
            # Of the processor's time, not the wall's: a core is the unit.
            measured=median(1000 / sample.cpu for sample in samples["compose"]),
            target=60_000,
            unit="/s",
            detail=f"{rate_ratio(samples, 'compose', 'EmailMessage'):,.0f} × {sum_up(samples)}",
        )


def measure_dkim(options: Options) -> Iterator[Figure]:
    """Yield compose + RSA-2048 as a share of what openssl alone signs on one core."""
    count = options.count(8_000, 2_500)
    people = _people(count)
    signer = _make_signer()
    for size in (BIG, SMALL):
        say(f"composing and signing, {size.name}")
        samples = interleave(
            {
                "compose + RSA": (partial(_compose, _compile(size, signer), people), count),
                "openssl": (partial(_openssl, count), count),
            },
            options.rounds,
        )
        yield Figure(
            benchmark="dkim",
            what=f"{size.name}, compose + RSA-2048, of one core",
            rival="openssl speed rsa2048",
            measured=rate_ratio(samples, "compose + RSA", "openssl"),
            target=0.65,
            detail=sum_up(samples),
        )


def _people(count: int) -> list[Reader]:
    chance = random.Random(17)
    return [
        Reader(
            subscriber_id=chance.getrandbits(62),
            address=address(number),
            values={
                "first_name": chance.choice(readers.FIRST_NAMES),
                "last_name": chance.choice(readers.LAST_NAMES),
            },
        )
        for number in range(count)
    ]


def _compile(size: Size, signer: Signer | None = None) -> Compiled:
    with tempfile.TemporaryDirectory() as folder:
        settings = readers.make_publication(Path(folder), 25)
        keys = load_keys(settings, environ={})
    now = datetime.now(UTC)
    return compile_message(
        make_edition(size), settings=settings, keys=keys, run_id=1, date=now, signer=signer
    )


def _compose(compiled: Compiled, people: list[Reader]) -> tuple[float, float]:
    """One thread's own CPU time stands for the wall: others on the machine do not count."""
    start = time.thread_time()
    for reader in people:
        compiled.compose(reader).content  # noqa: B018 - joined as the transport does
    spent = time.thread_time() - start
    return spent, spent


def _openssl(count: int) -> tuple[float, float]:
    spent = count / rivals.openssl_rsa_per_s()
    return spent, spent


def _make_signer() -> Signer:
    pem = subprocess.run(["openssl", "genrsa", "2048"], check=True, capture_output=True).stdout
    return make_signer(
        Dkim(selector="bench", key_file="bench.pem"), domain="example.org", rsa_pem=pem
    )
