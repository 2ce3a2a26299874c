"""The preview: one page on loopback that follows the editor's saves.

In: a screen with the issue as it stands. Out: a page, and the mail as each kind of reader sees it.
Never: a row written, an address beyond loopback, a script or a form of the issue run: frames are
sandboxed and every answer carries its locks (T10). A Host that is not ours is refused: a name of
somebody else may lead here (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Final

import uvicorn
from jinja2 import FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from watchfiles import awatch

from newsletter.config import FILE_NAME
from newsletter.errors import ConfigError
from newsletter.mail.daily import read_on
from newsletter.mail.single import make_proof
from newsletter.model import Edition, Picture
from newsletter.previewing.looks import Look, as_seen
from newsletter.previewing.page import describe
from newsletter.previewing.screen import Screen
from newsletter.rendering import TYPES
from newsletter.templating import BlockEnvironment

HOST: Final = "127.0.0.1"
PORT: Final = 8018
ASSETS: Final = Path(__file__).parent / "preview_assets"
# A save is often several writes; the page follows within two steps.
STEP_MS, DEBOUNCE_MS = 20, 200
# A proxy or a sleeping laptop drops a silent stream; a comment keeps it.
KEEP_ALIVE_S, LOOK_UP_S = 15.0, 0.25

_LOCKS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FRAME_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'; "
    "sandbox allow-same-origin allow-popups allow-popups-to-escape-sandbox"
)
_ASSET_TYPES: Final = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


# --- the application ------------------------------------------------------------------------------


def create_app(screen: Screen, *, stopping: Callable[[], bool] = lambda: False) -> Starlette:
    """Return the preview as an ASGI application that watches the files of its publication."""

    def show_page(_request: Request) -> Response:
        page = _TEMPLATES.get_template("page.html.j2").render(describe(screen.shown))
        return HTMLResponse(page, headers={"Content-Security-Policy": _PAGE_POLICY})

    def show_mail(request: Request) -> Response:
        look = request.path_params["look"]
        if screen.shown.edition is None or look not in set(Look):
            return PlainTextResponse("", status_code=404)
        proof = make_proof(screen.shown.edition, settings=screen.shown.settings, number=1)
        return _frame(screen, as_seen(proof.html, Look(look)))

    def show_web(_request: Request) -> Response:
        edition = screen.shown.edition
        if edition is None:
            return PlainTextResponse("", status_code=404)
        page = read_on(edition.web, date.fromisoformat(edition.issue_id))
        return _frame(screen, as_seen(page, Look.LIGHT))

    async def show_events(request: Request) -> Response:
        return StreamingResponse(_events(screen, request, stopping), media_type="text/event-stream")

    @asynccontextmanager
    async def watching(_app: Starlette) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(follow(screen)) for follow in (_follow_folders, _follow_settings)
        ]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    app = Starlette(
        routes=[
            Route("/", show_page),
            Route("/events", show_events),
            Route("/mail/{look}", show_mail),
            Route("/web", show_web),
            Route("/media/{name}", lambda request: _show_picture(screen, request)),
            Route("/assets/{name}", _show_asset),
        ],
        lifespan=watching,
    )
    app.add_middleware(_Loopback)
    return app


_TEMPLATES = BlockEnvironment(
    loader=FileSystemLoader(ASSETS),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def _frame(screen: Screen, html: str) -> Response:
    """Return the content of a frame, its pictures ours."""
    base = screen.shown.settings.publication.base_url
    edition = screen.shown.edition
    for picture in edition.pictures if edition else ():
        html = html.replace(f"{base}/media/{picture.name}", f"/media/{picture.name}")
    return HTMLResponse(html, headers={"Content-Security-Policy": _FRAME_POLICY})


def _show_picture(screen: Screen, request: Request) -> Response:
    picture = _find_picture(screen.shown.edition, request.path_params["name"])
    if picture is None:
        return PlainTextResponse("", status_code=404)
    return Response(picture.content, media_type=TYPES[picture.name.rpartition(".")[2]])


def _find_picture(edition: Edition | None, name: str) -> Picture | None:
    pictures = edition.pictures if edition else ()
    return next((picture for picture in pictures if picture.name == name), None)


def _show_asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _ASSET_TYPES:
        return PlainTextResponse("", status_code=404)
    return Response((ASSETS / name).read_bytes(), media_type=_ASSET_TYPES[name])


async def _events(
    screen: Screen, request: Request, stopping: Callable[[], bool]
) -> AsyncIterator[str]:
    """Yield the version on view, then each new one (server-sent events)."""
    seen = screen.shown.version
    yield f"retry: 500\ndata: {seen}\n\n"
    silent_since = time.monotonic()
    while not stopping() and not await request.is_disconnected():
        version = await screen.wait(seen, LOOK_UP_S)
        if version != seen:
            seen = version
            silent_since = time.monotonic()
            yield f"data: {seen}\n\n"
        elif time.monotonic() - silent_since > KEEP_ALIVE_S:
            silent_since = time.monotonic()
            yield ": still here\n\n"


async def _follow_folders(screen: Screen) -> None:
    """Follow issues and templates, whatever lies in them."""
    settings = screen.shown.settings
    folders = [
        folder for folder in (settings.issues_dir, settings.templates_dir) if folder.is_dir()
    ]
    async for changes in awatch(*folders, step=STEP_MS, debounce=DEBOUNCE_MS):
        await screen.follow([path for _, path in changes])


async def _follow_settings(screen: Screen) -> None:
    """Follow newsletter.toml: its folder is watched, for editors replace the file they save."""

    def ours(_change: object, path: str) -> bool:
        return Path(path).name == FILE_NAME

    async for _ in awatch(
        screen.root, watch_filter=ours, recursive=False, step=STEP_MS, debounce=DEBOUNCE_MS
    ):
        await screen.follow([FILE_NAME])


class _Loopback:
    """Refuses a Host that is not this machine's own, and locks every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_ours(scope):
            refusal = PlainTextResponse("This page answers to 127.0.0.1 only.", status_code=421)
            await refusal(scope, receive, send)
            return

        async def send_locked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _LOCKS.items():
                    headers[name] = value
            await send(message)

        await self._app(scope, receive, send_locked)


def _is_ours(scope: Scope) -> bool:
    port = scope["server"][1]
    hosts = {f"{name}:{port}" for name in (HOST, "localhost")}
    return Headers(scope=scope).get("host", "") in hosts


# --- serving --------------------------------------------------------------------------------------


def open_port(port: int | None) -> socket.socket:
    """Return a socket that listens on loopback only: the usual port, or any that is free.

    Raise ConfigError when the port that was asked for is taken.
    """
    taken = ""
    for wanted in (PORT, 0) if port is None else (port,):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, wanted))
            listener.listen()
        except OSError as error:
            listener.close()
            taken = error.strerror or str(error)
            continue
        return listener
    raise ConfigError(
        f"the port {port} cannot be used: {taken}", key="port", remedy="try another: --port N"
    )


def serve(screen: Screen, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM."""
    config = uvicorn.Config(
        create_app(screen, stopping=lambda: server.should_exit),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=2,
        server_header=False,
    )
    server = uvicorn.Server(config)
    with suppress(KeyboardInterrupt):  # how one leaves a preview
        server.run(sockets=[listener])
