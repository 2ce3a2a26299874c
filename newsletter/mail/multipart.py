"""multipart/alternative (RFC 2046 §5.1.4): the text first, then the HTML, each encoded once.

In: two parts with their holes. Out: the headers that announce them, and for each reader the pieces
of the body. Never: a boundary that could occur in a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from newsletter.mail import headers
from newsletter.mail.parts import OpenPart, QuotedPart, open_part


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """The body of a message; its holes are those of the text, then those of the HTML.

    ``template`` is both parts as one list, every odd piece a hole; None when one is in base64.
    """

    boundary: str
    text: OpenPart
    html: OpenPart
    template: list[bytes] | None

    def pieces(self, fields: Sequence[bytes]) -> list[bytes]:
        """Return the pieces of the body, its holes filled with *fields*."""
        if self.template is not None:
            pieces = self.template.copy()
            pieces[1::2] = fields
            return pieces
        own = len(self.text.holes)
        return [
            _opening(self.boundary, "plain", self.text),
            *self.text.pieces(fields[:own]),
            _opening(self.boundary, "html", self.html),
            *self.html.pieces(fields[own:]),
            _closing(self.boundary),
        ]


def open_alternative(text: str, html: str, *, seed: str) -> Alternative:
    """Encode both parts; *seed*, letters and digits, makes the boundary."""
    # "=_" is in no quoted-printable and in no base64.
    boundary = f"=_{seed}"
    first, second = open_part(text), open_part(html)
    template = None
    if isinstance(first, QuotedPart) and isinstance(second, QuotedPart):
        template = [*first.template[:-1], first.template[-1] + _opening(boundary, "html", second)]
        template[-1] += second.template[0]
        template += second.template[1:]
        template[0] = _opening(boundary, "plain", first) + template[0]
        template[-1] += _closing(boundary)
    return Alternative(boundary=boundary, text=first, html=second, template=template)


def alternative_headers(boundary: str) -> list[bytes]:
    return [
        headers.line("MIME-Version", ("1.0",)),
        headers.line("Content-Type", ("multipart/alternative;", f'boundary="{boundary}"')),
    ]


def part_headers(kind: str, part: OpenPart) -> list[bytes]:
    return [
        headers.line("Content-Type", (f"text/{kind};", "charset=utf-8")),
        headers.line("Content-Transfer-Encoding", (part.encoding,)),
    ]


def _opening(boundary: str, kind: str, part: OpenPart) -> bytes:
    return b"".join([f"--{boundary}\r\n".encode("ascii"), *part_headers(kind, part), b"\r\n"])


def _closing(boundary: str) -> bytes:
    return f"--{boundary}--\r\n".encode("ascii")
