"""New scenes from annotated photos: a part of a photo, maybe mirrored, with things of other photos pasted into it.

Masks follow the pixels, so that expressions are made from what is there afterwards and not carried over: what was "the
left dog" may be "the middle dog" of the new scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from random import Random

import cv2
import numpy as np

from cmpc.data.images import read_image
from cmpc.data.masks import box_of, decode_mask, encode_mask
from cmpc.errors import UserError
from cmpc.phrasing.annotations import AnnotatedPhoto, Annotation
from cmpc.phrasing.things import Annotated

PASTED = ((0, 0.2), (1, 0.4), (2, 0.3), (3, 0.1))
"""How many things are pasted, and how often."""
CROPPED, SMALLEST_CROP = 0.5, 0.55
"""How often only a part of the photo is taken, and the least share of its sides."""
SAME_KIND = 0.65
"""How often a pasted thing is of a kind that is in the scene already."""
CUT_OUT_SHARES = (0.01, 0.6)
"""Shares of its photo that a thing may fill to be cut out."""
LARGEST_GROWTH = 1.6
"""How much a thing is enlarged at most."""
MOST_HIDDEN = 0.4
"""Share of anything that one pasted thing may hide."""
STILL_WHOLE, STILL_THERE = 0.5, 0.02
"""Share of a thing that must be left for it to be referred to, and to be mentioned at all."""
PARTS_LEFT = 0.7
"""The same for what a person wears."""
TRIES = 10
EDGE_BLUR = 0.7
"""Of the outlines of pasted things, in pixels (standard deviation)."""


@dataclass(frozen=True)
class ComposedScene:
    """A new photo with its annotations."""

    pixels: np.ndarray
    """RGB, uint8, (H, W, 3)."""
    annotated: Annotated
    annotations: tuple[Annotation, ...]
    """Their numbers are those that they had before."""


@dataclass(frozen=True)
class _CutOut:
    """A thing of another photo."""

    photo: AnnotatedPhoto
    annotation: Annotation
    stands_on_edge: bool
    """Whether its photo ends at its lower edge."""


@dataclass
class _Layer:
    """A thing of the scene while it is put together."""

    annotation: Annotation
    mask: np.ndarray | None
    whole: float
    """Pixels of it before anything was cut off or hidden."""


class SceneComposer:
    """Puts scenes together; a scene is a function of seed and number."""

    def __init__(self, photos: Sequence[AnnotatedPhoto], images: Path, *, seed: int = 0) -> None:
        """
        Args:
            photos: what scenes are made of; photos and masks must be whole.
            images: their folder.
            seed: another one gives other scenes.

        Raises:
            ValueError: no photo has a mask.
        """
        self.photos = [photo for photo in photos if any(one.rle is not None for one in photo.annotations)]
        if not self.photos:
            raise ValueError("no photo has an annotation with a mask")
        self.images, self.seed = images, seed

    @cached_property
    def _cut_outs(self) -> dict[str, list[_CutOut]]:
        found: dict[str, list[_CutOut]] = {}
        for photo in self.photos:
            for one in photo.annotations:
                if one.rle is None or one.is_crowd or one.is_part or one.quality != "exact" or one.box is None:
                    continue
                x, y, width, height = one.box
                fills = width * height / (photo.width * photo.height)
                cut = x <= 1 or y <= 1 or x + width >= photo.width - 1
                if not cut and CUT_OUT_SHARES[0] <= fills <= CUT_OUT_SHARES[1]:
                    found.setdefault(one.kind, []).append(_CutOut(photo, one, y + height >= photo.height - 1))
        return found

    @cached_property
    def _kinds(self) -> tuple[list[str], list[float]]:
        """Kinds of cut-outs and how often each is taken: rare ones more often than their number says."""
        return list(self._cut_outs), [len(things) ** 0.5 for things in self._cut_outs.values()]

    @cached_property
    def _bases(self) -> tuple[list[AnnotatedPhoto], list[float]]:
        """Photos and how often each is taken: those of which more is known more often, and those of rare kinds."""
        counts: dict[str, int] = {}
        for photo in self.photos:
            for kind in {one.kind for one in photo.annotations}:
                counts[kind] = counts.get(kind, 0) + 1
        weights = [
            (2.0 if photo.annotated.kinds else 1.0) / min(counts[one.kind] for one in photo.annotations) ** 0.5
            for photo in self.photos
        ]
        return self.photos, weights

    def scene(self, number: int) -> ComposedScene:
        """The scene of that number.

        Raises:
            UserError: a photo is missing, damaged or of another size than its annotations.
        """
        random = Random(f"{self.seed} {number}")
        photo = random.choices(*self._bases)[0]
        pixels = self._pixels(photo)
        layers = [_layer(one, photo) for one in photo.annotations]
        if random.random() < CROPPED:
            pixels, layers = _cropped(pixels, layers, random)
        if random.random() < 0.5:
            pixels, layers = _mirrored(pixels, layers)
        pixels = np.ascontiguousarray(pixels)
        if self._cut_outs:
            wanted = random.choices([count for count, _ in PASTED], [often for _, often in PASTED])[0]
            for _ in range(wanted):
                self._paste(pixels, layers, random)
        height, width = pixels.shape[:2]
        left = [_left_of(layer, height, width) for layer in layers]
        return ComposedScene(pixels, photo.annotated, tuple(one for one in left if one is not None))

    def _paste(self, pixels: np.ndarray, layers: list[_Layer], random: Random) -> None:
        """Puts a thing of another photo into the scene, where it hides little; or nothing, if no place was found."""
        height, width = pixels.shape[:2]
        present = [one for one in layers if one.annotation.kind in self._cut_outs and one.mask is not None]
        like = random.choice(present) if present and random.random() < SAME_KIND else None
        kind = like.annotation.kind if like else random.choices(*self._kinds)[0]
        cut_out = random.choice(self._cut_outs[kind])
        thing, mask = self._cut(cut_out)
        if random.random() < 0.5:
            thing, mask = thing[:, ::-1], mask[:, ::-1]
        if like is not None and like.mask is not None:
            tall = _box(like.mask)[3] * random.uniform(0.6, 1.3)
        else:
            tall = height * random.uniform(0.25, 0.7)
        scale = min(tall / len(mask), LARGEST_GROWTH, 0.9 * height / len(mask), 0.9 * width / mask.shape[1])
        size = max(round(mask.shape[1] * scale), 8), max(round(len(mask) * scale), 8)
        thing = cv2.resize(np.ascontiguousarray(thing), size, interpolation=cv2.INTER_AREA)
        cover = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        cover = cv2.GaussianBlur(cover, (0, 0), EDGE_BLUR)
        solid = cover >= 0.5
        for _ in range(TRIES):
            left = random.randint(0, width - size[0])
            if cut_out.stands_on_edge:
                top = height - size[1]
            elif like is not None and like.mask is not None:
                _, y, _, down = _box(like.mask)
                top = round(y + down - size[1] + random.uniform(-0.15, 0.15) * height)
            else:
                top = random.randint(0, height - size[1])
            top = min(max(top, 0), height - size[1])
            rows, columns = slice(top, top + size[1]), slice(left, left + size[0])
            if all(_hidden(layer, solid, rows, columns) <= MOST_HIDDEN for layer in layers):
                break
        else:
            return
        region = pixels[rows, columns]
        lit = _lighting(region, thing, solid)
        mixed = region + cover[:, :, None] * (np.clip(thing * lit, 0, 255) - region)
        pixels[rows, columns] = np.rint(mixed).astype(np.uint8)
        for layer in layers:
            if layer.mask is not None:
                layer.mask[rows, columns] &= ~solid
        whole = np.zeros((height, width), bool)
        whole[rows, columns] = solid
        layers.append(_Layer(replace(cut_out.annotation, kind=kind), whole, float(solid.sum())))

    def _cut(self, cut_out: _CutOut) -> tuple[np.ndarray, np.ndarray]:
        """Pixels and mask of a thing, within its box."""
        photo, one = cut_out.photo, cut_out.annotation
        assert one.rle is not None, "only things with masks are cut out"
        mask = decode_mask(one.rle, photo.height, photo.width)
        x, y, width, height = _box(mask)
        part = slice(y, y + height), slice(x, x + width)
        return self._pixels(photo)[part], mask[part]

    def _pixels(self, photo: AnnotatedPhoto) -> np.ndarray:
        pixels = read_image(self.images / photo.file)
        if pixels.shape[:2] != (photo.height, photo.width):
            raise UserError(
                f"{photo.file} is {pixels.shape[1]} x {pixels.shape[0]} pixels, its annotations {photo.width} x "
                f"{photo.height}: give the photos that the annotations were made for."
            )
        return pixels


def _layer(one: Annotation, photo: AnnotatedPhoto) -> _Layer:
    if one.rle is None:
        width, height = one.box[2:] if one.box is not None else (0.0, 0.0)
        return _Layer(one, None, width * height)
    mask = np.array(decode_mask(one.rle, photo.height, photo.width))
    return _Layer(one, mask, float(mask.sum()))


def _cropped(pixels: np.ndarray, layers: list[_Layer], random: Random) -> tuple[np.ndarray, list[_Layer]]:
    """A part that shows one of the things whole."""
    height, width = pixels.shape[:2]
    shown = random.choice([layer for layer in layers if layer.mask is not None])
    assert shown.mask is not None
    x, y, across, down = _box(shown.mask)
    tall = max(round(height * random.uniform(SMALLEST_CROP, 1)), down)
    wide = max(round(width * random.uniform(SMALLEST_CROP, 1)), across)
    top = random.randint(max(0, y + down - tall), min(y, height - tall))
    left = random.randint(max(0, x + across - wide), min(x, width - wide))
    rows, columns = slice(top, top + tall), slice(left, left + wide)
    cut = []
    for layer in layers:
        box = layer.annotation.box
        if layer.mask is not None:
            cut.append(replace(layer, mask=layer.mask[rows, columns]))
            continue
        if box is not None:
            x1, y1 = max(box[0] - left, 0.0), max(box[1] - top, 0.0)
            x2, y2 = min(box[0] + box[2] - left, float(wide)), min(box[1] + box[3] - top, float(tall))
            if x2 <= x1 or y2 <= y1:
                continue
            box = (x1, y1, x2 - x1, y2 - y1)
        cut.append(replace(layer, annotation=replace(layer.annotation, box=box)))
    return pixels[rows, columns], cut


def _mirrored(pixels: np.ndarray, layers: list[_Layer]) -> tuple[np.ndarray, list[_Layer]]:
    width = pixels.shape[1]
    turned = []
    for layer in layers:
        box = layer.annotation.box
        if layer.mask is not None:
            turned.append(replace(layer, mask=layer.mask[:, ::-1]))
        elif box is not None:
            box = (width - box[0] - box[2], *box[1:])
            turned.append(replace(layer, annotation=replace(layer.annotation, box=box)))
        else:
            turned.append(layer)
    return pixels[:, ::-1], turned


def _hidden(layer: _Layer, solid: np.ndarray, rows: slice, columns: slice) -> float:
    """Share of a thing that would be hidden."""
    if layer.mask is not None:
        seen = int(layer.mask.sum())
        return int((layer.mask[rows, columns] & solid).sum()) / seen if seen else 0.0
    if layer.annotation.box is None:
        return 0.0
    x, y, width, height = layer.annotation.box
    across = min(x + width, columns.stop) - max(x, columns.start)
    down = min(y + height, rows.stop) - max(y, rows.start)
    return max(across, 0) * max(down, 0) / max(width * height, 1)


def _lighting(region: np.ndarray, thing: np.ndarray, solid: np.ndarray) -> float:
    """Factor that brings a thing half-way to the brightness of where it is pasted."""
    if not solid.any():
        return 1.0
    ratio = (float(region.mean()) + 20) / (float(thing[solid].mean()) + 20)
    return float(np.clip(ratio, 0.7, 1.4) ** 0.5)


def _left_of(layer: _Layer, height: int, width: int) -> Annotation | None:
    """What is left of a thing's annotation; None where nothing is."""
    one = layer.annotation
    if layer.mask is None:
        return one
    seen = float(layer.mask.sum())
    if not seen or seen < STILL_THERE * layer.whole or (one.is_part and seen < PARTS_LEFT * layer.whole):
        return None
    rle = encode_mask(layer.mask)
    quality = one.quality if seen >= STILL_WHOLE * layer.whole else "rough"
    return replace(one, rle=rle, box=box_of(rle, height, width), quality=quality)


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """x, y, width and height of the smallest box around a mask."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return x, y, width, height
