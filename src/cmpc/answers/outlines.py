"""Masks as polygons along the borders of their pixels, so that who fills them gets the mask back."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Point = tuple[int, int]
"""x, y of a corner of pixels: the pixel in row r and column c reaches from (c, r) to (c + 1, r + 1)."""

_ROWS = 512
"""Rows of a mask that are looked at at once."""


@dataclass
class _Ring:
    """A closed line along borders of pixels: around a part of the mask or around a hole in one."""

    points: list[Point]
    """Its corners from the leftmost of the uppermost ones, first to the right. The lines are horizontal and vertical in
    turn."""
    is_hole: bool
    holes: dict[int, list[tuple[Point, _Ring]]] = field(default_factory=dict)
    """Holes below its horizontal lines, by the position of the left end of the line among the points, each with the
    point of the line from which it is reached."""


def outlines(mask: NDArray[np.bool_]) -> list[list[float]]:
    """The parts of a mask as COCO polygons ``[x1, y1, x2, y2, ...]`` in pixels, corners of pixels being whole numbers.

    Pixels that touch only at a corner are parts of their own. A hole is joined to the line around it by a vertical line
    there and back, which has no area: filled by the even-odd rule, as pycocotools, OpenCV and Pillow do, the polygons
    are the mask.

    Args:
        mask: bool, (H, W).
    """
    rings = _rings(mask)
    _join_holes(mask, rings)
    return [[float(value) for point in _walk(ring) for value in point] for ring in rings if not ring.is_hole]


def has_holes(mask: NDArray[np.bool_]) -> bool:
    """Whether something outside of a mask, bool (H, W), is enclosed by it."""
    return any(ring.is_hole for ring in _rings(mask))


def _rings(mask: NDArray[np.bool_]) -> list[_Ring]:
    """All rings, the uppermost first.

    Where two pixels of the mask touch at a corner, two lines bend there, each around one pixel. Sorted by rows, corners
    are in turn the left and the right end of a horizontal line; sorted by columns, of a vertical one.
    """
    ys, xs, double, above, inside = _corners(mask)
    if not len(ys):
        return []
    count = 1 + double
    ys, xs, above, inside = (np.repeat(values, count) for values in (ys, xs, above, inside))
    first_of_two = np.zeros(len(ys), bool)
    first_of_two[np.cumsum(count)[count == 2] - 2] = True
    # Of the two bends, the first in its row ends the line on the left. It goes on upwards, to the line that the first
    # of its column ends, where the pixel above on the left is inside; downwards otherwise.
    crossed = np.zeros(len(ys), np.int64)
    downwards = np.flatnonzero(first_of_two & ~above)
    crossed[downwards], crossed[downwards + 1] = 1, -1
    by_column = np.lexsort((np.arange(len(ys)) + crossed, ys, xs))
    across = np.arange(len(ys)) ^ 1  # the other end of the horizontal line of each corner
    along = np.empty(len(ys), np.int64)  # the other end of its vertical line
    along[by_column] = by_column[np.arange(len(ys)) ^ 1]

    corners = list(zip(xs.tolist(), ys.tolist(), strict=True))
    steps = (across.tolist(), along.tolist())
    seen = np.zeros(len(ys), bool)
    rings = []
    for start in range(len(ys)):
        if seen[start]:
            continue
        path: list[int] = []
        at, direction = start, 0
        while not path or at != start:
            path.append(at)
            at, direction = steps[direction][at], 1 - direction
        seen[path] = True
        rings.append(_Ring([corners[number] for number in path], is_hole=not inside[start]))
    return rings


def _corners(mask: NDArray[np.bool_]) -> tuple[NDArray[Any], ...]:
    """Where lines bend, by rows: y; x; whether two do; whether the pixel above on the left, and the one below on the
    right, are inside. Some rows are looked at after the others, for masks can be large."""
    found = []
    height, width = mask.shape
    for top in range(0, height + 1, _ROWS):
        bottom = min(top + _ROWS, height + 1)
        rows = np.zeros((bottom - top + 1, width + 2), np.bool_)  # from the row above the first line to below the last
        rows[max(0, 1 - top) : height + 1 - top, 1:-1] = mask[max(0, top - 1) : bottom]
        above_left, above_right, below_left, below_right = rows[:-1, :-1], rows[:-1, 1:], rows[1:, :-1], rows[1:, 1:]
        double = (above_left == below_right) & (above_right == below_left) & (above_left != above_right)
        ys, xs = np.nonzero(double | (above_left ^ above_right ^ below_left ^ below_right))
        found.append((ys + top, xs, double[ys, xs], above_left[ys, xs], below_right[ys, xs]))
    return tuple(map(np.concatenate, zip(*found, strict=True)))


def _join_holes(mask: NDArray[np.bool_], rings: list[_Ring]) -> None:
    """Hangs each hole to the horizontal line above its first corner."""
    lines: dict[int, list[tuple[int, _Ring, int]]] = {}  # row -> x of the left end, its ring, its position there
    if not any(ring.is_hole for ring in rings):
        return
    for ring in rings:
        for start in range(0, len(ring.points), 2):
            (x1, y), (x2, _) = ring.points[start], ring.points[start + 1]
            lines.setdefault(y, []).append((min(x1, x2), ring, start if x1 < x2 else start + 1))
    for of_row in lines.values():
        of_row.sort(key=_left_end)
    for hole in rings:
        if hole.is_hole:
            x, y = hole.points[0]
            is_outside = ~(mask[:y, x - 1] & mask[:y, x])
            row = int(np.flatnonzero(is_outside)[-1]) + 1 if is_outside.any() else 0
            # Of this row, the last line that begins before the hole reaches to it: no other lies in between.
            _, ring, position = lines[row][bisect_right(lines[row], x, key=_left_end) - 1]
            ring.holes.setdefault(position, []).append(((x, row), hole))


def _left_end(line: tuple[int, _Ring, int]) -> int:
    return line[0]


def _walk(outer: _Ring) -> Iterator[Point]:
    """The corners of a ring and, between them, there and back to the holes that hang below its lines."""
    pending = [_points(outer)]  # instead of recursion: holes can hang below each other by the thousand
    last: Point | None = None
    while pending:
        item = next(pending[-1], None)
        if item is None:
            pending.pop()
        elif isinstance(item, _Ring):
            pending.append(_points(item))
        elif item != last:
            yield item
            last = item


def _points(ring: _Ring) -> Iterator[Point | _Ring]:
    """The corners of a ring in order; around a hole the other way round, and back to where it began."""
    count = len(ring.points)
    order = [0, *range(count - 1, -1, -1)] if ring.is_hole else list(range(count))
    for number, at in enumerate(order):
        yield ring.points[at]
        if number + 1 == len(order) and ring.is_hole:
            return
        after = order[(number + 1) % len(order)]
        if ring.points[at][1] != ring.points[after][1]:
            continue
        rightwards = ring.points[at][0] < ring.points[after][0]
        hanging = sorted(ring.holes.get(at if rightwards else after, ()), key=lambda hung: hung[0])
        for point, hole in hanging if rightwards else reversed(hanging):
            yield point
            yield hole
            yield point
