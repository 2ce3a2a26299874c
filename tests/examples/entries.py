"""Small feeds written by hand, for tests."""

from __future__ import annotations

from xml.sax.saxutils import escape

NAMESPACE = "https://odd17.example/ns/alliance"


def item(title="Une cuisine partagée", link="https://carnet.example/cuisine", **fields) -> str:
    """An RSS item; ``guid``, ``pubDate``, ``description``, ``category``, or our own elements."""
    parts = [f"<title>{escape(title)}</title>", f"<link>{escape(link)}</link>"]
    for name, value in fields.items():
        if name in {"territoire", "echelle", "region", "acteurs", "objectif", "odd", "statut"}:
            parts.append(f"<alliance:{name}>{escape(value)}</alliance:{name}>")
        elif name == "guid":
            parts.append(f'<guid isPermaLink="false">{escape(value)}</guid>')
        else:
            parts.append(f"<{name}>{escape(value)}</{name}>")
    return "<item>" + "".join(parts) + "</item>"


def rss(*items: str, title: str = "Carnet d'essai") -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><rss version="2.0" xmlns:alliance="{NAMESPACE}">'
        f"<channel><title>{escape(title)}</title>{''.join(items)}</channel></rss>"
    ).encode()
