"""Composing + ledger (FULL) + SMTP, by ``dispatch`` on a frozen run, against tools that do less."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import readers, rivals, sinks
from benchmarks.dispatching import run_dispatcher
from benchmarks.figures import Figure, Options, Run, Samples, interleave, rate_ratio, say, sum_up
from benchmarks.messages import BIG, SMALL, Size, wire_size

RIVALS = {
    "smtp-source": "smtp-source -d -N -s 8",
    "naive": "EmailMessage + smtplib + commit per message",
}


def measure(options: Options) -> Iterator[Figure]:
    """Yield the ratios to smtp-source (into its own sink, into Postfix) and to naive code."""
    for size in (BIG, SMALL):
        yield from _into_smtp_sink(size, options)
    for size in (BIG, SMALL):
        yield _into_fast_sink(size, options)
    for size in (SMALL, BIG):  # last: what a Postfix wrote keeps the disk busy for a while
        yield _into_postfix(size, options)


def _into_smtp_sink(size: Size, options: Options) -> Iterator[Figure]:
    # So many that both take some seconds: beginning and end are not what is compared.
    count = options.count(20_000 if size is BIG else 80_000, 5_000)
    where = f"{size.name} into smtp-sink"
    say(f"{where}, {wire_size(size):,} bytes, {count:,} readers")
    with sinks.smtp_sink() as port:
        samples = interleave(
            {
                "dispatch": (lambda: dispatch_once(port, count, size), count),
                "smtp-source": (lambda: rivals.smtp_source(port, count, wire_size(size)), count),
                "naive": _naive(port, size, options),
            },
            options.rounds,
        )
    yield _compare(samples, "smtp-source", where, target=1.0)
    yield _compare(samples, "naive", where, target=20)


def _into_fast_sink(size: Size, options: Options) -> Figure:
    """Naive code again, where the sink is not the ceiling: smtp-sink reads 78 KB in 0.2 ms."""
    count = options.count(20_000, 5_000)
    where = f"{size.name} into a fast sink"
    say(f"{where}, {wire_size(size):,} bytes, {count:,} readers")
    with sinks.fast_sink() as port:
        dispatch = (lambda: dispatch_once(port, count, size), count)
        contenders = {"dispatch": dispatch, "naive": _naive(port, size, options)}
        samples = interleave(contenders, options.rounds)
    return _compare(samples, "naive", where, target=20)


def _into_postfix(size: Size, options: Options) -> Figure:
    """With one envelope sender, as smtp-source has; with VERP beside it, as we send by default."""
    count = options.count(20_000, 1_500)
    where = f"{size.name} into Postfix"
    say(f"{where}, {wire_size(size):,} bytes, {count:,} readers")

    def ours(*, verp: bool) -> tuple[float, float]:
        with sinks.postfix() as port:
            return dispatch_once(port, count, size, verp=verp)

    def theirs() -> tuple[float, float]:
        with sinks.postfix() as port:
            return rivals.smtp_source(port, count, wire_size(size))

    samples = interleave(
        {
            "dispatch": (lambda: ours(verp=False), count),
            "smtp-source": (theirs, count),
            "VERP": (lambda: ours(verp=True), count),
        },
        options.rounds,
    )
    verp = rate_ratio(samples, "VERP", "smtp-source")
    return _compare(samples, "smtp-source", where, target=0.9, note=f" with VERP {verp:.3g} ×")


def _naive(port: int, size: Size, options: Options) -> tuple[Run, int]:
    few = options.count(600, 150)
    return (lambda: rivals.naive(port, few, size)), few


def _compare(samples: Samples, rival: str, where: str, *, target: float, note: str = "") -> Figure:
    return Figure(
        benchmark="end_to_end",
        what=where,
        rival=RIVALS[rival],
        measured=rate_ratio(samples, "dispatch", rival),
        target=target,
        detail=sum_up(samples) + note,
    )


def dispatch_once(port: int, count: int, size: Size, *, verp: bool = True) -> tuple[float, float]:
    """Dispatch a fresh run of *count* readers and return the (wall, CPU) seconds of the call."""
    with tempfile.TemporaryDirectory(prefix="newsletter-bench-") as folder:
        settings = readers.make_publication(Path(folder), port, verp=verp)
        run_id = readers.open_run(settings, count, size)
        spent = run_dispatcher(Path(folder), run_id)
    if spent.sent != count:
        raise SystemExit(f"{spent.sent} of {count} were sent")
    return spent.wall_s, spent.cpu_s
