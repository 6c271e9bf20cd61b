"""The door of the page: what is not meant for it is refused before anything of it is read."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import PurePath
from typing import Any

from cmpc.web.limits import Limits
from cmpc.web.names import Names
from cmpc.web.visitor_files import VisitorFiles

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

QUESTION_BYTES = 1_000_000
"""Longest request without a file."""
_WRAPPING = 100_000
"""Bytes that a form puts around its file."""
_DRAINED = 200_000_000
"""Bytes of a refused request that are received, and thrown away, so that its sender gets to read the answer."""
_DRAINED_SECONDS = 20
UPLOAD_SECONDS = 300
"""Longest time of an upload, so that a few slow ones do not keep everybody else from theirs."""
_UPLOAD = "gradio_api/upload"
_ENDPOINT = r"(segment|explain)"
_READ = re.compile(
    r"|(config|favicon\.ico|manifest\.json|robots\.txt|theme\.css|pwa_icon|pwa_icon/\d+)/?|(assets|static|svelte)/.+"
    r"|gradio_api/(info|openapi\.json|app_id|user|login_check|theme\.css|startup-events|upload_progress|queue/data)/?"
    rf"|gradio_api/heartbeat/[^/]+|gradio_api/call/(v2/)?{_ENDPOINT}/[^/]+|gradio_api/file=.+"
)
_WRITTEN = re.compile(
    rf"({_UPLOAD}|gradio_api/queue/join|gradio_api/cancel|gradio_api/reset)/?"
    rf"|gradio_api/(call|call/v2|run|api)/{_ENDPOINT}/?"
)
"""What the page and its two endpoints are made of; everything else that Gradio could do is not there."""


class Refusal(Exception):
    """A request that is not answered otherwise."""

    def __init__(self, status: int, sentence: str) -> None:
        """
        Args:
            status: of the HTTP answer.
            sentence: what is wrong, and how to mend it.
        """
        super().__init__(sentence)
        self.status = status


class Guard:
    """An ASGI application around that of the page."""

    def __init__(
        self, application: Application, *, names: Names, limits: Limits, files: VisitorFiles, root_path: str = ""
    ) -> None:
        """
        Args:
            application: answers what is let through.
            names: under which the page is to be asked.
            limits: of one visitor.
            files: where uploads are kept.
            root_path: what stands before every path, where a proxy leaves it there: ``/cmpc``.
        """
        self._application = application
        self._names = names
        self._limits = limits
        self._files = files
        self._root_path = root_path
        self._uploading = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif self._root_path and scope["path"] == self._root_path:  # the page's own links are relative
            await _answer(send, 307, [(b"location", f"{self._root_path}/".encode())], b"")
        else:
            await self._let_in(self._inside(scope), _Body(receive), send)

    async def _let_in(self, scope: Message, body: _Body, send: Send) -> None:
        path = scope["path"].strip("/")
        try:
            self._check(scope, path)
            if scope["method"] != "POST" or path != _UPLOAD:
                await self._pass_on(scope, body, send, QUESTION_BYTES)
                return
            if self._uploading > self._limits.waiting:
                raise Refusal(503, "many photos are being uploaded at the moment: try again in a moment.")
            self._uploading += 1
            try:
                await asyncio.to_thread(self._files.make_room, self._upload_bytes)
                async with asyncio.timeout(UPLOAD_SECONDS):
                    await self._pass_on(scope, body, send, self._upload_bytes)
            except TimeoutError:
                raise Refusal(408, f"this file did not come within {UPLOAD_SECONDS} seconds: try again.") from None
            finally:
                self._uploading -= 1
        except Refusal as refusal:
            if not any(name.lower() == b"expect" for name, _ in scope["headers"]):  # it waits to be asked for it
                await body.drain()
            headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
            await _answer(send, refusal.status, headers, json.dumps({"detail": str(refusal)}).encode())

    @property
    def _upload_bytes(self) -> int:
        return self._limits.file_megabytes * 1_000_000 + _WRAPPING

    def _inside(self, scope: Message) -> Message:
        """The request without what stands before its path, and without the headers that Gradio would follow."""
        root, path = self._root_path, scope["path"]
        if root and path.startswith(f"{root}/"):
            scope = {**scope, "path": path[len(root) :], "raw_path": scope["raw_path"].removeprefix(root.encode())}
        return {**scope, "root_path": ""}

    def _check(self, scope: Message, path: str) -> None:
        """Refuses what was sent here by somebody else, or asks for what is not there."""
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        hosts = headers.get("host", [])
        forwarded = [host.strip() for value in headers.get("x-forwarded-host", []) for host in value.split(",")]
        if len(hosts) != 1:
            raise Refusal(400, "a request must say once in Host which page it asks.")
        for host in hosts + forwarded:
            if not self._names.know(host):
                raise Refusal(
                    403,
                    f"this page does not go by the name {host[:100]!r}: whoever runs it may let the name in with "
                    "--allow-host.",
                )
        for origin in headers.get("origin", []):
            if not any(self._names.trust(origin, host) for host in hosts + forwarded):
                raise Refusal(403, f"pages of {origin[:100]!r} may not use this page: open it by itself.")
        if scope["method"] not in ("GET", "HEAD", "POST"):
            raise Refusal(405, "this page answers GET, HEAD and POST.")
        known = _WRITTEN if scope["method"] == "POST" else _READ
        if not known.fullmatch(path):
            raise Refusal(404, "there is nothing here: the endpoints are /segment and /explain, as docs/web.md says.")
        file = path.partition("gradio_api/file=")[2]
        if path.startswith("gradio_api/file=") and (not PurePath(file).is_absolute() or file[:2] in ("//", r"\\")):
            raise Refusal(403, "this page fetches nothing from elsewhere: give the file itself.")
        length = headers.get("content-length", ["0"])[0]
        most = self._upload_bytes if path.strip("/") == _UPLOAD else QUESTION_BYTES
        if length.isdecimal() and int(length[:20]) > most:
            raise self._too_large(most)

    def _too_large(self, most: int) -> Refusal:
        what = f"files of at most {self._limits.file_megabytes} MB" if most != QUESTION_BYTES else "at most 1 MB"
        return Refusal(413, f"this is too much at once: {what} are taken; give a smaller photo.")

    async def _pass_on(self, scope: Message, body: _Body, send: Send, most: int) -> None:
        """Lets the page answer, as long as the body stays below ``most`` bytes."""
        # Without it Gradio lets other pages read the answer.
        scope = {**scope, "headers": [header for header in scope["headers"] if header[0].lower() != b"origin"]}
        body.most = most
        answer = _HeldBack(send, body)
        try:
            await self._application(scope, body, answer)
        except Exception as error:
            if body.is_too_large:
                raise self._too_large(most) from None
            if answer.has_begun:
                raise
            # Our own faults are answered in uploads.py: this is Gradio's way with a request that it does not know.
            line = f"cmpc web: {scope['method']} {scope['path'][:100]}: {type(error).__name__}: {str(error)[:200]}"
            print(line.encode("ascii", "backslashreplace").decode(), file=sys.stderr)
            raise Refusal(400, "this request is not one that the page makes: see docs/web.md.") from None
        if answer.says_too_large or (body.is_too_large and not answer.has_begun):
            raise self._too_large(most)
        await answer.finish()


class _Body:
    """Receives the body of a request, and ends it where it is longer than wanted."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._taken = 0
        self._is_complete = False
        self.most = QUESTION_BYTES

    @property
    def is_too_large(self) -> bool:
        """Whether more came than was wanted."""
        return self._taken > self.most

    async def __call__(self) -> Message:
        message = await self._receive()
        self._taken += len(message.get("body", b""))
        self._is_complete = not message.get("more_body", False)
        return {"type": "http.disconnect"} if self.is_too_large else message

    async def drain(self) -> None:
        """Throws away what is still coming."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAINED_SECONDS):
                while not self._is_complete and self._taken < _DRAINED:
                    await self()


class _HeldBack:
    """Sends an answer on, but keeps that of a failure until it is known what failed."""

    def __init__(self, send: Send, body: _Body) -> None:
        self._send = send
        self._body = body
        self._kept: list[Message] = []
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        begins = message["type"] == "http.response.start"
        if self._kept or (begins and (message["status"] >= 500 or self._is_too_large(message))):
            self._kept.append(message)
        else:
            self.has_begun = True
            await self._send(message)

    @property
    def says_too_large(self) -> bool:
        """Whether what is kept says so."""
        return bool(self._kept) and self._is_too_large(self._kept[0])

    def _is_too_large(self, start: Message) -> bool:
        """Whether an answer that begins so is one to a request that is too large."""
        return self._body.is_too_large or start["status"] == 413

    async def finish(self) -> None:
        """Sends what is kept."""
        for message in self._kept:
            await self._send(message)


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
