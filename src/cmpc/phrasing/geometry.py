"""From masks and pixels to the scene that expressions are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from cmpc.phrasing.colours import UNKNOWN, Colour, colour_of, is_greyscale
from cmpc.phrasing.kinds import NO_COLOUR, PERSON
from cmpc.phrasing.things import Annotated, Contact, PhotoScene, Thing

REACH, FAR_REACH = 2, 4
"""In a photo of ``WORKING_SIDE``, masks meet up to twice ``REACH`` pixels apart; beyond twice ``FAR_REACH`` they do
not."""
WORKING_SIDE = 320
"""Longest side of the photo that masks are compared at: contacts need no more."""
EDGE = 2
"""Pixels inside the outline that say nothing of a colour, because masks are rough there."""
LEAST_OWNED = 0.7
"""Share of a part's mask that lies in the person who wears it."""


@dataclass(frozen=True, slots=True)
class Instance:
    """An annotation as far as expressions need it."""

    kind: str
    mask: np.ndarray | None
    """bool (H, W), not empty; None where there is none."""
    box: tuple[float, float, float, float] | None = None
    """x, y, width, height in pixels; None: around the mask. Neither box nor mask: only the kind is known."""
    quality: str = "exact"
    """One of ``things.QUALITIES``."""
    is_crowd: bool = False
    is_part: bool = False


def scene_of(
    instances: Sequence[Instance], annotated: Annotated, *, height: int, width: int, image: np.ndarray | None = None
) -> PhotoScene:
    """The scene of a photo.

    Args:
        instances: its annotations.
        annotated: of which kinds these are all that there are.
        height: of the photo and the masks, in pixels.
        width: of the photo and the masks, in pixels.
        image: uint8 (height, width, 3), RGB; None: no colours are said.
    """
    shows_colours = image is not None and not is_greyscale(image)
    colours = [_colour(one, image) if image is not None and shows_colours else UNKNOWN for one in instances]
    things = [_thing(one, colour) for one, colour in zip(instances, colours, strict=True)]
    step = max(1, -(-max(height, width) // WORKING_SIDE))
    small = [None if one.mask is None else np.ascontiguousarray(one.mask[::step, ::step]) for one in instances]
    things = [
        replace(thing, owner=_owner(number, things, small)) if thing.is_part else thing
        for number, thing in enumerate(things)
    ]
    contacts = {}
    for first, one in enumerate(things):
        for second in range(first + 1, len(things)):
            other = things[second]
            if one.is_part or other.is_part or not (one.has_trusted_mask and other.has_trusted_mask):
                continue
            if not _near(one, other, 2 * FAR_REACH * step):
                continue
            contact = _contact(small[first], small[second], one, other, step)
            if contact is not None:
                contacts[first, second] = contact
    return PhotoScene(tuple(things), annotated, height, width, contacts)


def _thing(one: Instance, colour: Colour) -> Thing:
    box, area = one.box, 0.0
    if one.mask is not None:
        area = float(np.count_nonzero(one.mask))
        if box is None:
            x, y, across, down = cv2.boundingRect(one.mask.astype(np.uint8))
            box = (float(x), float(y), float(across), float(down))
    elif box is not None:
        area = box[2] * box[3]
    return Thing(
        kind=one.kind,
        box=box or (0.0, 0.0, 0.0, 0.0),
        area=area,
        colour=colour,
        quality=one.quality,
        is_clear=box is not None and not one.is_crowd,
        has_mask=one.mask is not None,
        is_part=one.is_part,
    )


def _colour(one: Instance, image: np.ndarray) -> Colour:
    if one.mask is None or one.is_crowd or one.kind in NO_COLOUR:
        return UNKNOWN
    x, y, across, down = cv2.boundingRect(one.mask.astype(np.uint8))
    part: np.ndarray = one.mask[y : y + down, x : x + across].astype(np.uint8)
    step = max(1, max(across, down) // WORKING_SIDE)
    if not one.is_part:  # parts are thin, and their outlines good
        framed = cv2.copyMakeBorder(part, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
        part = cv2.erode(framed, np.ones((3, 3), np.uint8), iterations=EDGE)[1:-1, 1:-1]
    inside = part[::step, ::step] != 0
    return colour_of(image[y : y + down : step, x : x + across : step][inside])


def _owner(number: int, things: Sequence[Thing], masks: Sequence[np.ndarray | None]) -> int | None:
    """The person in whom most of a part lies."""
    mask = masks[number]
    if mask is None or not mask.any():
        return None
    shares = {
        other: float((person & mask).sum() / mask.sum())
        for other, thing in enumerate(things)
        if thing.kind == PERSON and not thing.is_part and (person := masks[other]) is not None and thing.is_clear
    }
    best = max(shares, key=lambda other: shares[other], default=None)
    if best is None or shares[best] < LEAST_OWNED:
        return None
    doubtful = [other for other, share in shares.items() if other != best and share > 1 - LEAST_OWNED]
    return None if doubtful else best


def _near(one: Thing, other: Thing, reach: float) -> bool:
    apart = max(one.left - other.right, other.left - one.right, one.top - other.bottom, other.top - one.bottom)
    return apart <= reach


def _contact(
    mask: np.ndarray | None, other_mask: np.ndarray | None, one: Thing, other: Thing, step: int
) -> Contact | None:
    """Where two masks, shrunk ``step`` times, meet."""
    if mask is None or other_mask is None:
        return None
    height, width = mask.shape
    left, top = max(one.left, other.left) / step, max(one.top, other.top) / step
    right, bottom = min(one.right, other.right) / step, min(one.bottom, other.bottom) / step
    x1, x2 = sorted((left, right))
    y1, y2 = sorted((top, bottom))
    rows = slice(max(int(y1) - 2 * FAR_REACH, 0), min(int(y2) + 2 * FAR_REACH + 1, height))
    columns = slice(max(int(x1) - 2 * FAR_REACH, 0), min(int(x2) + 2 * FAR_REACH + 1, width))
    crops = [part[rows, columns].astype(np.uint8) for part in (mask, other_mask)]
    if not _meet(crops, FAR_REACH).any():
        return None
    ys, xs = np.nonzero(_meet(crops, REACH))
    if not len(ys):
        return Contact(0.0, (x1 + x2) / 2 * step, (y1 + y2) / 2 * step)
    length = step * len(ys) / (2 * REACH)
    perimeter = 2 * min(one.width + one.height, other.width + other.height)
    x, y = float(xs.mean()) + columns.start, float(ys.mean()) + rows.start
    return Contact(length / perimeter, x * step, y * step)


def _meet(masks: Sequence[np.ndarray], reach: int) -> np.ndarray:
    """Where two masks, each grown by so many pixels, overlap."""
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    one, other = (cv2.dilate(mask, kernel) for mask in masks)
    return np.logical_and(one, other)
