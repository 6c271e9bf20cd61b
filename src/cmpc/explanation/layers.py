"""Maps of the network's grid as layers over a photo."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cmpc.explanation.drawing import Colour
from cmpc.explanation.explanation import Explanation, Stages

PHOTO_SIDE = 720
"""Longest side of the photo in a drawing, in pixels."""
LAYER_SIDE = 280
"""Longest side of a layer, in pixels."""
STRONGEST = 0.88
"""Opacity where a map is at its strongest."""
FAINTEST_PEAK = 0.1
"""A response that is nowhere as strong as this stays pale."""


def small_photo(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photo, at most ``PHOTO_SIDE`` pixels wide and high."""
    height, width = _size_within(photo.shape[0], photo.shape[1], PHOTO_SIDE)
    if max(photo.shape[:2]) <= PHOTO_SIDE:
        return photo
    return np.asarray(cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def faded(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photo in pale grey: the ground on which coloured layers are read."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.repeat((105 + 0.55 * grey)[:, :, None], 3, axis=2).clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Layers:
    """Draws maps of one explanation at the place of its photo."""

    explanation: Explanation

    def values(self, grid: NDArray[np.float32]) -> NDArray[np.float32]:
        """A map on the photo, at most ``LAYER_SIDE`` pixels wide and high."""
        height, width = self.explanation.pixels.shape[:2]
        return self.explanation.on_photo(grid, *_size_within(height, width, LAYER_SIDE))

    def response(self, grid: NDArray[np.float32], colour: Colour) -> NDArray[np.uint8]:
        """A response as a colour whose opacity grows with it, strongest where the response is: RGBA, (h, w, 4)."""
        values = self.values(grid)
        return tinted(values / max(float(values.max()), FAINTEST_PEAK), colour)

    def spread(self, grid: NDArray[np.float32], colour: Colour) -> NDArray[np.uint8]:
        """A map between its lowest and its highest value; nothing where it is even: RGBA, (h, w, 4)."""
        values = self.values(grid)
        low, high = float(values.min()), float(values.max())
        if high - low < 1e-3 * max(abs(high), 1e-6):
            return tinted(np.zeros_like(values), colour)
        return tinted((values - low) / (high - low), colour)

    def area(self, inside: NDArray[np.bool_], colour: Colour, opacity: float = 0.6) -> NDArray[np.uint8]:
        """A mask of the photo as an even colour: RGBA, (h, w, 4)."""
        height, width = _size_within(inside.shape[0], inside.shape[1], PHOTO_SIDE)
        cover = cv2.resize(inside.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        return tinted(np.asarray(cover, np.float32), colour, opacity)

    def suppressed(self, stages: Stages) -> list[NDArray[np.float64]]:
        """Outlines of what the entity and attribute words name and the whole expression does not keep.

        Named is what answers to one of them at least half as strongly as the strongest place does; kept is what reaches
        the threshold of the mask. Slivers along the edge of the mask are left out.
        """
        found, result = self.values(stages.named), self.values(stages.result)
        peak = float(found.max())
        lost = (found >= peak / 2) & (result < self.explanation.prediction.threshold) & (peak >= FAINTEST_PEAK)
        sliver = max(3, round(max(found.shape) / 40)) | 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (sliver, sliver))
        return outlines(cv2.morphologyEx(lost.astype(np.uint8), cv2.MORPH_OPEN, kernel) > 0)

    def region(self, labels: NDArray[np.int64], label: int) -> NDArray[np.bool_]:
        """A region of the cells as a smooth mask of the photo: (h, w)."""
        cover = self.values((labels == label).astype(np.float32))
        return cover >= min(0.5, 0.9 * float(cover.max()))


def tinted(strength: NDArray[np.float32], colour: Colour, opacity: float = STRONGEST) -> NDArray[np.uint8]:
    """Strengths, 0..1, as opacities of one colour: (h, w) -> RGBA (h, w, 4)."""
    layer = np.empty((*strength.shape, 4), np.uint8)
    layer[:, :, :3] = colour
    layer[:, :, 3] = np.rint(255 * opacity * np.clip(strength, 0, 1))
    return layer


def outlines(inside: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Outer outlines of a mask as (P, 2) points x, y with the mask's width and height as 1."""
    found, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    simplified = [cv2.approxPolyDP(outline, 0.7, closed=True)[:, 0] for outline in found]
    height, width = inside.shape
    return [(outline + 0.5) / (width, height) for outline in simplified if len(outline) >= 3]


def middle(inside: NDArray[np.bool_]) -> tuple[float, float]:
    """A point well inside a mask, x and y with the mask's width and height as 1."""
    depth = cv2.distanceTransform(np.pad(inside, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return (float(column) + 0.5) / inside.shape[1], (float(row) + 0.5) / inside.shape[0]


def _size_within(height: int, width: int, side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))
