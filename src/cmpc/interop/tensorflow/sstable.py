"""Sorted string tables, the container of TensorFlow's checkpoints (LevelDB's format, without its compression).

A table is a sequence of blocks and a footer. A block holds sorted entries, whose keys leave out what they share with
the key before, then the offsets of its "restart points" (entries with whole keys, for searching; a reader from front to
back does not need them), then its type (one byte) and the masked CRC32C of all this. The index block maps a key not
before the last one of each data block to the block's place; the footer says where the index block lies.
"""

from __future__ import annotations

import bisect
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import google_crc32c

from cmpc.interop.tensorflow.damage import DamageError, UnsupportedError, damage_reported_for
from cmpc.interop.tensorflow.protobuf import read_varint
from cmpc.reading import open_file

MAGIC = bytes.fromhex("57fb808b247547db")
"""The last eight bytes of every table."""
FOOTER_BYTES = 48
"""Two block handles (place and size as varints) padded to 40 bytes, then the magic."""
TRAILER_BYTES = 5
"""After each block: its type and its checksum."""


def unmask_crc32c(masked: int) -> int:
    """The CRC32C behind the stored form, which LevelDB rotates and shifts so that checksums of checksums stay good."""
    rotated = (masked - 0xA282EAD8) & 0xFFFFFFFF
    return ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF


def looks_like_a_table(path: Path) -> bool:
    """Whether the file ends like a table; cheap, reads eight bytes."""
    try:
        with open_file(path, at_most=sys.maxsize) as file:
            size = file.seek(0, 2)
            if size < FOOTER_BYTES:
                return False
            file.seek(size - len(MAGIC))
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class _Handle:
    """Where a block lies: its offset and its size without the trailer, in bytes."""

    offset: int
    size: int


class Table:
    """A table on disk. Only its index is kept in memory; a block is read, and checked, when it is asked for."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            UserError: the file is missing, is no table, or its index is damaged.
        """
        self.path = path
        with damage_reported_for(path):
            self._file_bytes = path.stat().st_size
            if self._file_bytes < FOOTER_BYTES:
                raise DamageError(f"{self._file_bytes} bytes: it is cut short, or another kind of file")
            footer = self._bytes(self._file_bytes - FOOTER_BYTES, FOOTER_BYTES)
            if footer[-len(MAGIC) :] != MAGIC:
                raise DamageError("it does not end as a table does: it is cut short, or another kind of file")
            handles = memoryview(footer)[: -len(MAGIC)]
            _, position = _read_handle(handles, 0)  # the metaindex, which TensorFlow leaves empty
            index, _ = _read_handle(handles, position)
            self._last_keys: list[bytes] = []
            self._blocks: list[_Handle] = []
            for key, value in _entries(self._block(index)):
                self._last_keys.append(key)
                self._blocks.append(_read_handle(value, 0)[0])

    def items(self) -> Iterator[tuple[bytes, memoryview]]:
        """Every key with its value, in the order of the keys.

        Raises:
            UserError: a block is damaged or compressed.
        """
        with damage_reported_for(self.path):
            for handle in self._blocks:
                yield from _entries(self._block(handle))

    def get(self, key: bytes) -> memoryview | None:
        """The value of one key, or None; reads one block.

        Raises:
            UserError: the block is damaged or compressed.
        """
        place = bisect.bisect_left(self._last_keys, key)
        if place == len(self._blocks):
            return None
        with damage_reported_for(self.path):
            return next((value for found, value in _entries(self._block(self._blocks[place])) if found == key), None)

    def _block(self, handle: _Handle) -> memoryview:
        if handle.offset + handle.size + TRAILER_BYTES > self._file_bytes - FOOTER_BYTES:
            raise DamageError(f"a block of {handle.size} bytes at {handle.offset} reaches past the end")
        stored = self._bytes(handle.offset, handle.size + TRAILER_BYTES)
        kind, masked = struct.unpack("<BI", stored[handle.size :])
        if google_crc32c.value(stored[: handle.size + 1]) != unmask_crc32c(masked):
            raise DamageError(f"the checksum of the block at {handle.offset} is wrong")
        if kind == 1:
            raise UnsupportedError(
                "is compressed with snappy, which TensorFlow's Saver does not write and this reader does not take: "
                "save the checkpoint again with tf.train.Saver"
            )
        if kind != 0:
            raise DamageError(f"the block at {handle.offset} has the unknown type {kind}")
        return memoryview(stored)[: handle.size]

    def _bytes(self, offset: int, size: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
        if len(data) != size:
            raise DamageError(f"it ends {size - len(data)} bytes early")
        return data


def _read_handle(data: memoryview, position: int) -> tuple[_Handle, int]:
    offset, position = read_varint(data, position)
    size, position = read_varint(data, position)
    return _Handle(offset, size), position


def _entries(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Keys and values of a block, from front to back; the restart points are skipped."""
    if len(block) < 4:
        raise DamageError("a block is too short for its own end")
    (restarts,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 - 4 * restarts
    if end < 0:
        raise DamageError(f"a block of {len(block)} bytes claims {restarts} restart points")
    block = block[:end]
    key = b""
    position = 0
    while position < end:
        shared, position = read_varint(block, position)
        own, position = read_varint(block, position)
        size, position = read_varint(block, position)
        if shared > len(key) or position + own + size > end:
            raise DamageError("an entry of a block does not fit into it")
        key = key[:shared] + bytes(block[position : position + own])
        position += own
        yield key, block[position : position + size]
        position += size
