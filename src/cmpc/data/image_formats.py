"""Which files are opened as images: a fixed list of formats, so that no file can start another program by its content
(PostScript would start Ghostscript), whatever its name is."""

from __future__ import annotations

import io
import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from PIL import ExifTags, Image, UnidentifiedImageError

from cmpc.errors import UserError
from cmpc.reading import open_file

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""What Pillow calls the formats that are opened; ``HEIF`` with the extra ``heic``."""
NAMES = "AVIF, BMP, GIF, HEIC, JPEG, JPEG 2000, PNG, PNM, TIFF and WebP"
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".pbm", ".pgm", ".ppm", ".pnm", ".jp2", ".j2k", ".avif", ".heic", ".heif"),
)
"""How the names of such files end."""
MAX_PIXELS = 178_956_970
"""Larger images are refused before they are decoded (twice Pillow's own limit for a warning)."""
MAX_BYTES = 2 * 1024**3
"""Larger files are refused before they are read: the largest image that is decoded takes half a gigabyte unpacked."""
PIXELS_PER_BYTE = 2048
"""No photo is smaller than a byte for so many pixels: JPEG, for one, spends at least a bit on a block of 64."""
MAY_BE_SMALLER = ("PNG", "TIFF")
"""Formats in which large masks of one colour are even smaller."""
QUARTER_TURNS = (5, 6, 7, 8)
"""EXIF orientations that exchange height and width."""

logging.getLogger("PIL").addHandler(logging.NullHandler())  # what it says of a broken file, the error says better
_STANDARD_ERROR = threading.Lock()
_BRAND = slice(4, 8)
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")


class ImageHeader(NamedTuple):
    """What the beginning of an image file says."""

    format: str
    """As Pillow calls it."""
    mode: str
    """Kind of pixels, as Pillow calls it."""
    height: int
    """Of the stored pixels. (A reader of TIFF turns them itself: there it is the height of the upright image.)"""
    width: int
    """Of the stored pixels."""
    orientation: int
    """How to turn them upright, EXIF's 1 to 8; 1 for not at all."""

    @property
    def upright(self) -> tuple[int, int]:
        """Height and width once the image is turned as its orientation says."""
        turned = self.orientation in QUARTER_TURNS
        return (self.width, self.height) if turned else (self.height, self.width)


def is_photo_name(path: Path) -> bool:
    """Whether a file in a folder is meant as a photo: it ends like one and is not hidden (macOS leaves ``._x.jpg``)."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def read_header(photo: str | Path | bytes, *, name: str | None = None) -> ImageHeader:
    """Format, size and orientation of an image file; nothing is decoded.

    Args:
        photo: path, or the bytes of the file.
        name: what to call the image in an error; by default its path.

    Raises:
        UserError: the file is missing, no regular file, no image of ``FORMATS``, or has more than ``MAX_PIXELS``
            pixels.
    """
    name = name or name_of(photo)
    try:
        with io.BytesIO(photo) if isinstance(photo, bytes) else open_file(photo, at_most=MAX_BYTES) as file:
            image = open_image(file, name)
            file.seek(0, io.SEEK_END)
            return _header(image, file.tell(), name)
    except OSError as error:
        raise UserError(f"cannot read the image {name}: {error.strerror or error}.") from None


def open_image(file: BinaryIO, name: str) -> Image.Image:
    """The image in a file of which only the beginning is read.

    Raises:
        UserError: it is no image of ``FORMATS``.
    """
    beginning = file.read(64)
    file.seek(0)
    formats = _load_readers(beginning, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its size, and of metadata that nobody here reads
            return Image.open(file, formats=formats)
    except Image.DecompressionBombError:
        raise UserError(f"the image {name} is too large: at most {MAX_PIXELS:,} pixels are read.") from None
    except UnidentifiedImageError:
        if beginning[_BRAND] == b"ftyp" and b"avif" in beginning:
            raise UserError(
                f"the image {name} is an AVIF, which is damaged or which this Pillow does not read: "
                "pip install 'pillow>=11.3', or save it as JPEG or PNG."
            ) from None
        raise UserError(
            f"the file {name} is not an image of the formats that are opened ({NAMES}), or its beginning is damaged."
        ) from None
    except MemoryError:
        raise UserError(f"the image {name} takes more memory than there is.") from None
    except Exception:  # readers of images raise anything on damaged files
        raise UserError(f"the file {name} is not an image that can be read: its beginning is damaged.") from None


def _header(image: Image.Image, size: int, name: str) -> ImageHeader:
    kind = image.format or ""
    width, height = image.size
    orientation = 1
    try:
        if kind == "TIFF":  # Pillow turns its pixels as it decodes them, and in some versions exchanges the size before
            width, height = image.tag_v2[256], image.tag_v2[257]  # type: ignore[attr-defined]
            if image.tag_v2.get(ExifTags.Base.Orientation) in QUARTER_TURNS:  # type: ignore[attr-defined]
                width, height = height, width
        elif kind != "PNG" or "exif" in image.info:  # else Pillow decodes a PNG to look behind its pixels
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        orientation = 1  # damaged metadata are passed over
    if height * width > MAX_PIXELS:
        raise UserError(f"the image {name} is too large: {width} x {height}; at most {MAX_PIXELS:,} pixels are read.")
    if kind not in MAY_BE_SMALLER and size * PIXELS_PER_BYTE < height * width:
        raise UserError(
            f"the image {name} is damaged: it says that it has {width} x {height} pixels, which {size:,} bytes cannot "
            "hold."
        )
    return ImageHeader(kind, image.mode, height, width, orientation if orientation in range(1, 9) else 1)


def load_pixels(image: Image.Image) -> None:
    """Decodes an image that ``open_image`` opened.

    Raises:
        Exception: of any kind, for a damaged file.
    """
    if image.format != "TIFF":
        image.load()
        return
    with _silent_standard_error():  # where libtiff writes, with no way to tell it not to
        image.load()


@contextmanager
def _silent_standard_error() -> Iterator[None]:
    """Nothing that is written in the block reaches the standard error; one thread at a time."""
    with _STANDARD_ERROR:
        try:
            saved = os.dup(2)
        except OSError:  # it is closed
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(nowhere)


def name_of(photo: str | Path | bytes) -> str:
    """What to call an image in an error."""
    return "given as bytes" if isinstance(photo, bytes) else str(photo)


def _load_readers(beginning: bytes, name: str) -> list[str]:
    """The formats to try. Their readers are named here: the search for all of Pillow's would bring PostScript's."""
    if beginning[_BRAND] == b"ftyp" and beginning[8:12] in _HEIF_BRANDS and b"avif" not in beginning:
        try:
            import pillow_heif
        except ModuleNotFoundError:
            raise UserError(
                f"the image {name} is a HEIC photo: pip install 'cmpc[heic]' to read it, or save it as JPEG."
            ) from None
        pillow_heif.register_heif_opener()
        return ["HEIF"]
    from PIL import (  # noqa: F401
        BmpImagePlugin,
        GifImagePlugin,
        Jpeg2KImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        PpmImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    try:
        from PIL import AvifImagePlugin  # noqa: F401
    except ImportError:  # before Pillow 11.3
        return [kind for kind in FORMATS if kind != "AVIF"]
    return list(FORMATS)
