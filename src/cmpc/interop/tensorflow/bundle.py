"""Version 2 of TensorFlow's checkpoints, the "tensor bundle": ``<prefix>.index`` and ``<prefix>.data-00000-of-0000N``.

The index is a sorted table: the empty key holds the header, every other key is a tensor's name, with its type, shape,
place in a data file and masked CRC32C. A partitioned variable's entry lists slices, each with an entry of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import numpy as np

from cmpc.errors import UserError
from cmpc.interop.tensorflow.damage import DamageError, UnsupportedError, damage_reported_for
from cmpc.interop.tensorflow.protobuf import as_bytes, as_fixed32, as_int, as_text, fields, read_varint, to_signed
from cmpc.interop.tensorflow.sstable import Table, unmask_crc32c
from cmpc.interop.tensorflow.tensors import (
    STRING,
    Slice,
    TensorInfo,
    assemble,
    read_shape,
    read_slice,
    slice_key,
    to_array,
)

_NEWEST_VERSION = 1
_CHUNK_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class _Entry:
    """A BundleEntryProto: what the tensor is, and where its bytes lie."""

    info: TensorInfo
    shard: int
    offset: int
    size: int
    masked_crc32c: int


class BundleReader:
    """A version 2 checkpoint. The index is held in memory; a tensor's bytes are read and checked when asked for."""

    def __init__(self, prefix: Path) -> None:
        """
        Args:
            prefix: the path without ``.index`` and ``.data-...``.

        Raises:
            UserError: the index is damaged, a data file is missing, or the checkpoint is of an unsupported kind.
        """
        self._prefix = prefix
        self._index = prefix.with_name(prefix.name + ".index")
        self.tensors: dict[str, TensorInfo] = {}
        self._entries: dict[bytes, _Entry] = {}
        self._shards = 0
        table = Table(self._index)
        with damage_reported_for(self._index):
            for key, value in table.items():
                if key:
                    self._entries[key] = _read_entry(value)
                    if not key.startswith(b"\x00"):  # a slice
                        self.tensors[as_text(memoryview(key))] = self._entries[key].info
                else:
                    self._shards = _read_header(value)
            if not self._shards:
                raise DamageError("it has no header")
        for shard in range(self._shards):
            if not self._data_file(shard).is_file():
                raise UserError(f"{self._data_file(shard)} is missing: it belongs beside {self._index.name}.")

    def read(self, name: str) -> np.ndarray:
        """The values of a tensor.

        Raises:
            UserError: they are damaged.
        """
        info = self.tensors[name]
        if not info.slices:
            return self._read_entry_of(name.encode(), info.shape)
        with damage_reported_for(self._index):
            stored = sum(self._data_file(shard).stat().st_size for shard in range(self._shards))
            return assemble(info, stored, lambda part, shape: self._read_entry_of(slice_key(name, part), shape))

    def _data_file(self, shard: int) -> Path:
        return self._prefix.with_name(f"{self._prefix.name}.data-{shard:05d}-of-{self._shards:05d}")

    def _read_entry_of(self, key: bytes, shape: tuple[int, ...]) -> np.ndarray:
        with damage_reported_for(self._index):
            entry = self._entries.get(key)
            if entry is None:
                raise DamageError("a slice of a tensor has no entry")
            if entry.info.shape != shape:
                raise DamageError(f"a slice has the shape {entry.info.shape} where {shape} is due")
            if not 0 <= entry.shard < self._shards:
                raise DamageError(f"a tensor lies in data file {entry.shard} of {self._shards}")
        path = self._data_file(entry.shard)
        with damage_reported_for(path):
            if entry.offset < 0 or entry.size < 0 or entry.offset + entry.size > path.stat().st_size:
                raise DamageError(f"a tensor of {entry.size} bytes at {entry.offset} reaches past the end")
            if entry.info.type_number == STRING:
                return _read_strings(path, entry)
            return _read_numbers(path, entry)


def _read_header(message: memoryview) -> int:
    """The number of data files, from a BundleHeaderProto."""
    shards = 0
    for number, _, value in fields(message):
        if number == 1:
            shards = to_signed(as_int(value))
        elif number == 2 and as_int(value) != 0:
            raise UnsupportedError("was written on a big-endian machine, which this reader does not take")
        elif number == 3:
            versions = {field: as_int(version) for field, _, version in fields(as_bytes(value))}
            if versions.get(2, 0) > _NEWEST_VERSION:
                raise UnsupportedError(f"needs a reader of version {versions[2]} of the format")
    if shards < 1:
        raise DamageError(f"it claims {shards} data files")
    return shards


def _read_entry(message: memoryview) -> _Entry:
    type_number = shard = offset = size = crc = 0
    shape: tuple[int, ...] = ()
    slices: list[Slice] = []
    for number, _, value in fields(message):
        if number == 1:
            type_number = as_int(value)
        elif number == 2:
            shape = read_shape(as_bytes(value))
        elif number == 3:
            shard = to_signed(as_int(value))
        elif number == 4:
            offset = to_signed(as_int(value))
        elif number == 5:
            size = to_signed(as_int(value))
        elif number == 6:
            crc = as_fixed32(value)
        elif number == 7:
            slices.append(read_slice(as_bytes(value)))
    return _Entry(TensorInfo(type_number, shape, tuple(slices)), shard, offset, size, crc)


def _read_numbers(path: Path, entry: _Entry) -> np.ndarray:
    dtype = entry.info.stored_dtype
    if math.prod(entry.info.shape) * dtype.itemsize != entry.size:
        raise DamageError(f"a tensor of the shape {entry.info.shape} has {entry.size} bytes")
    raw = np.empty(entry.size, np.uint8)
    crc = 0
    with path.open("rb") as file:
        file.seek(entry.offset)
        for start in range(0, entry.size, _CHUNK_BYTES):
            chunk = file.read(min(_CHUNK_BYTES, entry.size - start))
            raw[start : start + len(chunk)] = np.frombuffer(chunk, np.uint8)
            crc = google_crc32c.extend(crc, chunk)
    _check(entry, crc)
    if dtype == np.bool_:
        return (raw != 0).reshape(entry.info.shape)
    return to_array(raw.view(dtype), entry.info).reshape(entry.info.shape)


def _read_strings(path: Path, entry: _Entry) -> np.ndarray:
    """Lengths as varints, the checksum of the lengths (as four-byte numbers), then the strings, one after the other.

    The entry's checksum runs over the lengths as four-byte numbers, their checksum, and the strings.
    """
    count = math.prod(entry.info.shape)
    if count > entry.size:
        raise DamageError(f"{count} strings cannot lie in {entry.size} bytes")
    with path.open("rb") as file:
        file.seek(entry.offset)
        data = memoryview(file.read(entry.size))
    lengths = []
    position = 0
    for _ in range(count):
        length, position = read_varint(data, position)
        lengths.append(length)
    if position + 4 + sum(lengths) != len(data) or max(lengths, default=0) >= 1 << 32:
        raise DamageError("the lengths of a tensor of strings do not add up")
    crc = google_crc32c.value(np.array(lengths, "<u4").tobytes())
    if crc != unmask_crc32c(as_fixed32(data[position : position + 4])):
        raise DamageError("the checksum of the lengths of a tensor of strings is wrong")
    _check(entry, google_crc32c.extend(crc, bytes(data[position:])))
    position += 4
    strings = np.empty(count, object)
    for place, length in enumerate(lengths):
        strings[place] = bytes(data[position : position + length])
        position += length
    return strings.reshape(entry.info.shape)


def _check(entry: _Entry, crc: int) -> None:
    if crc != unmask_crc32c(entry.masked_crc32c):
        raise DamageError(f"the checksum of the tensor at {entry.offset} is wrong")
