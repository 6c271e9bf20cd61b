"""Labelme's JSON, one file a photo: outlines that can be moved by hand; masks with holes as labelme's masks.

The format is that of labelme 5, which reads polygons and, since 5.2, shapes of the type ``mask``.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cmpc.answers.formats.results_format import AnsweredPhoto, things, write_json
from cmpc.answers.instances import PredictedInstance
from cmpc.answers.prediction import Prediction
from cmpc.file_systems import Place, RemotePath


class LabelmeFormat:
    """``NAME.json`` for each photo, which it points at."""

    def __init__(self, out: Path, *, instances: bool = False) -> None:
        """
        Args:
            out: folder for the files.
            instances: whether each part of a mask is a group of its own.
        """
        self.out = out
        self.instances = instances

    def write(self, answered: AnsweredPhoto) -> list[str]:
        """As ``ResultsFormat``."""
        height, width = answered.pixels.shape[:2]
        shapes = [
            shape
            for number, (prediction, thing) in enumerate(things(answered.predictions, self.instances))
            for shape in _shapes(prediction.expression, replace(thing), number)  # whose mask goes with it
        ]
        values = {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": self._path(answered.photo),
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        write_json(self.out / f"{answered.name}.json", values, indent=2)
        return []

    def finish(self, records: Sequence[dict[str, Any]]) -> None:
        """Nothing is about all photos."""

    def _path(self, photo: Place) -> str:
        """The photo's path relative to the results, or its URL."""
        if isinstance(photo, RemotePath):
            return str(photo)
        return Path(os.path.relpath(photo.absolute(), self.out.absolute())).as_posix()


def _shapes(expression: str, thing: Prediction | PredictedInstance, group: int) -> list[dict[str, Any]]:
    about = {"label": expression, "group_id": group, "description": f"score {thing.score:.2f}", "flags": {}}
    if thing.box is not None and thing.has_holes:
        x, y, width, height = thing.box
        corners = [[x, y], [x + width - 1, y + height - 1]]
        inside = thing.mask[y : y + height, x : x + width]
        return [{**about, "shape_type": "mask", "points": corners, "mask": _as_base64(inside)}]
    return [
        {**about, "shape_type": "polygon", "points": np.reshape(polygon, (-1, 2)).tolist(), "mask": None}
        for polygon in thing.to_polygons()
    ]


def _as_base64(mask: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8)).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")
