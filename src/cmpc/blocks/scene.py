"""What a scene is made of: blocks on a ground, a camera and a light. In the world, z points up."""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHAPES = ("sphere", "cube", "cylinder", "cone", "torus", "capsule", "pyramid", "star", "cross", "arch")
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "white")
MATERIALS = ("rubber", "metal")
SIZES = ("small", "medium", "large")
ATTRIBUTES = ("shape", "colour", "material", "size")
VALUES: dict[str, tuple[str, ...]] = {"shape": SHAPES, "colour": COLOURS, "material": MATERIALS, "size": SIZES}

RADIUS: dict[str, float] = {"small": 0.46, "medium": 0.70, "large": 1.03}
"""World units per unit of a shape's own coordinates (a sphere of that size has this radius)."""


@dataclass(frozen=True, slots=True)
class Block:
    """One object of a scene."""

    shape: str
    colour: str
    material: str
    size: str
    position: tuple[float, float, float]
    """Where the origin of the shape's own coordinates stands in the world."""
    yaw: float
    """Turn about the vertical axis in radians."""
    lying: bool = False
    """A torus flat on the ground, a capsule on its side."""
    support: int = -1
    """Index of the block that it stands on; -1: the ground."""

    @property
    def radius(self) -> float:
        """Scale of the shape in world units."""
        return RADIUS[self.size]

    def rotation(self) -> NDArray[np.float32]:
        """Rotation from the shape's own coordinates to the world, (3, 3)."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        if self.lying:
            turn = turn @ np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])  # its y axis becomes the vertical
        return turn.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera with square images. Image coordinates run from 0 to 1, u to the right and v downwards."""

    position: tuple[float, float, float]
    target: tuple[float, float, float]
    """The point in the middle of the image (before the roll)."""
    focal: float
    """Focal length in image widths."""
    roll: float
    """Turn about the viewing direction in radians."""

    def axes(self) -> NDArray[np.float32]:
        """Unit vectors to the right, down and into the picture as rows, (3, 3)."""
        return _camera_axes(self)

    def ground_axes(self) -> NDArray[np.float64]:
        """Unit vectors on the ground to the right and away from the camera as rows, (2, 2): x and y only."""
        away = np.subtract(self.target, self.position)[:2]
        away = away / np.linalg.norm(away)
        return np.array([[away[1], -away[0]], away])

    def directions(self, u: NDArray[Any], v: NDArray[Any]) -> NDArray[np.float32]:
        """Unit directions of the rays through image points, (3, N) for u and v (N,)."""
        inside = np.stack([(u - 0.5) / self.focal, (v - 0.5) / self.focal, np.ones_like(u)]).astype(np.float32)
        inside /= np.sqrt((inside * inside).sum(axis=0))
        return self.axes().T @ inside

    def project(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Image coordinates and depth (u, v, depth) of world points, (N, 3) for (N, 3)."""
        seen = (np.asarray(points, dtype=np.float64) - self.position) @ self.axes().T.astype(np.float64)
        return np.stack(
            [seen[:, 0] / seen[:, 2] * self.focal + 0.5, seen[:, 1] / seen[:, 2] * self.focal + 0.5, seen[:, 2]], axis=1
        )

    def on_ground(self, u: float, v: float) -> tuple[float, float]:
        """The point (x, y) of the ground that is seen at (u, v), which must lie below the horizon."""
        direction = self.directions(np.array([u], np.float32), np.array([v], np.float32))[:, 0]
        distance = -self.position[2] / float(direction[2])
        return (
            self.position[0] + distance * float(direction[0]),
            self.position[1] + distance * float(direction[1]),
        )


@functools.lru_cache(maxsize=16)
def _camera_axes(camera: Camera) -> NDArray[np.float32]:
    forward = np.subtract(camera.target, camera.position)
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = math.cos(camera.roll), math.sin(camera.roll)
    return np.stack([c * right + s * down, c * down - s * right, forward]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Light:
    """A mood of ``surfaces.LIGHTS`` and where its key light comes from."""

    mood: str
    direction: tuple[float, float, float]
    """Unit vector towards the key light."""


@dataclass(frozen=True, slots=True)
class Ground:
    """A pattern of ``surfaces.GROUNDS`` in two colours, turned and shifted."""

    pattern: str
    colours: tuple[tuple[float, float, float], tuple[float, float, float]]
    """Linear RGB, 0..1."""
    turn: float
    shift: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that the renderer and the solver know."""

    blocks: tuple[Block, ...]
    camera: Camera
    light: Light
    ground: Ground

    def to_dict(self) -> dict[str, Any]:
        """The scene as plain JSON values."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Scene:
        """The inverse of ``to_dict``, also after a trip through JSON."""
        blocks = tuple(Block(**{**block, "position": tuple(block["position"])}) for block in values["blocks"])
        camera, light, ground = values["camera"], values["light"], values["ground"]
        return Scene(
            blocks=blocks,
            camera=Camera(tuple(camera["position"]), tuple(camera["target"]), camera["focal"], camera["roll"]),
            light=Light(light["mood"], tuple(light["direction"])),
            ground=Ground(
                ground["pattern"],
                (tuple(ground["colours"][0]), tuple(ground["colours"][1])),
                ground["turn"],
                tuple(ground["shift"]),
            ),
        )
