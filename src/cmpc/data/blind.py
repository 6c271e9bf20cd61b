"""Data on which a model is blind: copies of a dataset without its language, or without its images.

What a model learns from them, trained and tested as any other, is what its answers owe to one side alone.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from cmpc.data.schema import DatasetInfo, PreparedDataset, ReferredObject, write_dataset
from cmpc.errors import UserError

BLIND_EXPRESSION = "the object"
"""What every expression says in a copy without language."""


def write_blind_copy(source: str | Path, out: str | Path, blind: Literal["language", "image"]) -> DatasetInfo:
    """Writes a prepared dataset from which a model can learn nothing of the language, or nothing of the images.

    Raises:
        UserError: ``source`` is no prepared dataset, something else stands at ``out``, or the images to be kept are
            packed.
    """
    dataset = PreparedDataset.open(source)
    if blind == "language" and dataset.info.packed:
        raise UserError(f"{source} holds its images itself, where a copy cannot use them: prepare it without --pack.")
    rows = {split: dataset.read(split) for split in dataset.splits}
    name = f"{dataset.info.name}-{blind}-blind"
    if blind == "language":
        info = dataclasses.replace(dataset.info, name=name, images=str(dataset.image_folder.resolve()))
        return write_dataset(out, info, {split: list(map(_without_language, found)) for split, found in rows.items()})
    with tempfile.TemporaryDirectory() as folder:
        for size in {(row.height, row.width) for found in rows.values() for row in found}:
            cv2.imwrite(str(Path(folder) / _grey(*size)), np.full((*size, 3), 127, np.uint8))
        blank = {
            split: [dataclasses.replace(row, image=_grey(row.height, row.width)) for row in found]
            for split, found in rows.items()
        }
        return write_dataset(out, dataclasses.replace(dataset.info, name=name), blank, pack_from=Path(folder))


def _without_language(row: ReferredObject) -> ReferredObject:
    count = len(row.expressions)
    types = (("unnecessary", "entity"),) * count if row.word_types else ()
    return dataclasses.replace(row, expressions=(BLIND_EXPRESSION,) * count, word_types=types)


def _grey(height: int, width: int) -> str:
    return f"grey-{width}x{height}.png"
