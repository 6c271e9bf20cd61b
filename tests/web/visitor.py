"""What a visitor does on the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ANSWER = (("#picture img", "src"), ("#files a", "href"))
"""What shows that the masks and the files of an answer are others: a selector and a property of the element."""


@dataclass
class Visitor:
    """Uses one page as a person would."""

    page: Any
    """The browser's page."""

    def give(self, photo: Path) -> None:
        """Uploads a file as the photo, and waits for what the page says about it."""
        before = self.message
        self.page.locator("#photo input[type=file]").set_input_files(photo)
        self._changed("#message p", "innerText", before)

    def ask(self, text: str) -> None:
        """Writes expressions, presses the button and waits for the files, which come last."""
        self.write(text)
        self.press_find()
        self.answered()

    def press_find(self) -> None:
        """Presses the button, as long after the last answer as a person would: Gradio can lose what is sent in the
        moment in which it closes the stream of the answer before."""
        self.page.wait_for_timeout(500)
        self.page.locator("#find").click()

    def write(self, text: str) -> None:
        """Writes expressions."""
        self.page.locator("#expressions textarea").fill(text)

    def answered(self) -> None:
        """Waits until masks and files stand there."""
        self.page.locator("#picture img").wait_for()
        self.page.locator("#files a").first.wait_for()

    def says(self, part: str) -> str:
        """Waits until the message holds this text, and returns all of it."""
        found = self.page.locator("#message p", has_text=part)
        found.wait_for()
        return str(found.inner_text())

    @property
    def message(self) -> str:
        """The message."""
        return str(self.page.locator("#message p").inner_text())

    @property
    def legend(self) -> list[str]:
        """The lines of the legend."""
        return [str(line) for line in self.page.locator("ul.legend li").all_inner_texts()]

    @property
    def picture(self) -> bytes:
        """The picture with the masks, as the browser got it."""
        source = self.page.locator("#picture img").get_attribute("src")
        return bytes(self.page.request.get(source).body())

    @property
    def chosen(self) -> list[str]:
        """Expressions that stand out in the legend."""
        return [str(name) for name in self.page.locator("ul.legend li.chosen strong").all_inner_texts()]

    def click_picture(self, x: int, y: int) -> str:
        """Clicks on a pixel of the picture, enlarged or not, and returns what the page says then, if it is news."""
        place = self.page.locator("#picture img").evaluate(
            """(image, [x, y]) => {
                const place = image.getBoundingClientRect();
                const scale = Math.min(place.width / image.naturalWidth, place.height / image.naturalHeight);
                const left = (place.width - image.naturalWidth * scale) / 2;
                const top = (place.height - image.naturalHeight * scale) / 2;
                return {x: left + (x + 0.5) * scale, y: top + (y + 0.5) * scale};
            }""",
            [x, y],
        )
        before = self.message
        self.page.locator("#picture img").click(position=place)
        self._changed("#message p", "innerText", before)
        return self.message

    def take_along(self, name: str) -> list[str]:
        """Chooses what the answer is downloaded as, waits for the files, and returns their names."""
        before = self.page.locator("#files a").first.evaluate("one => one.href")
        self.page.locator("#download").get_by_text(name, exact=True).click()
        self._changed("#files a", "href", before)
        return [str(link.get_attribute("download")) for link in self.page.locator("#files a").all()]

    def download(self, ending: str) -> Path:
        """Downloads the first of the files whose name ends so."""
        with self.page.expect_download() as started:
            self.page.locator(f"#files a[download$='{ending}']").first.click()
        return Path(started.value.path())

    def results(self) -> dict[str, Any]:
        """The downloaded JSON."""
        read: dict[str, Any] = json.loads(self.download(".json").read_text(encoding="utf-8"))
        return read

    def move_threshold(self, value: float) -> None:
        """Writes a threshold into the slider's number and waits for the new masks and, after them, files."""

        def move() -> None:
            number = self.page.locator("#threshold input[type=number]")
            number.fill(str(value))
            number.press("Tab")

        self._answered_anew(move)

    def choose_edges(self, name: str) -> None:
        """Takes other edges of the masks, and waits for them and their files."""
        self._answered_anew(lambda: self.page.locator("#refine").get_by_text(name).click())

    def choose_model(self, name: str) -> list[str]:
        """Takes another model, waits for its masks and files, and returns all that could be chosen."""
        found: list[str] = []

        def choose() -> None:
            self.page.locator("#model input").click()
            found.extend(map(str, self.page.get_by_role("option").all_inner_texts()))
            self.page.get_by_role("option", name=name).click()

        self._answered_anew(choose)
        return found

    def other_picture(self, before: str) -> None:
        """Waits until the picture comes from another address than before."""
        self._changed("#picture img", "src", before)

    def _answered_anew(self, change: Callable[[], None]) -> None:
        before = [self.page.locator(place).first.evaluate(f"one => one.{what}") for place, what in _ANSWER]
        change()
        for (place, what), old in zip(_ANSWER, before, strict=True):
            self._changed(place, what, old)

    def _changed(self, place: str, what: str, before: str) -> None:
        """Waits until a property of the first element of a place is there and another than before."""
        self.page.wait_for_function(
            "([place, what, before]) => ![undefined, before].includes(document.querySelector(place)?.[what])",
            arg=[place, what, before],
        )
