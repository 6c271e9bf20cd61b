"""Who uses the page: two people at once, a phone, the keyboard, the dark."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cmpc.segmenter import Segmenter
from cmpc.web.service import Service
from web.visitor import Visitor

OpenPage = Callable[..., Any]
Screenshot = Callable[[Any, str], None]


def test_two_visitors_at_once_get_their_own_masks(
    open_page: OpenPage, scenes: list[Path], tiny_model_folder: Path
) -> None:
    visitors = [Visitor(open_page()), Visitor(open_page())]
    for visitor, photo in zip(visitors, scenes, strict=True):
        visitor.give(photo)
        visitor.write("the left man")
    for visitor in visitors:  # both ask before either has an answer
        visitor.press_find()
    segmenter = Segmenter.load(tiny_model_folder)
    answers = []
    for visitor, photo in zip(visitors, scenes, strict=True):
        visitor.answered()
        results = visitor.results()
        assert results["photo"] == photo.name
        assert results["predictions"][0]["rle"] == segmenter.predict("the left man", image=photo)[0].to_rle()
        answers.append(visitor.picture)
    assert answers[0] != answers[1]


def test_visitor_beyond_the_waiting_ones_is_told_so(
    open_page: OpenPage, scenes: list[Path], page_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = page_service.models.load(page_service.models.names[0]).engine
    see, running, leave = engine.encode_image, threading.Event(), threading.Event()

    def hold(images: Any) -> Any:
        running.set()
        leave.wait()
        return see(images)

    monkeypatch.setattr(engine, "encode_image", hold)
    first, second, third = (Visitor(open_page()) for _ in range(3))
    photos = []
    for number in range(3):
        photos.append(scenes[0].with_name(f"busy-{number}.png"))
        Image.new("RGB", (40 + number, 40)).save(photos[-1])
    try:
        first.page.locator("#photo input[type=file]").set_input_files(photos[0])
        running.wait()
        second.page.locator("#photo input[type=file]").set_input_files(photos[1])
        while not page_service.waiting:
            second.page.wait_for_timeout(20)
        third.give(photos[2])
        assert third.message == "The page is busy: others wait already (1 in line); try again in a moment."
    finally:
        leave.set()
    first.says("40 x 40")
    second.says("41 x 40")


def test_fault_of_the_program_shows_no_traceback(
    open_page: OpenPage,
    scenes: list[Path],
    page_service: Service,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("a bolt is loose")

    visitor = Visitor(open_page())
    visitor.give(scenes[0])
    monkeypatch.setattr(page_service, "segment", fail)
    visitor.write("the left man")
    visitor.press_find()
    visitor.says("fault of the program")
    assert "bolt" not in visitor.page.content()
    assert "a bolt is loose" in capfd.readouterr().err


def test_page_fits_a_phone(open_page: OpenPage, screenshot: Screenshot) -> None:
    phone = open_page(viewport={"width": 390, "height": 844}, device_scale_factor=2, is_mobile=True, has_touch=True)
    visitor = Visitor(phone)
    phone.locator("#examples button").nth(1).tap()
    visitor.answered()
    widest = phone.evaluate("document.documentElement.scrollWidth")
    assert widest <= 390
    assert phone.locator("#find").bounding_box()["height"] >= 40  # a thumb hits it
    screenshot(phone, "phone")
    phone.get_by_role("tab", name="How it got there").tap()
    phone.locator("#stage-0 img").wait_for()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    screenshot(phone, "phone-stages")


def test_keyboard_is_enough(open_page: OpenPage, scenes: list[Path]) -> None:
    page = open_page()
    visitor = Visitor(page)
    _tab_to(page, "Drop an image file here to upload")
    choosers: list[Any] = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    while not choosers:  # the page may still be starting
        page.keyboard.press("Enter")
        page.wait_for_timeout(200)
    choosers[0].set_files(scenes[0])
    visitor.says("160 x 120")
    page.locator("#photo").get_by_label("Remove Image").focus()
    _tab_to(page, "What to look for")
    page.keyboard.type("the left man")
    page.keyboard.press("Shift+Enter")
    visitor.answered()
    before = page.locator("#picture img").get_attribute("src")
    page.locator("#threshold input[type=range]").focus()
    page.keyboard.press("Home")
    visitor.says("Found")
    page.wait_for_function("document.querySelector('#threshold input[type=number]').value === '0'")
    page.locator("ul.legend li", has_text="100.0% of the photo").wait_for()
    visitor.other_picture(before)
    page.get_by_role("tab", name="Masks").focus()
    _tab_to(page, "How it got there")
    page.keyboard.press("Enter")
    page.locator("#stage-0 img").wait_for()


def test_page_is_dark_where_the_system_is(open_page: OpenPage, screenshot: Screenshot) -> None:
    page = open_page(color_scheme="dark")
    page.locator("#examples button").first.click()
    Visitor(page).answered()
    red, green, blue = _background(page)
    assert max(red, green, blue) < 60
    screenshot(page, "dark")
    assert min(_background(open_page(color_scheme="light"))) > 200


def test_nothing_leaves_the_machine(open_page: OpenPage, outside: list[str]) -> None:
    visitor = Visitor(open_page())
    visitor.page.locator("#examples button").first.click()
    visitor.answered()
    assert not outside  # the page's own requests are looked at by open_page


def test_visitor_sees_escaped_text_only(open_page: OpenPage, scenes: list[Path]) -> None:
    visitor = Visitor(open_page())
    visitor.give(scenes[0])
    visitor.ask("<img src=x onerror=alert(1)> man")
    assert visitor.legend[0].startswith("<img src=x onerror=alert(1)> man")


def _background(page: Any) -> list[int]:
    colour = page.evaluate("getComputedStyle(document.querySelector('gradio-app')).backgroundColor")
    return [int(part) for part in colour.strip("rgba()").split(",")[:3]]


def _tab_to(page: Any, wanted: str) -> None:
    """Presses Tab until the focus is on something of this name."""
    seen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        name = page.evaluate(
            """() => {
                const one = document.activeElement;
                return one.ariaLabel || one.closest("label")?.querySelector("span")?.innerText || one.innerText || "";
            }"""
        )
        seen.append(name.strip())
        if seen[-1] == wanted:
            return
    raise AssertionError(f"Tab never reached {wanted!r}, but: {seen}")
