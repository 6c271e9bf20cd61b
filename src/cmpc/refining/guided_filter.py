"""The guided filter: a map takes over the edges of a photo.

He, Sun and Tang, "Guided Image Filtering", ECCV 2010 (colour guide), computed at a part of the size as in He and Sun,
"Fast Guided Filter", 2015.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_ROWS = 64
"""Rows that are filtered at once."""


def guided_filter(
    values: NDArray[np.float32], pixels: NDArray[np.uint8], *, radius: int, epsilon: float, shrink: int = 1
) -> NDArray[np.float32]:
    """In each window the colours' linear function that comes closest to the values, averaged over the windows.

    Args:
        values: what is filtered, (H, W).
        pixels: the guide, RGB, uint8, (H, W, 3).
        radius: windows have ``2 * radius + 1`` pixels a side.
        epsilon: variance of colours, in squares of the range 0..1, below which a window counts as flat.
        shrink: the functions are found at this part of the size.

    Returns:
        float32, (H, W).
    """
    height, width = values.shape
    size = (max(1, width // shrink), max(1, height // shrink))
    window = 2 * max(1, round(radius / shrink)) + 1

    def mean(array: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.boxFilter(array, -1, (window, window), borderType=cv2.BORDER_REFLECT), np.float32)

    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)
    some = np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)
    mean_colour, mean_value = mean(small), mean(some)
    products = mean((small[..., :, None] * small[..., None, :]).reshape(*some.shape, 9)).reshape(*some.shape, 3, 3)
    covariance = (
        products - mean_colour[..., :, None] * mean_colour[..., None, :] + epsilon * np.eye(3, dtype=np.float32)
    )
    together = mean(small * some[..., None]) - mean_colour * mean_value[..., None]
    slope = np.linalg.solve(covariance, together[..., None])[..., 0]
    offset = mean_value - (slope * mean_colour).sum(axis=2)
    functions = mean(np.dstack([slope, offset]))
    wide = np.asarray(cv2.resize(functions, (width, size[1]), interpolation=cv2.INTER_LINEAR), np.float32)
    # The other axis is enlarged some rows at a time: of a large photo the functions would take gigabytes.
    middle = ((np.arange(height) + 0.5) * (size[1] / height) - 0.5).clip(0, size[1] - 1)
    above = middle.astype(np.int64)
    below = np.minimum(above + 1, size[1] - 1)
    share = (middle - above).astype(np.float32)[:, None, None]
    filtered = np.empty((height, width), np.float32)
    for start in range(0, height, _ROWS):
        rows = slice(start, start + _ROWS)
        function = wide[above[rows]] * (1 - share[rows]) + wide[below[rows]] * share[rows]
        function[..., :3] *= pixels[rows] * np.float32(1 / 255)
        np.sum(function, axis=2, out=filtered[rows])
    return filtered
