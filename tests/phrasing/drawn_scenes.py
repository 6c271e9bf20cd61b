"""Scenes of coloured rectangles: photos whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from plain_reading import Drawn

from cmpc.phrasing.geometry import Instance, scene_of
from cmpc.phrasing.things import Annotated, PhotoScene

HEIGHT, WIDTH = 240, 320
PAINT = {
    "white": (245, 245, 245), "grey": (120, 120, 120), "black": (15, 15, 15), "brown": (105, 65, 35),
    "red": (200, 25, 30), "blue": (40, 70, 190), "green": (40, 140, 60), "yellow": (240, 215, 40),
}  # fmt: skip
GROUND, SKY = (150, 165, 140), (130, 170, 220)


@dataclass(frozen=True)
class Box:
    """A rectangle to draw: x, y of the upper left corner, width, height in pixels."""

    kind: str
    x: int
    y: int
    width: int
    height: int
    colour: str = "blue"
    quality: str = "exact"
    is_crowd: bool = False
    wearer: int | None = None
    """Number of the box that it is a part of."""


def draw(boxes: Sequence[Box]) -> tuple[np.ndarray, list[np.ndarray]]:
    """The photo, uint8 (H, W, 3), and the visible part of each box, bool (H, W); later boxes hide earlier ones."""
    image = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    image[:] = GROUND
    image[: HEIGHT // 4] = SKY  # a photo of one colour is taken for a black and white one
    masks: list[np.ndarray] = []
    for box in boxes:
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[max(box.y, 0) : box.y + box.height, max(box.x, 0) : box.x + box.width] = True
        if box.wearer is None:
            for earlier in masks:
                earlier &= ~mask
        image[mask] = PAINT[box.colour]
        masks.append(mask)
    return image, masks


def scene(boxes: Sequence[Box], annotated: str = "coco80") -> PhotoScene:
    """The scene of drawn boxes, by way of masks and pixels."""
    image, masks = draw(boxes)
    instances = [
        Instance(box.kind, mask, None, box.quality, box.is_crowd, box.wearer is not None)
        for box, mask in zip(boxes, masks, strict=True)
    ]
    return scene_of(instances, Annotated.parse(annotated), height=HEIGHT, width=WIDTH, image=image)


def drawn(boxes: Sequence[Box]) -> list[Drawn]:
    """The same for the plain reader."""
    _, masks = draw(boxes)
    return [
        Drawn(box.kind, mask, None if box.kind in ("person", "dining table") else box.colour, box.wearer)
        for box, mask in zip(boxes, masks, strict=True)
    ]


def random_boxes(rng: Random) -> list[Box]:
    """Two to seven things, some on others, ridden, held or worn; none wholly hidden."""
    boxes: list[Box] = []
    for _ in range(rng.randint(2, 5)):
        boxes += _group(rng, len(boxes))
    _, masks = draw(boxes)
    return boxes if all(mask.sum() >= 150 for mask in masks) else random_boxes(rng)


def _group(rng: Random, start: int) -> list[Box]:
    def colour() -> str:
        return rng.choice(list(PAINT))

    coat = rng.choice(("white", "black", "grey", "brown"))
    x, y = rng.randint(0, WIDTH - 90), rng.randint(5, HEIGHT - 130)
    way = rng.choice(("beast", "beast", "beast", "person", "car", "rider", "seat", "umbrella", "table", "clothes"))
    if way == "beast":
        height = rng.randint(20, 80)
        kind = rng.choice(("dog", "dog", "cat", "horse"))
        colours = ("white", "black", "grey") if kind == "cat" else ("white", "black", "grey", "brown")
        return [Box(kind, x, y, rng.randint(20, 80), height, rng.choice(colours))]
    if way == "person":
        return [Box("person", x, y, rng.randint(18, 40), rng.randint(60, 120), colour())]
    if way == "car":
        return [Box("car", x, y, rng.randint(40, 90), rng.randint(25, 50), colour())]
    if way == "rider":
        return [Box("horse", x, y + 40, 80, 80, coat), Box("person", x + 28, y, 22, 90, colour())]
    if way == "seat":
        return [
            Box("couch", x, y + 20, 90, 60, colour()),
            Box("cat", x + 20, y + 22, 40, 40, rng.choice(("white", "black"))),
        ]
    if way == "umbrella":
        return [Box("person", x + 15, y + 20, 30, 90, colour()), Box("umbrella", x, y, 60, 26, colour())]
    if way == "table":
        return [Box("dining table", x, y + 40, 90, 50, colour()), Box("bottle", x + 30, y + 15, 14, 45, colour())]
    clothes = [
        Box("coat", x + 6, y + 30, 24, 40, colour(), wearer=start),
        Box("hat", x + 8, y, 20, 14, colour(), wearer=start),
    ]
    dress = Box("dress", x + 6, y + 30, 24, 60, colour(), wearer=start)
    return [Box("person", x, y, 36, 110, "grey"), *([dress] if rng.random() < 0.4 else clothes)]
