"""The thing that a mask shows, taken out of its photo."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""x and y of the upper left corner, width, height, in pixels."""


def crop(pixels: NDArray[np.uint8], box: Box, margin: int = 0) -> NDArray[np.uint8]:
    """The part of a photo, (H, W, 3), in a box that is ``margin`` pixels larger on each side, where there is photo."""
    rows, columns = _window(pixels.shape[:2], box, margin)
    return pixels[rows, columns]


def cut_out(pixels: NDArray[np.uint8], mask: NDArray[np.bool_], box: Box, feather: float = 1.0) -> NDArray[np.uint8]:
    """The pixels inside a mask; what lies outside is transparent.

    Args:
        pixels: RGB, uint8, (H, W, 3).
        mask: bool, (H, W).
        box: smallest box around the mask.
        feather: how soft the edge is: standard deviation of the blur of the mask, in pixels; 0 for a hard edge.

    Returns:
        RGBA, uint8, the size of the box with the soft edge around it.
    """
    margin = math.ceil(2 * feather)
    rows, columns = _window(mask.shape, box, margin)
    opacity = np.where(mask[rows, columns], np.uint8(255), np.uint8(0))
    if feather:
        opacity = np.asarray(cv2.GaussianBlur(opacity, (0, 0), feather, borderType=cv2.BORDER_REPLICATE), np.uint8)
    return np.dstack([pixels[rows, columns], opacity])


def _window(size: tuple[int, ...], box: Box, margin: int) -> tuple[slice, slice]:
    x, y, width, height = box
    return (
        slice(max(0, y - margin), min(size[0], y + height + margin)),
        slice(max(0, x - margin), min(size[1], x + width + margin)),
    )
