"""Sharpens the mask of one answer at the size of its photo, in the part of the photo around the mask."""

from __future__ import annotations

from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from cmpc.errors import UsageError
from cmpc.refining.dense_crf import CRFSettings, marginals, require_dense_crf
from cmpc.refining.guided_filter import guided_filter

RefineName = Literal["crf", "guided", "none"]
REFINEMENTS: tuple[RefineName, ...] = get_args(RefineName)

MOST_PIXELS = 200_000
"""Larger parts of photos are shrunk for the DenseCRF, and for the functions of the guided filter."""
MARGIN = 0.2
"""How much of the photo around the mask is looked at, in units of the longer side of its box."""
CELL = 1 / 40
"""How far masks of a network may miss an edge: a cell of its map, in units of the longer side of the photo."""
LEAST_CELLS = 4
"""Narrower masks stay as they are: most of them is edge, and they would melt away."""
SURE = 0.9
"""The DenseCRF takes no probability for surer than this: networks are too sure of their edges."""


def check_refinement(name: str) -> None:
    """Refuses names of refinements that there are not, and those that are not installed.

    Raises:
        UsageError: there is no such refinement.
        UserError: its package is not installed.
    """
    if name not in REFINEMENTS:
        raise UsageError(f"there is no refinement {name!r}: choose {', '.join(REFINEMENTS[:-1])} or {REFINEMENTS[-1]}.")
    if name == "crf":
        require_dense_crf("--refine crf")


def refine_probability(
    probability: NDArray[np.float32],
    pixels: NDArray[np.uint8],
    box: tuple[int, int, int, int],
    name: RefineName,
) -> NDArray[np.float32]:
    """The probabilities of a mask, drawn to the edges of the photo.

    Args:
        probability: of each pixel, (H, W), 0..1.
        pixels: the photo, RGB, uint8, (H, W, 3).
        box: smallest box around the mask: x, y, width, height.
        name: ``crf`` or ``guided``; ``none`` gives the probabilities back.

    Returns:
        float32, (H, W), 0..1; far from the mask as before, and everywhere where the mask is too small.
    """
    if name == "none":
        return probability
    x, y, width, height = box
    if min(width, height) < LEAST_CELLS * CELL * max(probability.shape):
        return probability
    margin = 8 + round(MARGIN * max(width, height))
    part = np.s_[max(0, y - margin) : y + height + margin, max(0, x - margin) : x + width + margin]
    refined = probability.copy()
    softness = CELL * max(probability.shape)
    refine = _crf if name == "crf" else _guided
    refined[part] = refine(np.ascontiguousarray(probability[part]), np.ascontiguousarray(pixels[part]), softness)
    return refined


def _crf(values: NDArray[np.float32], pixels: NDArray[np.uint8], softness: float) -> NDArray[np.float32]:
    height, width = values.shape
    scale = min(1.0, (MOST_PIXELS / (height * width)) ** 0.5)
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    small = np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)
    colours = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    settings = CRFSettings(
        smoothness_pixels=1,
        smoothness_weight=1,
        appearance_pixels=max(1.0, 2 * softness * scale),
        appearance_colours=10,
        appearance_weight=3,
    )
    found = marginals(small.clip(1 - SURE, SURE), colours, settings)[1]
    return np.asarray(cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _guided(values: NDArray[np.float32], pixels: NDArray[np.uint8], softness: float) -> NDArray[np.float32]:
    shrink = max(1, round((values.size / MOST_PIXELS) ** 0.5))
    radius = max(1, round(softness))
    filtered = guided_filter(values, pixels, radius=radius, epsilon=1e-3, shrink=shrink)
    return np.clip(filtered, 0, 1, out=filtered)
