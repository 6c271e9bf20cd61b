"""What the server answers under load: requests per second and the 95th percentile of their times.

python -m benchmarks.serving --photo photo.jpg --expression "the capsule"

Starts ``cmpc serve`` on this machine, asks it from 1, 8 and 64 clients at once, each with a connection that it keeps,
and prints a table in Markdown. Clients and server share the machine's cores.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

BOUNDARY = "cmpc-boundary"


@dataclass
class Options:
    """What to ask, and how much."""

    photo: Path
    """The photo of every request."""
    expression: str
    """What every request looks for."""
    model: str | None = None
    """Folder or name of the model; by default the one for photos that ships."""
    clients: tuple[int, ...] = (1, 8, 64)
    """How many ask at once."""
    requests: int = 256
    """How many requests each of these numbers of clients sends together."""
    batch: int = 8
    """As cmpc serve takes it."""


def main(options: Options) -> None:
    """Measures and prints the table."""
    body = request_body(options.photo, options.expression)
    print("| clients | requests/s | median ms | p95 ms |\n| ---: | ---: | ---: | ---: |")
    with served(options) as port:
        ask(port, body, clients=1, requests=8)  # what is made at the first requests
        for clients in options.clients:
            start = time.perf_counter()
            times = ask(port, body, clients, options.requests)
            rate = len(times) / (time.perf_counter() - start)
            median, slow = np.percentile(times, [50, 95]) * 1000
            print(f"| {clients} | {rate:.1f} | {median:.0f} | {slow:.0f} |", flush=True)


def request_body(photo: Path, expression: str) -> bytes:
    """A form with the photo as a file."""
    head = 'Content-Disposition: form-data; name="{}"'
    parts = [
        (head.format("expressions"), expression.encode()),
        (head.format("photo") + '; filename="photo"', photo.read_bytes()),
    ]
    middle = b"".join(f"--{BOUNDARY}\r\n{header}\r\n\r\n".encode() + content + b"\r\n" for header, content in parts)
    return middle + f"--{BOUNDARY}--\r\n".encode()


@contextmanager
def served(options: Options) -> Iterator[int]:
    """Runs the server while the block runs, and gives its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    model = [] if options.model is None else ["--model", options.model]
    command = [sys.executable, "-m", "cmpc", "serve", "--port", str(port), "--batch", str(options.batch), *model]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait()


def ask(port: int, body: bytes, clients: int, requests: int) -> list[float]:
    """Sends requests from some clients at once; returns the seconds of each.

    Raises:
        RuntimeError: a request was not answered with masks.
    """
    times: list[float] = []
    faults: list[str] = []

    def client(count: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        for _ in range(count):
            start = time.perf_counter()
            headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
            connection.request("POST", "/segment", body, headers)
            answer = connection.getresponse()
            content = answer.read()
            times.append(time.perf_counter() - start)
            if answer.status != 200:
                faults.append(content.decode())

    counts = [requests // clients + (number < requests % clients) for number in range(clients)]
    threads = [threading.Thread(target=client, args=(count,)) for count in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise RuntimeError(f"{len(faults)} of {requests} requests failed, first: {faults[0]}")
    return times


if __name__ == "__main__":
    main(tyro.cli(Options))
