"""Renews docs/images/page.png, the page in a browser: needs the extra web, Playwright and a Chromium.

sh tests/web/install_browser.sh
python examples/page_picture.py
"""

from __future__ import annotations

import io
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import tyro
from PIL import Image
from playwright.sync_api import Page, ViewportSize, sync_playwright

from cmpc.cli.web import Options as PageOptions
from cmpc.cli.web import make_service
from cmpc.files import atomic_file
from cmpc.web.examples import read_examples
from cmpc.web.server import served
from cmpc.weights import SHIPPED_EXAMPLES

DOCS_PICTURE = Path(__file__).parents[1] / "docs" / "images" / "page.png"
SIZE: ViewportSize = {"width": 1280, "height": 1000}
"""Pixels of the window."""


@dataclass
class Options:
    """What the page is asked."""

    model: str = "photos"
    """The model that ships, or a model's folder."""
    photo: Path = SHIPPED_EXAMPLES["photos"] / "elephant.jpg"
    """The photo that is given to it."""
    expressions: tuple[str, ...] = ("the elephant", "the man next to the elephant")
    """What is looked for."""
    out: Path = DOCS_PICTURE
    """Where the picture goes."""


def main(options: Options) -> None:
    """Asks the page as a visitor would, and takes its picture."""
    service = make_service(PageOptions(model=options.model))
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with (
        served(service, read_examples(SHIPPED_EXAMPLES["photos"])) as address,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"]) as browser,
    ):
        page = browser.new_page(viewport=SIZE)
        page.goto(address)
        ask(page, options.photo, options.expressions)
        picture = Image.open(io.BytesIO(page.screenshot()))
    with atomic_file(options.out) as file:  # 256 colours: a third of the bytes
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, format="PNG", optimize=True)


def ask(page: Page, photo: Path, expressions: tuple[str, ...]) -> None:
    """Gives the photo, asks, and waits until masks and files stand there."""
    page.locator("#photo input[type=file]").set_input_files(photo)
    page.locator("#message p", has_text="A photo of").wait_for()
    page.locator("#expressions textarea").fill("\n".join(expressions))
    page.wait_for_timeout(500)  # Gradio can lose a click in the moment in which it ends an answer
    page.locator("#find").click()
    page.locator("#files a").first.wait_for()
    page.locator("#picture img").wait_for()
    page.mouse.move(0, 0)
    page.wait_for_timeout(1000)  # pictures fade in


if __name__ == "__main__":
    main(tyro.cli(Options))
