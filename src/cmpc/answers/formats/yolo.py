"""Segmentation labels of YOLO: a text file a photo, a line a part of a mask, its outline in fractions of the photo.

The format is https://docs.ultralytics.com/datasets/segment/. Each expression is a class.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cmpc.answers.formats.results_format import AnsweredPhoto, holes_bridged, things
from cmpc.files import atomic_file


class YOLOFormat:
    """``labels/NAME.txt`` for each photo, empty where nothing was found, and ``data.yaml`` with the classes."""

    def __init__(self, out: Path, expressions: Sequence[str], *, instances: bool = False) -> None:
        """
        Args:
            out: folder for the files.
            expressions: the classes, in the order of their numbers from 0.
            instances: whether only the parts that count as things have lines.
        """
        self.out = out
        self.instances = instances
        self.classes = {expression: number for number, expression in enumerate(expressions)}

    def write(self, answered: AnsweredPhoto) -> list[str]:
        """As ``ResultsFormat``."""
        height, width = answered.pixels.shape[:2]
        lines = []
        for prediction, thing in things(answered.predictions, self.instances):
            for polygon in thing.to_polygons():
                fractions = [value / (height if number % 2 else width) for number, value in enumerate(polygon)]
                numbers = " ".join(f"{fraction:.6f}" for fraction in fractions)
                lines.append(f"{self.classes[prediction.expression]} {numbers}\n")
        with atomic_file(self.out / "labels" / f"{answered.name}.txt") as file:
            file.write_text("".join(lines), encoding="utf-8")
        return holes_bridged(answered.predictions, "YOLO's outlines", "--format coco")

    def finish(self, records: Sequence[dict[str, Any]]) -> None:
        """As ``ResultsFormat``."""
        names = "".join(  # text of JSON is text of YAML
            f"  {number}: {json.dumps(expression, ensure_ascii=False)}\n" for expression, number in self.classes.items()
        )
        with atomic_file(self.out / "data.yaml") as file:
            file.write_text(f"path: .\ntrain: images\nval: images\nnames:\n{names}", encoding="utf-8")
