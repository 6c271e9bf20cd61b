"""Sharpened masks."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import cmpc
from benchmarks.refined_answers import Options as AnswerOptions
from benchmarks.refined_answers import main as measure_answers
from benchmarks.refinement import answer_about, boundary_iou, iou
from benchmarks.refinement import main as measure
from cmpc import UsageError, UserError
from cmpc.cli import main
from cmpc.data.schema import DatasetInfo, ReferredObject, write_dataset
from cmpc.refining.guided_filter import guided_filter
from cmpc.refining.refine import refine_probability


def scene(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A disc of one colour before noise of another, and the disc's mask."""
    random = np.random.default_rng(0)
    mask = np.zeros((height, width), np.uint8)
    cv2.circle(mask, (width // 3, height // 2), height // 4, 1, -1)
    colours = np.where(mask[..., None] > 0, (180, 60, 50), (70, 110, 90))
    return (colours + random.normal(0, 4, colours.shape)).clip(0, 255).astype(np.uint8), mask.astype(bool)


@pytest.mark.parametrize("refine", ["guided", "crf"])
@pytest.mark.parametrize("size", [(240, 320), (900, 1200)], ids=["small", "large"])
def test_edge_moves_to_the_edge_of_the_photo(refine: str, size: tuple[int, int]) -> None:
    pixels, mask = scene(*size)
    probability = answer_about(mask, 0.0125, np.random.default_rng(1))
    before = probability >= 0.5
    box = cv2.boundingRect(before.astype(np.uint8))
    refined = refine_probability(probability, pixels, tuple(box), refine)
    assert refined.min() >= 0
    assert refined.max() <= 1
    assert boundary_iou(refined >= 0.5, mask) > boundary_iou(before, mask)
    assert iou(refined >= 0.5, mask) > 0.97
    np.testing.assert_array_equal(refined[:, -50:], probability[:, -50:])  # far from the mask


def test_guided_filter_equals_its_definition() -> None:
    """Against windows fitted one by one, by least squares."""
    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (9, 11, 3), np.uint8)
    values = random.random((9, 11)).astype(np.float32)
    radius, epsilon = 1, 1e-3
    padded_guide = np.pad(pixels / 255, ((1, 1), (1, 1), (0, 0)), mode="symmetric")
    padded_values = np.pad(values, 1, mode="symmetric")
    functions = np.zeros((9, 11, 4))
    for row in range(9):
        for column in range(11):
            colours = padded_guide[row : row + 3, column : column + 3].reshape(9, 3)
            wanted = padded_values[row : row + 3, column : column + 3].reshape(9)
            centred = colours - colours.mean(axis=0)
            slope = np.linalg.solve(
                centred.T @ centred / 9 + epsilon * np.eye(3), centred.T @ (wanted - wanted.mean()) / 9
            )
            functions[row, column] = [*slope, wanted.mean() - slope @ colours.mean(axis=0)]
    padded = np.pad(functions, ((1, 1), (1, 1), (0, 0)), mode="symmetric")
    mean = sum(padded[i : i + 9, j : j + 11] for i in range(3) for j in range(3)) / 9
    expected = (mean[..., :3] * (pixels / 255)).sum(axis=2) + mean[..., 3]
    np.testing.assert_allclose(guided_filter(values, pixels, radius=radius, epsilon=epsilon), expected, atol=1e-4)


def test_guided_filter_at_a_part_of_the_size_is_close_to_that_at_the_whole() -> None:
    """Of a photo with more rows than are filtered at once."""
    random = np.random.default_rng(2)
    pixels = np.asarray(cv2.GaussianBlur(random.integers(0, 256, (201, 90, 3), np.uint8), (0, 0), 8), np.uint8)
    values = np.asarray(cv2.GaussianBlur(random.random((201, 90)).astype(np.float32), (0, 0), 8), np.float32)
    values = (values - values.min()) / (values.max() - values.min())
    whole, part = (guided_filter(values, pixels, radius=12, epsilon=1e-3, shrink=shrink) for shrink in (1, 3))
    assert whole.std() > 0.1
    np.testing.assert_allclose(part, whole, atol=0.05)


def test_segmenter_refines_wherever_it_has_the_photo(tiny_model_folder: Path, photo: Path) -> None:
    segmenter = cmpc.load(tiny_model_folder)
    [plain] = segmenter.predict("dog", image=photo, threshold=0.4)
    [refined] = segmenter.predict("dog", image=photo, threshold=0.4, refine="guided")
    assert (refined.mask != plain.mask).any()
    seen = segmenter.set_image(photo)
    for other in (
        segmenter.predict("dog", threshold=0.4, refine="guided")[0],
        segmenter.predict_batch(["dog"], [photo], threshold=0.4, refine="guided")[0][0],
        plain.refined(photo, "guided"),
    ):
        np.testing.assert_array_equal(other.mask, refined.mask)
    with pytest.raises(UsageError, match="refining needs the photo itself"):
        segmenter.predict("dog", image=seen, refine="guided")
    with pytest.raises(UsageError, match="there is no refinement 'magic': choose crf, guided or none"):
        segmenter.predict("dog", image=photo, refine="magic")  # type: ignore[arg-type]
    [nothing] = segmenter.predict("dog", image=photo, threshold=1, refine="guided")
    assert not nothing.mask.any()


def test_command_refines(tiny_model_folder: Path, photo: Path, tmp_path: Path) -> None:
    masks = []
    for refine in ("none", "guided"):
        out = tmp_path / refine
        options = ("--refine", refine, "--threshold", "0.4", "--model", str(tiny_model_folder), "--out", str(out))
        assert main(["segment", str(photo), "dog", *options]) == 0
        masks.append(np.asarray(Image.open(out / "photo.1-dog.mask.png")))
    assert (masks[0] != masks[1]).any()


def test_missing_package_is_told(monkeypatch: pytest.MonkeyPatch, tiny_model_folder: Path, photo: Path) -> None:
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    with pytest.raises(UserError, match="--refine crf needs the package pydensecrf2"):
        cmpc.load(tiny_model_folder).predict("dog", image=photo, refine="crf")


def test_figures_are_measured_on_exact_masks_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    from benchmarks.refinement import Options
    from cmpc.data.masks import encode_mask

    pixels, mask = scene(120, 160)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    rle = {"size": [120, 160], "counts": encode_mask(mask)}
    annotations = [
        {"id": 1, "image_id": 1, "segmentation": rle, "quality": "exact"},
        {"id": 2, "image_id": 1, "segmentation": rle, "quality": "rough"},
    ]
    images = [{"id": 1, "file_name": "a.png", "height": 120, "width": 160}]
    (tmp_path / "a.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    measure(Options(tmp_path, tmp_path / "a.json"))
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()]
    found = {row[2]: float(row[4]) for row in rows if row[0] == "| all"}
    assert [row[1] for row in rows if row[0] == "| all"] == ["1", "1", "1"]
    assert found["crf"] > found["none"]


def test_figures_are_measured_on_the_answers_of_a_model(
    tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from cmpc.data.masks import encode_mask

    rows = []
    for number in range(3):
        pixels, mask = scene(120, 160)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append(
            ReferredObject(
                str(number),
                str(number),
                f"{number}.png",
                120,
                160,
                encode_mask(mask),
                (0, 0, 160, 120),
                "",
                ("the dog",),
            )
        )
    info = DatasetInfo(name="scenes", images=str(tmp_path))
    write_dataset(tmp_path / "data", info, {"val": rows})
    measure_answers(AnswerOptions(tmp_path / "data", str(tiny_model_folder), found=0))
    printed = capsys.readouterr().out
    counts = [line.split(" | ")[1] for line in printed.splitlines() if line.startswith("| all")]
    assert counts == ["3", "3", "3"]
    assert "3 of 3 objects were found with an IoU of 0 or more." in printed
    measure_answers(AnswerOptions(tmp_path / "data", str(tiny_model_folder), found=1))
    assert "0 of 3 objects" in capsys.readouterr().out
