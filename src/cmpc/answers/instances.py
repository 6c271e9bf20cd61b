"""The parts of a mask: what an expression refers to, one by one, where it is several things."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cmpc.answers.outlines import has_holes, outlines
from cmpc.data.masks import encode_mask
from cmpc.data.transforms import Letterbox

SMALLEST_SHARE = 0.02
"""Of a mask's pixels: smaller parts are specks, not things."""
SMALLEST_SHARE_OF_OBJECTS = 0.2
"""Of what a mask shows of objects: it does not mean those of which it shows less."""


@dataclass(frozen=True)
class PredictedInstance:
    """One of the things that a mask shows."""

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
        return {"size": list(self.size), "counts": encode_mask(self.mask)}

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
    mask: NDArray[np.bool_],
    box: tuple[int, int, int, int],
    probabilities: Iterable[tuple[slice, NDArray[np.float32]]],
    objects: NDArray[np.uint8] | None = None,
) -> tuple[PredictedInstance, ...]:
    """The things that a mask shows, the largest first.

    Args:
        mask: bool, (H, W).
        box: smallest box around the mask, which has a pixel: x, y, width, height.
        probabilities: of all pixels, some rows after the others: which rows, and (rows, W).
        objects: the number of the object that each pixel of the box shows; None where that is not known: then they are
            the parts of the mask that hang together, also by a corner.
    """
    left, top, width, height = box
    inside = np.ascontiguousarray(mask[top : top + height, left : left + width])
    labels, stats = _connected(inside) if objects is None else _by_object(inside, objects)
    areas = stats[:, cv2.CC_STAT_AREA]
    scores = _sums(labels, len(areas), box, probabilities) / np.maximum(areas, 1)
    smallest = SMALLEST_SHARE * areas[1:].sum()
    found = []
    for label in sorted(range(1, len(areas)), key=lambda number: -areas[number]):
        if areas[label] < max(smallest, 1):
            break
        x, y, part_width, part_height = (int(value) for value in stats[label, :4])
        part = (slice(y, y + part_height), slice(x, x + part_width))
        here = labels[part] == label
        place = (left + x, top + y, part_width, part_height)
        found.append(PredictedInstance(here, place, mask.shape, float(scores[label])))
    return tuple(found)


def _sums(
    labels: NDArray[np.int32] | NDArray[np.uint8],
    count: int,
    box: tuple[int, int, int, int],
    probabilities: Iterable[tuple[slice, NDArray[np.float32]]],
) -> NDArray[np.float64]:
    """Sum of the probabilities of each label's pixels, (labels,): as many rows at once as there come."""
    left, top, width, height = box
    sums = np.zeros(count)
    for rows, values in probabilities:
        first, last = max(rows.start, top), min(rows.stop, top + height)
        if first < last:
            inside = values[first - rows.start : last - rows.start, left : left + width]
            sums += np.bincount(labels[first - top : last - top].ravel(), inside.ravel(), minlength=count)
    return sums


def _connected(inside: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The parts that hang together: a number from 1 for each pixel, 0 outside; box and area of each number."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(inside.view(np.uint8), connectivity=8)
    return np.asarray(labels, np.int32), np.asarray(stats, np.int32)


def _by_object(inside: NDArray[np.bool_], objects: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """The same, of the parts that show one object each."""
    labels = (objects + 1) * inside
    stats = []
    for number in range(int(labels.max()) + 1):
        part = (labels == number).view(np.uint8)
        stats.append((*cv2.boundingRect(part), cv2.countNonZero(part)))
    return labels, np.array(stats, np.int32)


def objects_shown(
    belonging: NDArray[np.float32],
    inside: NDArray[np.bool_],
    place: Letterbox,
    box: tuple[int, int, int, int],
) -> NDArray[np.uint8] | None:
    """Which object each pixel of a mask's box shows, of those that the mask shows.

    Args:
        belonging: how much each cell of the network's square shows each object, (K, h, w).
        inside: the mask in the square, (S, S).
        place: where the photo lies in the square.
        box: around the mask in the photo: x, y, width, height in pixels.

    Returns:
        Numbers of objects, (height, width); None where the mask shows one object, or is too small for the square.
    """
    size = len(inside)
    large = np.stack([cv2.resize(share, (size, size), interpolation=cv2.INTER_LINEAR) for share in belonging])
    within = large[:, inside].sum(axis=1)
    shown = np.flatnonzero(within > SMALLEST_SHARE_OF_OBJECTS * within.sum())
    if len(shown) < 2:
        return None
    nearest = shown[large[shown].argmax(axis=0)].astype(np.uint8)
    left, top, width, height = box
    columns = ((np.arange(left, left + width) + 0.5) * (place.resized_width / place.width)).astype(np.int64)
    rows = ((np.arange(top, top + height) + 0.5) * (place.resized_height / place.height)).astype(np.int64)
    return nearest[np.ix_(place.top + rows, place.left + columns)]
