"""Protocol Buffers' wire format: enough to read a checkpoint's records, every length checked before it is used."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cmpc.interop.tensorflow.damage import DamageError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types of a field."""


def read_varint(data: memoryview, position: int) -> tuple[int, int]:
    """An unsigned 64-bit number, seven bits a byte, low bits first; returns it with the position after it.

    Raises:
        DamageError: the data ends within it, or it is longer than ten bytes.
    """
    result = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise DamageError("a number is cut short")
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFFFFFFFFFFFFFF, position
    raise DamageError("a number has more than ten bytes")


def to_signed(value: int) -> int:
    """The int64 that a varint stands for (negative numbers are stored as their two's complement)."""
    return value - (1 << 64) if value >= 1 << 63 else value


def fields(message: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """The fields of a message in order: number, wire type, and an int (VARINT) or the bytes themselves (all others).

    Raises:
        DamageError: the message is malformed.
    """
    position = 0
    while position < len(message):
        tag, position = read_varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == VARINT:
            value, position = read_varint(message, position)
            yield number, wire_type, value
            continue
        if wire_type == BYTES:
            size, position = read_varint(message, position)
        elif wire_type in (FIXED32, FIXED64):
            size = 4 if wire_type == FIXED32 else 8
        else:
            raise DamageError(f"a record has a field of the unknown wire type {wire_type}")
        if size > len(message) - position:
            raise DamageError(f"a field claims {size} bytes where {len(message) - position} are left")
        yield number, wire_type, message[position : position + size]
        position += size


def as_int(value: int | memoryview) -> int:
    """A field's value where a varint is due.

    Raises:
        DamageError: the field has another wire type.
    """
    if not isinstance(value, int):
        raise DamageError("a record has bytes where a number is due")
    return value


def as_bytes(value: int | memoryview) -> memoryview:
    """A field's value where bytes or a message are due.

    Raises:
        DamageError: the field is a varint.
    """
    if isinstance(value, int):
        raise DamageError("a record has a number where bytes are due")
    return value


def as_fixed32(value: int | memoryview) -> int:
    """A field's value where four bytes, low byte first, are due.

    Raises:
        DamageError: the field has another wire type.
    """
    data = as_bytes(value)
    if len(data) != 4:
        raise DamageError(f"a record has {len(data)} bytes where four are due")
    return int.from_bytes(data, "little")


def as_text(value: int | memoryview) -> str:
    """A field's value where UTF-8 text is due.

    Raises:
        DamageError: it is a varint, or no UTF-8.
    """
    try:
        return str(as_bytes(value), "utf-8")
    except UnicodeDecodeError as error:
        raise DamageError("a name is not UTF-8") from error


def packed_varints(data: memoryview) -> np.ndarray:
    """All varints of a packed field, uint64 ``(n,)``; all at once, since a tensor may hold millions.

    Raises:
        DamageError: the last one is cut short, or one is longer than ten bytes.
    """
    raw = np.frombuffer(data, np.uint8)
    if raw.size == 0:
        return np.zeros(0, np.uint64)
    ends = np.flatnonzero(raw < 0x80)
    if ends.size == 0 or ends[-1] != raw.size - 1:
        raise DamageError("a number is cut short")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 10:
        raise DamageError("a number has more than ten bytes")
    values = np.zeros(ends.size, np.uint64)
    for place in range(int(lengths.max())):
        longer = lengths > place
        bits = (raw[starts[longer] + place] & np.uint8(0x7F)).astype(np.uint64)
        values[longer] |= bits << np.uint64(7 * place)
    return values
