"""The SMTP client alone, on prebuilt bytes, against the standard library's.

``transport``: CPU of the client's process on loopback. ``round_trip``: the same clients on one
connection behind a link of 10 ms each way, where waiting is all that counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks import rivals, sinks
from benchmarks.courier import send_prebuilt
from benchmarks.figures import Figure, Options, cpu_ratio, interleave, rate_ratio, say, sum_up
from benchmarks.messages import BIG, SMALL, prebuilt

ONE_WAY_MS = 10.0
CPU_TARGETS = {BIG: {"DATA": 1 / 4, "BDAT": 1 / 15}, SMALL: {"DATA": 1 / 2, "BDAT": 1 / 7}}
SPEED_TARGETS = {"DATA": 3.0, "BDAT": 25.0}


def measure(options: Options) -> Iterator[Figure]:
    """Yield the share of smtplib's CPU that our client takes."""
    for size, targets in CPU_TARGETS.items():
        content = prebuilt(size)
        count, few = options.count(20_000, 6_000), options.count(4_000, 1_200)
        say(f"client alone, {len(content):,} bytes, {count:,} messages, 8 connections")
        with sinks.fast_sink() as port:
            samples = interleave(
                {
                    "DATA": (partial(send_prebuilt, port, count, content, chunking=False), count),
                    "BDAT": (partial(send_prebuilt, port, count, content), count),
                    "smtplib": (partial(rivals.smtplib_prebuilt, port, few, content), few),
                },
                options.rounds,
            )
        for verb, target in targets.items():
            yield Figure(
                benchmark="transport",
                what=f"CPU of {verb}, {size.name}",
                rival="smtplib, 8 threads",
                measured=cpu_ratio(samples, verb, "smtplib"),
                target=target,
                sign="≤",
                detail=sum_up(samples),
            )


def measure_round_trip(options: Options) -> Iterator[Figure]:
    """Yield how many times faster than smtplib one connection is at 20 ms of round trip."""
    counts = {
        "DATA": options.count(400, 120),
        "BDAT": options.count(4_000, 1_200),
        "smtplib": options.count(100, 40),
    }
    for size in (BIG, SMALL):
        content = prebuilt(size)
        say(f"one connection, 20 ms of round trip, {len(content):,} bytes")
        with sinks.fast_sink() as sink, sinks.delayed(sink, ONE_WAY_MS) as port:
            samples = interleave(
                {
                    "DATA": (
                        partial(
                            send_prebuilt,
                            port,
                            counts["DATA"],
                            content,
                            connections=1,
                            chunking=False,
                        ),
                        counts["DATA"],
                    ),
                    "BDAT": (
                        partial(send_prebuilt, port, counts["BDAT"], content, connections=1),
                        counts["BDAT"],
                    ),
                    "smtplib": (
                        partial(
                            rivals.smtplib_prebuilt, port, counts["smtplib"], content, connections=1
                        ),
                        counts["smtplib"],
                    ),
                },
                options.rounds,
            )
        for verb, target in SPEED_TARGETS.items():
            yield Figure(
                benchmark="round_trip",
                what=f"{verb}, {size.name}, one connection",
                rival="smtplib, one connection",
                measured=rate_ratio(samples, verb, "smtplib"),
                target=target,
                detail=sum_up(samples),
            )
