"""Masks drawn as pictures: which pixels are inside is decided by the form of the file, and what cannot be meant is
refused. Everything here raises ``ValueError`` with a phrase that says what is wrong; the caller knows whose mask it is.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from cmpc.data.image_formats import MAX_BYTES, load_pixels, open_image, read_header
from cmpc.data.strict_decoding import DamagedImageError, check_png
from cmpc.errors import UserError
from cmpc.reading import read_file

SHARP = ("PNG", "BMP", "GIF", "TIFF", "PPM", "WEBP")
"""Formats whose edges are sharp; WebP where it is lossless."""
NEARLY_ALL = 0.95
"""Share of the photo from which a mask is doubted."""


def read_mask_picture(path: Path, *, name: str, size: tuple[int, int]) -> np.ndarray:
    """The mask in a picture, as ``mask_of_picture`` reads it: bool (H, W), True inside.

    Args:
        path: the file.
        name: what to call it in an error.
        size: height and width of the photo.

    Raises:
        ValueError: the file is missing, is no picture, is of another size, or its form does not say what is inside.
    """
    try:
        data = read_file(path, at_most=MAX_BYTES)
        header = read_header(data, name=name)
        if header.format not in SHARP or (header.format == "WEBP" and b"VP8L" not in data[:4096]):
            raise ValueError(f"{name} is a {header.format}, whose edges are blurred; save masks as PNG")
        if (header.height, header.width) != size:
            given = f"{header.width} x {header.height}"
            raise ValueError(f"{name} is {given} pixels but the image is {size[1]} x {size[0]}")
        if header.format == "PNG":
            check_png(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = open_image(io.BytesIO(data), name)
            load_pixels(image)
            return mask_of_picture(image, name=name)
    except DamagedImageError as error:
        raise ValueError(f"{name} is damaged: {error}") from None
    except ValueError:
        raise
    except UserError as error:
        raise ValueError(str(error).removesuffix(".")) from None
    except OSError as error:
        if error.errno is None:  # what readers of images raise
            raise ValueError(f"{name} is damaged") from None
        raise ValueError(f"cannot read {name}: {error.strerror}") from None
    except Exception:
        raise ValueError(f"{name} is damaged") from None


def mask_of_picture(image: Image.Image, *, name: str) -> np.ndarray:
    """Which pixels of a picture are inside, bool (H, W).

    Where transparency divides the picture, what is not transparent is inside, whatever its colour. In a palette, colour
    0 is outside and all others are inside. In every other picture black is outside and all other colours are inside.

    Raises:
        ValueError: the form does not say it: black is in a palette, but not its first colour; or nothing is outside.
    """
    opaque = _opaque(image)
    if image.mode in ("P", "PA"):
        inside = _inside_of_palette(image, opaque, name)
    elif opaque is not None:
        inside = opaque
    else:
        if image.mode not in ("1", "L", "F") and not image.mode.startswith("I"):
            image = image.convert("RGB")
        colours = np.asarray(image)
        inside = colours != 0 if colours.ndim == 2 else (colours != 0).any(axis=2)
    if inside.all():
        raise ValueError(
            f"{name} has nothing outside of the object: what is black, transparent or the first colour of a palette is "
            "outside (to mean the whole photo, give a box)"
        )
    return inside


def doubt(mask: np.ndarray) -> str | None:
    """Why a mask may mean something else than it says, as a phrase; None for a usual one."""
    share = mask.mean()
    if mask.sum() == 1:
        return "it is a single pixel"
    if share >= NEARLY_ALL:
        return f"{share:.1%} of the photo is inside"
    border = mask[0].all() and mask[-1].all() and mask[:, 0].all() and mask[:, -1].all()
    return "the whole border of the photo is inside" if border else None


def _opaque(image: Image.Image) -> np.ndarray | None:
    """Where a picture is not transparent, bool (H, W); None where that does not divide it."""
    clear = image.info.get("transparency")
    if image.mode in ("LA", "PA", "RGBA"):
        opaque = np.asarray(image.getchannel("A")) != 0
    elif clear is None:
        return None
    elif image.mode == "P":
        opaque = np.asarray(image.convert("RGBA").getchannel("A")) != 0
    elif image.mode == "1":
        opaque = np.asarray(image.convert("L")) != clear
    else:
        differs = np.asarray(image) != np.asarray(clear)
        opaque = differs if differs.ndim == 2 else differs.any(axis=2)
    return opaque if opaque.any() and not opaque.all() else None


def _inside_of_palette(image: Image.Image, opaque: np.ndarray | None, name: str) -> np.ndarray:
    index = np.asarray(image.getchannel(0) if image.mode == "PA" else image)
    palette = np.array(image.getpalette("RGB") or (), np.uint8).reshape(-1, 3)
    first_is_black = len(palette) == 0 or not palette[0].any()
    coloured = index != 0
    if opaque is not None:
        divided = coloured[opaque].any() and not coloured[opaque].all()
        return opaque & coloured if divided and first_is_black else opaque
    later = [
        int(number) for number in np.unique(index[coloured]) if number < len(palette) and not palette[number].any()
    ]
    if later and not first_is_black and not coloured.all():
        raise ValueError(
            f"{name} has a palette in which black is colour {later[0]} and colour 0, which is outside, is "
            f"{tuple(palette[0].tolist())}: save it in shades of grey, black outside"
        )
    return coloured
