"""Writes sorted tables and the records of checkpoints, so that tests can make what TensorFlow never would."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

import google_crc32c
import numpy as np

MAGIC = bytes.fromhex("57fb808b247547db")


def masked_crc32c(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    encoded = b""
    while value >= 0x80:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])


def number_field(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def fixed32_field(number: int, value: int) -> bytes:
    return varint(number << 3 | 5) + struct.pack("<I", value)


def shape_message(*sizes: int) -> bytes:
    return b"".join(bytes_field(2, number_field(1, size)) for size in sizes)


def header(shards: int = 1, *, endianness: int = 0, least_reader: int = 0) -> bytes:
    return number_field(1, shards) + number_field(2, endianness) + bytes_field(3, number_field(2, least_reader))


def entry(*sizes: int, data: bytes, offset: int = 0, size: int | None = None, type_number: int = 1) -> bytes:
    """A BundleEntryProto for ``data``; ``size`` may lie."""
    return (
        number_field(1, type_number)
        + bytes_field(2, shape_message(*sizes))
        + number_field(4, offset)
        + number_field(5, len(data) if size is None else size)
        + fixed32_field(6, masked_crc32c(data))
    )


def block(content: bytes, kind: int = 0) -> bytes:
    return content + bytes([kind]) + struct.pack("<I", masked_crc32c(content + bytes([kind])))


def entries(values: Mapping[bytes, bytes]) -> bytes:
    whole = b"".join(varint(0) + varint(len(k)) + varint(len(v)) + k + v for k, v in sorted(values.items()))
    return whole + struct.pack("<II", 0, 1)


def table(data_block: bytes, *, kind: int = 0) -> bytes:
    """A table with one data block, given without its trailer; all checksums are right, whatever it holds."""
    data, empty = block(data_block, kind), block(entries({}))
    index = block(entries({b"\xff": varint(0) + varint(len(data_block))}))
    handles = varint(len(data)) + varint(len(empty) - 5) + varint(len(data) + len(empty)) + varint(len(index) - 5)
    return data + empty + index + handles.ljust(40, b"\x00") + MAGIC


def write_bundle(prefix: Path, values: Mapping[bytes, bytes], data: bytes = b"", *, kind: int = 0) -> None:
    """A version 2 checkpoint with one data file."""
    prefix.with_name(f"{prefix.name}.index").write_bytes(table(entries(values), kind=kind))
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)


def write_float_bundle(prefix: Path, tensors: Iterable[tuple[str, np.ndarray]]) -> None:
    """A version 2 checkpoint of float32 tensors, written one at a time."""
    values = {b"": header()}
    with prefix.with_name(f"{prefix.name}.data-00000-of-00001").open("wb") as file:
        for name, array in tensors:
            raw = array.astype("<f4").tobytes()
            values[name.encode()] = entry(*array.shape, data=raw, offset=file.tell())
            file.write(raw)
    prefix.with_name(f"{prefix.name}.index").write_bytes(table(entries(values)))


def version_1(tensors: Mapping[str, tuple[int, tuple[int, ...], bytes]]) -> bytes:
    """A version 1 file of tensors in one slice each: name -> type number, shape, TensorProto."""
    values, metas = {}, b""
    for name, (type_number, sizes, tensor) in tensors.items():
        part = bytes_field(1, b"") * len(sizes)
        kind = bytes_field(1, name.encode()) + bytes_field(2, shape_message(*sizes)) + number_field(3, type_number)
        metas += bytes_field(1, kind + bytes_field(4, part))
        rank = bytes([1, len(sizes)]) if sizes else b"\x00"
        key = b"\x00" + name.encode() + b"\x00\x01" + rank + b"\x80\x7f" * len(sizes)
        data = bytes_field(1, name.encode()) + bytes_field(2, part) + bytes_field(3, tensor)
        values[key] = bytes_field(2, data)
    return table(entries({b"": bytes_field(1, metas), **values}))
