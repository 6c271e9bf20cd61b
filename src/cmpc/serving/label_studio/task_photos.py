"""The photos of tasks: sent along, or fetched from the one Label Studio that the server was told of."""

from __future__ import annotations

import base64
import binascii
import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from cmpc.errors import UserError

SECONDS = 20
_NO_TOKEN = "Label Studio shows its photos to nobody without a token: start this server with LABEL_STUDIO_API_KEY set."
_REFUSED = (
    "Label Studio refuses the token of LABEL_STUDIO_API_KEY: give a personal access token of a user who may see the "
    "project (legacy tokens work only where they are switched on)."
)


@dataclass(frozen=True)
class TaskPhotos:
    """Gets the bytes of photos. Nothing is fetched from any other place than ``address``."""

    address: str | None = None
    """Of Label Studio, such as ``http://localhost:8080``; None: only photos that are sent along."""
    token: str | None = None
    """Of one of its users: a personal access token, or a legacy token."""
    most_bytes: int = 20_000_000
    """Of a photo."""

    def read(self, value: Any) -> bytes:
        """The file of a photo.

        Args:
            value: what a task's data say: an address or path of Label Studio, or a ``data:`` address.

        Raises:
            UserError: it is none of these, or cannot be fetched.
        """
        if not isinstance(value, str):
            raise UserError("a task has no photo: its data lack the field that the label config names.")
        if value.startswith("data:"):
            try:
                return base64.b64decode(value.partition(",")[2], validate=True)
            except (binascii.Error, ValueError):
                raise UserError("the photo of a task is not base64.") from None
        if self.address is None:
            raise UserError("this server fetches no photos: start it with --label-studio-url ADDRESS.")
        address = urljoin(self.address, value)
        if _place(address) != _place(self.address):
            raise UserError(f"the photo of a task does not lie in {self.address}, where alone this server fetches.")
        return self._fetch(address)

    def _fetch(self, address: str) -> bytes:
        headers = {"Authorization": self._authorization(self.token)} if self.token else {}
        return self._open(urllib.request.Request(address, headers=headers))

    def _authorization(self, token: str) -> str:
        """What a request shows: a legacy token as it is, for a personal one an access token, which lasts minutes."""
        if token.count(".") != 2:  # no JSON web token
            return f"Token {token}"
        address, body = urljoin(str(self.address), "/api/token/refresh"), json.dumps({"refresh": token}).encode()
        answer = self._open(urllib.request.Request(address, body, {"Content-Type": "application/json"}))
        try:
            return f"Bearer {json.loads(answer)['access']}"
        except (ValueError, TypeError, KeyError, RecursionError):
            raise UserError(f"what answers at {self.address} is no Label Studio: see --label-studio-url.") from None

    def _open(self, request: urllib.request.Request) -> bytes:
        opener = urllib.request.build_opener(_NoOtherPlace)
        try:
            with opener.open(request, timeout=SECONDS) as answer:
                data: bytes = answer.read(self.most_bytes + 1)
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                raise UserError(_REFUSED if self.token else _NO_TOKEN) from None
            raise UserError(f"Label Studio answered {error.code} to the request for a photo.") from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise UserError(f"cannot fetch a photo from Label Studio: {reason}.") from None
        return data


class _NoOtherPlace(urllib.request.HTTPRedirectHandler):
    """Follows to other addresses of the same place only."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if _place(newurl) != _place(req.full_url):
            raise urllib.error.URLError("it lies in another place, where this server does not fetch")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _place(address: str) -> tuple[str, str]:
    parts = urlsplit(address)
    return parts.scheme, parts.netloc
