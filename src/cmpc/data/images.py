"""Decoding of image files."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cmpc.errors import UserError

MAX_PIXELS = 178_956_970
"""Larger images are refused before they are decoded (twice Pillow's own limit for a warning)."""
JPEG_START = b"\xff\xd8"
_DECODED_AT = (
    (8, cv2.IMREAD_REDUCED_COLOR_8),
    (4, cv2.IMREAD_REDUCED_COLOR_4),
    (2, cv2.IMREAD_REDUCED_COLOR_2),
    (1, cv2.IMREAD_COLOR),
)
"""How many times too long an image must be, and the flag that decodes it at that part of its size."""


class DecodedImage(NamedTuple):
    """The pixels of an image file, and how large it is."""

    pixels: np.ndarray
    """uint8 (H, W, 3), RGB, 0..255."""
    height: int
    """Of the stored image, before any turning or shrinking."""
    width: int
    """Of the stored image, before any turning or shrinking."""


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
        UserError: the file is missing, is no image, is cut short, holds floating-point numbers or has more than
            ``MAX_PIXELS`` pixels.
    """
    return decode_image(photo, exif_rotation=exif_rotation).pixels


def decode_image(
    photo: str | Path | bytes, *, exif_rotation: bool = False, longest_side: int | None = None
) -> DecodedImage:
    """``read_image``, faster for who shrinks the image anyway.

    Args:
        photo: as for ``read_image``.
        exif_rotation: as for ``read_image``.
        longest_side: what the image is going to be shrunk to. A JPEG at least twice, four or eight times as long is
            decoded at a half, a quarter or an eighth of its size, sides rounded up, which moves what it shows by less
            than a pixel of the result; None for the whole size.

    Raises:
        UserError: as ``read_image``.
    """
    name, data = _read(photo)
    height, width = image_size(data, name=name)
    if _looks_whole(data):
        ratio = 1.0
        if longest_side is not None and data.startswith(JPEG_START):
            ratio = max(1.0, max(height, width) / longest_side)
        flags = next(flag for least, flag in _DECODED_AT if ratio >= least)
        if not exif_rotation:
            flags |= cv2.IMREAD_IGNORE_ORIENTATION
        try:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error:
            pixels = None
        if pixels is not None:
            return DecodedImage(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), height, width)
    return DecodedImage(_decode_with_pillow(data, name, exif_rotation=exif_rotation), height, width)


def image_size(photo: str | Path | bytes, *, name: str | None = None) -> tuple[int, int]:
    """Height and width of the stored pixels, from the file's header alone.

    Args:
        photo: path, or the bytes of the file.
        name: what to call the image in an error; by default its path.

    Raises:
        UserError: the file is missing, is no image or has more than ``MAX_PIXELS`` pixels.
    """
    name = name or _name(photo)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its size, and of metadata that nobody here reads
            with Image.open(io.BytesIO(photo) if isinstance(photo, bytes) else photo) as image:
                width, height = image.size
    except Image.DecompressionBombError:
        raise UserError(f"the image {name} is too large: at most {MAX_PIXELS:,} pixels are read.") from None
    except UnidentifiedImageError:
        raise UserError(f"the file {name} is not an image, or its beginning is damaged.") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"cannot read the image {name}: {getattr(error, 'strerror', None) or error}.") from None
    if height * width > MAX_PIXELS:
        raise UserError(f"the image {name} is too large: {width} x {height}; at most {MAX_PIXELS:,} pixels are read.")
    return height, width


def from_pillow(image: Image.Image, *, exif_rotation: bool = True) -> np.ndarray:
    """RGB pixels of a PIL image, by the rules of ``read_image``: uint8 (H, W, 3).

    Raises:
        UserError: it is empty, its pixels cannot be decoded, or they are floating-point numbers (mode F), whose range
            is not known.
    """
    if image.mode == "F":
        raise UserError("an image must have 8 or 16 bits a channel, got floating-point numbers (PIL's mode F).")
    if 0 in image.size:
        raise UserError(f"an image must have pixels, got one of {image.width} x {image.height}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata that nobody here reads
            return _to_rgb(image, exif_rotation=exif_rotation)
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


def _to_rgb(image: Image.Image, *, exif_rotation: bool) -> np.ndarray:
    if exif_rotation:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode == "I":
        return from_array((np.clip(np.asarray(image), 0, 65535)).astype(np.uint16))
    return np.asarray(image.convert("RGB"))


def _decode_with_pillow(data: bytes, name: str, *, exif_rotation: bool) -> np.ndarray:
    """The formats that OpenCV lacks, and the verdict on files that look cut short."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image: Image.Image = Image.open(io.BytesIO(data))
            image.load()
            if image.mode == "F":
                raise UserError(f"the image {name} has floating-point pixels: save it with 8 or 16 bits a channel.")
            return _to_rgb(image, exif_rotation=exif_rotation)
    except (OSError, ValueError, SyntaxError, EOFError):
        raise UserError(f"the image {name} is damaged: its pixels cannot be decoded.") from None


def _looks_whole(data: bytes) -> bool:
    """Whether a JPEG or PNG holds its end marker: OpenCV fills what is missing with grey instead of complaining."""
    if data.startswith(JPEG_START):
        if data.endswith(b"\xff\xd9") and b"\xff\xda" in data:
            return True  # what the next line finds too, without a search through all pixels
        return data.find(b"\xff\xd9", data.rfind(b"\xff\xda")) >= 0
    if data.startswith(b"\x89PNG"):
        return data.rfind(b"IEND") >= 0
    return True


def _read(photo: str | Path | bytes) -> tuple[str, bytes]:
    if isinstance(photo, bytes):
        return _name(photo), photo
    try:
        return _name(photo), Path(photo).read_bytes()
    except (OSError, ValueError) as error:  # the latter of a name with a NUL
        raise UserError(f"cannot read the image {photo}: {getattr(error, 'strerror', None) or error}.") from None


def _name(photo: str | Path | bytes) -> str:
    return "given as bytes" if isinstance(photo, bytes) else str(photo)
