"""The values of fields that sources of data share: names, ids, expressions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import TypeGuard

from cmpc.bounds import shortened
from cmpc.data.image_formats import MAX_PIXELS
from cmpc.data.schema import SPLIT_NAME
from cmpc.data.sources.faults import BrokenRowError


def image_name(value: object) -> str:
    """An image's path relative to the image folder, with forward slashes, checked to stay inside it.

    Raises:
        ValueError: it is no such path.
    """
    if not is_text(value) or not value or "\0" in value:
        raise ValueError("its image is not the name of a file")
    path = PurePosixPath(value.replace("\\", "/"))
    if path.is_absolute() or PureWindowsPath(value).drive or ".." in path.parts:
        raise ValueError(f"its image {value} is not a path inside the image folder")
    return str(path)


def split_name(value: object) -> str:
    """The name of a split, checked to be one that can be a file's.

    Raises:
        ValueError: it is no such name.
    """
    if not isinstance(value, str) or not SPLIT_NAME.fullmatch(value):
        raise ValueError(f"the split {value!r} is not a name of letters, digits, '_', '+' and '.'")
    return value


def expression_texts(value: object) -> tuple[str, ...]:
    """A non-empty list of non-blank expressions, stripped.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(value, list) or not value:
        raise ValueError("it has no expressions")
    if not all(is_text(text) and text.strip() for text in value):
        raise ValueError("an expression is empty or is not text")
    return tuple(text.strip() for text in value)


def identity(value: object) -> int | str:
    """What an id stands for: 12, 12.0 and "12" are one.

    Raises:
        ValueError: it is no id.
    """
    if is_text(value) and value:
        return int(value) if re.fullmatch(r"0|[1-9][0-9]{0,18}", value) else value
    number = whole_number(value)
    if number is None:
        raise ValueError(f"{value!r} is no id: neither a whole number nor text")
    return number


def identities(value: object) -> tuple[int | str, ...]:
    """The ids of a list, or the one that stands there without a list.

    Raises:
        ValueError: one is no id, or stands there twice.
    """
    found = tuple(identity(one) for one in (value if isinstance(value, list) else [value]))
    if len(set(found)) < len(found):
        twice = next(one for number, one in enumerate(found) if one in found[:number])
        raise BrokenRowError("lists of ids in which one stands twice", f"the id {twice} stands twice in its list")
    return found


def whole_number(value: object) -> int | None:
    """The value of 12 or 12.0; None where it is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def image_size(entry: Mapping[str, object]) -> tuple[int, int]:
    """Height and width that an entry about an image names.

    Raises:
        KeyError: it lacks one of them.
        ValueError: they are no whole numbers, or no image of that size is read.
    """
    height, width = whole_number(entry["height"]), whole_number(entry["width"])
    if height is None or width is None or min(height, width) < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"its size is {shortened(entry['width'])} x {shortened(entry['height'])}")
    return height, width


def is_text(value: object) -> TypeGuard[str]:
    """Whether the value is text that a file can hold: JSON can name halves of characters, which no file can."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
