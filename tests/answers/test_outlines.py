"""Polygons of masks, filled again by what reads them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from cmpc.answers.outlines import has_holes, outlines
from cmpc.cli import main
from cmpc.data.schema import PreparedDataset

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=14), fill=st.nothing())


def filled(polygons: list[list[float]], height: int, width: int) -> np.ndarray:
    """The mask of polygons, as pycocotools fills them."""
    if not polygons:
        return np.zeros((height, width), bool)
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))).astype(bool)


def drawn(name: str) -> np.ndarray:
    mask = np.zeros((30, 40), bool)
    mask[5:15, 8:28] = True
    if name == "ring":
        mask[7:13, 10:26] = False
    elif name == "two holes above each other and one beside":
        mask[6:8, 10:12] = mask[9:11, 10:12] = mask[6:11, 20:22] = False
    elif name == "a part in a hole":
        mask[7:13, 10:26] = False
        mask[9:11, 15:20] = True
    elif name == "pixel":
        mask[:] = False
        mask[3, 4] = True
    elif name == "line":
        mask[6:] = False
    elif name == "pixels that touch at corners":
        mask[:] = np.eye(30, 40, dtype=bool)
    elif name == "whole":
        mask[:] = True
    return mask


NAMES = [
    *("block", "ring", "two holes above each other and one beside", "a part in a hole", "pixel", "line"),
    *("pixels that touch at corners", "whole"),
]


@pytest.mark.parametrize("name", NAMES)
def test_filled_outlines_are_the_mask(name: str) -> None:
    mask = drawn(name)
    assert (filled(outlines(mask), *mask.shape) == mask).all()


@given(MASKS)
def test_filled_outlines_are_any_mask(mask: np.ndarray) -> None:
    assert (filled(outlines(mask), *mask.shape) == mask).all()


def test_filled_outlines_are_a_tall_mask() -> None:
    mask = np.random.default_rng(0).random((1600, 9)) < 0.6
    assert (filled(outlines(mask), *mask.shape) == mask).all()


@given(MASKS)
def test_areas_of_outlines_add_up_to_the_mask(mask: np.ndarray) -> None:
    """Whatever fills them: a line to a hole has no area, and the hole's counts as less."""
    areas = []
    for polygon in outlines(mask):
        x, y = np.array(polygon).reshape(-1, 2).T
        areas.append((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)
    assert all(area > 0 for area in areas)
    assert sum(areas) == mask.sum()


@given(MASKS)
def test_holes_are_what_the_border_does_not_reach(mask: np.ndarray) -> None:
    outside = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    assert has_holes(mask) == (cv2.connectedComponents(outside, connectivity=8)[0] > 2)


def test_block_is_its_four_corners() -> None:
    assert outlines(drawn("block")) == [[8.0, 5.0, 28.0, 5.0, 28.0, 15.0, 8.0, 15.0]]


def test_scaled_outlines_of_a_ring_have_its_hole_for_other_programs() -> None:
    """Pillow, at eight times the size, where its border pixels hardly matter."""
    mask = drawn("ring")
    canvas = Image.new("1", (40 * 8, 30 * 8))
    for polygon in outlines(mask):
        ImageDraw.Draw(canvas).polygon([value * 8 for value in polygon], fill=1)
    large = np.asarray(canvas)
    assert not large[8 * 8 : 12 * 8, 12 * 8 : 24 * 8].any()
    assert large[5 * 8 + 4, 8 * 8 : 28 * 8].all()


@pytest.mark.parametrize("name", NAMES)
def test_own_data_and_coco_read_outlines_back(tmp_path: Path, name: str) -> None:
    mask = drawn(name)
    height, width = mask.shape
    Image.new("RGB", (width, height)).save(tmp_path / "a.png")
    polygons = outlines(mask)
    row = {"image": "a.png", "expression": "it", "polygon": polygons}
    (tmp_path / "t.jsonl").write_text(json.dumps(row))
    images = ["--images", str(tmp_path)]
    assert main(["prepare", "own", str(tmp_path / "t.jsonl"), *images, "--out", str(tmp_path / "own")]) == 0
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": height, "width": width}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": polygons}],
        "categories": [{"id": 1, "name": "it"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(content))
    (tmp_path / "said.json").write_text(json.dumps([{"ann_id": 1, "expression": "it"}]))
    files = ["--instances", str(tmp_path / "instances.json"), "--expressions", str(tmp_path / "said.json")]
    assert main(["prepare", "coco", *files, *images, "--out", str(tmp_path / "coco")]) == 0
    for prepared in ("own", "coco"):
        assert (PreparedDataset.open(tmp_path / prepared).read("train")[0].decode_mask() == mask).all()
