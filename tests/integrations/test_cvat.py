"""The function for CVAT, against the interface of its SDK."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import cvat_sdk.auto_annotation as cvataa
import numpy as np
import pytest
from cvat_sdk import models
from PIL import Image

import cmpc
from cmpc import UsageError, UserError
from cmpc.integrations import cvat

EXPRESSIONS = "man = the left man; dog"


def context(*, polygons: bool = False, least: float | None = None) -> SimpleNamespace:
    """What CVAT says of a frame."""
    return SimpleNamespace(frame_name="photo.jpg", conf_threshold=least, conv_mask_to_poly=polygons)


def decoded(points: list[float], height: int, width: int) -> np.ndarray:
    """A mask of CVAT: run lengths in a box, outside first, then the box's corners, which belong to it."""
    *runs, left, top, right, bottom = map(int, points)
    mask = np.zeros((height, width), bool)
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    mask[top : bottom + 1, left : right + 1] = inside.reshape(bottom - top + 1, right - left + 1)
    return mask


def test_masks_and_polygons_of_a_frame(tiny_model_folder: Path, photo: Path) -> None:
    function = cvat.create(EXPRESSIONS, model=str(tiny_model_folder), threshold=0.4, device="cpu")
    assert isinstance(function.spec, cvataa.DetectionFunctionSpec)
    assert [label.name for label in function.spec.labels] == ["man", "dog"]
    image = Image.open(io.BytesIO(photo.read_bytes()))
    expected = cmpc.load(tiny_model_folder).predict(["the left man", "dog"], image=photo, threshold=0.4)
    shapes = function.detect(context(), image)
    assert len(shapes) == sum(prediction.box is not None for prediction in expected) > 0
    for shape in shapes:
        assert isinstance(shape, models.LabeledShapeRequest)
        np.testing.assert_array_equal(decoded(shape.points, 90, 140), expected[shape.label_id].mask)
    outlines = function.detect(context(polygons=True), image)
    assert {shape.type.value for shape in outlines} == {"polygon"}
    assert function.detect(context(least=1.1), image) == []


def test_nothing_found_is_no_shape(tiny_model_folder: Path, photo: Path) -> None:
    function = cvat.create("dog", model=str(tiny_model_folder), threshold=1.0, device="cpu")
    assert function.detect(context(), Image.open(photo)) == []


def test_mistakes_are_told(tiny_model_folder: Path) -> None:
    with pytest.raises(UsageError, match="say what to look for"):
        cvat.create(" ; ", model=str(tiny_model_folder), device="cpu")
    with pytest.raises(UserError, match="holds no word"):
        cvat.create("dog=?", model=str(tiny_model_folder), device="cpu")
