"""Light and colour of what rays meet: rubber, metal that mirrors its surroundings, ground, soft shadows.

Rays are unit directions (3, N); points are (3, N); colours are linear RGB (3, N).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmpc.blocks.scene import Scene
from cmpc.blocks.solids import GROUND, NOTHING, Hits, Solid, dot, first_hits
from cmpc.blocks.surfaces import LIGHTS, PAINT, ground_colour, ground_tone, sky_colour

Array = NDArray[np.floating[Any]]
Index = NDArray[np.intp]


class Shader:
    """Colours what rays meet in one scene."""

    def __init__(self, scene: Scene, solids: list[Solid]) -> None:
        self.scene, self.solids = scene, solids
        self.mood = LIGHTS[scene.light.mood]
        self.towards = _column(scene.light.direction)
        self.key, self.dome, self.bounce = _column(self.mood.key), _column(self.mood.dome), _column(self.mood.bounce)
        paints = [PAINT[block.colour] for block in scene.blocks]
        self.paint = np.array(paints, np.float32).reshape(-1, 3).T  # (3, blocks)
        self.metal = np.array([block.material == "metal" for block in scene.blocks], bool)
        self.reach = np.array([0.55 * block.radius for block in scene.blocks], np.float32)

    def display(self, origin: Array, direction: Array, hits: Hits) -> Array:
        """RGB for a screen, 0..1, of what camera rays meet, (3, N)."""
        colour = self.radiance(origin, direction, hits, mirrored=False)
        toned = colour * (1.0 + colour * 0.12) / (1.0 + colour * 0.42)  # a soft shoulder keeps highlights coloured
        return np.power(np.maximum(toned * 1.16, 0.0), np.float32(1 / 2.2))

    def radiance(self, origin: Array, direction: Array, hits: Hits, *, mirrored: bool) -> Array:
        """What rays meet, (3, N). ``mirrored``: seen in metal, where shadows and mirrors in mirrors are left out."""
        colour = np.empty_like(direction)
        nothing = (hits.block == NOTHING).nonzero()[0]
        if len(nothing):
            colour[:, nothing] = sky_colour(self.scene.light, direction[:, nothing])
        met = (hits.block != NOTHING).nonzero()[0]
        points = (origin[:, met] if origin.shape[1] > 1 else origin) + direction[:, met] * hits.distance[met]
        normal, block = hits.normal[:, met], hits.block[met]
        facing = np.clip(dot(normal, self.towards), 0.0, 1.0)
        if not mirrored:
            facing *= self._shadows(points, normal, block)
        ground = (block == GROUND).nonzero()[0]
        colour[:, met[ground]] = self._ground(
            points[:, ground], facing[ground], hits.distance[met[ground]], mirrored=mirrored
        )
        solid = (block != GROUND).nonzero()[0]
        if len(solid):
            rays = met[solid]
            colour[:, rays] = self._blocks(
                points[:, solid], direction[:, rays], normal[:, solid], facing[solid], block[solid], mirrored=mirrored
            )
        return colour

    def _ground(self, points: Array, facing: Array, distance: Array, *, mirrored: bool) -> Array:
        if mirrored:  # metal is brushed: the ground's pattern blurs
            shaded = 0.6 * ground_tone(self.scene.ground) * (self.key * facing + 0.85 * self.dome)
        else:
            pattern = ground_colour(self.scene.ground, points[0], points[1])
            shaded = pattern * (self.key * facing + self.dome * self._contact(points))
        fog = np.clip((distance - 15.0) / 22.0, 0.0, 1.0)
        return shaded + (_column(self.mood.horizon) * 0.62 - shaded) * fog

    def _blocks(
        self, points: Array, direction: Array, normal: Array, facing: Array, block: NDArray[np.int8], *, mirrored: bool
    ) -> Array:
        up = 0.5 + 0.5 * normal[2]
        closeness = 1.0 - np.clip(points[2] / self.reach[block], 0.0, 1.0)  # to the ground, which takes light away
        light = self.key * facing + self.dome * (up - 0.30 * closeness) + self.bounce * (1.0 - up - 0.30 * closeness)
        colour = np.empty_like(points)
        metal = self.metal[block]
        matt = (~metal).nonzero()[0]
        if len(matt):
            paint, key = self.paint[:, block[matt]], self.key * facing[matt]
            colour[:, matt] = _rubber(paint, -direction[:, matt], normal[:, matt], light[:, matt], self.towards, key)
        shiny = metal.nonzero()[0]
        if len(shiny):
            towards_eye, outwards = -direction[:, shiny], normal[:, shiny]
            reflected = 2.0 * dot(towards_eye, outwards) * outwards - towards_eye
            if mirrored:
                seen = 0.6 * sky_colour(self.scene.light, np.abs(reflected))
            else:
                start = points[:, shiny] + outwards * np.float32(0.02)
                seen = self.radiance(start, reflected, first_hits(self.solids, start, reflected), mirrored=True)
            colour[:, shiny] = _metal(self.paint[:, block[shiny]], towards_eye, outwards, light[:, shiny], seen)
        return colour

    def _shadows(self, points: Array, normal: Array, block: NDArray[np.int8]) -> Array:
        """Share of the key light that reaches each point, (N,)."""
        share = np.ones(points.shape[1], np.float32)
        lit = (dot(normal, self.towards) > 0).nonzero()[0]
        start = points[:, lit] + normal[:, lit] * np.float32(0.01)
        own, height, square = block[lit], dot(self.towards, start), dot(start, start)
        for index, solid in enumerate(self.solids):
            reach = np.float32(solid.bound * (1.0 + 1.5 * self.mood.softness))
            along = (
                float(dot(self.towards, solid.centre)[0]) - height
            )  # how far self.towards the light the block's centre lies
            off = square - 2.0 * dot(solid.centre, start) + dot(solid.centre, solid.centre) - along * along
            candidates = (off < reach * reach) & (along > -reach)
            if solid.shape.convex:
                candidates &= own != index
            rays = candidates.nonzero()[0]
            half = np.sqrt(np.maximum(reach * reach - off[rays], 0.0))
            reaching = solid.lit(
                start[:, rays], self.towards, along[rays] - half, along[rays] + half, self.mood.softness
            )
            share[lit[rays]] *= reaching
        return share

    def _contact(self, floor: Array) -> Array:
        """How open the sky is above points of the ground: dark where a block stands close, (N,)."""
        open_sky = np.ones(floor.shape[1], np.float32)
        for solid in self.solids:
            reach = solid.bound + 0.9 * float(solid.radius)
            across, deep, high = solid.centre[:, 0]
            near = ((floor[0] - across) ** 2 + (floor[1] - deep) ** 2 < reach * reach - high * high).nonzero()[0]
            if len(near):
                gap = np.clip(solid.distance(floor[:, near]) / (0.9 * solid.radius), 0.0, 1.0)
                open_sky[near] *= 1.0 - 0.62 * (1.0 - gap) ** 2
        return open_sky


def _column(values: tuple[float, float, float]) -> Array:
    return np.array(values, np.float32)[:, None]


def _rubber(paint: Array, towards_eye: Array, normal: Array, light: Array, towards: Array, key: Array) -> Array:
    """Matt paint with a broad sheen and a brighter rim, (3, N). ``key``: key light received, (3, N)."""
    half = towards + towards_eye
    half /= np.sqrt(dot(half, half))
    gloss = np.clip(dot(half, normal), 0.0, 1.0) ** 14
    rim = (1.0 - np.clip(dot(towards_eye, normal), 0.0, 1.0)) ** 3
    return paint * light * (1.0 + 0.18 * rim) + key * (0.06 * gloss)


def _metal(paint: Array, towards_eye: Array, normal: Array, light: Array, seen: Array) -> Array:
    """Coloured metal, (3, N). ``seen``: what the mirrored ray meets, (3, N)."""
    tint = 0.06 + 0.94 * paint
    grazing = (1.0 - np.clip(dot(towards_eye, normal), 0.0, 1.0)) ** 4
    return paint * light * 0.30 + seen * (0.95 * tint + 0.30 * grazing * (1.0 - tint))
