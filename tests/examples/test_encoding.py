import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.examples.encoding import decode, mend_ampersands


def xml(encoding: str, body: str, codec: str = "") -> bytes:
    return f'<?xml version="1.0" encoding="{encoding}"?><a>{body}</a>'.encode(codec or encoding)


def test_windows_1252_that_claims_latin_1_is_put_right_and_told():
    text, repairs = decode(xml("ISO-8859-1", "l’œuvre – 12 €", "cp1252"))
    assert "l’œuvre – 12 €" in text
    assert repairs == ("encoding",)


def test_true_latin_1_needs_no_repair():
    assert decode(xml("ISO-8859-1", "été")) == (
        '<?xml version="1.0" encoding="ISO-8859-1"?><a>été</a>', ()
    )  # fmt: skip


def test_utf_8_that_claims_latin_1_is_utf_8():
    text, repairs = decode(xml("ISO-8859-1", "été", "utf-8"))
    assert "été" in text
    assert repairs == ("encoding",)


def test_a_byte_order_mark_on_windows_bytes_is_not_believed():
    text, repairs = decode(codecs.BOM_UTF8 + xml("ISO-8859-1", "l’été", "cp1252"))
    assert "l’été" in text
    assert not text.startswith("\ufeff")
    assert repairs == ("encoding",)


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_other_unicodes_are_recognised(codec):
    assert "<a>été</a>" in decode(xml("utf-16", "été", codec))[0]


def test_the_header_comes_before_the_declaration():
    content = xml("utf-8", "été", "iso-8859-2")
    assert "été" in decode(content, "text/xml; charset=iso-8859-2")[0]


def test_undefined_bytes_become_replacement_characters():
    text, repairs = decode(b"<a>\x81\xff\xc3</a>")
    assert "\ufffd" in text
    assert repairs == ("encoding",)


def test_controls_go_and_it_is_told():
    assert decode(b"<a>x\x00\x08y</a>") == ("<a>xy</a>", ("controls",))


@pytest.mark.parametrize("claim", ["zlib", "hex", "rot13", "idna", "no-such", "undefined", "bz2"])
def test_a_codec_that_is_no_charset_is_not_obeyed(claim):
    decode(b"<a>\xe9</a>", f"text/xml; charset={claim}")


@given(st.binary(), st.text(max_size=40))
def test_any_bytes_become_text(content, content_type):
    decode(content, content_type)[0].encode()


def test_bare_ampersands_are_escaped_but_not_in_cdata():
    mended, told = mend_ampersands("<a>R&D &amp; x?a=1&lang=fr<![CDATA[a&b]]>&#233;</a>")
    assert mended == "<a>R&amp;D &amp; x?a=1&amp;lang=fr<![CDATA[a&b]]>&#233;</a>"
    assert told


def test_numbers_of_no_character_go():
    assert mend_ampersands("a&#0;b&#xD800;c&#x110000;d&#99999999;e&#233;&#xE9;") == (
        "abcde&#233;&#xE9;",
        True,
    )


def test_names_of_html_are_written_out_and_unknown_ones_left():
    assert mend_ampersands("&eacute;&nbsp;&mienne;&lt;")[0] == "é\u00a0&mienne;&lt;"
