"""What people give the Python API: every kind that is taken, and a sentence for every other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmpc.data.images import from_array, from_pillow, read_image
from cmpc.errors import UsageError

ImageSource = str | Path | bytes | NDArray | Image.Image
"""A path, the bytes of a file, an array (H, W) or (H, W, 3 or 4) of uint8 or uint16 in RGB order, or a PIL image."""


def to_threshold(value: Any, what: str = "the threshold") -> float:
    """A threshold as a plain number.

    Args:
        value: what was given.
        what: its name in an error.

    Raises:
        UsageError: it is no number, or not between 0 and 1.
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= 1:
        raise UsageError(f"{what} must be a number between 0 and 1, got {shown(value)}.")
    return float(value)


def to_expressions(value: Any) -> list[str]:
    """One expression or several as a list.

    Raises:
        UsageError: it is another thing, or holds one.
    """
    if isinstance(value, str):
        return [value]
    if not isinstance(value, Sequence) or isinstance(value, bytes | bytearray | memoryview):
        raise UsageError(f"expressions are a text, or a list of texts such as ['the left man'], got {shown(value)}.")
    for number, expression in enumerate(value, start=1):
        if not isinstance(expression, str):
            raise UsageError(f"each expression must be a text, but number {number} is {shown(expression)}.")
    return list(value)


def to_list(value: Any, what: str) -> list[Any]:
    """A list or tuple as a list.

    Args:
        value: what was given.
        what: its name in an error, such as ``images``.

    Raises:
        UsageError: it is another thing.
    """
    if not isinstance(value, list | tuple):
        raise UsageError(f"{what} must be a list, with one entry for each image, got {shown(value)}.")
    return list(value)


def to_pixels(image: Any) -> NDArray[np.uint8]:
    """An image as RGB, uint8, (H, W, 3), upright.

    Raises:
        UsageError: it is nothing that an image can be given as.
        UserError: it is missing or broken.
    """
    if isinstance(image, np.ndarray):
        return from_array(image)
    if isinstance(image, Image.Image):
        return from_pillow(image)
    if isinstance(image, bytes | str | os.PathLike):
        return read_image(image if isinstance(image, bytes | str) else Path(image), exif_rotation=True)
    raise UsageError(
        "an image is a path, the bytes of a file, an array (H, W), (H, W, 3) or (H, W, 4) of uint8 or uint16, "
        f"or a PIL image, got {shown(image)}."
    )


def check_image_comes_last(expressions: object, image: object, image_kinds: tuple[type, ...]) -> None:
    """Refuses the image before the expressions: the order that this had once. The sentence goes in 2.0.

    Args:
        expressions: what stands in their place.
        image: what stands in its place.
        image_kinds: further kinds of images.

    Raises:
        UsageError: the arguments are in that order.
    """
    is_texts = isinstance(image, list | tuple) or (isinstance(image, str) and not _is_file(image))
    swapped = isinstance(expressions, (Path, np.ndarray, Image.Image, *image_kinds))
    swapped |= isinstance(expressions, bytes) and is_texts
    swapped |= isinstance(expressions, str) and is_texts and _is_file(expressions)
    if swapped:
        raise UsageError("expressions come first, then the image: predict(['the left man'], image='photo.jpg').")


def shown(value: object) -> str:
    """A value in an error: itself where it is short and plain, else its kind."""
    if value is None or isinstance(value, bool | int | float | str | bytes):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"a value of the type {name}"


def _is_file(name: str) -> bool:
    try:
        return os.path.isfile(name)
    except ValueError:  # a NUL is in it
        return False


def check_name(value: str | None, names: Sequence[str], what: str) -> None:
    """Refuses what is none of the names, where something is given.

    Raises:
        UsageError: names them.
    """
    if value is not None and value not in names:
        raise UsageError(f"there is no {what} {shown(value)}: give {', '.join(names[:-1])} or {names[-1]}.")
