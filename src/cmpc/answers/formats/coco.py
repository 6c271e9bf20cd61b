"""COCO: results for evaluation, and a dataset for training and for labelling tools.

The formats are those of https://cocodataset.org/#format-data and https://cocodataset.org/#format-results. Each
expression is a category; a mask without a pixel has no annotation and no result, though its photo is listed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from cmpc.answers.formats.results_format import AnsweredPhoto, holes_bridged, write_json
from cmpc.answers.outlines import outlines
from cmpc.file_systems import place

RESULTS, DATASET = "coco_results.json", "coco_dataset.json"


class CocoFormat:
    """``coco_results.json`` (run lengths with scores) and ``coco_dataset.json``."""

    def __init__(
        self, out: Path, expressions: Sequence[str], *, polygons: bool = False, instances: bool = False
    ) -> None:
        """
        Args:
            out: folder for the files.
            expressions: the categories, in the order of their ids from 1.
            polygons: whether the dataset's masks are polygons in the place of run lengths.
            instances: whether each part of a mask has an annotation and a result of its own.
        """
        self.out = out
        self.categories = {expression: number for number, expression in enumerate(expressions, start=1)}
        self.polygons = polygons
        self.instances = instances

    def write(self, answered: AnsweredPhoto) -> list[str]:
        """As ``ResultsFormat``: the files are written at the end."""
        if not self.polygons:
            return []
        return holes_bridged(answered.predictions, "COCO's polygons", "leaving out --polygons")

    def finish(self, records: Sequence[dict[str, Any]]) -> None:
        """As ``ResultsFormat``."""
        images, annotations, results = [], [], []
        names = _file_names([record["photo"] for record in records])
        for image_id, (record, name) in enumerate(zip(records, names, strict=True), start=1):
            images.append({"id": image_id, "file_name": name, "height": record["height"], "width": record["width"]})
            for prediction, thing in self._things(record):
                found = {
                    "image_id": image_id,
                    "category_id": self.categories[prediction["expression"]],
                    "bbox": thing["box"],
                }
                results.append({**found, "segmentation": thing["rle"], "score": thing["score"]})
                segmentation = _polygons(thing) if self.polygons else thing["rle"]
                area = thing["area"]
                annotations.append(
                    {"id": len(results), **found, "segmentation": segmentation, "area": area, "iscrowd": 0}
                )
        categories = [{"id": number, "name": expression} for expression, number in self.categories.items()]
        write_json(self.out / DATASET, {"images": images, "annotations": annotations, "categories": categories})
        write_json(self.out / RESULTS, results)

    def _things(self, record: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Each prediction whose mask has a pixel, with itself or with each of its instances."""
        for prediction in record["predictions"]:
            if prediction["box"] is not None:
                yield from (
                    (prediction, thing) for thing in (prediction["instances"] if self.instances else [prediction])
                )


def _polygons(thing: dict[str, Any]) -> list[list[float]]:
    """The polygons of a prediction, or of an instance, which holds run lengths alone."""
    if "polygons" in thing:
        found: list[list[float]] = thing["polygons"]
        return found
    return outlines(coco_mask.decode(thing["rle"]).astype(np.bool_))


def _file_names(photos: Sequence[str]) -> list[str]:
    """The photos' paths in the folder that holds all of them; their URLs where some are on a remote file system."""
    if not photos:
        return []
    places = [place(photo) for photo in photos]
    paths = [where.absolute() for where in places if isinstance(where, Path)]
    if len(paths) < len(photos):
        return list(photos)
    common = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(common).as_posix() for path in paths]
