"""The parsing child: alive from feed to feed, replaced when one kills it."""

import contextlib
import subprocess
import sys

import pytest

from newsletter.examples.child import ParseLimits, Parser
from newsletter.examples.reports import FeedFailed
from tests.examples.entries import item, rss

URL = "https://carnet.example/flux.xml"
# Slow without being a giant tag: each start tag is short of it, `>` in the values hides the length.
SLOW = b"<rss>" + b"<a " + b" ".join(b"a%d='>'" % n for n in range(60_000)) + b"/></rss>"


def fails(parser, content):
    with pytest.raises(FeedFailed) as failed:
        parser.parse(content, URL)
    return failed.value.reason


def test_one_child_reads_many_feeds():
    with Parser() as parser:
        parser.parse(rss(item()), URL)
        child = parser._child.pid
        assert parser.parse(rss(item(title="Deux")), URL).entries[0].title == "Deux"
        assert parser._child.pid == child


def test_a_document_that_is_no_feed_does_not_end_the_child():
    with Parser() as parser:
        assert fails(parser, b"bonjour") == "not_a_feed"
        child = parser._child.pid
        parser.parse(rss(item()), URL)
        assert parser._child.pid == child


def test_processor_time_is_limited_and_the_next_feed_is_read():
    with Parser(ParseLimits(cpu_s=0.2)) as parser:
        assert fails(parser, SLOW) == "parse_died"
        assert len(parser.parse(rss(item()), URL).entries) == 1


def test_wall_time_is_limited_and_the_next_feed_is_read():
    with Parser() as parser:
        parser.parse(rss(item()), URL)
        parser._limits = ParseLimits(wall_s=0.01)
        assert fails(parser, SLOW) == "parse_timeout"
        parser._limits = ParseLimits()
        assert len(parser.parse(rss(item()), URL).entries) == 1


def test_memory_is_limited_and_the_next_feed_is_read():
    with Parser(ParseLimits(memory_bytes=200_000_000)) as parser:
        huge = rss(item(description="é" * 40_000_000))
        assert fails(parser, huge) in {"too_much_memory", "parse_died", "unreadable"}
        assert len(parser.parse(rss(item()), URL).entries) == 1


def test_entity_bombs_end_in_an_error_or_in_nothing():
    layers = "".join(f"<!ENTITY l{n} '{f'&l{n - 1};' * 10}'>" for n in range(1, 12))
    laughs = f"<!DOCTYPE rss [<!ENTITY l0 'ha'>{layers}]>".encode()
    bomb = (
        rss(item(title="x"))
        .replace(b"<rss ", laughs + b"<rss ")
        .replace(b"<title>x<", b"<title>&l11;<")
    )
    quadratic = f"<!DOCTYPE rss [<!ENTITY a '{'a' * 50_000}'>]>".encode()
    other = (
        rss(item(description="x"))
        .replace(b"<rss ", quadratic + b"<rss ")
        .replace(b"<description>x<", b"<description>" + b"&a;" * 5_000 + b"<")
    )
    with Parser(ParseLimits(cpu_s=3)) as parser:
        for content in (bomb, other):
            with contextlib.suppress(FeedFailed):
                assert len(str(parser.parse(content, URL))) < 10_000
        assert len(parser.parse(rss(item()), URL).entries) == 1


def test_the_child_is_gone_when_the_parser_is_closed():
    with Parser() as parser:
        parser.parse(rss(item()), URL)
        child = parser._child
    assert child.poll() is not None


def test_the_child_may_neither_connect_nor_run_nor_write(tmp_path):
    script = (
        "import socket, subprocess, sys\n"
        "from newsletter.examples.parse_child import _forbid\n"
        "sys.addaudithook(_forbid)\n"
        "for act in (lambda: socket.create_connection(('127.0.0.1', 9)),"
        " lambda: subprocess.run(['true']), lambda: open('/etc/hostname'),"
        f" lambda: open({str(tmp_path / 'x.py')!r}, 'w')):\n"
        "    try: act()\n"
        "    except PermissionError: print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["refused"] * 4
