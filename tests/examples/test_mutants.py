"""Hundreds of broken copies of the sample feeds: none crashes a collection, none gets dirt through.

The mutants are the same at every run: their numbers seed them.
"""

import random

import pytest

from newsletter.examples.fetch import collect
from newsletter.examples.reports import FeedOutcome
from newsletter.store import database
from newsletter.store.examples import list_examples
from tests.examples.watching import SAMPLES, watch

NAMES = sorted(path.name for path in SAMPLES.glob("*.xml"))
DIRT = [
    b"\x00", b"\xff\xfe", b"&#0;", b"&#xD800;", b"&#x202e;", b"&#xE000;x&#xE001;", b"&#x110000;",
    b"<![CDATA[", b"]]>", b"<!--", b"-->", b"<!DOCTYPE x [", b"<!ENTITY a 'b'>", b"&a;", b"</item>",
    b"<item>", b"<entry>", b"</entry>", b"<channel>", b"<svg onload=x>", b"</title>", b"<title>",
    b"<guid>", b"<link>", b"javascript:alert(1)", b"http://[::1", b" xmlns='x'", b" xml:base='//'",
    b"<a:b:c>", b"\r\n", b"\xf0\x9f\x8c\xbb", b"<?php ?>", b"{{7*7}}", b"%00", b"&&&&", b"\x80\x81",
    b"1762326000", b"<enclosure url='http://127.0.0.1/' type='image/png'/>", b"<source>", b"base64",
    b" type='application/octet-stream' mode='base64'", b"<pubDate>99 99 9999</pubDate>",
]  # fmt: skip


def mutate(number: int) -> bytes:
    chance = random.Random(number)
    content = bytearray((SAMPLES / NAMES[number % len(NAMES)]).read_bytes())
    for _ in range(chance.randint(1, 12)):
        place = chance.randrange(len(content))
        match chance.randrange(5):
            case 0:
                content[place] = chance.randrange(256)
            case 1:
                del content[place : place + chance.randint(1, 400)]
            case 2:
                content[place:place] = chance.choice(DIRT)
            case 3:
                start = chance.randrange(len(content))
                content[place:place] = content[start : start + chance.randint(1, 600)]
            case 4:
                content[place : place + 1] = chance.choice(DIRT) * chance.randint(1, 20)
    return bytes(content)


@pytest.mark.parametrize("first", range(0, 400, 50))
def test_mutants_never_crash_a_collection(publication, server, sqlite_engine, now, first):
    mutants = {f"/{number}": mutate(number) for number in range(first, first + 50)}
    watch(publication, *(server.serve(path, body) for path, body in mutants.items()))
    report = collect(publication, sqlite_engine, now)
    assert len(report.feeds) == 50
    for feed in report.feeds:
        assert feed.outcome in {FeedOutcome.READ, FeedOutcome.FAILED}
        assert feed.reason is None or feed.reason.code in {"not_a_feed", "unreadable", "giant_tag"}
    with database.read(sqlite_engine) as connection:
        for example in list_examples(connection, withdrawn=True):
            assert_is_clean(example)


def assert_is_clean(example):
    texts = [example.title, example.summary, example.territory, example.rights, example.source]
    texts += [word for actor in example.actors for word in (actor.name, actor.role)]
    for text in texts:
        assert not set(text) & set("\x00\ue000\ue001\u202e\u2028\n\r")
        assert "<script" not in text
        assert "onload=" not in text or "<svg" not in text
    assert example.title
    assert len(example.title) <= 300
    assert len(example.summary) <= 280
    for link in (example.link, example.image_url):
        assert link == "" or link.startswith(("http://", "https://"))
        assert "127.0.0.1" not in link
