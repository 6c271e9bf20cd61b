"""What expressions refer to, as a table holds it: no object, one, or several together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cmpc.data.masks import box_of, encode_mask, union_of
from cmpc.data.schema import NO_BOX


class Target(NamedTuple):
    """The columns of ``ReferredObject`` that say what its expressions refer to."""

    rle: str
    """Mask of all objects together, as run lengths."""
    box: tuple[float, float, float, float]
    """Smallest box around the mask: x and y of the upper left corner, width, height, in pixels; ``NO_BOX`` of none."""
    instances: tuple[str, ...]
    """Of several objects, the run lengths of each; empty of one or none."""


def target_of(rles: Sequence[str], height: int, width: int) -> Target:
    """What is referred to, from the masks of the objects.

    Args:
        rles: run lengths of each object, none of them empty.
        height: height of the image in pixels.
        width: width of the image in pixels.

    Raises:
        ValueError: a mask is empty.
    """
    if not rles:
        return Target(encode_mask(np.zeros((height, width), bool)), NO_BOX, ())
    if len(rles) == 1:
        return Target(rles[0], box_of(rles[0], height, width), ())
    for rle in rles:
        box_of(rle, height, width)
    union = union_of(rles, height, width)
    return Target(union, box_of(union, height, width), tuple(rles))
