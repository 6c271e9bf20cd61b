"""Shapes, masks and light."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from cmpc.blocks.renderer import CameraView, render
from cmpc.blocks.scene import COLOURS, Block, Camera, Ground, Light, Scene
from cmpc.blocks.shapes import SHAPES
from cmpc.blocks.surfaces import GROUNDS, LIGHTS

CAMERA = Camera(position=(0.2, -9.0, 6.0), target=(0.0, 0.0, 0.5), focal=1.4, roll=0.01)
LIGHT = Light("daylight", (-0.5, -0.5, math.sqrt(0.5)))
GROUND = Ground("plain", GROUNDS["plain"][0], 0.0, (0.0, 0.0))


def block(
    shape: str, *, x: float = 0.0, y: float = 0.0, colour: str = "red", material: str = "rubber", **other
) -> Block:
    form = SHAPES[shape]
    rest = form.lying_rest if other.get("lying") else form.rest
    found = Block(shape, colour, material, other.pop("size", "large"), (0.0, 0.0, 0.0), other.pop("yaw", 0.3), **other)
    return dataclasses.replace(found, position=(x, y, rest * found.radius))


def scene(*blocks: Block) -> Scene:
    return Scene(blocks, CAMERA, LIGHT, GROUND)


def rays(size: int) -> np.ndarray:
    centres = (np.arange(size, dtype=np.float32) + 0.5) / size
    return CAMERA.directions(np.tile(centres, size), np.repeat(centres, size))


def distances_along_rays(thing: Block, size: int) -> np.ndarray:
    """Least signed distance along the ray of each pixel, in the shape's units, by brute force."""
    start = thing.rotation().T @ ((np.array(CAMERA.position) - thing.position) / thing.radius)
    way = thing.rotation().T @ rays(size)
    reach = np.linalg.norm(start)
    least = np.full(size * size, np.inf)
    for step in np.arange(reach - 1.6, reach + 1.6, 0.004):
        x, y, z = (start[:, None] + way * step).astype(np.float32)
        least = np.minimum(least, SHAPES[thing.shape].distance(x, y, z))
    return least.reshape(size, size)


@pytest.mark.parametrize("lying", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_mask_is_what_brute_force_finds_along_each_ray(shape: str, lying: bool) -> None:
    if lying and SHAPES[shape].lying_rest is None:
        lying = False
    thing = block(shape, lying=lying, yaw=0.7)
    mask = CameraView(scene(thing), 40).visible == 0
    least = distances_along_rays(thing, 40)
    assert mask[least < -0.004].all()
    assert not mask[least > 0.012].any()
    assert mask.sum() > 30


def test_mask_of_a_sphere_is_the_analytic_one() -> None:
    thing = block("sphere", x=0.7, y=-0.6)
    mask = CameraView(scene(thing), 192).visible == 0
    way = rays(192)
    offset = np.subtract(thing.position, CAMERA.position)
    miss = np.linalg.norm(np.cross(way.T, offset), axis=1).reshape(192, 192)
    assert mask[miss < 0.998 * thing.radius].all()
    assert not mask[miss > 1.006 * thing.radius].any()


@pytest.mark.parametrize("shape", SHAPES)
def test_distances_never_exceed_the_true_ones(shape: str) -> None:
    rng = np.random.default_rng(0)
    one = rng.uniform(-1.6, 1.6, (3, 20_000)).astype(np.float32)
    other = one + rng.normal(0, 0.1, one.shape).astype(np.float32)
    distance = SHAPES[shape].distance
    change = np.abs(distance(*one) - distance(*other))
    assert (change <= np.linalg.norm(one - other, axis=0) * 1.001 + 1e-5).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_fill_their_box_and_stand_on_the_ground(shape: str) -> None:
    form = SHAPES[shape]
    grid = np.stack(np.meshgrid(*[np.linspace(-1.6, 1.6, 81, dtype=np.float32)] * 3, indexing="ij")).reshape(3, -1)
    inside = grid[:, form.distance(*grid) < 0]
    assert (inside.min(axis=1) >= np.array(form.low) - 0.01).all()
    assert (inside.max(axis=1) <= np.array(form.high) + 0.01).all()
    assert np.linalg.norm(inside, axis=0).max() <= form.bound
    assert np.hypot(inside[0], inside[1]).max() <= form.footprint + 0.01
    assert abs(inside[2].min() + form.rest) < 0.09
    if form.lying_rest is not None:
        assert abs(inside[1].min() + form.lying_rest) < 0.09


def test_the_nearer_block_hides_the_farther_one() -> None:
    near, far = block("cube", y=-1.5), block("sphere", y=1.5, colour="blue")
    both, alone = CameraView(scene(near, far), 96), CameraView(scene(far), 96)
    assert both.whole_areas[1] == alone.areas[0]
    assert 0 < both.areas[1] < alone.areas[0]
    assert ((both.visible == 1) <= (alone.visible == 0)).all()
    assert (both.visible[alone.visible == 0] >= 0).all()


def test_the_order_of_the_blocks_does_not_matter() -> None:
    first, second = block("star", x=-1.0), block("torus", x=1.0, material="metal")
    one, other = render(scene(first, second), 96), render(scene(second, first), 96)
    assert ((one.visible == 0) == (other.visible == 1)).all()
    assert np.abs(one.pixels.astype(int) - other.pixels).max() <= 1


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("mood", LIGHTS)
def test_paint_keeps_its_hue_in_every_light(colour: str, mood: str) -> None:
    lit = dataclasses.replace(scene(block("sphere", colour=colour)), light=Light(mood, LIGHT.direction))
    drawn = render(lit, 64)
    red, green, blue = drawn.pixels[drawn.mask(0)].mean(axis=0)
    expected = {
        "red": red > 2 * green and red > 2 * blue,
        "orange": red > 1.3 * green > 1.3 * blue,
        "yellow": red > 1.5 * blue and green > 1.5 * blue and green > 0.7 * red,
        "green": green > 1.5 * red and green > 1.3 * blue,
        "cyan": green > 1.5 * red and blue > 1.5 * red,
        "blue": blue > 1.5 * green and blue > 1.8 * red,
        "purple": blue > 1.5 * green and red > 1.3 * green,
        "white": min(red, green, blue) > 0.68 * max(red, green, blue),
    }
    assert expected[colour], (red, green, blue)


def test_metal_mirrors_its_neighbour() -> None:
    metal, neighbour = block("sphere", x=-1.1, colour="white", material="metal"), block("cube", x=1.2, colour="red")
    drawn, alone = render(scene(metal, neighbour), 96), render(scene(metal), 96)
    change = drawn.pixels[drawn.mask(0)].astype(int) - alone.pixels[drawn.mask(0)]
    redder = change[:, 0] - change[:, 1]
    assert (redder > 40).sum() > 10


def test_blocks_cast_shadows_on_the_ground_away_from_the_light() -> None:
    drawn = render(scene(block("cube")), 96)
    ground = drawn.visible < 0
    columns = np.arange(96)[None, :].repeat(96, axis=0)
    band = ground & (np.arange(96)[:, None] > 40) & (np.arange(96)[:, None] < 66)
    right = drawn.pixels[band & (columns > 60) & (columns < 72)].mean()
    left = drawn.pixels[band & (columns < 36) & (columns > 24)].mean()
    assert right < 0.85 * left  # the light comes from the left


def test_edges_are_smooth() -> None:
    drawn = render(scene(block("cube", colour="white")), 64)
    red = drawn.pixels[..., 0].astype(int)
    edge = drawn.mask(0)[:, 1:] != drawn.mask(0)[:, :-1]
    between = [r[i - 1] for r, e in zip(red, edge, strict=True) for i in np.flatnonzero(e) if 0 < i < 62]
    assert len(set(between)) > 8


@pytest.mark.parametrize("pattern", GROUNDS)
def test_every_ground_shows_its_two_colours(pattern: str) -> None:
    for colours in GROUNDS[pattern]:
        drawn = render(dataclasses.replace(scene(), ground=Ground(pattern, colours, 0.4, (1.0, 2.0))), 64)
        assert drawn.pixels.std(axis=(0, 1)).max() > 1.0
        assert (drawn.visible < 0).all()


def test_scenes_survive_a_trip_through_json() -> None:
    import json

    before = scene(block("cube"), block("capsule", lying=True))
    assert Scene.from_dict(json.loads(json.dumps(before.to_dict()))) == before
