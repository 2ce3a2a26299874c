import quopri
import re
from base64 import b64decode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from newsletter.mail import holes, parts, quoted_printable
from newsletter.mail.holes import hole
from newsletter.mail.parts import BasedPart, QuotedPart, open_part

characters = st.characters(codec="utf-8", exclude_characters="\ue000\ue001\r")
texts = st.text(characters, max_size=400) | st.text(" .\tFrom=\n-é", max_size=400)
values = st.text(max_size=120)
pieces = st.lists(texts, min_size=1, max_size=5)

RELAXED = re.compile(rb"[ \t]+")


def relaxed_body(body: bytes) -> bytes:
    """RFC 6376 §3.4.4, written out independently of the code under test."""
    lines = [RELAXED.sub(b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"\r\n".join(lines) + b"\r\n" if lines else b""


def assert_untouchable(body: bytes) -> None:
    assert body.endswith(b"\r\n")
    assert not body.replace(b"\r\n", b"").count(b"\r")
    assert not body.replace(b"\r\n", b"").count(b"\n")
    assert max(map(len, body.split(b"\r\n"))) <= 76
    assert not [line for line in body.split(b"\r\n") if line.startswith((b".", b"From "))]
    assert b"  " not in body
    assert b" \r\n" not in body
    assert b"\t" not in body
    assert body.isascii()


def decode(part, body: bytes) -> str:
    octets = b64decode(body) if part.encoding == "base64" else quopri.decodestring(body[:-2])
    return octets.decode().replace("\r\n", "\n")


def written(texts_, fields) -> str:
    """The source that the decoder must give back."""
    filled = [texts_[0].encode("utf-8", "replace")]
    for field, text in zip(fields, texts_[1:], strict=True):
        filled += [holes.plain(field).encode("utf-8", "replace"), text.encode("utf-8", "replace")]
    return b"".join(filled).decode()


@pytest.mark.parametrize("build", [parts._quote, parts._base])
@given(fixed=pieces, data=st.data())
def test_decoding_gives_the_source_whatever_fills_the_holes(build, fixed, data):
    fields = data.draw(st.lists(values, min_size=len(fixed) - 1, max_size=len(fixed) - 1))
    part = build(fixed, tuple(holes.Hole("name", "") for _ in fields))
    body = b"".join(part.pieces([part.field(holes.plain(field)) for field in fields]))
    assert decode(part, body) == written(fixed, fields)


@given(fixed=pieces, data=st.data())
@example(fixed=["a  b \n. .\nFrom x\n", "  \n.", ". \t "], data=None)
def test_nothing_on_the_way_has_a_reason_to_touch_quoted_printable(fixed, data):
    fields = [". From  me "] * (len(fixed) - 1) if data is None else data.draw(
        st.lists(values, min_size=len(fixed) - 1, max_size=len(fixed) - 1)
    )  # fmt: skip
    part = parts._quote(fixed, tuple(holes.Hole("name", "") for _ in fields))
    body = b"".join(part.pieces([part.field(holes.plain(field)) for field in fields]))
    assert_untouchable(body)
    if body.strip(b"\r\n"):
        # Only the empty lines at the end of the body fall away; the closing boundary is the end.
        assert relaxed_body(body + b"--end\r\n") == body + b"--end\r\n"


@given(fixed=pieces, data=st.data())
def test_nothing_on_the_way_has_a_reason_to_touch_base64(fixed, data):
    fields = data.draw(st.lists(values, min_size=len(fixed) - 1, max_size=len(fixed) - 1))
    part = parts._base(fixed, tuple(holes.Hole("name", "") for _ in fields))
    body = b"".join(part.pieces([part.field(holes.plain(field)) for field in fields]))
    if any(fixed) or any(fields):
        assert_untouchable(body)


@given(st.text(characters, max_size=300))
def test_one_field_alone_stays_on_lines_of_75_columns(value):
    field = quoted_printable.encode_field(holes.plain(value))
    assert max(map(len, field.split(b"\r\n"))) <= 76
    assert len(field.split(b"\r\n")[-1]) <= 75


def test_french_goes_in_quoted_printable():
    part = open_part("Des légumeries partagées, à lire ce jeudi.\n" * 10)
    assert isinstance(part, QuotedPart)


def test_a_script_that_quoted_printable_would_triple_goes_in_base64():
    part = open_part("مرحبا بكم في الرسالة" * 10 + hole("first_name", "x"))
    assert isinstance(part, BasedPart)
    assert decode(part, b"".join(part.pieces([part.field("Éloïse")]))).endswith("Éloïse")


def test_windows_line_ends_are_line_ends():
    assert quoted_printable.encode("a\r\nb\n") == b"a\r\nb\r\n"


def test_a_lone_carriage_return_never_leaves_bare():
    assert quoted_printable.encode("a\rb") == b"a=0Db"
    assert quoted_printable.encode_field("a\rb") == b"a=0Db"


@given(st.text(characters))
def test_a_text_without_holes_is_one_piece(text):
    assert holes.split(text) == [text]
    assert holes.fill(text, {}, is_html=True) == text


@given(texts, values, texts)
def test_a_hole_takes_a_value_or_its_fallback(before, value, after):
    source = before + hole("first_name", "à tous") + after
    assert holes.split(source) == [before, holes.Hole("first_name", "à tous"), after]
    assert holes.fill(source, {}, is_html=False) == before + "à tous" + after
    if value:
        filled = holes.fill(source, {"first_name": value}, is_html=False)
        assert filled == before + holes.plain(value) + after


@given(values)
def test_a_value_can_neither_open_a_tag_nor_a_line_in_html(value):
    safe = holes.escape(value)
    assert not set(safe) & set("<>\"'\r\n\x00\u2028")
