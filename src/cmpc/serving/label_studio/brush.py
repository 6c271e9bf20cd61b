"""Masks as Label Studio's brush labels keep them.

The bits of its run lengths: 32 for the number of values, 5 for the bits of a value less one, four times 4 for the sizes
of run lengths less one; then for each run one bit (1: a value repeated), 2 for which of the sizes, the length less one,
and the value. Values are those of an RGBA picture, so that every pixel counts four times.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIZES = (3, 4, 8, 16)
_LONGEST = 2 ** SIZES[-1]


def brush_rle(mask: NDArray[np.bool_]) -> list[int]:
    """The run lengths of a mask, (H, W), as bytes."""
    values = mask.reshape(-1)
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], True))
    lengths = 4 * np.diff(np.append(-1, ends))
    bits = [f"{4 * values.size:032b}", f"{8 - 1:05b}", *(f"{size - 1:04b}" for size in SIZES)]
    for length, inside in zip(lengths.tolist(), values[ends].tolist(), strict=True):
        bits += _run(length, 255 if inside else 0)
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def _run(length: int, value: int) -> list[str]:
    bits = []
    while length:
        some = min(length, _LONGEST)
        which = next(number for number, size in enumerate(SIZES) if some <= 2**size)
        bits.append(f"1{which:02b}{some - 1:0{SIZES[which]}b}{value:08b}")
        length -= some
    return bits
