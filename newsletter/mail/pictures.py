"""An editor's picture → the one file that readers fetch.

In: the bytes of a JPEG, PNG, GIF or WebP file and the largest size wanted, in device pixels.
Out: a ``Picture`` named ``<sha256>.<ext>``, compressed once, the same bytes on every machine that
runs the same Pillow. Never: EXIF (a camera's place and date), an SVG (it can carry scripts), a
decompression bomb, an enlargement.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from functools import lru_cache

from PIL import Image, ImageOps, UnidentifiedImageError

from newsletter.model import Picture

# EMAIL D: twice the width of the column, at most.
MAX_WIDTH = 1200
# A phone's photograph has 12 million pixels, a good camera's 50.
MAX_PIXELS = 64_000_000
MAX_SOURCE_BYTES = 30_000_000
_KNOWN = ("JPEG", "PNG", "GIF", "WEBP")
_QUALITY = 80


class PictureError(ValueError):
    """The bytes are not a picture we can publish; the message says why."""


@lru_cache(maxsize=64)
def fit(content: bytes, *, width: int = MAX_WIDTH, height: int = 4000) -> Picture:
    """Return *content* fitted into *width* × *height* device pixels, never enlarged.

    Opaque pictures become JPEG unless PNG is lighter; pictures with transparency stay PNG.
    Raise PictureError.
    """
    image = _open(content)
    image = ImageOps.exif_transpose(image)
    opaque = _flatten_mode(image)
    opaque.thumbnail((min(width, MAX_WIDTH), height), Image.Resampling.LANCZOS)
    extension, written = _compress(opaque)
    name = f"{hashlib.sha256(written).hexdigest()}.{extension}"
    return Picture(name=name, content=written, width=opaque.width, height=opaque.height)


def _open(content: bytes) -> Image.Image:
    if len(content) > MAX_SOURCE_BYTES:
        raise PictureError(f"it weighs {len(content) // 1_000_000} MB, more than 30")
    if content.lstrip()[:5].lower() in {b"<?xml", b"<svg ", b"<svg>"}:
        raise PictureError("SVG is refused: export it as PNG")
    try:
        with warnings.catch_warnings():
            # Pillow only warns between one and two times its own limit; ours is lower.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=_KNOWN)
            if image.width * image.height > MAX_PIXELS:
                raise PictureError(f"it has {image.width} × {image.height} pixels, too many")
            image.load()
    except UnidentifiedImageError:
        raise PictureError("it is not a JPEG, PNG, GIF or WebP picture") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PictureError("it has too many pixels") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if isinstance(error, PictureError):
            raise
        raise PictureError("it is damaged") from None
    return image


def _flatten_mode(image: Image.Image) -> Image.Image:
    """Return a copy in RGB, or in RGBA when a pixel is not opaque; metadata stays behind."""
    rgba = image.convert("RGBA")
    lowest, _ = rgba.getchannel("A").getextrema()
    flat = rgba if lowest != 255 else rgba.convert("RGB")  # 255: fully opaque
    bare = Image.new(flat.mode, flat.size)
    bare.paste(flat)
    return bare


def _compress(image: Image.Image) -> tuple[str, bytes]:
    """Return the lighter of JPEG and PNG, as its extension and its bytes."""
    # Drawings of few colours keep them in a palette; so do logos.
    colours = image.getcolors(maxcolors=256)
    paletted = image.quantize(256, dither=Image.Dither.NONE) if colours else image
    png = _save(paletted, "PNG", optimize=True)
    if image.mode == "RGBA":
        return "png", png
    jpeg = _save(image, "JPEG", quality=_QUALITY, optimize=True, progressive=True, subsampling=2)
    return ("jpg", jpeg) if len(jpeg) < len(png) else ("png", png)


def _save(image: Image.Image, kind: str, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()
