"""Many visitors at once on the page: how long they wait, and how much memory it takes.

python -m benchmarks.page_load

Starts ``cmpc web`` in a process of its own. Every visitor does one thing after the other, drawn at random: looks at the
page, gives a photo of up to 12 megapixels and asks for one to three things, moves the threshold, asks for the staged
picture, sends arguments of the wrong kind, or a file that is too large. Prints the table of docs/web.md.
"""

from __future__ import annotations

import io
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import tyro
from PIL import Image

SIZES = ((640, 480), (1920, 1080), (4000, 3000))
EXPRESSIONS = ("the red block", "the large blue block on the left", "the block behind the green one", "a small cube")
PHOTOS = 12


@dataclass
class Options:
    """How many ask how much."""

    visitors: int = 50
    """Visitors at once."""
    requests: int = 1000
    """Requests in all."""
    pause: float = 2.0
    """Most seconds that a visitor waits before the next request."""
    seed: int = 0
    """Decides what is asked."""
    arguments: tuple[str, ...] = ()
    """Further arguments of ``cmpc web``."""


@dataclass
class Counts:
    """What came of the requests, by their kind."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """How long each took."""
    outcomes: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    """How often it was answered, refused with a sentence, or failed otherwise."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while one is added."""

    def add(self, kind: str, seconds: float, outcome: str) -> None:
        """Counts one request."""
        with self.lock:
            self.seconds[kind].append(seconds)
            self.outcomes[kind][outcome] += 1


class Visitor:
    """Asks the page."""

    def __init__(self, address: str, photos: list[bytes], seed: int) -> None:
        """
        Args:
            address: of the page.
            photos: JPEG files to choose from.
            seed: decides what is asked.
        """
        self.http = httpx.Client(base_url=address, timeout=300)
        self.photos = photos
        self.random = random.Random(seed)
        self.given: dict[str, object] | None = None
        self.asked = EXPRESSIONS[0]

    def act(self, counts: Counts) -> None:
        """Does one thing."""
        kinds: dict[str, tuple[int, Callable[[], str]]] = {
            "look at the page": (2, self.look),
            "photo and expressions": (5, self.ask),
            "another threshold": (3, self.move),
            "staged picture": (1, self.explain),
            "arguments of the wrong kind": (1, self.err),
            "file that is too large": (1, self.give_too_much),
        }
        [kind] = self.random.choices(list(kinds), [weight for weight, _ in kinds.values()])
        start = time.perf_counter()
        try:
            outcome = kinds[kind][1]()
        except (httpx.HTTPError, KeyError, ValueError) as error:
            outcome = f"failed ({type(error).__name__})"
        counts.add(kind, time.perf_counter() - start, outcome)

    def look(self) -> str:
        """The page and its configuration."""
        answers = [self.http.get("/"), self.http.get("/config")]
        return "answered" if all(answer.status_code == 200 for answer in answers) else "failed"

    def ask(self) -> str:
        """A photo and some expressions."""
        photo = self.random.choice(self.photos)
        answer = self.http.post("/gradio_api/upload", files={"files": ("photo.jpg", photo)})
        if answer.status_code != 200:
            return _refused(answer)
        self.given = {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}
        self.asked = "\n".join(self.random.sample(EXPRESSIONS, self.random.randint(1, 3)))
        return self.call("segment", [self.given, self.asked, 0.5, ""])

    def move(self) -> str:
        """Another threshold for the last question."""
        if self.given is None:
            return self.ask()
        return self.call("segment", [self.given, self.asked, round(self.random.random(), 2), ""])

    def explain(self) -> str:
        """The staged picture of the last question."""
        if self.given is None:
            return self.ask()
        return self.call("explain", [self.given, self.asked.split("\n")[0], 0.5, ""])

    def err(self) -> str:
        """A threshold that is none."""
        return self.call("segment", [self.given, self.asked, "half", ""])

    def give_too_much(self) -> str:
        """A file beyond the limit."""
        answer = self.http.post("/gradio_api/upload", files={"files": ("photo.jpg", bytes(25_000_000))})
        return _refused(answer)

    def call(self, name: str, data: list[object]) -> str:
        """Asks an endpoint and waits for what it says."""
        asked = self.http.post(f"/gradio_api/call/{name}", json={"data": data})
        if asked.status_code != 200:
            return _refused(asked)
        answer = self.http.get(f"/gradio_api/call/{name}/{asked.json()['event_id']}").text
        if "event: complete" in answer:
            return "answered"
        told = json.loads(answer.rpartition("data: ")[2])
        return "refused with a sentence" if told and told.get("error") else "failed"


def main(options: Options) -> None:
    """Starts the page, lets the visitors in and prints what came of it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "cmpc", "web", "--device", "cpu", "--port", str(port), *options.arguments]
    page = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert page.stderr is not None
    said = page.stderr
    try:
        address = next(line for line in said if line.startswith("The page is at")).split()[4]
        rest = threading.Thread(target=lambda: sys.stderr.writelines(said), daemon=True)
        rest.start()
        before = _memory(page.pid, "VmRSS")
        start = time.perf_counter()
        counts = _visit(address, options)
        took = time.perf_counter() - start
        most, after = _memory(page.pid, "VmHWM"), _memory(page.pid, "VmRSS")
    finally:
        page.terminate()
        status = page.wait(60)
    print(f"{options.visitors} visitors, {options.requests:,} requests in {took:.0f} s on {os.cpu_count()} cores.")
    print(
        f"Resident memory: {before:.2f} GB before, {most:.2f} GB at most, {after:.2f} GB at the end; exit {status}.\n"
    )
    print("| request | number | median | 95 of 100 within | answered | refused with a sentence | failed |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for kind in counts.seconds:
        print(_row(kind, counts.seconds[kind], counts.outcomes[kind]))


def _visit(address: str, options: Options) -> Counts:
    """Lets all visitors act, each in a thread of its own."""
    photos, counts = _photos(options.seed), Counts()
    left = iter(range(options.requests))
    drawing = threading.Lock()

    def visit(number: int) -> None:
        visitor = Visitor(address, photos, options.seed + number)
        while True:
            with drawing:
                if next(left, None) is None:
                    return
            time.sleep(visitor.random.uniform(0, options.pause))
            visitor.act(counts)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(options.visitors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts


def _photos(seed: int) -> list[bytes]:
    """Photos of several sizes, each of its own colours."""
    drawn = np.random.default_rng(seed)
    photos = []
    for number in range(PHOTOS):
        small = Image.fromarray(drawn.integers(0, 255, (30, 40, 3), np.uint8))
        stored = io.BytesIO()
        small.resize(SIZES[number % len(SIZES)], Image.Resampling.BICUBIC).save(stored, "JPEG", quality=90)
        photos.append(stored.getvalue())
    return photos


def _refused(answer: httpx.Response) -> str:
    is_sentence = 400 <= answer.status_code < 600 and str(answer.json().get("detail", "")).endswith(".")
    return "refused with a sentence" if is_sentence else f"failed ({answer.status_code})"


def _row(kind: str, seconds: list[float], outcomes: dict[str, int]) -> str:
    median, late = np.quantile(seconds, [0.5, 0.95])
    failed = {name: count for name, count in outcomes.items() if name.startswith("failed")}
    cells = [kind, str(len(seconds)), f"{median:.2f} s", f"{late:.1f} s"]
    cells += [str(outcomes.get(name, 0)) for name in ("answered", "refused with a sentence")]
    return f"| {' | '.join(cells)} | {', '.join(f'{count} {name}' for name, count in failed.items()) or 0} |"


def _memory(process: int, name: str) -> float:
    """A line of what Linux says of a process's memory, in GB."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1e6


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
