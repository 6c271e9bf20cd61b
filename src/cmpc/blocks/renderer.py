"""Pictures of scenes with exact masks, in numpy.

One ray goes through the centre of every pixel; which block it meets first is the mask. Pixels on an edge get four more
rays for the picture alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmpc.blocks.scene import Scene
from cmpc.blocks.shading import Shader
from cmpc.blocks.solids import Solid, first_hits

Array = NDArray[np.floating[Any]]

SUBPIXELS = ((-0.375, -0.125), (0.125, -0.375), (0.375, 0.125), (-0.125, 0.375))
"""Where the rays of a pixel on an edge go, in pixels from its centre."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """A picture with its truth."""

    pixels: NDArray[np.uint8]
    """RGB, (S, S, 3)."""
    visible: NDArray[np.int8]
    """Index of the block that the centre of each pixel sees, or a negative number for ground and backdrop, (S, S)."""
    areas: NDArray[np.int64]
    """Visible pixels of each block, (N,)."""
    whole_areas: NDArray[np.int64]
    """Pixels that each block would cover if nothing stood before it, (N,)."""

    def mask(self, block: int) -> NDArray[np.bool_]:
        """The visible part of a block, (S, S)."""
        return self.visible == block


class CameraView:
    """What the camera sees of a scene, before light and colour: enough to turn a scene down cheaply."""

    def __init__(self, scene: Scene, size: int) -> None:
        self.scene, self.size = scene, size
        self._solids = [Solid(block) for block in scene.blocks]
        self._origin = np.array(scene.camera.position, np.float32)[:, None]
        centres = (np.arange(size, dtype=np.float32) + 0.5) / size
        self._u, self._v = np.tile(centres, size), np.repeat(centres, size)
        self._direction = scene.camera.directions(self._u, self._v)
        self._hits = first_hits(self._solids, self._origin, self._direction)
        self.visible: NDArray[np.int8] = self._hits.block.reshape(size, size)
        self.areas: NDArray[np.int64] = np.bincount(self.visible[self.visible >= 0], minlength=len(self._solids))
        self.whole_areas: NDArray[np.int64] = self._hits.whole_areas

    def draw(self) -> Rendering:
        """The picture, with edges smoothed by four more rays a pixel."""
        scene, size = self.scene, self.size
        shader = Shader(scene, self._solids)
        colour = shader.display(self._origin, self._direction, self._hits)
        edges = _edges(self.visible, self._hits.normal.reshape(3, size, size)).ravel().nonzero()[0]
        u = np.concatenate([self._u[edges] + np.float32(du / size) for du, _ in SUBPIXELS])
        v = np.concatenate([self._v[edges] + np.float32(dv / size) for _, dv in SUBPIXELS])
        fine = scene.camera.directions(u, v)
        fine_colour = shader.display(self._origin, fine, first_hits(self._solids, self._origin, fine))
        colour[:, edges] = fine_colour.reshape(3, len(SUBPIXELS), -1).mean(axis=1)
        pixels = np.clip(colour.T.reshape(size, size, 3) * 255.0 + 0.5, 0.0, 255.0).astype(np.uint8)
        return Rendering(pixels, self.visible, self.areas, self.whole_areas)


def render(scene: Scene, size: int) -> Rendering:
    """Draws a scene as ``size`` x ``size`` pixels."""
    return CameraView(scene, size).draw()


def _edges(visible: NDArray[np.int8], normal: Array) -> NDArray[np.bool_]:
    """Pixels whose neighbour sees something else, or the same block at another angle, (S, S)."""
    edges = np.zeros(visible.shape, bool)
    for axis in (0, 1):
        one = tuple(slice(None, -1) if axis == a else slice(None) for a in (0, 1))
        other = tuple(slice(1, None) if axis == a else slice(None) for a in (0, 1))
        turn = (normal[:, one[0], one[1]] * normal[:, other[0], other[1]]).sum(axis=0)
        jump = (visible[one] != visible[other]) | (turn < 0.7)
        edges[one] |= jump
        edges[other] |= jump
    return edges
