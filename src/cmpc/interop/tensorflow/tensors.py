"""What both checkpoint formats say of a tensor: its type, its shape, and the slices that it may be stored in."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cmpc.interop.tensorflow.damage import DamageError, UnsupportedError
from cmpc.interop.tensorflow.protobuf import as_bytes, as_int, fields, to_signed

STRING, BFLOAT16 = 7, 14
"""TensorFlow's numbers of the two types that numpy does not have."""

STORED_TYPES: dict[int, np.dtype] = {
    number: np.dtype(kind)
    for number, kind in {
        1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 8: "<c8", 9: "<i8", 10: "?", 11: "i1", 12: "u1",
        13: "<i4", BFLOAT16: "<u2", 15: "<i2", 16: "<u2", 17: "<u2", 18: "<c16", 19: "<f2", 22: "<u4", 23: "<u8",
    }.items()
}  # fmt: skip
"""TensorFlow's number of a type -> how its values lie in the file (bfloat16: the upper half of a float32)."""

_MOST_DIMENSIONS = 32
_MOST_VALUES = 1 << 56


@dataclass(frozen=True, slots=True)
class Slice:
    """A box within a tensor: start and length for each axis; a length of None is the whole axis."""

    extents: tuple[tuple[int, int | None], ...]

    def within(self, shape: tuple[int, ...]) -> tuple[slice, ...]:
        """The box as an index into an array of this shape.

        Raises:
            DamageError: the box does not fit.
        """
        if len(self.extents) != len(shape):
            raise DamageError(f"a slice has {len(self.extents)} axes in a tensor of {len(shape)}")
        box = []
        for (start, length), size in zip(self.extents, shape, strict=True):
            stop = size if length is None else start + length
            if start < 0 or stop < start or stop > size or (length is None and start):
                raise DamageError(f"a slice reaches from {start} to {stop} on an axis of {size}")
            box.append(slice(start, stop))
        return tuple(box)


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """What a checkpoint says of one tensor before its values are read."""

    type_number: int
    """TensorFlow's number of the type."""
    shape: tuple[int, ...]
    slices: tuple[Slice, ...] = ()
    """The parts it is stored in; empty when it is stored whole."""

    @property
    def dtype(self) -> np.dtype:
        """The type of the array that a reader gives: float32 for bfloat16, object (``bytes``) for strings.

        Raises:
            UnsupportedError: the type is unknown, or has no values (resource, variant).
        """
        if self.type_number == STRING:
            return np.dtype(object)
        if self.type_number == BFLOAT16:
            return np.dtype(np.float32)
        return self.stored_dtype

    @property
    def stored_dtype(self) -> np.dtype:
        """How the values lie in the file (not for strings).

        Raises:
            UnsupportedError: as for ``dtype``.
        """
        if self.type_number not in STORED_TYPES:
            raise UnsupportedError(f"has a tensor of the type number {self.type_number}, which numpy does not have")
        return STORED_TYPES[self.type_number]


def to_array(stored: np.ndarray, info: TensorInfo) -> np.ndarray:
    """Values as they lie in the file -> values as a user wants them: bfloat16 becomes float32."""
    if info.type_number == BFLOAT16:
        return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return stored


def read_shape(message: memoryview) -> tuple[int, ...]:
    """A TensorShapeProto.

    Raises:
        DamageError: a size is negative, or no array could have this shape.
    """
    shape = []
    for number, _, dimension in fields(message):
        if number == 2:
            sizes = [to_signed(as_int(value)) for field, _, value in fields(as_bytes(dimension)) if field == 1]
            shape.append(sizes[-1] if sizes else 0)
    values = math.prod(max(size, 1) for size in shape)
    if len(shape) > _MOST_DIMENSIONS or min(shape, default=0) < 0 or values > _MOST_VALUES:
        raise DamageError("a tensor has an impossible shape")
    return tuple(shape)


def read_slice(message: memoryview) -> Slice:
    """A TensorSliceProto.

    Raises:
        DamageError: it is malformed.
    """
    extents: list[tuple[int, int | None]] = []
    for number, _, extent in fields(message):
        if number == 1:
            values = {field: to_signed(as_int(value)) for field, _, value in fields(as_bytes(extent))}
            extents.append((values.get(1, 0), values.get(2)))
    return Slice(tuple(extents))


def slice_key(name: str, part: Slice) -> bytes:
    """The table's key of a slice: 0, name, number of axes, start and length of each, in bytes that sort as these do."""
    escaped = name.encode().replace(b"\x00", b"\x00\xff")  # 0xff, which is escaped too, does not occur in UTF-8
    key = b"\x00" + escaped + b"\x00\x01" + _ordered_unsigned(len(part.extents))
    for start, length in part.extents:
        key += _ordered_signed(start) + _ordered_signed(-1 if length is None else length)
    return key


def assemble(info: TensorInfo, most_values: int, read: Callable[[Slice, tuple[int, ...]], np.ndarray]) -> np.ndarray:
    """The whole tensor from its slices.

    Args:
        info: the tensor; its slices must tile it.
        most_values: how many values the files could hold at most (nothing larger is allocated).
        read: gives one slice, of the given shape.

    Raises:
        DamageError: the slices leave a gap or overlap, or ``read`` found damage.
    """
    boxes = [part.within(info.shape) for part in info.slices]
    values = math.prod(info.shape)
    if values > most_values or sum(math.prod(_box_shape(box)) for box in boxes) != values:
        raise DamageError("the slices of a tensor do not make up its shape")
    result = np.empty(info.shape, info.dtype)
    filled = np.zeros(info.shape, bool)
    for part, box in zip(info.slices, boxes, strict=True):
        if filled[box].any():
            raise DamageError("two slices of a tensor overlap")
        filled[box] = True
        result[box] = read(part, _box_shape(box))
    return result


def _box_shape(box: tuple[slice, ...]) -> tuple[int, ...]:
    return tuple(side.stop - side.start for side in box)


def _ordered_unsigned(value: int) -> bytes:
    """TensorFlow's OrderedCode of a number that is not negative: how many bytes, then these, high byte first."""
    size = (value.bit_length() + 7) // 8
    return bytes([size]) + value.to_bytes(size, "big")


def _ordered_signed(value: int) -> bytes:
    """TensorFlow's OrderedCode of a signed number: n bytes, marked by n leading ones, inverted below zero."""
    size = 1
    while not -(1 << (7 * size - 1)) <= value < 1 << (7 * size - 1):
        size += 1
    mark = ((1 << size) - 1) << (7 * size)
    return ((value & ((1 << (8 * size)) - 1)) ^ mark).to_bytes(size, "big")
