"""Refuses requests before their bodies are read: too large ones, and those that came under a foreign name."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


class RequestGuard:
    """Looks at the length, the ``Host`` and the ``Origin`` of every request."""

    def __init__(self, app: ASGIApp, *, most_bytes: int, hosts: Collection[str] | None) -> None:
        """
        Args:
            app: what answers the others.
            most_bytes: of a body.
            hosts: names that the server is reached by, and that pages that ask it come from; None for any. Other pages
                that a browser shows must not get answers, nor work done.
        """
        self.app = app
        self.most_bytes = most_bytes
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI says."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if self.hosts is not None:
            if _without_port(headers.get("host", "")) not in self.hosts:
                await _refuse(send, 400, "this server is not reached by that name: see its option --allow-host.")
                return
            if "origin" in headers and _without_port(headers["origin"].rpartition("/")[2]) not in self.hosts:
                await _refuse(send, 400, "this server answers no pages of other places: see its option --allow-host.")
                return
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 15 or int(length) > self.most_bytes:
            await _refuse(send, 413, self._too_large())
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.most_bytes:
                raise HTTPException(413, self._too_large())
            return message

        await self.app(scope, counted, send)

    def _too_large(self) -> str:
        return f"this request is too large: at most {self.most_bytes:,} bytes are read."


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower()


async def _refuse(send: Send, status: int, sentence: str) -> None:
    body = json.dumps({"error": sentence}).encode()
    headers: list[Any] = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
