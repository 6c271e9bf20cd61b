"""Runs the server until a signal ends it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from fastapi import FastAPI

from cmpc.errors import UserError


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket at an address.

    Raises:
        UserError: nothing can listen there.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        place = socket.socket(family, kind, protocol)
    except OSError:
        raise UserError(f"there is no address {host}, port {port}, on this machine: choose another --host.") from None
    with place:
        try:
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            place.bind(address)
            place.listen()
        except OSError:
            raise UserError(
                f"cannot listen at {host}, port {port}: it is taken or not allowed here; choose another --port."
            ) from None
        yield place


def serve(app: FastAPI, place: socket.socket) -> None:
    """Answers at a socket until SIGINT or SIGTERM; requests that were begun are answered first."""
    import uvicorn

    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=10)
    uvicorn.Server(config).run(sockets=[place])
