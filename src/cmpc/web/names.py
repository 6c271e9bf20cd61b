"""The names that the page goes by: a request under another one comes from a page of somebody else."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from cmpc.errors import UsageError


@dataclass(frozen=True)
class Names:
    """Under which names and from which pages requests are answered.

    A web page that somebody visits can send requests to this machine. Such a request says in ``Origin`` where the page
    comes from, or in ``Host`` the page's own name, which its owner let point at this machine.
    """

    listens_at: str
    """Address that the page listens at."""
    allowed: tuple[str, ...] = ()
    """Further names, of a proxy for example."""

    def __post_init__(self) -> None:
        for name in self.allowed:
            if name_of(name) != name.lower() and name_of(f"[{name}]") != name.lower():
                raise UsageError(f"--allow-host takes names such as page.example.org, without more, not {name!r}.")

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the page."""
        return _is_loopback(self.listens_at.strip("[]").lower())

    def know(self, host: str) -> bool:
        """Whether a ``Host``, with or without its port, is one that the page goes by.

        On this machine alone these are the names of its loopback; elsewhere also every address and the machine's name.
        """
        name = name_of(host)
        if name is None:
            return False
        if _is_loopback(name) or name in self._allowed:
            return True
        return not self.is_local and (_is_address(name) or name == socket.gethostname().lower())

    def trust(self, origin: str, host: str) -> bool:
        """Whether a page of this ``Origin`` may ask for something, given the ``Host`` it asks: only the page itself."""
        try:
            place = urlsplit(origin)
        except ValueError:
            return False
        if place.scheme not in ("http", "https") or not place.netloc:
            return False
        return place.netloc.lower() == host.lower() or name_of(place.netloc) in self._allowed

    @property
    def _allowed(self) -> set[str]:
        return {name.lower() for name in self.allowed}


def name_of(host: str) -> str | None:
    """The name in ``name:port`` or ``[address]:port``, in small letters; None where it is no such thing."""
    try:
        parts = urlsplit(f"//{host}")
        name, _ = parts.hostname, parts.port
    except ValueError:
        return None
    if not name or parts.netloc != host or "@" in host or any(map(str.isspace, host)):
        return None
    return name.rstrip(".")


def _is_loopback(name: str) -> bool:
    return name == "localhost" or (_is_address(name) and ipaddress.ip_address(name).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
