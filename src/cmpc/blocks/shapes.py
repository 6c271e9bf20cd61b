"""The shapes as signed distances in their own coordinates, after Inigo Quilez, "Distance functions".

Every function takes coordinates x, y, z (N,) float32 and returns a distance (N,) that is never more than the true one,
so that sphere tracing is safe. Edges are slightly rounded: they catch the light.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Distance = Callable[[Array, Array, Array], Array]


@dataclass(frozen=True, slots=True)
class Shape:
    """A signed distance with what placement and tracing need to know about it, in the shape's own units."""

    distance: Distance
    bound: float
    """Radius of a sphere about the origin that holds the shape."""
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    """Corners of a box that holds the shape."""
    rest: float
    """Height of the origin above what it stands on."""
    footprint: float
    """Radius of a vertical cylinder that holds the shape."""
    top: float | None = None
    """Height of a flat top above the origin; None: nothing can stand on it."""
    faces_viewer: bool = False
    """It is recognised from the front, so its yaw stays within 40 degrees of the camera."""
    lying_rest: float | None = None
    """``rest`` when it lies; None: it never lies."""
    lying_footprint: float = 1.0
    """``footprint`` when it lies."""
    convex: bool = True
    """It casts no shadow on itself."""


def _smooth_max(a: Array, b: Array, width: float) -> Array:
    """Polynomial smooth maximum: rounds the edge between two surfaces over ``width``."""
    blend = np.maximum(width - np.abs(a - b), 0.0)
    return np.maximum(a, b) + blend * blend * np.float32(0.25 / width)


def _extruded(flat: Array, height: Array, half_depth: float, rounding: float) -> Array:
    """Distance of a prism: ``flat`` is the signed distance of its outline, ``height`` the coordinate along its axis."""
    side = flat + rounding
    end = np.abs(height) - (half_depth - rounding)
    outside = np.sqrt(np.maximum(side, 0.0) ** 2 + np.maximum(end, 0.0) ** 2)
    return np.minimum(np.maximum(side, end), 0.0) + outside - rounding


def _box2(x: Array, y: Array, half_x: float, half_y: float) -> Array:
    dx, dy = np.abs(x) - half_x, np.abs(y) - half_y
    return np.sqrt(np.maximum(dx, 0.0) ** 2 + np.maximum(dy, 0.0) ** 2) + np.minimum(np.maximum(dx, dy), 0.0)


def sphere(x: Array, y: Array, z: Array) -> Array:
    return np.sqrt(x * x + y * y + z * z) - 1.0


def cube(x: Array, y: Array, z: Array) -> Array:
    half, rounding = 0.80, 0.08
    dx, dy, dz = (np.abs(axis) - (half - rounding) for axis in (x, y, z))
    outside = np.sqrt(np.maximum(dx, 0.0) ** 2 + np.maximum(dy, 0.0) ** 2 + np.maximum(dz, 0.0) ** 2)
    return outside + np.minimum(np.maximum(np.maximum(dx, dy), dz), 0.0) - rounding


def cylinder(x: Array, y: Array, z: Array) -> Array:
    return _extruded(np.sqrt(x * x + y * y) - 0.74, z, half_depth=0.88, rounding=0.06)


def cone(x: Array, y: Array, z: Array) -> Array:
    base, height, low = 0.95, 1.95, -0.80
    slope = math.hypot(base, height)
    side = (np.sqrt(x * x + y * y) * height + (z - low) * base - base * height) * np.float32(1.0 / slope)
    return _smooth_max(side, low - z, 0.10)


def torus(x: Array, y: Array, z: Array) -> Array:
    """The axis is y, so that it stands upright and faces the viewer."""
    ring = np.sqrt(x * x + z * z) - 0.72
    return np.sqrt(ring * ring + y * y) - 0.27


def capsule(x: Array, y: Array, z: Array) -> Array:
    along = z - np.clip(z, -0.62, 0.62)
    return np.sqrt(x * x + y * y + along * along) - 0.44


def pyramid(x: Array, y: Array, z: Array) -> Array:
    base, height, low = 0.92, 1.65, -0.70
    slope = math.hypot(base, height)
    widest = _smooth_max(np.abs(x), np.abs(y), 0.05)
    side = (widest * height + (z - low) * base - base * height) * np.float32(1.0 / slope)
    return _smooth_max(side, low - z, 0.06)


def star(x: Array, y: Array, z: Array) -> Array:
    """A five-pointed star that stands on two points."""
    c, s = math.cos(math.pi / 5), math.sin(math.pi / 5)
    outer, inner = 1.08, 0.50
    px, pz = np.abs(x), z
    for side in (c, -c):  # mirror into one tenth of the star
        fold = np.maximum(side * px - s * pz, 0.0) * 2.0
        px, pz = px - fold * side, pz + fold * s
    px, pz = np.abs(px), pz - outer
    edge_x, edge_z = inner * s, inner * c - outer
    along = np.clip((px * edge_x + pz * edge_z) * (1.0 / (edge_x * edge_x + edge_z * edge_z)), 0.0, 1.0)
    qx, qz = px - edge_x * along, pz - edge_z * along
    flat = np.sqrt(qx * qx + qz * qz) * np.sign(pz * edge_x - px * edge_z)
    return _extruded(flat, y, half_depth=0.30, rounding=0.06)


def cross(x: Array, y: Array, z: Array) -> Array:
    flat = np.minimum(_box2(x, z, 0.92, 0.32), _box2(x, z, 0.32, 0.92))
    return _extruded(flat, y, half_depth=0.32, rounding=0.06)


def arch(x: Array, y: Array, z: Array) -> Array:
    """A toy bridge: a slab with a round gate."""
    gate = 0.52 - np.sqrt(x * x + (np.maximum(z + 0.30, 0.0)) ** 2)
    flat = np.maximum(_box2(x, z, 0.95, 0.72), gate)
    return _extruded(flat, y, half_depth=0.42, rounding=0.05)


_STAR_REST = 1.08 * math.cos(math.pi / 5) - 0.03
SHAPES: dict[str, Shape] = {
    "sphere": Shape(sphere, bound=1.0, low=(-1.0, -1.0, -1.0), high=(1.0, 1.0, 1.0), rest=1.0, footprint=1.0),
    "cube": Shape(cube, bound=1.36, low=(-0.8, -0.8, -0.8), high=(0.8, 0.8, 0.8), rest=0.80, footprint=1.10, top=0.80),
    "cylinder": Shape(
        cylinder, bound=1.15, low=(-0.74, -0.74, -0.88), high=(0.74, 0.74, 0.88), rest=0.88, footprint=0.74, top=0.88
    ),
    "cone": Shape(cone, bound=1.26, low=(-0.95, -0.95, -0.8), high=(0.95, 0.95, 1.15), rest=0.80, footprint=0.95),
    "torus": Shape(
        torus,
        bound=1.0,
        low=(-0.99, -0.27, -0.99),
        high=(0.99, 0.27, 0.99),
        rest=0.99,
        footprint=0.99,
        faces_viewer=True,
        lying_rest=0.27,
        convex=False,
    ),
    "capsule": Shape(
        capsule,
        bound=1.06,
        low=(-0.44, -0.44, -1.06),
        high=(0.44, 0.44, 1.06),
        rest=1.06,
        footprint=0.46,
        lying_rest=0.44,
        lying_footprint=1.06,
    ),
    "pyramid": Shape(pyramid, bound=1.50, low=(-0.92, -0.92, -0.7), high=(0.92, 0.92, 0.95), rest=0.70, footprint=1.25),
    "star": Shape(
        star,
        bound=1.13,
        low=(-1.03, -0.3, -0.88),
        high=(1.03, 0.3, 1.08),
        rest=_STAR_REST,
        footprint=1.05,
        faces_viewer=True,
        convex=False,
    ),
    "cross": Shape(
        cross,
        bound=1.04,
        low=(-0.92, -0.32, -0.92),
        high=(0.92, 0.32, 0.92),
        rest=0.92,
        footprint=0.97,
        faces_viewer=True,
        convex=False,
    ),
    "arch": Shape(
        arch,
        bound=1.27,
        low=(-0.95, -0.42, -0.72),
        high=(0.95, 0.42, 0.72),
        rest=0.72,
        footprint=1.04,
        top=0.72,
        faces_viewer=True,
        convex=False,
    ),
}
