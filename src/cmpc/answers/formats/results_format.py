"""What every format of results has in common."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cmpc.answers.instances import PredictedInstance
from cmpc.answers.prediction import Prediction
from cmpc.file_systems import Place
from cmpc.files import atomic_file


@dataclass(frozen=True)
class AnsweredPhoto:
    """What was answered about one photo."""

    photo: Place
    """The file that was asked about."""
    name: str
    """Begins the names of its results; each photo of a run has another."""
    pixels: NDArray[np.uint8]
    """RGB, uint8, (H, W, 3)."""
    predictions: Sequence[Prediction]
    """One for each expression."""

    @cached_property
    def record(self) -> dict[str, Any]:
        """Everything but pixels and probabilities, as plain JSON values."""
        height, width = self.pixels.shape[:2]
        predictions = [replace(prediction).to_dict() for prediction in self.predictions]  # masks go one by one
        return {
            "photo": str(self.photo),
            "name": self.name,
            "height": height,
            "width": width,
            "predictions": predictions,
        }


class ResultsFormat(Protocol):
    """Writes answers, photo by photo, and what holds all of them at the end."""

    def write(self, answered: AnsweredPhoto) -> list[str]:
        """Writes the files of one photo, each whole or not at all.

        Returns:
            Sentences about what the format cannot hold.

        Raises:
            OSError: a file cannot be written.
            UserError: the format cannot hold the answers at all.
        """
        ...

    def finish(self, records: Sequence[dict[str, Any]]) -> None:
        """Writes the files about all photos.

        Args:
            records: ``AnsweredPhoto.record`` of each photo, in their order.

        Raises:
            OSError: a file cannot be written.
        """
        ...


def things(
    predictions: Sequence[Prediction], instances: bool
) -> Iterator[tuple[Prediction, Prediction | PredictedInstance]]:
    """What becomes an object of a file: each prediction, or each of its instances, with the prediction."""
    for prediction in predictions:
        yield from ((prediction, thing) for thing in (prediction.instances if instances else [prediction]))


def write_json(path: Path, values: object, *, indent: int | None = None) -> None:
    """Writes values as JSON, whole or not at all."""
    with atomic_file(path) as file:
        file.write_text(json.dumps(values, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8")


def holes_bridged(predictions: Sequence[Prediction], of_what: str, instead: str) -> list[str]:
    """The sentence about masks with holes for a format of outlines; none where no mask has one."""
    names = [repr(prediction.expression) for prediction in predictions if replace(prediction).has_holes]
    if not names:
        return []
    masks = "mask of" if len(names) == 1 else "masks of"
    return [
        f"{of_what} hold no holes: those in the {masks} "
        f"{', '.join(names)} are reached by a line without area; for programs "
        f"that fill them, {instead} keeps them."
    ]
