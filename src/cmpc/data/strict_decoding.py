"""JPEG and PNG without mercy: libraries fill with grey or black what a file lacks, and at most warn of it."""

from __future__ import annotations

import re
import zlib

import numpy as np
import simplejpeg

MAX_SCANS = 200
"""A progressive JPEG has about ten passes over its pixels; files of thousands are made to take hours."""
PNG_START = b"\x89PNG\r\n\x1a\n"
_MARKER = re.compile(rb"\xff+([^\x00\x01\xd0-\xd8\xff])")
"""Of a segment; what stands in between is pixels. The first group is the kind."""
_SCAN, _END = b"\xda", b"\xd9"
_NOT_FOR_TURBOJPEG = ("unsupported", "subsampling")
"""Words of its complaint about a whole file whose form it does not decode."""


class DamagedImageError(ValueError):
    """An image that is cut short or otherwise damaged; a phrase says how."""


def decode_jpeg(
    data: bytes, *, height: int, width: int, part: int = 1, four_colours: bool = False
) -> np.ndarray | None:
    """The pixels of a JPEG, by libjpeg-turbo, whose warnings are errors.

    Args:
        data: the file.
        height: of the image.
        width: of the image.
        part: 1, 2, 4 or 8: decode it at this part of its size, sides rounded up.
        four_colours: whether its colours are CMYK; it is checked only.

    Returns:
        uint8 (H, W, 3), RGB, 0..255; None for a form that is to be decoded by another library.

    Raises:
        DamagedImageError: it is damaged.
    """
    if data.count(b"\xff" + _SCAN) > MAX_SCANS and _has_too_many_scans(data):
        raise DamagedImageError(f"it has more than {MAX_SCANS} scans")
    part = 1 if four_colours else part
    least = {} if part == 1 else {"min_height": -(-height // part), "min_width": -(-width // part)}
    try:
        pixels = simplejpeg.decode_jpeg(data, colorspace="CMYK" if four_colours else "RGB", strict=True, **least)
    except ValueError as error:
        reason = str(error).removeprefix("Corrupt JPEG data: ")
        if any(word in reason.lower() for word in _NOT_FOR_TURBOJPEG):
            return None
        raise DamagedImageError(reason[:1].lower() + reason[1:]) from None
    return None if four_colours else pixels


def check_png(data: bytes) -> None:
    """Makes sure that a PNG reaches its end and that its pixels have the checksums that it says. (Whether there are as
    many as there must be is its decoder's to say.)

    Raises:
        DamagedImageError: it does not, or they have not.
    """
    content, position, kind = memoryview(data), len(PNG_START), b""
    while kind != b"IEND":
        length = int.from_bytes(data[position : position + 4])
        kind, end = data[position + 4 : position + 8], position + 12 + length
        if end > len(data):
            raise DamagedImageError("it ends too early")
        is_critical = kind[:1].isupper()
        checksum = int.from_bytes(data[end - 4 : end])
        if is_critical and zlib.crc32(content[position + 4 : end - 4]) != checksum:
            raise DamagedImageError("a checksum is wrong")
        position = end


def _has_too_many_scans(data: bytes) -> bool:
    """Without what stands in other segments or behind the end, such as the film of a phone."""
    position = scans = 0
    while scans <= MAX_SCANS and (marker := _MARKER.search(data, position)) and marker[1] != _END:
        scans += marker[1] == _SCAN
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
    return scans > MAX_SCANS
