"""Sampling a scene: camera, light, ground, and where each block stands."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from cmpc.blocks.scene import COLOURS, MATERIALS, SHAPES, SIZES, Block, Camera, Ground, Light, Scene
from cmpc.blocks.shapes import SHAPES as FORMS
from cmpc.blocks.surfaces import GROUNDS, LIGHTS

Pair = tuple[str, str]

MINIMUM_BLOCKS, MAXIMUM_BLOCKS = 5, 9
MARGIN = 0.03
"""Room that stays free along the image's border, in image widths."""


@dataclass(frozen=True, slots=True)
class Palette:
    """Which shape-colour pairs a scene may show."""

    allowed: frozenset[Pair]
    featured: frozenset[Pair] = frozenset()
    """Pairs that about half of the blocks must come from; empty: no such wish."""


def sample_scene(rng: np.random.Generator, palette: Palette) -> Scene:
    """A scene whose blocks do not touch each other, lie inside the image and hide little of each other.

    A scene has few shapes and colours, so that an attribute alone rarely tells its blocks apart. Some blocks stand next
    to another one, some on top of one.
    """
    camera = _camera(rng)
    looks = _looks(rng, palette, int(rng.integers(MINIMUM_BLOCKS, MAXIMUM_BLOCKS + 1)))
    blocks: list[Block] = []
    for shape, colour in looks:
        for _ in range(30):
            block = _try_block(rng, camera, blocks, shape, colour)
            if block is not None:
                blocks.append(block)
                break
    return Scene(tuple(blocks), camera, _light(rng), _ground(rng))


def footprint(block: Block) -> float:
    """Radius in world units of the vertical cylinder that holds a block."""
    form = FORMS[block.shape]
    return block.radius * (form.lying_footprint if block.lying else form.footprint)


def _camera(rng: np.random.Generator) -> Camera:
    distance = rng.uniform(10.2, 11.8)
    pitch = math.radians(rng.uniform(29.0, 41.0))
    position = (rng.uniform(-0.6, 0.6), -distance * math.cos(pitch), distance * math.sin(pitch))
    target = (rng.uniform(-0.4, 0.4), rng.uniform(-0.2, 0.4), 0.45)
    return Camera(position, target, focal=rng.uniform(1.34, 1.50), roll=rng.normal(0.0, 0.012))


def _light(rng: np.random.Generator) -> Light:
    azimuth = math.radians(rng.choice([-90.0, 90.0]) + rng.uniform(-50.0, 50.0)) - math.pi / 2
    if math.sin(azimuth) > 0.45:  # not straight against the camera: faces would be dark
        azimuth = -azimuth
    height = math.radians(rng.uniform(42.0, 66.0))
    direction = (math.cos(height) * math.cos(azimuth), math.cos(height) * math.sin(azimuth), math.sin(height))
    return Light(str(rng.choice(list(LIGHTS))), direction)


def _ground(rng: np.random.Generator) -> Ground:
    pattern = str(rng.choice(list(GROUNDS)))
    colours = GROUNDS[pattern][rng.integers(len(GROUNDS[pattern]))]
    return Ground(pattern, colours, rng.uniform(0.0, math.pi), (rng.uniform(0.0, 20.0), rng.uniform(0.0, 20.0)))


def _looks(rng: np.random.Generator, palette: Palette, count: int) -> list[Pair]:
    """Shape and colour of each block, from a few shapes and colours that the scene keeps to."""
    shapes = rng.permutation(SHAPES)[: rng.integers(2, 5)]
    colours = rng.permutation(COLOURS)[: rng.integers(3, 6)]
    usual = [(str(s), str(c)) for s in shapes for c in colours if (str(s), str(c)) in palette.allowed]
    if not palette.featured:
        return [usual[rng.integers(len(usual))] for _ in range(count)]
    by_shape = sorted(palette.featured)
    featured = [by_shape[i] for i in rng.permutation(len(by_shape))[:2]]
    same_shape = sorted(pair for pair in palette.allowed if pair[0] in {shape for shape, _ in featured})
    others = usual + [same_shape[i] for i in rng.permutation(len(same_shape))[:4]]
    looks = [featured[i % 2] for i in range((count + 1) // 2)]
    return looks + [others[rng.integers(len(others))] for _ in range(count - len(looks))]


def _try_block(rng: np.random.Generator, camera: Camera, blocks: list[Block], shape: str, colour: str) -> Block | None:
    """A block at a random free place, or None where the place drawn is taken."""
    form = FORMS[shape]
    size = str(rng.choice(SIZES))
    lying = form.lying_rest is not None and rng.random() < 0.5
    yaw = math.radians(rng.uniform(-40.0, 40.0)) if form.faces_viewer else rng.uniform(-math.pi, math.pi)
    block = Block(shape, colour, str(rng.choice(MATERIALS)), size, (0.0, 0.0, 0.0), yaw, lying)
    rest = block.radius * (form.lying_rest if lying and form.lying_rest is not None else form.rest)
    support, draw = -1, rng.random()
    if blocks and draw < 0.12:
        support = int(rng.integers(len(blocks)))
        under = blocks[support]
        top = FORMS[under.shape].top
        taken = any(other.support == support for other in blocks)
        narrow = footprint(block) > 0.75 * footprint(under) if under.shape != "arch" else block.size != "small"
        if top is None or taken or narrow or under.support >= 0 or under.size == "small":
            return None
        x, y = under.position[:2]
        rest += under.position[2] + top * under.radius
    elif blocks and draw < 0.42:
        beside = blocks[rng.integers(len(blocks))]
        away = footprint(block) + footprint(beside) + rng.uniform(0.08, 0.22)
        angle = rng.uniform(-math.pi, math.pi)
        x, y = beside.position[0] + away * math.cos(angle), beside.position[1] + away * math.sin(angle)
    else:
        across = math.sin(1.25 * rng.uniform(-1.0, 1.0)) / math.sin(1.25)  # more often at the sides and below, where
        x, y = camera.on_ground(0.5 + 0.46 * across, 0.16 + 0.84 * rng.random() ** 0.62)  # fewer places fit
    block = Block(shape, colour, block.material, size, (float(x), float(y), float(rest)), yaw, lying, support)
    return block if _fits(block, blocks, camera) else None


def _fits(block: Block, blocks: list[Block], camera: Camera) -> bool:
    u, v, radius, depth = _disc(block, camera)
    if not (MARGIN + radius <= u <= 1 - MARGIN - radius and MARGIN + radius <= v <= 1 - MARGIN - radius):
        return False
    width = footprint(block)
    for index, other in enumerate(blocks):
        stacked = block.support == index
        if not stacked and math.dist(block.position[:2], other.position[:2]) < width + footprint(other) + 0.06:
            return False
        other_u, other_v, other_radius, other_depth = _disc(other, camera)
        hidden = radius if depth > other_depth else other_radius
        overlap = radius + other_radius - math.hypot(u - other_u, v - other_v)
        if overlap > (1.3 if stacked else 0.95) * hidden:
            return False
    return True


@functools.lru_cache(maxsize=64)
def _disc(block: Block, camera: Camera) -> tuple[float, float, float, float]:
    """Centre u, v and radius in the image, and depth, of a disc that holds most of the block."""
    u, v, depth = camera.project(np.array([block.position]))[0]
    radius = block.radius * min(FORMS[block.shape].bound, 1.15) * camera.focal / depth
    return float(u), float(v), float(radius), float(depth)
