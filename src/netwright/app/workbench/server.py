"""The server of one page and its socket. Whoever has the token may look and command, nobody else."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import secrets
import socket as sockets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from netwright.app.workbench.bench import Bench, Listener
from netwright.values import UserError
from netwright.views.live import live_html

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "frame-ancestors 'none'",
}
LONGEST = 1 << 22  # bytes of a message from the page


def application(bench: Bench, token: str, host: str) -> Starlette:
    """The page at `/` and its socket at `/live`, both with `?token=`; `host` is where the server listens."""

    def refusal(asked: HTTPConnection) -> str | None:
        """Why somebody is sent away."""
        if not is_ours(asked.headers.get("host", ""), host):
            return "this server is not reached by that name"
        given = asked.query_params.get("token", "")
        if not secrets.compare_digest(given.encode(), token.encode()):
            return "the token is missing or wrong; open the address that netwright serve printed"
        origin = asked.headers.get("origin")
        if (
            origin is not None
            and origin != f"{asked.url.scheme.replace('ws', 'http')}://{asked.headers['host']}"
        ):
            return "the page of another site may not ask this server"
        return None

    async def page(request: Request) -> Response:
        if (why := refusal(request)) is not None:
            return PlainTextResponse(f"403: {why}\n", 403, headers=HEADERS)
        document = await asyncio.to_thread(bench.page)
        text = await asyncio.to_thread(live_html, document, request.headers["host"])
        return HTMLResponse(text, headers=HEADERS)

    async def live(socket: WebSocket) -> None:
        if refusal(socket) is not None:
            await socket.close(1008)  # before it is accepted: 403
            return
        await socket.accept()
        listener = await bench.listen()
        sending = asyncio.create_task(_send(socket, listener))
        hearing = _Hearing(bench, listener)
        answering = asyncio.create_task(hearing.answer())
        try:
            while True:
                hearing.take(await socket.receive_text())
        except WebSocketDisconnect:
            pass
        finally:
            listener.close()
            for task in (sending, answering):
                task.cancel()
                with suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                    await task

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncGenerator[None]:
        bench.begin(asyncio.get_running_loop())
        yield
        await asyncio.to_thread(bench.end)

    return Starlette(routes=[Route("/", page), WebSocketRoute("/live", live)], lifespan=life)


async def _send(socket: WebSocket, listener: Listener) -> None:
    for message in listener.first:
        await socket.send_text(_text(message))
    listener.first.clear()
    while True:
        await listener.woken.wait()
        listener.woken.clear()
        while (message := listener.outgoing.pop()) is not None:
            await socket.send_text(_text(message))


class _Hearing:
    """What one page asks for, done one after the other in a thread; of edits that wait the last alone."""

    def __init__(self, bench: Bench, listener: Listener) -> None:
        self._bench, self._listener = bench, listener
        self._waiting: list[dict[str, Any]] = []
        self._woken = asyncio.Event()

    def take(self, text: str) -> None:
        try:
            given = json.loads(text)
        except ValueError:
            given = None
        if not isinstance(given, dict) or given.get("type") not in ("command", "edit"):
            self._say({"type": "error", "message": "that is neither a command nor an edit"})
            return
        if given["type"] == "edit":
            self._waiting = [w for w in self._waiting if w["type"] != "edit"]
        self._waiting.append(given)
        self._woken.set()

    async def answer(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._waiting:
                given = self._waiting.pop(0)
                try:
                    if given["type"] == "edit":
                        self._say(await asyncio.to_thread(self._bench.edit, given))
                    else:
                        await asyncio.to_thread(self._bench.command, given)
                except UserError as wrong:
                    self._say({"type": "error", "message": wrong.message})

    def _say(self, message: dict[str, Any]) -> None:
        self._listener.outgoing.answer(message)
        self._listener.woken.set()


def _text(message: dict[str, Any]) -> str:
    return json.dumps(message, allow_nan=False, separators=(",", ":"))


def is_ours(given: str, host: str) -> bool:
    """Whether the name that a page was reached by is one of this server: a name that somebody else points
    here (DNS rebinding) is not."""
    name = given.rsplit(":", 1)[0] if not given.endswith("]") else given
    name = name.strip("[]").lower()
    if name in ("localhost", host.lower()):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return not _is_loopback(host) and name == sockets.gethostname().lower()
    return address.is_loopback or not _is_loopback(host)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
