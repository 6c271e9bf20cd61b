"""From a photo to the square that the network sees, and back from the network's square to the photo.

Two rules of resizing: ``original`` is the published program's (scikit-image 0.13: bilinear in float64, no antialiasing,
the outside of the image counts as zero); ``area`` averages when shrinking, as is usual today.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

VALUES_OF_A_BAND = 2**20
"""Values of ``undo_letterbox_in_bands`` at once, about: they stay in a processor's caches."""
LARGE_PHOTO = 2**24
"""Pixels from which on a photo is not turned into floating-point numbers as a whole, which would take four times its
memory."""

Resize = Literal["original", "area"]


@dataclass(frozen=True)
class Letterbox:
    """Where a photo lies in the network's square: scaled to fit, centred, zeros around it."""

    height: int
    """Height of the photo in pixels."""
    width: int
    """Width of the photo in pixels."""
    size: int
    """Side of the square in pixels."""
    scale: float
    """Pixels of the square for one pixel of the photo."""
    resized_height: int
    """Height of the photo inside the square."""
    resized_width: int
    """Width of the photo inside the square."""
    top: int
    """First row of the photo inside the square."""
    left: int
    """First column of the photo inside the square."""

    @staticmethod
    def of(height: int, width: int, size: int) -> Letterbox:
        """The letterbox of a ``height`` x ``width`` photo in a square of ``size`` pixels.

        The rounding is that of the original's ``resize_and_pad``; a very thin photo keeps at least one row or column.
        """
        if min(height, width, size) < 1:
            raise ValueError(f"height, width and size must be positive, got {height} x {width} in {size}")
        scale = min(size / height, size / width)
        resized_height = max(1, round(height * scale))
        resized_width = max(1, round(width * scale))
        top = (size - resized_height) // 2
        left = (size - resized_width) // 2
        return Letterbox(height, width, size, scale, resized_height, resized_width, top, left)

    @property
    def rows(self) -> slice:
        """The rows of the square that show the photo."""
        return slice(self.top, self.top + self.resized_height)

    @property
    def columns(self) -> slice:
        """The columns of the square that show the photo."""
        return slice(self.left, self.left + self.resized_width)


def letterbox_image(
    pixels: NDArray[np.uint8], size: int, resize: Resize, *, photo_size: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """The photo in the network's square.

    Args:
        pixels: of the photo, RGB, uint8, (H, W, 3).
        size: side of the square in pixels.
        resize: the rule of resizing (see the module).
        photo_size: height and width of the photo, where the pixels are a shrunk form of it; None: the pixels'.

    Returns:
        RGB, uint8, (size, size, 3); zeros around the photo.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be (H, W, 3) uint8 RGB, got {pixels.shape} {pixels.dtype}")
    height, width = photo_size or pixels.shape[:2]
    box = Letterbox.of(height, width, size)
    if resize == "original":
        resized = _bilinear_with_zero_border(pixels, box.resized_height, box.resized_width)
    else:
        resized = _area(pixels, box)
    square = np.zeros((size, size, 3), np.uint8)
    square[box.rows, box.columns] = resized
    return square


def letterbox_mask(mask: NDArray[np.bool_], size: int, resize: Resize) -> NDArray[np.bool_]:
    """A mask of the photo in the network's square.

    Args:
        mask: bool, (H, W).
        size: side of the square in pixels.
        resize: ``original``: a pixel belongs to the mask when any of its four neighbours in the photo does (the
            published training targets, slightly dilated); ``area``: when at least half of it is covered.

    Returns:
        bool, (size, size).
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ValueError(f"mask must be (H, W) bool, got {mask.shape} {mask.dtype}")
    box = Letterbox.of(mask.shape[0], mask.shape[1], size)
    square = np.zeros((size, size), np.bool_)
    if resize == "original":
        square[box.rows, box.columns] = _touched(mask, box.resized_height, box.resized_width)
    else:
        square[box.rows, box.columns] = _area(mask.astype(np.float32), box) >= 0.5
    return square


def undo_letterbox(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Logits or probabilities of the network's square, resized bilinearly to the photo they belong to.

    Args:
        values: float, (size, size).
        height: height of the photo in pixels.
        width: width of the photo in pixels.

    Returns:
        float32, (height, width).
    """
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ValueError(f"values must be (size, size), got {values.shape}")
    box = Letterbox.of(height, width, values.shape[0])
    content = np.ascontiguousarray(values[box.rows, box.columns], dtype=np.float32)
    return cv2.resize(content, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32, copy=False)


def undo_letterbox_in_bands(
    values: NDArray[np.float32], height: int, width: int
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """``undo_letterbox`` some rows after the others, so that nothing as large as the photo is held.

    The values may differ from those of ``undo_letterbox`` in their last bits.

    Args:
        values: float, (size, size).
        height: height of the photo in pixels.
        width: width of the photo in pixels.

    Yields:
        Rows of the photo, from top to bottom, and their values, float32, (rows, width), which the caller may change.
    """
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ValueError(f"values must be (size, size), got {values.shape}")
    box = Letterbox.of(height, width, values.shape[0])
    content = np.ascontiguousarray(values[box.rows, box.columns], dtype=np.float32)
    across = np.asarray(cv2.resize(content, (width, len(content)), interpolation=cv2.INTER_LINEAR), np.float32)
    centres = np.clip((np.arange(height) + 0.5) * (len(content) / height) - 0.5, 0, len(content) - 1)
    above = centres.astype(np.int64)
    below = np.minimum(above + 1, len(content) - 1)
    weight = (centres - above).astype(np.float32)[:, None]
    at_once = max(1, VALUES_OF_A_BAND // width)
    for start in range(0, height, at_once):
        rows = slice(start, min(start + at_once, height))
        band = across[above[rows]] * (1 - weight[rows])
        band += across[below[rows]] * weight[rows]
        yield rows, band


def resize_and_crop(mask: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """A binary prediction taken back to the photo by the published rule, which dilates it slightly.

    The binary map is resized bilinearly until it covers the photo, its centre is cut out, and every value above zero
    counts as foreground (the original's ``resize_and_crop``, then ``compute_mask_IU`` on float values).

    Args:
        mask: bool, (size, size).
        height: height of the photo in pixels.
        width: width of the photo in pixels.

    Returns:
        bool, (height, width).
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ValueError(f"mask must be (size, size) bool, got {mask.shape} {mask.dtype}")
    scale = max(height / mask.shape[0], width / mask.shape[1])
    resized_height = round(mask.shape[0] * scale)
    resized_width = round(mask.shape[1] * scale)
    top = (resized_height - height) // 2
    left = (resized_width - width) // 2
    rows, columns = slice(top, top + height), slice(left, left + width)
    return _touched(mask, resized_height, resized_width, rows, columns)


def _area(values: NDArray, box: Letterbox) -> NDArray:
    interpolation = cv2.INTER_AREA if box.scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(values, (box.resized_width, box.resized_height), interpolation=interpolation)


class _Neighbours(NamedTuple):
    """The two pixels of a row or column that each sample of its resized form is mixed of.

    Where one of them has no weight, or is outside of the image, the other stands in its place.
    """

    lower: NDArray[np.int64]
    """Number of the pixel before the sample."""
    upper: NDArray[np.int64]
    """Number of the pixel after it."""
    lower_weight: NDArray[np.float64]
    """Weight of the pixel before."""
    upper_weight: NDArray[np.float64]
    """Weight of the pixel after."""


@lru_cache(maxsize=256)
def _neighbours(length: int, count: int) -> _Neighbours:
    """The neighbours of ``count`` samples on ``length`` pixels. Sample i lies at ``(i + 1/2) * length / count - 1/2``.

    Integers keep a position that hits a pixel exactly there: a rounding error would spread a mask by a rim of 1e-16.
    """
    numerator = (2 * np.arange(count) + 1) * length - count
    lower = numerator // (2 * count)
    weight = (numerator % (2 * count)) / (2 * count)
    lower_weight = np.where(lower >= 0, 1 - weight, 0)
    upper_weight = np.where(lower + 1 < length, weight, 0)
    return _Neighbours(
        lower=np.where(lower_weight > 0, lower, lower + 1),
        upper=np.where(upper_weight > 0, lower + 1, lower),
        lower_weight=lower_weight,
        upper_weight=upper_weight,
    )


def _bilinear_with_zero_border(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """scikit-image 0.13's ``resize(pixels, (height, width))``, rounded: order 1, mode ``constant``.

    That is float64, which is slow. A photo that shrinks has no sample outside; OpenCV's float32 then gives the same
    bytes, but for values near a half, where the rounding could go the other way: those are computed in float64.

    Args:
        pixels: uint8, (H, W, C).
        height: of the result in pixels.
        width: of the result in pixels.
    """
    rows, columns = _neighbours(pixels.shape[0], height), _neighbours(pixels.shape[1], width)
    is_large = pixels.shape[0] * pixels.shape[1] >= LARGE_PHOTO
    if is_large or height > pixels.shape[0] or width > pixels.shape[1]:
        exact = _mix(_mix(pixels, rows, axis=0), columns, axis=1)
        return np.rint(np.clip(exact, pixels.min(), pixels.max())).astype(np.uint8)  # clipped to its range, as there
    values = cv2.resize(pixels.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    rounded = np.rint(values)
    result: NDArray[np.uint8] = rounded.astype(np.uint8)
    if pixels.shape[0] % height == 0 and pixels.shape[1] % width == 0:
        return result  # weights are 0, 1/2 or 1: float32 is exact
    # OpenCV's weights are float32 positions: wrong by at most length / 2^24 on each axis, times 255 for the value.
    error = (pixels.shape[0] + pixels.shape[1]) / 2**16 + 1e-3
    doubtful = np.flatnonzero(np.abs(values - rounded) > 0.5 - error)
    row, column, channel = np.unravel_index(doubtful, values.shape)
    left, right = (
        pixels[rows.lower[row], side, channel] * rows.lower_weight[row]
        + pixels[rows.upper[row], side, channel] * rows.upper_weight[row]
        for side in (columns.lower[column], columns.upper[column])
    )
    exact = left * columns.lower_weight[column] + right * columns.upper_weight[column]
    result.flat[doubtful] = np.rint(exact)
    return result


def _mix(values: NDArray, neighbours: _Neighbours, axis: int) -> NDArray[np.float64]:
    """Resizes one axis."""
    shape = [1] * values.ndim
    shape[axis] = -1
    result: NDArray[np.float64] = values.take(neighbours.lower, axis) * neighbours.lower_weight.reshape(shape)
    result += values.take(neighbours.upper, axis) * neighbours.upper_weight.reshape(shape)
    return result


def _touched(
    mask: NDArray[np.bool_], height: int, width: int, rows: slice = slice(None), columns: slice = slice(None)
) -> NDArray[np.bool_]:
    """Where the bilinear mixture of a mask, ``resize(mask, (height, width))[rows, columns]``, is above zero.

    No number is needed for it: one of the up to four pixels that a sample is mixed of must belong to the mask.
    """
    down, across = _neighbours(mask.shape[0], height), _neighbours(mask.shape[1], width)
    touched = mask.take(down.lower[rows], axis=0) | mask.take(down.upper[rows], axis=0)
    result: NDArray[np.bool_] = touched.take(across.lower[columns], axis=1) | touched.take(
        across.upper[columns], axis=1
    )
    return result
