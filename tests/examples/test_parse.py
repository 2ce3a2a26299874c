import pytest

from newsletter.examples.parse import NotAFeed, ParsedEntry, parse_feed
from tests.examples.entries import item, rss

URL = "https://carnet.example/flux.xml"
ATOM = b"""<feed xmlns="http://www.w3.org/2005/Atom" xmlns:x="https://odd17.example/ns/alliance"
 xmlns:at="http://purl.org/atompub/tombstones/1.0" xml:base="https://a.example/">
<title type="html">L&amp;#8217;atelier</title><id>f</id>
<at:deleted-entry ref="e8" when="2026-01-01T00:00:00Z"/>
<at:deleted-entry ref="e9" when="2026-01-01T00:00:00Z"/>
<entry xml:base="exemples/"><id>e1</id><title>Un moulin</title><link href="moulin"/>
<published>2026-03-10T09:00:00Z</published><updated>2026-05-04T18:20:00Z</updated>
<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>La meule</p><p>tourne.</p></div>
</content><x:territoire>Petralba</x:territoire><category term="hybridation"/></entry></feed>
"""


def entry(content: bytes) -> ParsedEntry:
    (found,) = parse_feed(content, URL).entries
    return found


def test_an_atom_feed_is_read_with_its_bases_and_its_tombstones():
    feed = parse_feed(ATOM, URL)
    assert (feed.title, feed.withdrawn) == ("L’atelier", ("e8", "e9"))
    (found,) = feed.entries
    assert found.link == "https://a.example/exemples/moulin"
    assert found.summary == "La meule tourne."
    assert found.dates == ("2026-03-10T09:00:00Z", "2026-05-04T18:20:00Z")
    assert (found.territory, found.categories) == ("Petralba", ("hybridation",))


def test_a_relative_link_is_relative_to_the_feed():
    assert entry(rss(item(link="/cuisine"))).link == "https://carnet.example/cuisine"


def test_any_prefix_bound_to_our_namespace_counts():
    content = (
        rss(item(territoire="Lise")).replace(b"alliance:", b"zz:").replace(b":alliance", b":zz")
    )
    assert entry(content).territory == "Lise"


def test_no_file_is_ever_opened(tmp_path):
    secret = tmp_path / "secret.xml"
    secret.write_bytes(rss(item(title="Secret")))
    with pytest.raises(NotAFeed):
        parse_feed(str(secret).encode(), URL)
    bomb = rss(item()).replace(
        b"<rss ", b'<!DOCTYPE r [<!ENTITY x SYSTEM "file://%s">]><rss ' % str(secret).encode()
    )
    assert "Secret" not in str(parse_feed(bomb.replace(b"cuisine", b"&x;"), URL))


def test_what_is_no_feed_is_refused():
    for content in (b"", b"bonjour", b"<html><body>Bonjour</body></html>", b"\x00\xff" * 50):
        with pytest.raises(NotAFeed):
            parse_feed(content, URL)


def test_only_the_two_hundred_newest_entries_are_kept():
    items = [
        item(title=f"N{n}", pubDate=f"Tue, 05 May 2026 0{n // 60}:{n % 60:02}:00 +0000")
        for n in range(250)
    ]
    titles = {found.title for found in parse_feed(rss(*items), URL).entries}
    assert len(titles) == 200
    assert "N249" in titles
    assert "N0" not in titles


def test_every_field_is_bounded():
    long = "mot " * 10_000
    found = entry(
        rss(
            item(
                title=long,
                description=long,
                territoire=long,
                acteurs=long,
                guid=long,
                link="/" + "x" * 9_000,
            )
        )
    )
    assert len(found.title) <= 300
    assert len(found.summary) <= 280
    assert len(found.territory) <= 300
    assert len(found.actors) <= 2_000
    assert (found.guid, found.link) == ("", "")
    assert "too_long" in found.repairs


def test_a_script_goes_and_is_told():
    found = entry(rss(item(description="<script>vol()</script><p onclick='x()'>Texte</p>")))
    assert found.summary == "Texte"
    assert "active_content" in found.repairs


def test_braces_of_a_feed_stay_characters():
    assert entry(rss(item(title="{{7*7}}"))).title == "{{7*7}}"


def test_the_fences_of_our_holes_never_come_from_a_feed():
    assert entry(rss(item(title="a\ue000first_name|x\ue001b"))).title == "afirst_name|xb"


def test_double_encoded_titles_are_told_even_when_feedparser_mends_them():
    for title in ("La solidaritÃ© d'abord", "Lâ€™eau"):
        found = entry(rss(item(title=title)))
        assert "double_encoding" in found.repairs
        assert found.title in {"La solidarité d'abord", "L’eau"}


def test_a_feed_that_is_not_well_formed_is_read_and_told():
    feed = parse_feed(rss(item(description="R&D")).replace(b"R&amp;D", b"R&D <b>gras"), URL)
    assert feed.repairs == ("markup",)
    assert feed.entries[0].summary == "R&D gras"


def test_an_image_is_taken_from_the_enclosure():
    content = rss(item()).replace(
        b"</item>", b'<enclosure url="https://a.example/i.jpg" type="image/jpeg"/></item>'
    )
    assert entry(content).image_url == "https://a.example/i.jpg"


def test_the_description_comes_before_the_content():
    content = rss(item(description="Court.")).replace(
        b"</item>",
        b'<c:encoded xmlns:c="http://purl.org/rss/1.0/modules/content/">Long.</c:encoded></item>',
    )
    assert entry(content).summary == "Court."
    without = content.replace(b"<description>Court.</description>", b"")
    assert entry(without).summary == "Long."
