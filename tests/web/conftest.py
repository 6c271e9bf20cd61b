"""The page in a real browser: a server in this process, Debian's Chromium, and screenshots of what was tested."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from cmpc.cli.web import Options, make_service
from cmpc.model_folder import load_model_folder, save_model_folder
from cmpc.web.examples import read_examples
from cmpc.web.limits import Limits
from cmpc.web.models import Models
from cmpc.web.server import served
from cmpc.web.service import Service

SCREENSHOTS = Path(os.environ.get("SCREENSHOTS", "build/screenshots"))
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_START = time.time()


def scene(seed: int, height: int = 120, width: int = 160) -> np.ndarray:
    """A few discs on a sloping ground: RGB, uint8, (height, width, 3)."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    ground = np.stack([120 + rows // 2, 150 + columns // 4, 170 - rows // 3], axis=2).clip(0, 255).astype(np.uint8)
    picture = np.ascontiguousarray(ground)
    for number in range(4):
        place = (int((number + 0.5) * width / 4), int(random.integers(height // 4, 3 * height // 4)))
        colour = [int(part) for part in random.integers(20, 235, 3)]
        cv2.circle(picture, place, height // 7, colour, -1, cv2.LINE_AA)
    return picture


@pytest.fixture
def scenes(tmp_path: Path) -> list[Path]:
    """Two different photos, as PNG."""
    files = [tmp_path / "first.png", tmp_path / "second.png"]
    for seed, file in enumerate(files):
        Image.fromarray(scene(seed)).save(file)
    return files


@pytest.fixture
def service(tiny_model_folder: Path) -> Service:
    """A service with one model of random weights, which has seen nothing yet."""
    return Service(Models({"tiny": tiny_model_folder}), Limits(seconds=600))


@pytest.fixture(scope="session")
def outside() -> Iterator[list[str]]:
    """Addresses and names off this machine that the process asked for while the page was served; none is reached."""
    reached: list[str] = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo
    here = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "", None)

    def watched(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in here:
            reached.append(f"{address[0]}:{address[1]}")
            raise OSError("tests do not leave this machine")
        connect(self, address)

    def looked_up(host: Any, *arguments: Any, **options: Any) -> Any:
        if (host.decode() if isinstance(host, bytes) else host) not in here:
            reached.append(str(host))
            raise OSError("tests look up no names")
        return look_up(host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", watched)
        patch.setattr(socket, "getaddrinfo", looked_up)
        yield reached


@pytest.fixture(scope="session")
def page_service(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """The service behind the page of the browser tests: two models in a folder, of opposite answers; small limits."""
    models = tmp_path_factory.mktemp("shelf")
    for name in ("small", "large"):
        shutil.copytree(tiny_model_folder, models / name)
    turned = load_model_folder(models / "small")  # marks what the other one does not
    with torch.no_grad():
        for parameter in turned.model.score.parameters():
            parameter.neg_()
    save_model_folder(models / "small", turned.model, turned.vocabulary)
    limits = Limits(file_megabytes=2, megapixels=1, expressions=3, characters=60, waiting=1, seconds=600)
    return make_service(Options(models=models, device="cpu", limits=limits))


@pytest.fixture(scope="session")
def address(
    page_service: Service, tmp_path_factory: pytest.TempPathFactory, outside: list[str], browser: object
) -> Iterator[str]:
    """Address of a served page with two examples."""
    examples = tmp_path_factory.mktemp("examples")
    for number, expressions in enumerate(["the left man\nwhite frisbee\n", "dog on right\n"], start=1):
        Image.fromarray(scene(10 + number)).save(examples / f"scene-{number}.png")
        (examples / f"scene-{number}.txt").write_text(expressions, encoding="utf-8")
    with served(page_service, read_examples(examples)) as found:
        yield found


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium, or whichever is installed; ``install_browser.sh`` installs it."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _no_browser("playwright is not installed: pip install -e '.[dev,web]'")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        _no_browser("there is no Chromium: tests/web/install_browser.sh installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, headless=True, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


def _no_browser(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def open_page(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Opens the page as a new visitor: ``open_page(**options of the browser's context)``.

    At the end every request that the page made must have gone to this machine, and no script may have failed.
    """
    requests: list[str] = []
    failures: list[str] = []
    contexts: list[Any] = []

    def open_one(**options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 1000}, **options})
        contexts.append(context)
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.goto(address)
        page.locator("#find").wait_for()
        return page

    yield open_one
    for context in contexts:
        context.close()
    elsewhere = [url for url in requests if not url.startswith((address, "data:", "blob:"))]
    assert requests
    assert not elsewhere
    assert not failures


@pytest.fixture
def screenshot() -> Callable[[Any, str], None]:
    """Saves what a page shows, ``screenshot(page, name)``, in ``build/screenshots`` or the folder $SCREENSHOTS."""

    def save(page: Any, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    return save


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says where the screenshots of this run are."""
    taken = sorted(file for file in SCREENSHOTS.glob("*.png") if file.stat().st_mtime >= _START)
    if taken:
        terminalreporter.section("screenshots")
        for file in taken:
            terminalreporter.line(str(file))
