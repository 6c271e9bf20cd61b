"""Version 1 of TensorFlow's checkpoints: one file, a sorted table.

The empty key holds SavedTensorSlices.meta: name, shape, type and slices of every tensor. Each slice (an unpartitioned
tensor is one slice) lies under its own key as SavedTensorSlices.data: a TensorProto without type and shape, whose
values are in the list that fits the type. The checksums of the blocks cover everything.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from cmpc.interop.tensorflow.damage import DamageError, UnsupportedError, damage_reported_for
from cmpc.interop.tensorflow.protobuf import BYTES, VARINT, as_bytes, as_int, as_text, fields, packed_varints
from cmpc.interop.tensorflow.sstable import Table
from cmpc.interop.tensorflow.tensors import (
    BFLOAT16,
    STRING,
    Slice,
    TensorInfo,
    assemble,
    read_shape,
    read_slice,
    slice_key,
    to_array,
)

_META, _DATA = 1, 2
_FLOATS, _DOUBLES, _INTS, _STRINGS, _COMPLEX64, _INT64S, _BOOLS, _COMPLEX128, _HALVES = 5, 6, 7, 8, 9, 10, 11, 12, 13
_UINT32S, _UINT64S = 16, 17

_LIST_OF: dict[int, int] = {
    1: _FLOATS, 2: _DOUBLES, 3: _INTS, 4: _INTS, 5: _INTS, 6: _INTS, STRING: _STRINGS, 8: _COMPLEX64, 9: _INT64S,
    10: _BOOLS, 11: _INTS, 12: _INTS, 13: _INTS, BFLOAT16: _HALVES, 15: _INTS, 16: _INTS, 17: _INTS, 18: _COMPLEX128,
    19: _HALVES, 22: _UINT32S, 23: _UINT64S,
}  # fmt: skip
"""TensorFlow's number of a type -> the field of TensorProto that holds its values."""

_FIXED_SIZE = frozenset({_FLOATS, _DOUBLES, _COMPLEX64, _COMPLEX128})
"""Lists whose values lie as they are; the others are varints (and strings)."""


class V1Reader:
    """A version 1 checkpoint. The list of tensors is held in memory; values are read when asked for."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            UserError: the file is damaged, or holds no checkpoint.
        """
        self._path = path
        self._table = Table(path)
        self.tensors: dict[str, TensorInfo] = {}
        header = self._table.get(b"")
        with damage_reported_for(path):
            if header is None:
                raise UnsupportedError("is a table, but no checkpoint: it has no list of tensors")
            for number, _, meta in fields(header):
                if number == _META:
                    for field, _, tensor in fields(as_bytes(meta)):
                        if field == 1:
                            name, info = _read_meta(as_bytes(tensor))
                            self.tensors[name] = info

    def read(self, name: str) -> np.ndarray:
        """The values of a tensor.

        Raises:
            UserError: they are damaged.
        """
        info = self.tensors[name]
        with damage_reported_for(self._path):
            boxes = [part.within(info.shape) for part in info.slices]
            if boxes == [tuple(slice(0, size) for size in info.shape)]:
                return self._read_slice(name, info, info.slices[0], info.shape)
            stored = self._path.stat().st_size
            return assemble(info, stored, lambda part, shape: self._read_slice(name, info, part, shape))

    def _read_slice(self, name: str, info: TensorInfo, part: Slice, shape: tuple[int, ...]) -> np.ndarray:
        record = self._table.get(slice_key(name, part))
        if record is None:
            raise DamageError(f"a slice of {name} is missing")
        data = [as_bytes(value) for number, _, value in fields(record) if number == _DATA]
        tensors = [as_bytes(value) for message in data for number, _, value in fields(message) if number == 3]
        if len(tensors) != 1:
            raise DamageError(f"a slice of {name} has no values")
        values = _read_values(tensors[0], info)
        if len(values) != math.prod(shape):
            raise DamageError(f"{name} has {len(values)} values where {math.prod(shape)} are due")
        return values.reshape(shape)


def _read_meta(message: memoryview) -> tuple[str, TensorInfo]:
    """Name, shape, type and slices, from a SavedSliceMeta."""
    name = ""
    type_number = 0
    shape: tuple[int, ...] = ()
    slices: list[Slice] = []
    for number, _, value in fields(message):
        if number == 1:
            name = as_text(value)
        elif number == 2:
            shape = read_shape(as_bytes(value))
        elif number == 3:
            type_number = as_int(value)
        elif number == 4:
            slices.append(read_slice(as_bytes(value)))
    return name, TensorInfo(type_number, shape, tuple(slices))


def _read_values(tensor: memoryview, info: TensorInfo) -> np.ndarray:
    """The values of a TensorProto as one axis, from the list that fits the type."""
    dtype = info.dtype  # refuses types without values
    wanted = _LIST_OF[info.type_number]
    found = [(wire_type, value) for number, wire_type, value in fields(tensor) if number == wanted]
    if wanted == _STRINGS:
        strings = np.empty(len(found), object)
        strings[:] = [bytes(as_bytes(value)) for _, value in found]
        return strings
    if wanted in _FIXED_SIZE:
        raw = b"".join(as_bytes(value) for _, value in found)
        if len(raw) % dtype.itemsize:
            raise DamageError("a list of numbers ends within one")
        return np.frombuffer(bytearray(raw), info.stored_dtype)
    numbers = np.concatenate([np.zeros(0, np.uint64), *(_varints(wire_type, value) for wire_type, value in found)])
    if wanted == _HALVES:
        bits = numbers.astype(np.uint16)
        return to_array(bits, info) if info.type_number == BFLOAT16 else bits.view(np.float16)
    if wanted == _BOOLS:
        return numbers != 0
    return numbers.astype(dtype)


def _varints(wire_type: int, value: int | memoryview) -> np.ndarray:
    """A repeated field of numbers may be packed into bytes, or hold one number at a time."""
    if wire_type == VARINT:
        return np.array([as_int(value)], np.uint64)
    if wire_type == BYTES:
        return packed_varints(as_bytes(value))
    raise DamageError("a list of numbers has another wire type")
