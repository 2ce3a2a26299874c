import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.errors import ConfigError
from newsletter.examples.opml import Source, read_opml


def read(body: str):
    return read_opml(
        f'<opml version="2.0"><body>{body}</body></opml>'.encode(), "issues/feeds.opml"
    )


def test_feeds_come_in_the_order_of_the_file_folders_included():
    sources, findings = read(
        '<outline text="Dossier"><outline type="rss" text="Un" xmlUrl="https://a.example/1"/></outline>'
        '<outline title="Deux" text="2" xmlUrl="https://a.example/2"/>'
    )
    assert sources == (
        Source(url="https://a.example/1", title="Un"),
        Source(url="https://a.example/2", title="Deux"),
    )
    assert findings == ()


def test_an_address_counts_once():
    assert len(read('<outline xmlUrl="https://a.example/1"/>' * 3)[0]) == 1


def test_lines_that_cannot_be_used_are_findings_with_their_line():
    sources, findings = read(
        '\n<outline type="rss" text="sans adresse"/>\n<outline xmlUrl="file:///etc/passwd"/>'
        '\n<outline xmlUrl="https://a.example/1"/>'
    )
    assert [(finding.code, finding.line) for finding in findings] == [
        ("outline_without_url", 2),
        ("outline_bad_url", 3),
    ]
    assert len(sources) == 1


@pytest.mark.parametrize(
    "hostile",
    [
        b'<!DOCTYPE o [<!ENTITY a "b">]><opml/>',
        b'<!DOCTYPE o SYSTEM "file:///etc/passwd"><opml/>',
        b"",
        b"pas du xml",
        b"<opml><body>",
        b"<opml>&x;</opml>",
        b'<?xml version="1.0" encoding="zlib"?><opml/>',
        b" " * 3_000_000,
    ],
)
def test_what_is_not_plain_xml_is_refused_with_a_remedy(hostile):
    with pytest.raises(ConfigError) as refused:
        read_opml(hostile, "issues/feeds.opml")
    assert refused.value.path == "issues/feeds.opml"
    assert refused.value.remedy


@given(st.binary())
def test_any_bytes_are_read_or_refused(content):
    with contextlib.suppress(ConfigError):
        read_opml(content, "x")
