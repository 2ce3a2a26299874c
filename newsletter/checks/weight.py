"""Weight: what travels, and what follows nobody (A4, A5, P2)."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from newsletter.checks.checked import Checked
from newsletter.checks.faults import find
from newsletter.checks.outline import outline
from newsletter.mail.lint import transfer_bytes
from newsletter.model import Finding

ERROR_KB, WARNING_KB = 95, 70
PICTURES_LIMIT, PICTURES_KB = 5, 200


def weight(checked: Checked) -> Iterator[Finding]:
    """The HTML after transfer encoding: Gmail cuts it near 102 KB (A5)."""
    if checked.edition is None:
        return
    size = encoded_kb(checked.edition.html)
    if size > ERROR_KB:
        yield find("weight", size=size, limit=ERROR_KB)
    elif size > WARNING_KB:
        yield find("heavy", size=size, limit=WARNING_KB)


def encoded_kb(html: str) -> int:
    """Return the size in KB (of 1,000 octets) after transfer encoding, rounded up."""
    return -(-transfer_bytes(html) // 1000)


def pictures(checked: Checked) -> Iterator[Finding]:
    """How many pictures, and how heavy together."""
    if checked.edition is None:
        return
    shown = checked.edition.pictures
    if len(shown) > PICTURES_LIMIT:
        yield find("many_pictures", count=len(shown), limit=PICTURES_LIMIT)
    size = sum(len(picture.content) for picture in shown) // 1000
    if size > PICTURES_KB:
        heaviest = max(shown, key=lambda picture: len(picture.content))
        name = heaviest.source or heaviest.name
        yield find("heavy_pictures", size=size, limit=PICTURES_KB, heaviest=name)


def tracking_pixels(checked: Checked) -> Iterator[Finding]:
    """No picture of another site, of one reader, or of one pixel (P2)."""
    if checked.edition is None:
        return
    ours = f"{checked.settings.publication.base_url}/media/"
    for image in outline(checked.edition.html).images:
        src = image.get("src", "")
        remote = bool(urlsplit(src).scheme) and not src.startswith((ours, "cid:"))
        tiny = {image.get("width"), image.get("height")} & {"0", "1"}
        if remote or tiny or "\ue000" in src:
            yield find("tracking_pixel", src=src)
