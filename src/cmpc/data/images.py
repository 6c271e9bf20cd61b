"""Decoding of image files."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageOps

from cmpc.data.image_formats import MAX_BYTES, ImageHeader, load_pixels, name_of, open_image, read_header
from cmpc.data.strict_decoding import DamagedImageError, check_png, decode_jpeg
from cmpc.errors import UserError
from cmpc.reading import read_file

ROWS_AT_ONCE = 512
"""Rows that are converted to RGB at once, so that a large image is in memory only as Pillow keeps it, and as here."""


class DecodedImage(NamedTuple):
    """The pixels of an image file, and how large it is."""

    pixels: np.ndarray
    """uint8 (H, W, 3), RGB, 0..255."""
    height: int
    """Of the whole image, before any shrinking."""
    width: int
    """Of the whole image, before any shrinking."""


def read_image(photo: str | Path | bytes, *, exif_rotation: bool = False) -> np.ndarray:
    """Decodes an image file to RGB pixels.

    Greyscale is repeated over the three channels, transparency is dropped, 16 bits are scaled to 8.

    Args:
        photo: path, or the bytes of the file.
        exif_rotation: turn the image upright as its EXIF orientation says. Off for benchmarks: their annotations are
            made on the pixels as stored.

    Returns:
        uint8 (H, W, 3), RGB, 0..255.

    Raises:
        UserError: the file is missing, is no regular file, no image of ``image_formats.FORMATS``, is cut short or
            otherwise damaged, holds floating-point numbers or has more than ``MAX_PIXELS`` pixels.
    """
    return decode_image(photo, exif_rotation=exif_rotation).pixels


def decode_image(
    photo: str | Path | bytes,
    *,
    exif_rotation: bool = False,
    longest_side: int | None = None,
    name: str | None = None,
) -> DecodedImage:
    """``read_image``, faster for who shrinks the image anyway.

    Args:
        photo: as for ``read_image``.
        exif_rotation: as for ``read_image``.
        longest_side: what the image is going to be shrunk to. A JPEG at least twice, four or eight times as long is
            decoded at a half, a quarter or an eighth of its size, sides rounded up, which moves what it shows by less
            than a pixel of the result; None for the whole size.
        name: what to call the image in an error; by default its path.

    Raises:
        UserError: as ``read_image``.
    """
    name = name or name_of(photo)
    if not isinstance(photo, bytes):
        try:
            photo = read_file(photo, at_most=MAX_BYTES)
        except OSError as error:
            raise UserError(f"cannot read the image {name}: {error.strerror or error}.") from None
    header = read_header(photo, name=name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = _decode(photo, header, longest_side, name)
            if exif_rotation:
                pixels = _turn_upright(pixels, header.orientation)
    except UserError:
        raise
    except DamagedImageError as error:
        raise UserError(f"the image {name} is damaged: its pixels cannot be decoded ({error}).") from None
    except MemoryError:
        size = f"{header.width} x {header.height}"
        raise UserError(f"the image {name} of {size} pixels takes more memory than there is.") from None
    except Exception:  # readers of images raise anything on damaged files
        raise UserError(f"the image {name} is damaged: its pixels cannot be decoded.") from None
    height, width = header.upright if exif_rotation else (header.height, header.width)
    return DecodedImage(pixels, height, width)


def image_size(photo: str | Path | bytes, *, name: str | None = None) -> tuple[int, int]:
    """Height and width of the stored pixels, from the file's header alone.

    Args:
        photo: path, or the bytes of the file.
        name: what to call the image in an error; by default its path.

    Raises:
        UserError: the file is missing, is no image or has more than ``MAX_PIXELS`` pixels.
    """
    header = read_header(photo, name=name)
    return header.height, header.width


def from_pillow(image: Image.Image, *, exif_rotation: bool = True) -> np.ndarray:
    """RGB pixels of a PIL image, by the rules of ``read_image``: uint8 (H, W, 3).

    Raises:
        UserError: it is empty, its pixels cannot be decoded or are floating-point numbers (mode F), whose range is not
            known, or it is PostScript, which would start another program.
    """
    if image.format == "EPS":
        raise UserError("an image must not be PostScript, which would start Ghostscript: convert it before.")
    if image.mode == "F":
        raise UserError("an image must have 8 or 16 bits a channel, got floating-point numbers (PIL's mode F).")
    if 0 in image.size:
        raise UserError(f"an image must have pixels, got one of {image.width} x {image.height}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata that nobody here reads
            return _rgb(ImageOps.exif_transpose(image) if exif_rotation else image)
    except Exception as error:  # decoders raise what they like of a file that is cut short, damaged or closed
        raise UserError(f"the PIL image cannot be decoded: {error}.") from None


def from_array(array: np.ndarray) -> np.ndarray:
    """RGB pixels of an array, by the rules of ``read_image``: uint8 (H, W, 3).

    Args:
        array: uint8 or uint16; (H, W), (H, W, 1), (H, W, 3) in RGB order, or (H, W, 4) whose transparency is dropped.

    Raises:
        UserError: the layout is another one.
    """
    if array.ndim == 2:
        array = array[:, :, None]
    if (
        array.ndim != 3
        or array.shape[2] not in (1, 3, 4)
        or array.size == 0
        or array.dtype not in (np.uint8, np.uint16)
    ):
        raise UserError(
            f"an array of an image must be (H, W), (H, W, 3) or (H, W, 4) of uint8 or uint16, "
            f"got {array.shape} {array.dtype}."
        )
    if array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)
    return np.repeat(array, 3, axis=2) if array.shape[2] == 1 else np.ascontiguousarray(array[:, :, :3])


def _decode(data: bytes, header: ImageHeader, longest_side: int | None, name: str) -> np.ndarray:
    """The stored pixels, maybe at a part of their size: uint8 (H, W, 3), RGB."""
    if header.format in ("JPEG", "MPO"):
        ratio = 1.0 if longest_side is None else max(header.height, header.width) / longest_side
        part = next(part for part in (8, 4, 2, 1) if ratio >= part or part == 1)
        pixels = decode_jpeg(
            data, height=header.height, width=header.width, part=part, four_colours=header.mode == "CMYK"
        )
        if pixels is not None:
            return pixels
    if header.format == "PNG":
        check_png(data)
    image = open_image(io.BytesIO(data), name)
    load_pixels(image)
    if image.mode == "F":
        raise UserError(f"the image {name} has floating-point pixels: save it with 8 or 16 bits a channel.")
    return _rgb(image)


def _rgb(image: Image.Image) -> np.ndarray:
    """Some rows after the others: a copy of the whole image in between would be one more."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    is_deep = image.mode.startswith("I")
    for top in range(0, image.height, ROWS_AT_ONCE):
        bottom = min(top + ROWS_AT_ONCE, image.height)
        rows = image.crop((0, top, image.width, bottom))
        if is_deep:
            pixels[top:bottom] = from_array(np.clip(np.asarray(rows), 0, 65535).astype(np.uint16))
        else:
            pixels[top:bottom] = np.asarray(rows.convert("RGB"))
    return pixels


def _turn_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels as EXIF's orientation 1 to 8 says."""
    if orientation in (5, 6, 7, 8):
        pixels = cv2.transpose(pixels)
    flips = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}
    return cv2.flip(pixels, flips[orientation]) if orientation in flips else pixels
