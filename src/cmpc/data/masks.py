"""Masks as COCO's compressed run lengths (``rle``, ASCII text): reading, checking and making them.

Runs go down the columns and begin with the outside of the object. Everything here raises ``ValueError`` with a phrase
that says what is wrong with a mask; the caller knows whose mask it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

POLYGON_TOLERANCE = 2.0
"""Polygon points may lie this many pixels outside the image; annotation tools round. Such points are clipped."""
LARGEST_FRACTION = 1.05
"""Where no coordinate is larger, they are fractions of the image; tools round these too."""


def encode_mask(mask: np.ndarray) -> str:
    """The run lengths of a mask.

    Args:
        mask: (H, W), anything but zero is inside.
    """
    from pycocotools import mask as coco_mask

    inside = np.ascontiguousarray(mask if mask.dtype == np.bool_ else mask != 0).view(np.uint8)
    by_columns = np.asarray(cv2.transpose(inside)).T  # as pycocotools takes it; NumPy would copy five times as long
    return coco_mask.encode(by_columns)["counts"].decode("ascii")


def decode_mask(rle: str, height: int, width: int) -> np.ndarray:
    """The mask of run lengths as bool (height, width).

    Raises:
        ValueError: the text is malformed or does not cover the mask.
    """
    runs = decode_runs(rle)
    _check_runs(runs, height, width)
    inside = np.arange(len(runs)) % 2 == 1
    columns = np.repeat(inside, runs).reshape(width, height)
    return cv2.transpose(columns.view(np.uint8)).view(np.bool_)


def decode_runs(rle: str) -> np.ndarray:
    """Run lengths as numbers (int64), from COCO's compressed text: 5 bits a character, differences to the last but one.

    Written out here because pycocotools reads past the end of malformed text.

    Raises:
        ValueError: the text is malformed.
    """
    digits = np.frombuffer(rle.encode("ascii", "replace"), np.uint8).astype(np.int64) - 48
    if not len(digits) or digits.min() < 0 or digits.max() > 63 or digits[-1] & 32:
        raise ValueError("its run-length text is malformed")
    last = np.flatnonzero((digits & 32) == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    if (last - first).max() > 6:
        raise ValueError("its run-length text is malformed")
    place = np.arange(len(digits)) - np.repeat(first, last - first + 1)
    runs = np.add.reduceat((digits & 31) << (5 * place), first)
    runs -= np.where(digits[last] & 16, np.int64(1) << (5 * (last - first + 1)), 0)
    runs[1::2] = runs[1::2].cumsum()
    runs[2::2] = runs[2::2].cumsum()
    return runs


def rle_from_counts(counts: str | Sequence[float], height: int, width: int) -> str:
    """The run lengths of COCO's ``counts``, which are given as text or as a list of whole numbers (5.0 is one).

    Raises:
        ValueError: the runs are malformed or do not cover the mask.
    """
    from pycocotools import mask as coco_mask

    if isinstance(counts, str):
        runs = decode_runs(counts)
    elif counts and all(_is_number(run) and run == int(run) and 0 <= run <= height * width for run in counts):
        runs = np.array(counts).astype(np.int64)
    else:
        raise ValueError("its run lengths are not numbers between 0 and the number of pixels")
    _check_runs(runs, height, width)
    encoded = coco_mask.frPyObjects({"size": [height, width], "counts": runs.tolist()}, height, width)
    return encoded["counts"].decode("ascii")


def rle_from_polygons(polygons: Sequence[Sequence[float]], height: int, width: int) -> str:
    """The run lengths of the union of polygons.

    Args:
        polygons: each ``[x1, y1, x2, y2, ...]`` in pixels, at least three points.

    Raises:
        ValueError: a polygon has fewer than three points or lies outside the image, or the points are fractions.
    """
    from pycocotools import mask as coco_mask

    if not polygons:
        raise ValueError("it has no polygon")
    for polygon in polygons:
        _check_polygon(polygon, height, width)
    _check_pixels("its points", [value for polygon in polygons for value in polygon], height, width)
    encoded = coco_mask.frPyObjects([[float(value) for value in polygon] for polygon in polygons], height, width)
    return coco_mask.merge(encoded)["counts"].decode("ascii")


def rle_from_box(box: Sequence[float], height: int, width: int) -> str:
    """The run lengths of a filled box, rounded to whole pixels.

    Args:
        box: x, y of the upper left corner, width, height, in pixels.

    Raises:
        ValueError: it is not four numbers, has no size, lies outside the image, or is given in fractions.
    """
    if len(box) != 4 or not all(map(_is_number, box)) or min(box[2:]) <= 0:
        raise ValueError("its box is not x, y, width, height with a positive size")
    _check_pixels("the numbers of its box", box, height, width)
    left, top, right, bottom = box[0], box[1], box[0] + box[2], box[1] + box[3]
    _check_inside("its box", (left, right), (top, bottom), height, width)
    mask = np.zeros((height, width), dtype=bool)
    mask[max(round(top), 0) : round(bottom), max(round(left), 0) : round(right)] = True
    return encode_mask(mask)


def rle_from_coco(segmentation: Any, height: int, width: int) -> str:
    """The run lengths of a COCO ``segmentation``: a list of polygons, or a run-length mask (text or list of numbers).

    COCO holds a few parts of only two points; they are passed over where another part remains. A single polygon may do
    without the outer list. Of a list of run-length masks, as RRSIS-D has them, it is the union.

    Raises:
        ValueError: it is neither, is malformed or does not fit the image.
    """
    if isinstance(segmentation, list) and segmentation and all(isinstance(part, dict) for part in segmentation):
        return union_of([rle_from_coco(part, height, width) for part in segmentation], height, width)
    if isinstance(segmentation, list):
        polygons = polygon_parts(segmentation)
        areas = [polygon for polygon in polygons if len(polygon) >= 6]
        return rle_from_polygons(areas or polygons, height, width)
    if isinstance(segmentation, dict) and isinstance(segmentation.get("counts"), str | list):
        if segmentation.get("size", [height, width]) != [height, width]:
            raise ValueError(f"its size {segmentation['size']} is not the image's [{height}, {width}]")
        return rle_from_counts(segmentation["counts"], height, width)
    raise ValueError("it is neither a list of polygons nor a run-length mask")


def union_of(rles: Sequence[str], height: int, width: int) -> str:
    """The run lengths of the union of masks, of which there is at least one."""
    from pycocotools import mask as coco_mask

    if len(rles) == 1:
        return rles[0]
    encoded = [{"size": [height, width], "counts": rle.encode("ascii")} for rle in rles]
    return coco_mask.merge(encoded)["counts"].decode("ascii")


def polygon_parts(value: Any) -> list[list[float]]:
    """Polygons in one of the forms that are in use: ``[[x1, y1, x2, y2, ...], ...]``, a single ``[x1, y1, x2, ...]``
    or a single ``[[x1, y1], [x2, y2], ...]``.

    Raises:
        ValueError: it is none of them.
    """
    if isinstance(value, list) and value and not any(isinstance(part, list) for part in value):
        return [value]  # whose numbers are checked later
    if not isinstance(value, list) or not all(isinstance(part, list) for part in value):
        raise ValueError("it is neither a list of polygons nor a run-length mask")
    if len(value) >= 3 and all(len(part) == 2 for part in value):
        return [[number for point in value for number in point]]
    return value


def box_of(rle: str, height: int, width: int) -> tuple[float, float, float, float]:
    """Smallest box around a mask: x, y of the upper left corner, width, height.

    Raises:
        ValueError: the mask is empty.
    """
    from pycocotools import mask as coco_mask

    encoded = {"size": [height, width], "counts": rle.encode("ascii")}
    if not coco_mask.area(encoded):
        raise ValueError("it is empty")
    x, y, box_width, box_height = coco_mask.toBbox(encoded).tolist()
    return x, y, box_width, box_height


def _check_runs(runs: np.ndarray, height: int, width: int) -> None:
    if runs.min() < 0 or runs.sum() != height * width:
        raise ValueError(f"its run lengths do not cover {width} x {height} pixels")


def _check_polygon(polygon: Sequence[float], height: int, width: int) -> None:
    if len(polygon) < 6 or len(polygon) % 2 or not all(map(_is_number, polygon)):
        raise ValueError("a polygon is not x1, y1, x2, y2, ... with at least three points")
    _check_inside("a polygon", polygon[0::2], polygon[1::2], height, width)


def reaches_outside(xs: Sequence[float], ys: Sequence[float], height: int, width: int) -> str | None:
    """How far points lie outside of an image, as "x 3 to 700"; None where they lie inside, by ``POLYGON_TOLERANCE``."""
    for axis, values, size in (("x", xs, width), ("y", ys, height)):
        if min(values) < -POLYGON_TOLERANCE or max(values) > size + POLYGON_TOLERANCE:
            return f"{axis} {min(values):g} to {max(values):g}"
    return None


def _check_inside(what: str, xs: Sequence[float], ys: Sequence[float], height: int, width: int) -> None:
    if reach := reaches_outside(xs, ys, height, width):
        raise ValueError(f"{what} reaches outside the image of {width} x {height} pixels ({reach})")


def _check_pixels(what: str, values: Sequence[float], height: int, width: int) -> None:
    """Refuses fractions of the image, which mean the first pixel where pixels are expected; whole numbers may do so."""
    are_small = all(abs(value) <= LARGEST_FRACTION for value in values)
    if are_small and max(height, width) > 2 and any(value != int(value) for value in values):
        raise ValueError(
            f"{what} lie between 0 and 1, as fractions of the image do: multiply x by its width, {width}, and y by its "
            f"height, {height}"
        )


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) < 1e15  # neither infinite nor, as whole numbers can be, beyond what a float holds
