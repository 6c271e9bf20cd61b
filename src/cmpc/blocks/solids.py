"""Rays against blocks: sphere tracing of signed distances, first hits, and how much of a light each block lets pass.

Rays are unit directions (3, N); points are (3, N); all float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmpc.blocks.scene import Block
from cmpc.blocks.shapes import SHAPES, Shape

Array = NDArray[np.floating[Any]]
Index = NDArray[np.intp]

NOTHING, GROUND = -2, -1
"""What a ray meets when it meets no block."""
TRACE_STEPS, SHADOW_STEPS = 28, 10
PRECISION = 2e-3
"""A ray has met a shape when it is nearer than this, in the shape's units (less than a twentieth of a pixel)."""
FAR = 60.0


def dot(one: Array, other: Array) -> Array:
    """Scalar products of vectors (3, N) or (3, 1), (N,)."""
    product: Array
    if one.shape[1] == 1:
        product = (one.T @ other)[0]
    elif other.shape[1] == 1:
        product = (other.T @ one)[0]
    else:
        product = one[0] * other[0] + one[1] * other[1] + one[2] * other[2]
    return product


class Solid:
    """A block ready for tracing: its shape, and the way from the world to the shape's own coordinates."""

    def __init__(self, block: Block) -> None:
        self.shape: Shape = SHAPES[block.shape]
        self.radius = np.float32(block.radius)
        self.centre = np.array(block.position, np.float32)[:, None]
        self.rotation = block.rotation()
        self.bound = self.shape.bound * block.radius
        self.low = np.array(self.shape.low, np.float32)[:, None] - np.float32(0.01)
        self.high = np.array(self.shape.high, np.float32)[:, None] + np.float32(0.01)

    def local(self, points: Array) -> Array:
        return self.rotation.T @ ((points - self.centre) / self.radius)

    def distance(self, points: Array) -> Array:
        """Signed distance of world points, in world units, (N,)."""
        x, y, z = self.local(points)
        return self.shape.distance(x, y, z) * self.radius

    def span(self, origin: Array, direction: Array) -> tuple[Index, Array, Array]:
        """Rays that meet the bounding sphere, with the distances where they enter and leave it.

        Either of origin and direction may be one for all rays, (3, 1).
        """
        offset = origin - self.centre
        along = dot(offset, direction)
        beyond = dot(offset, offset) - np.float32(self.bound**2)  # squared length of the tangent, negative inside
        if origin.shape[1] == 1:  # from one point outside, a cone of rays
            rays = (along < -np.sqrt(np.maximum(beyond, 0.0))).nonzero()[0]
        else:
            rays = ((along * along > beyond) & (along < self.bound)).nonzero()[0]
            beyond = beyond[rays]
        along = along[rays]
        half = np.sqrt(np.maximum(along * along - beyond, 0.0))
        return rays, np.maximum(-along - half, 0.0), half - along

    def trace(self, origin: Array, direction: Array) -> tuple[Index, Array]:
        """Rays that meet the block, and the distance at which each does."""
        rays, near, far = self.span(origin, direction)
        start = self.local(origin[:, rays] if origin.shape[1] > 1 else origin)
        way = self.rotation.T @ direction[:, rays]
        with np.errstate(divide="ignore", invalid="ignore"):
            one, other = (self.low - start) / way, (self.high - start) / way
        near = np.maximum(np.minimum(one, other).max(axis=0), near / self.radius)
        far = np.minimum(np.maximum(one, other).min(axis=0), far / self.radius)
        inside = (near < far).nonzero()[0]
        rays, near, far, way = rays[inside], near[inside], far[inside], way[:, inside]
        position = (start[:, inside] if start.shape[1] > 1 else start) + way * near
        met = np.full(len(rays), np.inf, np.float32)
        active = np.arange(len(rays))
        travelled, convex = near, self.shape.convex
        last_gap, last_step = np.full(len(rays), np.inf, np.float32), np.ones(len(rays), np.float32)
        for number in range(TRACE_STEPS):
            gap = self.shape.distance(position[0], position[1], position[2])
            hit = gap < PRECISION * (1.0 + 0.15 * number)  # rays that graze a surface come slowly
            met[active[hit]] = travelled[hit]
            if (
                convex
            ):  # the distance along a ray is convex too: it never falls again, and a secant stops short of the root
                alive = ~hit & (gap < last_gap)
                slope = (last_gap - gap) / np.maximum(last_step, 1e-6)
                step = np.where(slope > 1e-3, gap / np.clip(slope, 1e-3, 1.0), gap)
            else:
                alive, step = ~hit, gap
            travelled = travelled + step
            going = (alive & (travelled < far)).nonzero()[0]
            if not len(going):
                break
            last_gap, last_step = gap, step
            position += way * step
            if len(going) < 0.8 * len(active):
                active, travelled, far = active[going], travelled[going], far[going]
                position, way = position[:, going], way[:, going]
                last_gap, last_step = gap[going], step[going]
        found = np.isfinite(met).nonzero()[0]
        return rays[found], met[found] * self.radius

    def normals(self, points: Array) -> Array:
        """Unit normals at surface points, (3, N), by differences along the corners of a tetrahedron."""
        corners = np.array([[1, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]], np.float32)
        local = self.local(points)
        gradient = np.zeros_like(local)
        for corner in corners:
            x, y, z = local + corner[:, None] * np.float32(4e-3)
            gradient += corner[:, None] * self.shape.distance(x, y, z)
        gradient = self.rotation @ gradient
        return gradient / (np.sqrt(dot(gradient, gradient)) + np.float32(1e-9))

    def lit(self, points: Array, towards: Array, near: Array, far: Array, softness: float) -> Array:
        """Share of the light that reaches points (3, N), seen from which the block lies between ``near`` and ``far``.

        The share is the smallest angle by which the way to the light misses the block, over ``softness``.
        """
        way = (self.rotation.T @ towards).astype(np.float32)
        start = self.local(points)
        travelled, far = np.maximum(near / self.radius, 0.03), far / self.radius
        share = np.ones(points.shape[1], np.float32)
        sharpness = np.float32(1.0 / softness)
        active = np.arange(len(share))
        for _ in range(SHADOW_STEPS):
            position = start + way * travelled
            gap = self.shape.distance(position[0], position[1], position[2])
            share[active] = np.minimum(share[active], sharpness * gap / travelled)
            travelled = travelled + np.clip(gap, 0.06, 0.6)
            going = ((travelled < far) & (share[active] > 0.01)).nonzero()[0]
            if not len(going):
                break
            if len(going) < 0.8 * len(active):
                active, start, travelled, far = active[going], start[:, going], travelled[going], far[going]
        share = np.clip(share, 0.0, 1.0)
        return share * share * (3.0 - 2.0 * share)


@dataclass(slots=True)
class Hits:
    """What rays meet first: distance (N,), block index (N,), and the surface's normals (3, N) where it is a block."""

    distance: Array
    block: NDArray[np.int8]
    normal: Array
    whole_areas: NDArray[np.int64]


def first_hits(solids: list[Solid], origin: Array, direction: Array) -> Hits:
    count = direction.shape[1]
    down = np.minimum(direction[2], -1e-6)
    distance = np.where(direction[2] < -1e-4, -origin[2] / down, np.inf).astype(np.float32)
    block = np.where(distance < FAR, GROUND, NOTHING).astype(np.int8)
    whole_areas = np.zeros(len(solids), np.int64)
    for index, solid in enumerate(solids):
        rays, met = solid.trace(origin, direction)
        whole_areas[index] = len(rays)
        nearer = met < distance[rays]
        distance[rays[nearer]] = met[nearer]
        block[rays[nearer]] = index
    normal = np.zeros((3, count), np.float32)
    normal[2] = 1.0
    for index, solid in enumerate(solids):
        rays = (block == index).nonzero()[0]
        if len(rays):
            start = origin[:, rays] if origin.shape[1] > 1 else origin
            normal[:, rays] = solid.normals(start + direction[:, rays] * distance[rays])
    return Hits(distance, block, normal, whole_areas)
