"""Colours and patterns: what the blocks are painted with, the grounds, and the lights with their surroundings."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmpc.blocks.scene import Ground, Light

Array = NDArray[np.floating[Any]]
Colour = tuple[float, float, float]

PAINT: dict[str, Colour] = {
    "red": (0.66, 0.025, 0.03),
    "orange": (0.90, 0.24, 0.01),
    "yellow": (0.88, 0.66, 0.03),
    "green": (0.04, 0.36, 0.06),
    "cyan": (0.03, 0.52, 0.58),
    "blue": (0.025, 0.09, 0.62),
    "purple": (0.27, 0.04, 0.46),
    "white": (0.86, 0.86, 0.84),
}
"""Linear RGB of each colour, for both materials."""


@dataclass(frozen=True, slots=True)
class Mood:
    """A light: the key light from one side, a dome above, and what mirrors see around them. Linear RGB."""

    key: Colour
    dome: Colour
    bounce: Colour
    """Light that comes back from the ground."""
    horizon: Colour
    softness: float
    """Width of the penumbra per distance from what casts the shadow."""


LIGHTS: dict[str, Mood] = {
    "studio": Mood((1.18, 1.16, 1.12), (0.27, 0.28, 0.30), (0.13, 0.12, 0.12), (0.80, 0.81, 0.83), 0.14),
    "daylight": Mood((1.34, 1.28, 1.15), (0.20, 0.25, 0.34), (0.13, 0.12, 0.10), (0.72, 0.81, 0.92), 0.06),
    "evening": Mood((1.36, 1.05, 0.78), (0.22, 0.22, 0.28), (0.14, 0.11, 0.09), (0.93, 0.78, 0.66), 0.09),
    "overcast": Mood((0.86, 0.88, 0.92), (0.42, 0.44, 0.47), (0.16, 0.16, 0.16), (0.80, 0.82, 0.84), 0.24),
}

GROUNDS: dict[str, tuple[tuple[Colour, Colour], ...]] = {
    "plain": (
        ((0.46, 0.46, 0.45), (0.42, 0.42, 0.41)),
        ((0.52, 0.47, 0.40), (0.47, 0.43, 0.36)),
        ((0.30, 0.34, 0.38), (0.27, 0.31, 0.35)),
    ),
    "tiles": (
        ((0.56, 0.54, 0.51), (0.34, 0.33, 0.31)),
        ((0.50, 0.52, 0.54), (0.27, 0.31, 0.36)),
        ((0.58, 0.51, 0.43), (0.37, 0.28, 0.21)),
    ),
    "planks": (
        ((0.44, 0.27, 0.14), (0.30, 0.17, 0.08)),
        ((0.55, 0.41, 0.27), (0.42, 0.30, 0.18)),
        ((0.36, 0.32, 0.28), (0.26, 0.22, 0.19)),
    ),
    "sand": (((0.60, 0.49, 0.34), (0.47, 0.37, 0.24)), ((0.46, 0.44, 0.41), (0.35, 0.33, 0.30))),
    "terrazzo": (((0.58, 0.57, 0.55), (0.28, 0.27, 0.27)), ((0.42, 0.45, 0.44), (0.62, 0.61, 0.58))),
    "felt": (((0.13, 0.22, 0.17), (0.10, 0.17, 0.13)), ((0.20, 0.20, 0.24), (0.15, 0.15, 0.18))),
}
"""Patterns and the pairs of colours that they come in."""


@functools.cache
def _noise(octaves: int) -> Array:
    """A tile of smooth noise, (256, 256) in 0..1, periodic; the same on every machine."""
    rng = np.random.default_rng(20_07)
    total = np.zeros((256, 256))
    for octave in range(octaves):
        cells = 16 * 2**octave
        spectrum = np.fft.rfft2(rng.standard_normal((256, 256)))
        frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)[None, :]) * 256
        layer = np.fft.irfft2(spectrum * np.exp(-((frequency / cells) ** 2)), s=(256, 256))
        total += layer / layer.std() * 0.6**octave
    return np.clip(0.5 + 0.22 * total / total.std(), 0.0, 1.0).astype(np.float32)


def _sample(tile: Array, x: Array, y: Array) -> Array:
    """Bilinear look-up in a periodic tile; a unit of x or y is one texel."""
    x0, y0 = np.floor(x), np.floor(y)
    fx, fy = x - x0, y - y0
    i, j = x0.astype(np.int32) & 255, y0.astype(np.int32) & 255
    i1, j1 = (i + 1) & 255, (j + 1) & 255
    top = tile[j, i] * (1 - fx) + tile[j, i1] * fx
    bottom = tile[j1, i] * (1 - fx) + tile[j1, i1] * fx
    return top * (1 - fy) + bottom * fy


def _seam(position: Array, width: float) -> Array:
    """1 on lines at whole numbers, 0 away from them, with soft edges."""
    away = np.abs(position - np.rint(position))
    return np.clip(1.5 - away / np.float32(width), 0.0, 1.0)


def ground_colour(ground: Ground, x: Array, y: Array) -> Array:
    """Linear RGB of the ground at world points, (3, N) for x and y (N,)."""
    c, s = math.cos(ground.turn), math.sin(ground.turn)
    px = np.float32(c) * x - np.float32(s) * y + np.float32(ground.shift[0])
    py = np.float32(s) * x + np.float32(c) * y + np.float32(ground.shift[1])
    first, second = (np.array(colour, np.float32)[:, None] for colour in ground.colours)
    if ground.pattern == "plain":
        mix = _sample(_noise(2), px * 9, py * 9)
    elif ground.pattern == "tiles":
        tx, ty = px * np.float32(0.55), py * np.float32(0.55)
        wave_x = np.clip((np.abs(tx - 2 * np.rint(tx / 2)) - 0.5) * 24, -0.5, 0.5)  # a square wave with soft edges
        wave_y = np.clip((np.abs(ty - 2 * np.rint(ty / 2)) - 0.5) * 24, -0.5, 0.5)
        mix = 0.5 - 2 * wave_x * wave_y + 0.10 * (_sample(_noise(3), px * 14, py * 14) - 0.5)
    elif ground.pattern == "planks":
        row = np.floor(px * np.float32(0.9))
        along = py * np.float32(0.22) + row * np.float32(0.37)
        tone = np.mod(np.sin(row * 12.9 + np.floor(along) * 78.2) * 43.7, 1.0)
        grain = _sample(_noise(3), px * 34 + row * 57, py * 2.4)
        mix = 0.42 * tone + 0.50 * grain + 0.9 * np.maximum(_seam(px * 0.9, 0.022), _seam(along, 0.006))
    elif ground.pattern == "sand":
        mix = 0.55 * _sample(_noise(3), px * 7, py * 7) + 0.45 * _sample(_noise(4), px * 37, py * 37)
    elif ground.pattern == "terrazzo":
        light, dark = _sample(_noise(1), px * 42, py * 42), _sample(_noise(1), py * 42 + 91, px * 42 + 17)
        mix = 0.30 + 0.55 * np.clip((dark - 0.72) * 14, 0.0, 1.0) - 0.30 * np.clip((light - 0.72) * 14, 0.0, 1.0)
    elif ground.pattern == "felt":
        mix = _sample(_noise(4), px * 30, py * 30)
    else:
        raise ValueError(f"there is no ground pattern {ground.pattern!r}; the patterns are {', '.join(GROUNDS)}")
    return first + (second - first) * np.clip(mix, 0.0, 1.0)


def ground_tone(ground: Ground) -> Array:
    """Linear RGB of the ground from afar, or in a brushed mirror, (3, 1)."""
    return np.array(ground.colours, np.float32).mean(axis=0)[:, None]


def sky_colour(light: Light, direction: Array) -> Array:
    """Linear RGB that a ray upwards meets, (3, N) for unit directions (3, N): a dome with two soft lamps."""
    mood = LIGHTS[light.mood]
    height = np.clip(direction[2], 0.0, 1.0)
    horizon, dome = (np.array(colour, np.float32)[:, None] for colour in (mood.horizon, mood.dome))
    colour = horizon * 0.75 + (dome * 0.9 - horizon * 0.75) * np.sqrt(height)
    for towards, strength in ((light.direction, 1.9), ((-light.direction[1], light.direction[0], 0.55), 0.7)):
        axis = np.array(towards, np.float32)
        facing = (axis / np.linalg.norm(axis)) @ direction
        colour += strength * np.array(mood.key, np.float32)[:, None] * np.clip((facing - 0.86) * 14, 0.0, 1.0)
    return colour
