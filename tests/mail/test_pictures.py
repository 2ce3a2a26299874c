"""Facts about the pictures of an edition."""

from __future__ import annotations

import contextlib
import hashlib
import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from newsletter.mail.pictures import PictureError, fit


def photo(size=(2000, 1000), mode="RGB", kind="PNG", **options) -> bytes:
    """A picture with a gradient, which JPEG carries better than PNG."""
    image = Image.linear_gradient("L").resize(size).convert(mode)
    noise = Image.effect_noise(size, 60).convert(mode)
    target = io.BytesIO()
    Image.blend(image, noise, 0.3).save(target, kind, **options)
    return target.getvalue()


def drawing(alpha: int) -> bytes:
    image = Image.new("RGBA", (300, 100), (0, 0, 0, alpha))
    ImageDraw.Draw(image).rectangle((10, 10, 90, 90), fill=(200, 30, 30, 255))
    target = io.BytesIO()
    image.save(target, "PNG")
    return target.getvalue()


def test_a_picture_is_fitted_and_keeps_its_shape():
    picture = fit(photo(), width=544 * 2)
    assert (picture.width, picture.height) == (1088, 544)


def test_a_picture_is_never_wider_than_1200_pixels():
    assert fit(photo(), width=5000).width == 1200


def test_a_picture_is_never_enlarged():
    assert fit(photo((100, 50)), width=1000).width == 100


def test_a_tall_picture_is_fitted_by_its_height():
    assert fit(photo((100, 400)), width=300, height=88).height == 88


def test_the_name_is_the_digest_of_the_bytes():
    picture = fit(photo(), width=600)
    stem, _, extension = picture.name.partition(".")
    assert stem == hashlib.sha256(picture.content).hexdigest()
    assert extension == "jpg"


def test_the_same_bytes_give_the_same_picture():
    content = photo()
    first = fit(content, width=600)
    fit.cache_clear()
    assert fit(content, width=600) == first


def test_a_photograph_becomes_jpeg_and_a_drawing_stays_png():
    assert fit(photo()).name.endswith(".jpg")
    assert fit(drawing(255)).name.endswith(".png")


def test_transparency_is_kept():
    picture = fit(drawing(0))
    image = Image.open(io.BytesIO(picture.content))
    assert picture.name.endswith(".png")
    assert image.convert("RGBA").getpixel((299, 99))[3] == 0


def test_where_and_when_a_photograph_was_taken_is_dropped():
    exif = Image.Exif()
    exif[0x010F] = "Appareil de Camille"
    exif[0x8825] = {1: "N", 2: (48.0, 51.0, 0.0)}
    picture = fit(photo(kind="JPEG", exif=exif))
    assert b"Camille" not in picture.content
    assert b"Exif" not in picture.content


def test_a_photograph_lying_on_its_side_is_set_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = fit(photo((200, 100), kind="JPEG", exif=exif))
    assert (picture.width, picture.height) == (100, 200)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_four_kinds_are_read(kind):
    assert fit(photo((60, 40), kind=kind)).width == 60


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>', "SVG"),
        (b'\n<?xml version="1.0"?><svg/>', "SVG"),
        (b"", "not a JPEG"),
        (b"%PDF-1.7", "not a JPEG"),
        (photo()[:500], "damaged"),
    ],
)
def test_what_is_no_picture_is_refused_with_its_reason(content, said):
    with pytest.raises(PictureError, match=said):
        fit(content)


def test_a_decompression_bomb_is_refused_before_it_opens():
    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))
    with pytest.raises(PictureError, match="pixels"):
        fit(bomb)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_picture_or_a_reason(content):
    with pytest.raises(PictureError):
        fit(content)


@given(st.integers(0, 3000), st.binary(min_size=1, max_size=4))
def test_a_spoilt_file_gives_a_picture_or_a_reason(place, spoil):
    content = bytearray(SMALL)
    content[place % len(content) : place % len(content) + len(spoil)] = spoil
    with contextlib.suppress(PictureError):
        assert fit(bytes(content)).width <= 1200


SMALL = photo((20, 10))
