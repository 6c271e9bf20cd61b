"""Each function of the page, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cmpc.data.images import read_image
from cmpc.segmenter import Segmenter
from cmpc.web.service import Service
from cmpc.web.stages import STAGE_NAMES
from web.visitor import Visitor

OpenPage = Callable[..., Any]
Screenshot = Callable[[Any, str], None]


def test_photo_and_two_expressions_give_masks_with_a_legend(
    open_page: OpenPage, scenes: list[Path], screenshot: Screenshot
) -> None:
    visitor = Visitor(open_page())
    screenshot(visitor.page, "start")
    visitor.give(scenes[0])
    assert visitor.message == "A photo of 160 x 120 pixels. Now say what to look for."
    visitor.ask("the left man\nwhite frisbee")
    assert "Found" in visitor.message
    assert [line.split("\n")[0] for line in visitor.legend] == ["the left man", "white frisbee"]
    assert "of the photo" in visitor.legend[0]
    described = visitor.page.locator("#picture img").get_attribute("alt")
    assert "“the left man”, score" in described
    assert "“white frisbee”, score" in described
    screenshot(visitor.page, "masks")


def test_downloaded_files_are_what_the_segmenter_answers(
    open_page: OpenPage, scenes: list[Path], tiny_model_folder: Path
) -> None:
    visitor = Visitor(open_page())
    visitor.give(scenes[0])
    visitor.ask("the left man")
    [expected] = Segmenter.load(tiny_model_folder).predict("the left man", image=scenes[0])
    mask = read_image(visitor.download(".mask.png"))[:, :, 0]
    np.testing.assert_array_equal(mask > 0, expected.mask)
    results = visitor.results()
    assert results["photo"] == "first.png"
    assert results["predictions"][0]["rle"] == expected.to_rle()
    overlay = read_image(visitor.download(".overlay.png"))
    assert overlay.shape[0] > 120  # the legend stands below the photo
    assert overlay.shape[1] == 160


def test_threshold_changes_the_masks_without_the_network(
    open_page: OpenPage,
    scenes: list[Path],
    page_service: Service,
    monkeypatch: pytest.MonkeyPatch,
    tiny_model_folder: Path,
) -> None:
    visitor = Visitor(open_page())
    visitor.give(scenes[1])
    visitor.ask("the left man")
    before = visitor.results()["predictions"][0]["area"]
    probability = Segmenter.load(tiny_model_folder).predict("the left man", image=scenes[1])[0].probability
    threshold = round(float(np.quantile(probability, 0.7)), 2)

    def fail(*_: Any) -> None:
        raise AssertionError("the network ran")

    engine = page_service.models.load(page_service.models.names[0]).engine
    monkeypatch.setattr(engine, "encode_image", fail)
    monkeypatch.setattr(engine, "comprehend", fail)
    visitor.move_threshold(threshold)
    after = visitor.results()["predictions"][0]
    assert after["threshold"] == threshold
    assert after["area"] == int((probability >= threshold).sum()) != before


def test_edges_are_sharpened(
    open_page: OpenPage, scenes: list[Path], tiny_model_folder: Path, screenshot: Screenshot
) -> None:
    visitor = Visitor(open_page())
    visitor.give(scenes[1])
    visitor.ask("the left man")
    model = Segmenter.load(tiny_model_folder)
    [plain] = model.predict("the left man", image=scenes[1])
    threshold = round(float(np.quantile(plain.probability, 0.7)), 2)
    visitor.move_threshold(threshold)
    before = visitor.results()["predictions"][0]["rle"]
    visitor.choose_edges("guided filter")
    [expected] = model.predict("the left man", image=scenes[1], threshold=threshold, refine="guided")
    assert visitor.results()["predictions"][0]["rle"] == expected.to_rle() != before
    screenshot(visitor.page, "edges")


def test_second_expression_does_not_see_the_photo_again(
    open_page: OpenPage, scenes: list[Path], page_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = Visitor(open_page())
    visitor.give(scenes[0])
    visitor.ask("dog on right")

    def fail(*_: Any) -> None:
        raise AssertionError("the photo was seen again")

    monkeypatch.setattr(page_service.models.load(page_service.models.names[0]).engine, "encode_image", fail)
    visitor.ask("behind white dog")
    visitor.page.locator("ul.legend li", has_text="behind white dog").wait_for()


def test_staged_picture_stands_in_tabs(open_page: OpenPage, scenes: list[Path], screenshot: Screenshot) -> None:
    visitor = Visitor(open_page())
    visitor.give(scenes[0])
    visitor.ask("the left man in a red shirt\nwhite frisbee")
    visitor.page.get_by_role("tab", name="How it got there").click()
    visitor.page.locator("#stage-0 img").wait_for()
    assert visitor.says("stage by stage") == "How the model reads “the left man in a red shirt”, stage by stage."
    screenshot(visitor.page, "stages")
    for number, name in enumerate(STAGE_NAMES):
        visitor.page.get_by_role("tab", name=name, exact=True).click()
        picture = visitor.page.locator(f"#stage-{number} img")
        picture.wait_for()
        assert "the left man in a red shirt" in picture.get_attribute("alt")
        if name == "Relations":
            screenshot(visitor.page, "stages-relations")
    visitor.page.get_by_role("radio", name="white frisbee").click()
    assert visitor.says("white frisbee")


def test_example_runs_at_once(open_page: OpenPage, screenshot: Screenshot) -> None:
    visitor = Visitor(open_page())
    visitor.page.locator("#examples button").first.click()
    visitor.answered()
    assert visitor.page.locator("#expressions textarea").input_value() == "the left man\nwhite frisbee"
    assert len(visitor.legend) == 2
    assert visitor.page.locator("#photo img").get_attribute("alt") == "The photo you gave."
    screenshot(visitor.page, "example")


def test_photo_is_pasted_from_the_clipboard(open_page: OpenPage) -> None:
    visitor = Visitor(open_page(permissions=["clipboard-read", "clipboard-write"]))
    visitor.page.evaluate(
        """async () => {
            const canvas = new OffscreenCanvas(90, 70);
            canvas.getContext("2d").fillRect(10, 10, 30, 30);
            const blob = await canvas.convertToBlob({type: "image/png"});
            await navigator.clipboard.write([new ClipboardItem({"image/png": blob})]);
        }"""
    )
    visitor.page.get_by_label("Paste from clipboard").click()
    assert visitor.says("90 x 70")


def test_other_model_of_the_folder_answers(open_page: OpenPage, scenes: list[Path], page_service: Service) -> None:
    visitor = Visitor(open_page())
    visitor.give(scenes[0])
    visitor.ask("the left man")
    model = visitor.page.locator("#model input")
    assert model.input_value() == "large"
    marked = read_image(visitor.download(".png")) > 0
    assert visitor.choose_model("small") == ["✓\nlarge", "small"]
    assert model.input_value() == "small"
    now_marked = read_image(visitor.download(".png")) > 0
    assert (marked != now_marked).mean() > 0.99  # it answers the opposite


def test_new_photo_clears_the_old_answer(open_page: OpenPage, scenes: list[Path]) -> None:
    visitor = Visitor(open_page())
    visitor.give(scenes[0])
    visitor.ask("the left man")
    visitor.page.get_by_label("Remove Image").click()
    visitor.page.locator("#picture img").wait_for(state="detached")
    visitor.page.locator("ul.legend").wait_for(state="detached")
    visitor.says("Give a photo")
    visitor.give(scenes[1])
    assert visitor.page.locator("#picture img").count() == 0


def test_upload_that_is_no_image_is_answered_with_a_sentence(
    open_page: OpenPage, tmp_path: Path, screenshot: Screenshot
) -> None:
    text = tmp_path / "notes.jpg"
    text.write_text("no photo at all", encoding="utf-8")
    visitor = Visitor(open_page())
    visitor.give(text)
    assert visitor.message.startswith("The file you gave is not an image of the formats that are opened (AVIF, BMP")
    assert visitor.page.locator("#photo img").count() == 0
    assert "Traceback" not in visitor.page.content()
    screenshot(visitor.page, "not-an-image")


def test_limits_are_answered_with_sentences(open_page: OpenPage, scenes: list[Path], tmp_path: Path) -> None:
    visitor = Visitor(open_page())
    visitor.press_find()
    assert visitor.says("no photo") == "There is no photo yet: upload or paste one, or choose an example."
    large = tmp_path / "large.png"
    Image.new("RGB", (1200, 900)).save(large)
    visitor.give(large)
    assert "1,200 x 900 pixels but at most 1 megapixels" in visitor.message
    visitor.give(scenes[0])
    for text, sentence in [
        ("", "Say what to look for"),
        ("a\nb\nc\nd", "These are 4 expressions but at most 3"),
        ("man " * 30, "Expression 1 has 119 characters but at most 60"),
    ]:
        visitor.write(text)
        visitor.press_find()
        visitor.page.locator("#message .error", has_text=sentence).wait_for()


def test_file_that_is_too_large_is_answered_with_a_sentence(
    open_page: OpenPage, scenes: list[Path], screenshot: Screenshot
) -> None:
    visitor = Visitor(open_page())
    with scenes[0].open("ab") as file:
        file.truncate(2_000_001)
    visitor.page.locator("#photo input[type=file]").set_input_files(scenes[0])
    toast = visitor.page.get_by_test_id("toast-body")
    toast.filter(has_text="exceed the maximum allowed size").wait_for()
    screenshot(visitor.page, "file-too-large")
