"""Predictions as files: an overlay, a mask for each expression, and everything else as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmpc.answers.overlay import overlay, with_legend
from cmpc.answers.prediction import Prediction
from cmpc.errors import UserError
from cmpc.files import atomic_file


def write_results(
    out: Path, name: str, photo: Path, pixels: NDArray[np.uint8], predictions: Sequence[Prediction]
) -> None:
    """Writes ``NAME.overlay.png``, ``NAME.<n>-<expression>.mask.png`` and ``NAME.json``, each whole or not at all.

    Args:
        out: the folder; it is made where it does not exist.
        name: of the results.
        photo: the file that was asked about, for the JSON file.
        pixels: of the photo, RGB, uint8, (H, W, 3).
        predictions: what was answered about the photo.

    Raises:
        UserError: a file cannot be written.
    """
    try:
        _write(out, name, photo, pixels, predictions)
    except OSError as error:
        raise UserError(f"cannot write the results of {photo} to {out}: {error.strerror or error}.") from None


def write_cutouts(
    out: Path, name: str, pixels: NDArray[np.uint8], predictions: Sequence[Prediction], *, feather: float
) -> None:
    """Writes ``NAME.<n>-<expression>.cutout.png``, what each mask shows alone; nothing for an empty mask.

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
            cutout = prediction.cutout(pixels, feather=feather)
            if cutout is not None:
                with atomic_file(out / f"{name}.{number}-{_slug(prediction.expression)}.cutout.png") as file:
                    cutout.save(file)
    except OSError as error:
        raise UserError(f"cannot write the cutouts of {name} to {out}: {error.strerror or error}.") from None


def _write(out: Path, name: str, photo: Path, pixels: NDArray[np.uint8], predictions: Sequence[Prediction]) -> None:
    drawn = with_legend(
        overlay(pixels, [prediction.mask for prediction in predictions]),
        [f"{prediction.expression} ({prediction.score:.2f})" for prediction in predictions],
    )
    with atomic_file(out / f"{name}.overlay.png") as file:
        Image.fromarray(drawn).save(file)
    results = []
    for number, prediction in enumerate(predictions, start=1):
        mask_name = f"{name}.{number}-{_slug(prediction.expression)}.mask.png"
        with atomic_file(out / mask_name) as file:
            Image.fromarray(prediction.mask.astype(np.uint8) * 255).save(file)
        results.append({**prediction.to_dict(), "mask": mask_name})
    height, width = pixels.shape[:2]
    report = {"photo": str(photo), "height": height, "width": width, "predictions": results}
    with atomic_file(out / f"{name}.json") as file:
        file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _slug(expression: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", expression.lower()).strip("-")[:40] or "expression"
