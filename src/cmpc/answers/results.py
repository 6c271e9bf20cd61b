"""Predictions as files: an overlay, a mask for each expression, and everything else as JSON."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cmpc.answers.overlay import blend, draw_outlines, legend, legend_height
from cmpc.answers.prediction import Prediction
from cmpc.errors import UserError
from cmpc.file_systems import Place
from cmpc.files import atomic_file

_ROWS = 256
"""Rows whose colours are put into another order at once."""


def write_results(
    out: Path, name: str, photo: Place, pixels: NDArray[np.uint8], predictions: Sequence[Prediction]
) -> list[dict[str, Any]]:
    """Writes ``NAME.overlay.png``, ``NAME.<n>-<expression>.mask.png`` and ``NAME.json``, each whole or not at all.

    Masks are made and written one after the other, so that the memory does not grow with their number.

    Args:
        out: the folder; it is made where it does not exist.
        name: of the results.
        photo: the file that was asked about, for the JSON file.
        pixels: of the photo, RGB, uint8, (H, W, 3).
        predictions: what was answered about the photo.

    Returns:
        What the JSON file says of each prediction: ``Prediction.to_dict()`` and the name of its ``mask``.

    Raises:
        UserError: a file cannot be written.
    """
    try:
        return _write(out, name, photo, pixels, predictions)
    except OSError as error:
        raise UserError(f"cannot write the results of {photo} to {out}: {error.strerror or error}.") from None


def write_cutouts(
    out: Path, name: str, pixels: NDArray[np.uint8], predictions: Sequence[Prediction], *, feather: float
) -> None:
    """Writes ``NAME.<n>-<expression>.cutout.png``, what each mask shows alone; nothing for an empty mask.

    They are made one after the other, as the masks of ``write_results``.

    Args:
        out: the folder; it is made where it does not exist.
        name: of the results.
        pixels: of the photo, RGB, uint8, (H, W, 3).
        predictions: what was answered about the photo.
        feather: how soft the edge is, as ``Prediction.cutout`` takes it.

    Raises:
        UserError: a file cannot be written.
    """
    try:
        for number, prediction in enumerate(predictions, start=1):
            cutout = dataclasses.replace(prediction).cutout(pixels, feather=feather)
            if cutout is not None:
                turned = np.asarray(cv2.cvtColor(np.asarray(cutout), cv2.COLOR_RGBA2BGRA), np.uint8)
                _write_png(out / f"{name}.{number}-{_slug(prediction.expression)}.cutout.png", turned)
    except OSError as error:
        raise UserError(f"cannot write the cutouts of {name} to {out}: {error.strerror or error}.") from None


def _write(
    out: Path, name: str, photo: Place, pixels: NDArray[np.uint8], predictions: Sequence[Prediction]
) -> list[dict[str, Any]]:
    height, width = pixels.shape[:2]
    drawn = np.empty((height + legend_height(width, len(predictions)), width, 3), np.uint8)
    drawn[:height] = pixels
    results, outlines, captions = [], [], []
    for number, prediction in enumerate(predictions):
        result, outline, caption = _write_mask(out, name, number, dataclasses.replace(prediction), drawn[:height])
        results.append(result)
        outlines.append(outline)
        captions.append(caption)
    draw_outlines(drawn[:height], outlines)
    drawn[height:] = legend(width, captions)
    for start in range(0, len(drawn), _ROWS):  # OpenCV writes BGR
        rows = slice(start, start + _ROWS)
        drawn[rows] = cv2.cvtColor(drawn[rows], cv2.COLOR_RGB2BGR)
    _write_png(out / f"{name}.overlay.png", drawn)
    report = {"photo": str(photo), "height": height, "width": width, "predictions": results}
    with atomic_file(out / f"{name}.json") as file:
        file.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return results


def _write_mask(
    out: Path, name: str, number: int, prediction: Prediction, drawn: NDArray[np.uint8]
) -> tuple[dict[str, Any], Sequence[NDArray[np.int32]], str]:
    """Writes a mask and blends it into a picture; nothing else may hold the prediction, whose mask goes with it."""
    mask_name = f"{name}.{number + 1}-{_slug(prediction.expression)}.mask.png"
    _write_png(out / mask_name, prediction.mask.view(np.uint8) * np.uint8(255))
    result = {**prediction.to_dict(), "mask": mask_name}
    return result, blend(drawn, prediction.mask, number), prediction.caption


def _write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Writes grey, BGR or BGRA pixels."""
    _, encoded = cv2.imencode(".png", pixels)
    with atomic_file(path) as file:
        file.write_bytes(encoded.data)


def _slug(expression: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", expression.lower()).strip("-")[:40] or "expression"
