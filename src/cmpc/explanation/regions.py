"""Cells of the grid gathered into regions: what messages are drawn between."""

from __future__ import annotations

import heapq

import cv2
import numpy as np
from numpy.typing import NDArray

OUTSIDE = -1
"""Label of cells that belong to no region: the padding around the photo."""
SURROUNDINGS = 8
"""Regions that the cells around the things are joined to."""


def principal_components(features: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The ``count`` directions in which cells differ most: (C, h, w) -> (at most ``count``, h, w), centred."""
    cells = features.reshape(len(features), -1).astype(np.float64)
    cells -= cells.mean(axis=1, keepdims=True)
    _, directions = np.linalg.eigh(cells @ cells.T)  # ascending
    return (directions[:, ::-1][:, :count].T @ cells).reshape(-1, *features.shape[1:]).astype(np.float32)


def find_regions(
    features: NDArray[np.float32], inside: NDArray[np.bool_], things: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Parts the cells of a photo: each thing is a region, and what is around them is joined by likeness.

    Args:
        features: of the cells, (C, h, w).
        inside: the cells of the photo, (h, w).
        things: cells of things, (h, w); cells that touch, also at a corner, are one thing.

    Returns:
        Label of each cell, things first, ``OUTSIDE`` outside the photo, (h, w).
    """
    count, labels = cv2.connectedComponents((things & inside).astype(np.uint8), connectivity=8)
    regions = labels.astype(np.int64) - 1
    around = grow_regions(features, inside & ~things, SURROUNDINGS)
    regions[around != OUTSIDE] = around[around != OUTSIDE] + count - 1
    return regions


def grow_regions(features: NDArray[np.float32], inside: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """Joins neighbouring cells with like features until ``count`` regions are left (Ward's rule on the grid).

    Each step joins the two touching regions whose union raises the squared distance to the regions' means least.

    Args:
        features: of the cells, (C, h, w).
        inside: the cells that take part, (h, w); they may be fewer than ``count``.
        count: regions wanted; more are left where the cells inside do not touch each other.

    Returns:
        Label of each cell, numbered in reading order of the regions' first cells; ``OUTSIDE`` elsewhere: (h, w).
    """
    width = inside.shape[1]
    members = {int(cell): [int(cell)] for cell in np.flatnonzero(inside)}
    means = features.reshape(len(features), -1).T.astype(np.float64).copy()  # (S, C), row of a region: its first cell's
    neighbours: dict[int, set[int]] = {cell: set() for cell in members}
    for cell in members:
        beside, below = cell + 1, cell + width
        for other in ([beside] if beside % width else []) + [below]:
            if other in members:
                neighbours[cell].add(other)
                neighbours[other].add(cell)

    versions = dict.fromkeys(members, 0)
    queue: list[tuple[float, int, int, int, int]] = []

    def offer(region: int, others: list[int]) -> None:
        """Puts the cost of joining a region with each of others into the queue."""
        if not others:
            return
        size, sizes = len(members[region]), np.array([len(members[other]) for other in others])
        costs = size * sizes / (size + sizes) * np.square(means[others] - means[region]).sum(axis=1)
        for cost, other in zip(costs.tolist(), others, strict=True):
            heapq.heappush(queue, (cost, region, other, versions[region], versions[other]))

    for cell in members:
        offer(cell, [other for other in neighbours[cell] if other > cell])
    while len(members) > count and queue:
        _, one, other, one_version, other_version = heapq.heappop(queue)
        if versions.get(one) != one_version or versions.get(other) != other_version:
            continue  # one of them has grown since, or is gone
        one, other = min(one, other), max(one, other)
        sizes = len(members[one]), len(members[other])
        means[one] = (sizes[0] * means[one] + sizes[1] * means[other]) / sum(sizes)
        members[one] += members.pop(other)
        del versions[other]
        versions[one] += 1
        for neighbour in neighbours.pop(other) - {one}:
            neighbours[neighbour].remove(other)
            neighbours[neighbour].add(one)
            neighbours[one].add(neighbour)
        neighbours[one].discard(other)
        offer(one, sorted(neighbours[one]))

    labels = np.full(inside.size, OUTSIDE, np.int64)
    for label, region in enumerate(sorted(members, key=lambda region: min(members[region]))):
        labels[members[region]] = label
    return labels.reshape(inside.shape)
