"""The photos of tasks: sent along, or fetched from the one Label Studio that the server was told of."""

from __future__ import annotations

import base64
import binascii
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from cmpc.errors import UserError

SECONDS = 20


@dataclass(frozen=True)
class TaskPhotos:
    """Gets the bytes of photos. Nothing is fetched from any other place than ``address``."""

    address: str | None = None
    """Of Label Studio, such as ``http://localhost:8080``; None: only photos that are sent along."""
    token: str | None = None
    """Its access token."""
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
        headers = {"Authorization": f"Token {self.token}"} if self.token else {}
        opener = urllib.request.build_opener(_NoOtherPlace)
        try:
            with opener.open(urllib.request.Request(address, headers=headers), timeout=SECONDS) as answer:
                data: bytes = answer.read(self.most_bytes + 1)
        except urllib.error.HTTPError as error:
            raise UserError(f"Label Studio answered {error.code} to the request for a photo.") from None
        except (OSError, ValueError) as error:
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
