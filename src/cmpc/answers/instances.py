"""The parts of a mask: what an expression refers to, one by one, where it is several things."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from cmpc.answers.outlines import has_holes, outlines

SMALLEST_SHARE = 0.02
"""Of a mask's pixels: smaller parts are specks, not things."""


@dataclass(frozen=True)
class PredictedInstance:
    """A part of a mask that hangs together."""

    inside: NDArray[np.bool_]
    """The part in its box: (height, width) of the box."""
    box: tuple[int, int, int, int]
    """Smallest box around it: x, y, width, height in pixels."""
    size: tuple[int, int]
    """Height and width of the image in pixels."""
    score: float
    """Mean probability inside, 0..1."""

    @property
    def area(self) -> int:
        """Its pixels."""
        return int(np.count_nonzero(self.inside))

    @property
    def mask(self) -> NDArray[np.bool_]:
        """True where the image shows it: (H, W)."""
        mask = np.zeros(self.size, np.bool_)
        x, y, width, height = self.box
        mask[y : y + height, x : x + width] = self.inside
        return mask

    @cached_property
    def has_holes(self) -> bool:
        """As ``Prediction.has_holes``."""
        return has_holes(self.inside)

    def to_rle(self) -> dict[str, Any]:
        """The mask in COCO's compressed run-length form: ``{"size": [H, W], "counts": "..."}``."""
        encoded = coco_mask.encode(np.asfortranarray(self.mask, dtype=np.uint8))
        return {"size": list(self.size), "counts": encoded["counts"].decode("ascii")}

    def to_polygons(self) -> list[list[float]]:
        """The mask as COCO polygons, as ``Prediction.to_polygons``."""
        x, y, *_ = self.box
        return [
            [value + (y if number % 2 else x) for number, value in enumerate(polygon)]
            for polygon in outlines(self.inside)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Box, score, area and run lengths, as plain JSON values."""
        return {"box": list(self.box), "score": round(self.score, 4), "area": self.area, "rle": self.to_rle()}


def find_instances(
    mask: NDArray[np.bool_], box: tuple[int, int, int, int], probability: NDArray[np.float32]
) -> tuple[PredictedInstance, ...]:
    """The parts of a mask, the largest first; pixels that touch at a corner hang together.

    Args:
        mask: bool, (H, W).
        box: smallest box around the mask, which has a pixel: x, y, width, height.
        probability: of each pixel in the box, (height, width).
    """
    left, top, width, height = box
    inside = np.ascontiguousarray(mask[top : top + height, left : left + width])
    count, labels, stats, _ = cv2.connectedComponentsWithStats(inside.view(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    smallest = SMALLEST_SHARE * areas[1:].sum()
    found = []
    for label in sorted(range(1, count), key=lambda number: -areas[number]):
        if areas[label] < smallest:
            break
        x, y, part_width, part_height = (int(value) for value in stats[label, :4])
        part = (slice(y, y + part_height), slice(x, x + part_width))
        here = labels[part] == label
        score = float(probability[part].mean(where=here, dtype=np.float64))
        found.append(PredictedInstance(here, (left + x, top + y, part_width, part_height), mask.shape, score))
    return tuple(found)
