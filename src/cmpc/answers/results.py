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

MOST_DRAWN = 32_000_000
"""Pixels of an overlay: of larger photos it is smaller than they are. It is to be looked at, and a PNG of noise in 100
megapixels would take seconds and half a gigabyte."""


def write_results(
    out: Path,
    name: str,
    photo: Place,
    pixels: NDArray[np.uint8],
    predictions: Sequence[Prediction],
    told: Sequence[dict[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Writes ``NAME.overlay.png``, ``NAME.<n>-<expression>.mask.png`` and ``NAME.json``, each whole or not at all.

    Masks are made and written one after the other, so that the memory does not grow with their number. The overlay has
    at most ``MOST_DRAWN`` pixels, masks always have those of the photo.

    Args:
        out: the folder; it is made where it does not exist.
        name: of the results.
        photo: the file that was asked about, for the JSON file.
        pixels: of the photo, RGB, uint8, (H, W, 3).
        predictions: what was answered about the photo.
        told: ``Prediction.to_dict()`` of each, where that is known.

    Returns:
        What the JSON file says of each prediction: ``Prediction.to_dict()`` and the name of its ``mask``.

    Raises:
        UserError: a file cannot be written.
    """
    try:
        return _write(out, name, photo, pixels, predictions, told)
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
    out: Path,
    name: str,
    photo: Place,
    pixels: NDArray[np.uint8],
    predictions: Sequence[Prediction],
    told: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    height, width = pixels.shape[:2]
    shrunk = min(1.0, (MOST_DRAWN / (height * width)) ** 0.5)
    rows, columns = max(1, int(height * shrunk)), max(1, int(width * shrunk))
    drawn = np.empty((rows + legend_height(columns, len(predictions)), columns, 3), np.uint8)
    if shrunk < 1:
        drawn[:rows] = cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA)
    else:
        drawn[:rows] = pixels
    results, outlines, captions = [], [], []
    for number, prediction in enumerate(predictions):
        alone = dataclasses.replace(prediction)  # its mask goes with it
        mask_name = f"{name}.{number + 1}-{_slug(alone.expression)}.mask.png"
        mask = alone.mask.view(np.uint8)
        _write_png(out / mask_name, mask * np.uint8(255))
        results.append({**(told[number] if told else alone.to_dict()), "mask": mask_name})
        if shrunk < 1:
            mask = np.asarray(cv2.resize(mask, (columns, rows), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
        outlines.append(blend(drawn[:rows], mask.view(np.bool_), number))
        captions.append(alone.caption)
    draw_outlines(drawn[:rows], outlines)
    drawn[rows:] = legend(columns, captions)
    _write_png(out / f"{name}.overlay.png", np.asarray(cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR, dst=drawn), np.uint8))
    report = {"photo": str(photo), "height": height, "width": width, "predictions": results}
    with atomic_file(out / f"{name}.json") as file:
        file.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return results


def _write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Writes grey, BGR or BGRA pixels."""
    _, encoded = cv2.imencode(".png", pixels)
    with atomic_file(path) as file:
        file.write_bytes(encoded.data)


def _slug(expression: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", expression.lower()).strip("-")[:40] or "expression"
