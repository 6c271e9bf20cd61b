"""Checks of photos: the same one in several splits, turned ones, broken ones."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmpc.checking.finding import Finding, finding
from cmpc.data.images import decode_image
from cmpc.data.schema import PreparedDataset, ReferredObject
from cmpc.errors import UserError

NEAR = 4
"""Bits of 63 in which the hashes of two pictures of the same photo differ at most."""
_ORIENTATION = 0x0112


def check_photos(
    dataset: PreparedDataset,
    splits: Mapping[str, Sequence[ReferredObject]],
    advance: Callable[[], None] = lambda: None,
) -> list[Finding]:
    """What is wrong with the photos of a dataset; each is read once.

    Args:
        dataset: where they lie.
        splits: the rows of each split.
        advance: called after each photo.
    """
    rows = {row.image: row for some in splits.values() for row in some}
    where = defaultdict(list)
    for split, some in splits.items():
        for image in dict.fromkeys(row.image for row in some):
            where[image].append(split)
    broken, turned = [], []
    files: dict[str, str] = {}
    hashes: dict[str, int] = {}
    for image, row in rows.items():
        try:
            data = dataset.read_image_bytes(row)
            pixels = decode_image(data, longest_side=64).pixels
        except UserError:
            broken.append(image)
        else:
            files[image] = hashlib.sha256(data).hexdigest()
            hashes[image] = perceptual_hash(pixels)
            if _is_turned(data):
                turned.append(image)
        advance()
    return [
        *finding(
            broken,
            "a photo is missing or broken",
            "{} photos are missing or broken",
            "get them anew, or prepare the data with --allow-missing",
        ),
        *finding(
            turned,
            "a photo is stored turned (EXIF orientation)",
            "{} photos are stored turned (EXIF orientation)",
            "look whether their masks were drawn on the upright photo; if so, turn the pixels and remove the tag",
        ),
        *_leaks(where, files, hashes),
    ]


def perceptual_hash(pixels: NDArray[np.uint8]) -> int:
    """63 bits that change little when a picture is shrunk, compressed or brightened: the signs of its lowest
    frequencies about their median.

    Args:
        pixels: RGB, uint8, (H, W, 3).
    """
    grey = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
    low = cv2.dct(grey.astype(np.float32))[:8, :8].reshape(-1)[1:]  # without the mean
    return int("".join("1" if value else "0" for value in low > np.median(low)), 2)


def near_pairs(hashes: Mapping[str, int]) -> list[tuple[str, str]]:
    """Names whose hashes differ in at most ``NEAR`` bits, each pair once.

    Of ``NEAR + 1`` pieces of such hashes at least one is the same: only those that share a piece are compared.
    """
    width = -(-63 // (NEAR + 1))
    shared: dict[tuple[int, int], list[str]] = defaultdict(list)
    for name, value in hashes.items():
        for piece in range(NEAR + 1):
            shared[piece, (value >> (piece * width)) & ((1 << width) - 1)].append(name)
    pairs = {
        (one, other)
        for names in shared.values()
        for number, one in enumerate(names)
        for other in names[number + 1 :]
        if (hashes[one] ^ hashes[other]).bit_count() <= NEAR
    }
    return sorted(pairs)


def _leaks(where: Mapping[str, list[str]], files: Mapping[str, str], hashes: Mapping[str, int]) -> list[Finding]:
    same = [f"{image} in {' and '.join(splits)}" for image, splits in where.items() if len(splits) > 1]
    equal: list[str] = []
    near: list[str] = []
    for one, other in near_pairs(hashes):
        if set(where[one]) != set(where[other]):
            place = f"{one} in {' and '.join(where[one])}, {other} in {' and '.join(where[other])}"
            (equal if files[one] == files[other] else near).append(place)
    mend = "results on the one say little where the other was learned: keep each photo in one split"
    return [
        *finding(same, "a photo lies in several splits", "{} photos lie in several splits", mend),
        *finding(
            equal,
            "a photo lies in several splits under two names",
            "{} photos lie in several splits under two names",
            mend,
        ),
        *finding(near, "two splits have nearly the same photo", "{} photos are nearly the same in two splits", mend),
    ]


def _is_turned(data: bytes) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            orientation = Image.open(io.BytesIO(data)).getexif().get(_ORIENTATION, 1)
    except Exception:  # readers of metadata raise anything on damaged files
        return False
    return orientation in range(2, 9)
