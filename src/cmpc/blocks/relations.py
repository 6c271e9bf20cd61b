"""What the words of place and comparison mean, with margins so that no statement is borderline.

Every statement is true (``YES``), false (``NO``) or too close to call (``UNCLEAR``). An expression is only used when
what it says is clear for every block. "Left", "right", "front" and "behind" are the viewer's: directions on the ground
as seen from the camera, in sectors, so that something far left but much deeper in the scene is behind, not left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmpc.blocks.placement import footprint
from cmpc.blocks.scene import RADIUS, Scene
from cmpc.blocks.shapes import SHAPES as FORMS

Truth = NDArray[np.int8]

NO, UNCLEAR, YES = 0, 1, 2
"""In this order "and" is the minimum and "not" the difference from ``YES`` (Kleene's logic)."""

DIRECTIONS: dict[str, tuple[int, float]] = {
    "left": (0, -1.0),
    "right": (0, 1.0),
    "front": (1, -1.0),
    "behind": (1, 1.0),
}
"""Direction -> axis on the ground (0: to the right, 1: away from the camera) and sign."""
RELATIONS = (*DIRECTIONS, "next to", "on", "under", "larger", "smaller")
"""Relations between two blocks. "same colour" and the like compare attributes and need no geometry."""

SECTOR_YES, SECTOR_NO = 0.9, 1.5
"""A direction holds when the other axis changes less than 0.9 times as much, fails from 1.5 times on."""
LEAST_STEP = 0.55
"""World units by which two blocks must differ along a direction for it to hold."""
TOUCHING, APART = 0.35, 0.90
"""Gap between footprints, in world units, up to which blocks are next to each other, and from which they are not."""
BETWEEN_YES, BETWEEN_NO = (0.25, 0.22), (0.12, 0.40)
"""Of a block between two: least share of the way from either end, greatest distance from the line over its length."""
RANK_GAP = {"left": 0.03, "right": 0.03, "front": 0.40, "behind": 0.40}
"""Difference that ranks two blocks from the left or right (image widths) or in depth (world units)."""
LEAD, FAR_LEAD = 1.25, 1.12
"""The nearest block is 1.25 times nearer than the next one, the farthest 1.12 times farther, on the ground and in the
image."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that can be said about the blocks of a scene. N blocks."""

    related: dict[str, Truth]
    """Relation -> (N, N): does block i stand so to block j?"""
    between: Truth
    """(N, N, N): does block i lie between blocks j and k?"""
    order: dict[str, NDArray[np.float64]]
    """Direction -> (N,): position along it; the greatest is the leftmost (rightmost, ...)."""
    distance: NDArray[np.float64]
    """Distances on the ground and in the image, (2, N, N)."""


def facts_of(scene: Scene) -> Facts:
    """Works out every relation of a scene."""
    blocks = scene.blocks
    count = len(blocks)
    position = np.array([block.position for block in blocks]).reshape(count, 3)
    ground = position[:, :2] @ scene.camera.ground_axes().T
    heights = np.array([middle_height(scene, i) for i in range(count)])
    image = scene.camera.project(np.column_stack([position[:, :2], heights]))[:, :2]
    step = ground[:, None, :] - ground[None, :, :]
    across = image[:, None, 0] - image[None, :, 0]
    related: dict[str, Truth] = {}
    for name, (axis, sign) in DIRECTIONS.items():
        along, aside = sign * step[..., axis], np.abs(step[..., 1 - axis])
        yes = (along > LEAST_STEP) & (aside < SECTOR_YES * along)
        no = (along < 0) & (aside < -SECTOR_YES * along) | (aside > SECTOR_NO * np.abs(along)) & (aside > LEAST_STEP)
        no |= along < -LEAST_STEP
        if axis == 0:
            yes &= sign * across > RANK_GAP[name]
        related[name] = _truth(yes, no)
    feet = np.array([footprint(block) for block in blocks])
    gap = np.hypot(step[..., 0], step[..., 1]) - feet[:, None] - feet[None, :]
    on = np.zeros((count, count), bool)
    for i, block in enumerate(blocks):
        if block.support >= 0:
            on[i, block.support] = True
    stacked = on | on.T
    raised = np.array([block.support >= 0 for block in blocks])
    mixed = raised[:, None] != raised[None, :]  # one stands on something: beside, but not side by side
    related["next to"] = _truth((gap < TOUCHING) & ~stacked & ~mixed, (gap > APART) & ~stacked)
    related["on"], related["under"] = _truth(on, ~on), _truth(on.T, ~on.T)
    size = np.array([RADIUS[block.size] for block in blocks])
    related["larger"] = _truth(size[:, None] > size[None, :], size[:, None] <= size[None, :])
    related["smaller"] = _truth(size[:, None] < size[None, :], size[:, None] >= size[None, :])
    for matrix in related.values():
        np.fill_diagonal(matrix, NO)
    order = {name: sign * (image[:, 0] if axis == 0 else ground[:, 1]) for name, (axis, sign) in DIRECTIONS.items()}
    apart = np.stack([np.hypot(step[..., 0], step[..., 1]), np.linalg.norm(image[:, None] - image[None, :], axis=2)])
    return Facts(related, _between(ground, image), order, apart)


def _between(ground: NDArray[np.float64], image: NDArray[np.float64]) -> Truth:
    count = len(ground)
    yes, no = np.ones((count, count, count), bool), np.zeros((count, count, count), bool)
    for points in (ground, image):
        way = points[None, None, :, :] - points[None, :, None, :]  # from j to k
        rest = points[:, None, None, :] - points[None, :, None, :]
        length = np.maximum((way * way).sum(axis=-1), 1e-9)
        along = (rest * way).sum(axis=-1) / length
        off = np.abs(rest[..., 0] * way[..., 1] - rest[..., 1] * way[..., 0]) / length
        ends = np.minimum(along, 1 - along)
        yes &= (ends > BETWEEN_YES[0]) & (off < BETWEEN_YES[1])
        no |= (ends < BETWEEN_NO[0]) | (off > BETWEEN_NO[1])
    truth = _truth(yes, no)
    for i in range(count):
        truth[i, i, :] = truth[i, :, i] = truth[:, i, i] = NO
    return truth


def middle_height(scene: Scene, index: int) -> float:
    """Height of the middle of a block above the ground, in world units."""
    block = scene.blocks[index]
    if block.lying:
        return block.position[2]
    form = FORMS[block.shape]
    return block.position[2] + block.radius * (form.high[2] + form.low[2]) / 2


def _truth(yes: NDArray[np.bool_], no: NDArray[np.bool_]) -> Truth:
    return np.where(yes, YES, np.where(no, NO, UNCLEAR)).astype(np.int8)


def ranks(values: NDArray[np.float64], least_gap: float) -> NDArray[np.intp] | None:
    """Indices from the greatest value to the least, or None where two neighbours differ by less than ``least_gap``."""
    order = np.argsort(-values, kind="stable")
    falls = -np.diff(values[order])
    return None if len(falls) and falls.min() < least_gap else order


def clear_extreme(distance: NDArray[np.float64], *, nearest: bool) -> int | None:
    """Index of the nearest (or farthest) of distances (2, N) on the ground and in the image; None where it is close."""
    if distance.shape[1] == 1:
        return 0
    found: set[int] = set()
    for row in distance:
        order = np.argsort(row if nearest else -row, kind="stable")[:2]
        shorter, longer = sorted(row[order])
        if longer < (LEAD if nearest else FAR_LEAD) * shorter:
            return None
        found.add(int(order[0]))
    return found.pop() if len(found) == 1 else None
