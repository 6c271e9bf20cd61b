"""Results in the formats of other programs, read back by those programs' own readers."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas
import pytest
import supervision
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from answers.conftest import SIDE, known_masks
from cmpc import Segmenter

MASKS = known_masks()
EXPRESSIONS = tuple(MASKS)
FILLED = MASKS["man"].copy()
FILLED[16:24, 20:30] = True
Segment = Callable[..., int]


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum()


def test_coco_files_hold_every_mask_that_is_not_empty(photos: Path, segment: Segment, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert segment(photos, *EXPRESSIONS, "--format", "coco", "--out", out) == 0
    assert sorted(file.name for file in out.iterdir()) == ["coco_dataset.json", "coco_results.json"]
    dataset = COCO(out / "coco_dataset.json")
    assert [image["file_name"] for image in dataset.imgs.values()] == ["first.jpg", "second.png"]
    results = dataset.loadRes(str(out / "coco_results.json"))
    for read in (dataset, results):
        assert len(read.anns) == 6  # the dog was not found
        for annotation in read.anns.values():
            name = dataset.cats[annotation["category_id"]]["name"]
            np.testing.assert_array_equal(read.annToMask(annotation), MASKS[name])
            assert annotation["bbox"] == coco_mask.toBbox(annotation["segmentation"]).tolist()
    assert all(
        annotation["score"] == pytest.approx(1 / (1 + np.exp(-6)), abs=1e-4) for annotation in results.anns.values()
    )


def test_supervision_reads_the_coco_dataset(photos: Path, segment: Segment, tmp_path: Path) -> None:
    assert segment(photos, *EXPRESSIONS, "--format", "coco", "--out", tmp_path / "out") == 0
    dataset = supervision.DetectionDataset.from_coco(
        str(photos), str(tmp_path / "out/coco_dataset.json"), force_masks=True
    )
    assert dataset.classes == list(EXPRESSIONS)
    for _, _, detections in dataset:
        for name, mask in zip(np.array(dataset.classes)[detections.class_id], detections.mask, strict=True):
            np.testing.assert_array_equal(mask, MASKS[name])


def test_coco_polygons_lead_to_holes_and_say_so(
    photos: Path, segment: Segment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--format", "coco", "--polygons", "--out", tmp_path / "out")
    assert segment(photos, "man", "frisbee", "dog", *options) == 0
    error = capsys.readouterr().err
    assert "COCO's polygons hold no holes: those in the mask of 'man' are reached by a line without area" in error
    assert "frisbee' are filled" not in error
    read = COCO(tmp_path / "out/coco_dataset.json")
    for annotation in read.anns.values():
        expected = FILLED if read.cats[annotation["category_id"]]["name"] == "man" else MASKS["frisbee"]
        assert overlap(read.annToMask(annotation).astype(bool), expected) > 0.85


def test_yolo_labels_are_read_by_supervision(
    photos: Path, segment: Segment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert segment(photos, "man", "frisbee", "dog", "--format", "yolo", "--out", out) == 0
    assert "YOLO's outlines hold no holes" in capsys.readouterr().err
    dataset = supervision.DetectionDataset.from_yolo(
        str(photos), str(out / "labels"), str(out / "data.yaml"), force_masks=True
    )
    assert dataset.classes == ["man", "frisbee", "dog"]
    for _, _, detections in dataset:
        assert detections.class_id.tolist() == [0, 1, 1]  # a line for each part
        assert overlap(detections.mask[0], FILLED) > 0.85
        assert overlap(detections.mask[1] | detections.mask[2], MASKS["frisbee"]) > 0.85


def test_nothing_found_leaves_an_empty_file_of_yolo(photos: Path, segment: Segment, tmp_path: Path) -> None:
    assert segment(photos, "dog", "--format", "yolo", "--out", tmp_path / "out") == 0
    assert (tmp_path / "out/labels/first.txt").read_text() == ""


def test_labelme_reads_its_files(photos: Path, segment: Segment, tmp_path: Path) -> None:
    labelme = pytest.importorskip("labelme", reason="labelme's own reader needs Qt: pip install labelme")
    out = tmp_path / "out"
    assert segment(photos, *EXPRESSIONS, "--format", "labelme", "--out", out) == 0
    read = labelme.LabelFile(str(out / "first.json"))
    assert_shapes_are_the_masks(read.shapes, lambda shape: shape["mask"])
    assert read.image_data == (photos / "first.jpg").read_bytes()


def test_files_of_labelme_hold_outlines_and_masks_with_holes(photos: Path, segment: Segment, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert segment(photos, *EXPRESSIONS, "--format", "labelme", "--out", out) == 0
    content = json.loads((out / "first.json").read_text())
    assert (out / content["imagePath"]).samefile(photos / "first.jpg")
    assert (content["imageHeight"], content["imageWidth"]) == (SIDE, SIDE)

    def mask_of(shape: dict[str, Any]) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(shape["mask"])))) > 0

    assert_shapes_are_the_masks(content["shapes"], mask_of)


def assert_shapes_are_the_masks(shapes: list[dict[str, Any]], mask_of: Callable[[dict[str, Any]], np.ndarray]) -> None:
    found = {name: np.zeros((SIDE, SIDE), bool) for name in EXPRESSIONS}
    for shape in shapes:
        found[shape["label"]] |= drawn(shape, mask_of)
    np.testing.assert_array_equal(found["man"], MASKS["man"])  # which has a hole
    assert overlap(found["frisbee"], MASKS["frisbee"]) > 0.85
    assert not found["dog"].any()
    frisbees = [shape for shape in shapes if shape["label"] == "frisbee"]
    assert len(frisbees) == 2
    assert len({shape["group_id"] for shape in frisbees}) == 1  # two parts of one thing


def drawn(shape: dict[str, Any], mask_of: Callable[[dict[str, Any]], np.ndarray]) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    points = np.array(shape["points"]).round().astype(np.int32)
    if shape["shape_type"] == "mask":
        (left, top), (right, bottom) = points
        mask[top : bottom + 1, left : right + 1] = mask_of(shape)
    else:
        cv2.fillPoly(mask, [points], 1)
    return mask > 0


def test_indexed_png_holds_the_number_of_the_expression(
    photos: Path, segment: Segment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert segment(photos, *EXPRESSIONS, "--format", "png", "--out", out) == 0
    image = Image.open(out / "first.indexed.png")
    assert image.mode == "P"
    numbers = np.asarray(image)
    np.testing.assert_array_equal(numbers > 0, np.any(list(MASKS.values()), axis=0))
    np.testing.assert_array_equal(numbers == 3, MASKS["shirt"])
    [first, _] = json.loads((out / "index.json").read_text())
    assert first["expressions"] == {"1": "man", "2": "frisbee", "3": "shirt", "4": "dog"}
    overlapping = (MASKS["man"] & MASKS["frisbee"]).sum()
    assert f"{overlapping} pixels have several" in capsys.readouterr().err
    assert segment(photos, "dog", "--format", "png", "--out", out) == 0
    assert not np.asarray(Image.open(out / "first.indexed.png")).any()


def test_json_lines_are_a_table_for_pandas(photos: Path, segment: Segment, tmp_path: Path) -> None:
    assert segment(photos, *EXPRESSIONS, "--format", "jsonl", "--out", tmp_path / "out") == 0
    table = pandas.read_json(tmp_path / "out/results.jsonl", lines=True)
    assert len(table) == 8
    assert set(table[table.area == 0].expression) == {"dog"}
    assert table.photo.str.endswith(("first.jpg", "second.png")).all()


def test_cutouts_are_transparent_outside_of_the_mask(photos: Path, segment: Segment, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--cutout", "--feather", "0", "--format", "jsonl", "--out", out)
    assert segment(photos / "second.png", *EXPRESSIONS, *options) == 0
    assert sorted(file.name for file in out.glob("*.png")) == [
        "second.1-man.cutout.png",
        "second.2-frisbee.cutout.png",
        "second.3-shirt.cutout.png",
    ]
    image = np.asarray(Image.open(out / "second.1-man.cutout.png"))
    np.testing.assert_array_equal(image[:, :, 3] == 255, MASKS["man"][8:40, 10:50])
    np.testing.assert_array_equal(image[:, :, :3], np.asarray(Image.open(photos / "second.png"))[8:40, 10:50])


def test_feathered_edge_is_soft(photos: Path, scripted: Segmenter) -> None:
    [prediction] = scripted.predict("frisbee", image=photos / "second.png")
    cutout = prediction.cutout(photos / "second.png", feather=2)
    assert cutout is not None
    opacity = np.asarray(cutout)[:, :, 3]
    assert opacity.shape == (20 + 2 * 4, 55 + 4 + 4)
    row = opacity[14].astype(int)
    assert 0 < row[3] < row[4] < 255  # outside and inside of the edge at column 4
    assert row[11] == 255


def test_prediction_becomes_what_other_libraries_take(photos: Path, scripted: Segmenter) -> None:
    photo = photos / "first.jpg"
    man, nothing = scripted.predict(["man", "dog"], image=photo)
    detections = man.to_supervision(class_id=3)
    np.testing.assert_array_equal(detections.mask[0], MASKS["man"])
    assert detections.xyxy.tolist() == [[10, 8, 50, 40]]
    assert detections.class_id.tolist() == [3]
    assert detections.data["class_name"].tolist() == ["man"]
    assert len(supervision.Detections.merge([detections, nothing.to_supervision()])) == 1
    np.testing.assert_array_equal(np.asarray(man.to_pil()) == 255, MASKS["man"])
    assert man.crop(photo).size == (40, 32)
    assert man.crop(photo, margin=20).size == (SIDE, 60)
    assert man.draw(photo).size == (SIDE, SIDE)
    assert man.draw(photo, legend=True).height > SIDE
    coco = man.to_coco(image_id=7, category_id=2)
    np.testing.assert_array_equal(coco_mask.decode(coco["segmentation"]), MASKS["man"])
    assert nothing.crop(photo) is None
    assert nothing.cutout(photo) is None
    assert nothing.to_coco()["bbox"] == [0, 0, 0, 0]
    assert np.asarray(nothing.draw(photo)).shape == (SIDE, SIDE, 3)


def test_another_photo_than_the_mask_s_is_refused(photos: Path, scripted: Segmenter) -> None:
    from cmpc import UserError

    [prediction] = scripted.predict("man", image=photos / "first.jpg")
    with pytest.raises(UserError, match="the image has 30 x 20 pixels but the mask 64 x 64"):
        prediction.cutout(np.zeros((20, 30, 3), np.uint8))


def test_polygons_go_with_coco_only(
    photos: Path, segment: Segment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment(photos, "man", "--polygons", "--out", tmp_path / "out") == 2
    assert "--polygons goes with --format coco" in capsys.readouterr().err
