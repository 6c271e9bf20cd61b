"""Predictions as files, however large the photo."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cmpc
from cmpc.answers.overlay import PALETTE, overlay
from cmpc.answers.results import write_results

PEAK = """
import resource, sys
from cmpc.cli import main
status = main(["segment", *sys.argv[1:]])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(status)
"""
"""A program that segments, and prints the most memory that it needed in kB."""


def test_written_masks_are_those_of_the_predictions(tiny_model_folder: Path, photo: Path, tmp_path: Path) -> None:
    segmenter = cmpc.load(tiny_model_folder)
    predictions = segmenter.predict(["the left man", "white frisbee"], image=photo)
    pixels = np.asarray(Image.open(photo))
    results = write_results(tmp_path / "out", "photo", photo, pixels, predictions)
    assert json.loads((tmp_path / "out" / "photo.json").read_text())["predictions"] == results
    for prediction, result in zip(predictions, results, strict=True):
        written = np.asarray(Image.open(tmp_path / "out" / result["mask"]))
        assert written.dtype == np.uint8
        np.testing.assert_array_equal(written, np.where(prediction.mask, 255, 0))
        assert result["area"] == prediction.mask.sum()
        assert {**prediction.to_dict(), "mask": result["mask"]} == result
    drawn = np.asarray(Image.open(tmp_path / "out" / "photo.overlay.png"))
    np.testing.assert_array_equal(drawn[:90], overlay(pixels, [prediction.mask for prediction in predictions]))
    assert (drawn[90:] == PALETTE[1]).all(axis=2).any()


def test_overlays_of_large_photos_are_smaller_and_masks_are_not(
    tiny_model_folder: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cmpc.answers.results.MOST_DRAWN", 3_000)
    pixels = np.asarray(Image.open(photo))
    segmenter = cmpc.load(tiny_model_folder)
    nothing = segmenter.predict(["the left man"], image=photo, threshold=1)
    [result] = write_results(tmp_path, "photo", photo, pixels, nothing)
    assert np.asarray(Image.open(tmp_path / result["mask"])).shape == pixels.shape[:2]
    drawn = np.asarray(Image.open(tmp_path / "photo.overlay.png"), np.int16)
    columns = drawn.shape[1]
    rows = int(pixels.shape[0] * (3_000 / pixels[..., 0].size) ** 0.5)
    assert 2_800 <= rows * columns <= 3_000
    assert drawn.shape[0] > rows  # the legend is below
    shrunk = np.asarray(Image.fromarray(pixels).resize((columns, rows), Image.Resampling.BOX))
    assert np.abs(drawn[:rows] - shrunk).mean() < 2

    everything = segmenter.predict(["the left man"], image=photo, threshold=0)
    write_results(tmp_path, "photo", photo, pixels, everything)
    drawn = np.asarray(Image.open(tmp_path / "photo.overlay.png"))[3 : rows - 3, 3:-3]
    blended = overlay(shrunk, [np.ones((rows, columns), np.bool_)])[3:-3, 3:-3]
    assert np.abs(drawn - blended.astype(np.int16)).mean() < 2


def test_masks_are_blended_in_their_colours() -> None:
    pixels = np.full((40, 60, 3), 100, np.uint8)
    mask = np.zeros((40, 60), np.bool_)
    mask[10:30, 10:50] = True
    drawn = overlay(pixels, [mask], opacity=0.25)
    assert (drawn[~mask] == 100).all()
    assert (drawn[11:29, 11:49] == [132, 95, 82]).all()  # 3/4 of 100 and 1/4 of 230, 80, 30, rounded to even
    assert (drawn[10, 10:50] == PALETTE[0]).all()
    assert (pixels == 100).all()


def test_predictions_hold_nothing_as_large_as_the_photo(tiny_model_folder: Path) -> None:
    large = np.zeros((900, 1600, 3), np.uint8)
    predictions = cmpc.load(tiny_model_folder).predict(["the left man", "white frisbee"], image=large)
    for prediction in predictions:
        assert (prediction.area, prediction.score, prediction.box) is not None
        arrays = [value for value in vars(prediction).values() if isinstance(value, np.ndarray)]
        assert 64 * 64 in [array.size for array in arrays]
        assert all(array.size <= 64 * 64 and array.base is None for array in arrays)


def test_area_score_and_box_are_those_of_the_mask(tiny_model_folder: Path) -> None:
    random = np.random.default_rng(0)
    segmenter = cmpc.load(tiny_model_folder)
    for height, width in ((3, 500), (700, 900), (1, 1), (50, 40)):
        image = random.integers(0, 255, (height, width, 3), np.uint8)
        likely = float(np.median(segmenter.predict("dog", image=image)[0].probability))
        for threshold in (0.0, likely, 1.0):
            [prediction] = segmenter.predict("dog", image=image, threshold=threshold)
            mask = prediction.probability >= threshold
            np.testing.assert_array_equal(prediction.mask, mask)
            assert prediction.area == mask.sum()
            if not mask.any():
                assert (prediction.score, prediction.box) == (0, None)
                continue
            assert prediction.score == pytest.approx(float(prediction.probability[mask].mean()), abs=1e-6)
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            x, y, across, down = prediction.box
            assert (x, y, x + across - 1, y + down - 1) == (columns[0], rows[0], columns[-1], rows[-1])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_expressions(tiny_model_folder: Path, tmp_path: Path) -> None:
    photo = tmp_path / "large.jpg"
    Image.new("RGB", (6000, 4000), (90, 120, 60)).save(photo)
    arguments = ["--model", str(tiny_model_folder), "--device", "cpu", "--out", str(tmp_path / "out")]
    peaks = []
    for expressions in (["dog"], ["dog", "the left man", "white frisbee", "man", "red shirt", "box", "left", "right"]):
        command = [sys.executable, "-c", PEAK, str(photo), *expressions, *arguments]
        peaks.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]))
    assert peaks[1] < 1.15 * peaks[0]
