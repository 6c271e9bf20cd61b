"""What the page tells of a place in its picture, and the answers that one takes along, in a real browser."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from cmpc.answers.prediction import Prediction
from cmpc.segmenter import Segmenter
from web.visitor import Visitor

OpenPage = Callable[..., Any]
EXPRESSIONS = ["the left man", "white frisbee"]


@pytest.fixture
def visitor(open_page: OpenPage, scenes: list[Path], level: float) -> Visitor:
    """Has asked for two things, whose masks are some parts of the photo."""
    visitor = Visitor(open_page())
    visitor.give(scenes[0])
    visitor.ask("\n".join(EXPRESSIONS))
    visitor.move_threshold(level)
    return visitor


@pytest.fixture
def model(tiny_model_folder: Path) -> Segmenter:
    return Segmenter.load(tiny_model_folder)


@pytest.fixture
def level(scenes: list[Path], model: Segmenter) -> float:
    """A threshold at which the first expression has about a third of the photo."""
    return round(float(np.quantile(model.predict(EXPRESSIONS[0], image=scenes[0])[0].probability, 0.67)), 2)


@pytest.fixture
def expected(scenes: list[Path], model: Segmenter, level: float) -> list[Prediction]:
    return model.predict(EXPRESSIONS, image=scenes[0], threshold=level)


def inside(mask: np.ndarray) -> tuple[int, int]:
    """x and y of the pixel that lies deepest in a mask."""
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return int(x), int(y)


def test_click_on_a_mask_shows_its_words(
    visitor: Visitor, expected: list[Prediction], screenshot: Callable[[Any, str], None]
) -> None:
    first, second = (prediction.mask for prediction in expected)
    parts = [first & ~second, ~first & ~second, first & second, second & ~first]
    assert parts[1].any()
    assert first.any()
    assert visitor.chosen == []
    for x, y in [inside(part) for part in parts if part.any()]:
        here = [one.expression for one in expected if one.mask[y, x]]
        said = visitor.click_picture(x, y)
        assert visitor.chosen == here
        assert [name for name in EXPRESSIONS if f"“{name}”" in said] == here
        assert here or said.startswith("No mask lies here")
        screenshot(visitor.page, f"click-{len(here)}")
    visitor.choose_edges("guided filter")  # draws the legend anew
    assert visitor.chosen == []


def test_cutouts_are_downloaded_one_by_one_and_together(
    visitor: Visitor, expected: list[Prediction], scenes: list[Path]
) -> None:
    names = visitor.take_along("cutouts")
    assert names == ["first.1-the-left-man.cutout.png", "first.2-white-frisbee.cutout.png", "first.cutouts.zip"]
    with zipfile.ZipFile(visitor.download(".zip")) as archive:
        assert archive.namelist() == names[:2]
        together = [archive.read(name) for name in names[:2]]
    for name, content, prediction in zip(names, together, expected, strict=False):
        assert visitor.download(name).read_bytes() == content
        image = Image.open(io.BytesIO(content))
        wanted = prediction.cutout(scenes[0])
        assert image.mode == "RGBA"
        np.testing.assert_array_equal(np.asarray(image), np.asarray(wanted))


def test_coco_is_read_by_pycocotools(visitor: Visitor, expected: list[Prediction]) -> None:
    assert visitor.take_along("COCO") == ["coco_dataset.json", "coco_results.json"]
    dataset = COCO(visitor.download("dataset.json"))
    [image] = dataset.imgs.values()
    assert (image["file_name"], image["height"], image["width"]) == ("first.png", 120, 160)
    assert [category["name"] for category in dataset.cats.values()] == EXPRESSIONS
    for annotation, prediction in zip(dataset.anns.values(), expected, strict=True):
        np.testing.assert_array_equal(dataset.annToMask(annotation), prediction.mask)
    results = json.loads(visitor.download("results.json").read_text())
    assert [coco_mask.area(one["segmentation"]) for one in results] == [one.area for one in expected]


def test_labelme_points_at_the_photo_beside_it(visitor: Visitor, expected: list[Prediction]) -> None:
    assert visitor.take_along("labelme") == ["first.json"]
    content = json.loads(visitor.download("first.json").read_text(encoding="utf-8"))
    assert (content["imagePath"], content["imageHeight"], content["imageWidth"]) == ("first.png", 120, 160)
    for prediction in expected:
        drawn = np.zeros((120, 160), np.uint8)
        for shape in content["shapes"]:
            points = np.array(shape["points"]).round().astype(np.int32)
            if shape["label"] != prediction.expression:
                continue
            if shape["shape_type"] == "mask":
                (left, top), (right, bottom) = points
                part = np.asarray(Image.open(io.BytesIO(base64.b64decode(shape["mask"]))))
                drawn[top : bottom + 1, left : right + 1] |= part
            else:
                cv2.fillPoly(drawn, [points], 1)
        assert (drawn & prediction.mask).sum() / (drawn | prediction.mask).sum() > 0.9


def test_choice_of_files_stays_and_nothing_found_is_nothing_to_cut_out(visitor: Visitor, level: float) -> None:
    visitor.take_along("cutouts")
    visitor.move_threshold(level - 0.01)
    assert visitor.page.locator("#files a[download$='.zip']").count() == 1
    number = visitor.page.locator("#threshold input[type=number]")
    number.fill("1")
    number.press("Tab")
    assert visitor.says("nothing to cut out").startswith("Nothing was found")
    assert visitor.page.locator("#files a").count() == 0


@pytest.mark.parametrize("place", ["here", [1], [1, 2, 3], [0.5, 1], [True, False], {"x": 1}, None])
def test_click_that_is_none_is_answered_with_a_sentence(address: str, place: Any) -> None:
    config = httpx.get(f"{address}config").json()
    [legend] = [one["id"] for one in config["components"] if one["props"].get("elem_id") == "legend"]
    [event] = [one["id"] for one in config["dependencies"] if [legend, "select"] in one["targets"]]
    body = {
        "data": [None, 0.5, "none"],
        "event_data": {"index": place, "value": None},
        "fn_index": event,
        "trigger_id": legend,
        "session_hash": "clicks",
    }
    assert httpx.post(f"{address}gradio_api/queue/join", json=body).status_code == 200
    answer = httpx.get(f"{address}gradio_api/queue/data?session_hash=clicks").text
    assert "A click on the picture has two whole numbers" in answer
