"""What every source of data gives, and the checks of image files that all of them share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard, TypeVar

from cmpc.data.images import image_size, read_image
from cmpc.data.schema import SPLIT_NAME, ReferredObject
from cmpc.errors import UserError

T = TypeVar("T")

Track = Callable[[Iterable[T], str, int], Iterable[T]]
"""Shows progress: called with the items, what is done with them and how many there are; gives the items back."""


def no_progress(items: Iterable[T], what: str, total: int) -> Iterable[T]:
    """A ``Track`` that shows nothing."""
    return items


@dataclass(frozen=True)
class Reading:
    """How a source of data is read."""

    splits: Sequence[str] = ()
    """Only these; all by default."""
    allow_missing: bool = False
    """Leave objects out whose image is missing, instead of refusing."""
    decode_images: bool = False
    """Decode each image in full (minutes for a benchmark) instead of reading its header only."""
    track: Track = no_progress
    """Shows progress."""


WHOLE = Reading()
"""All splits, and every image must be there."""


@dataclass
class Collection:
    """A dataset as read from its files, before it is written as tables."""

    rows: dict[str, list[ReferredObject]]
    """Split -> rows."""
    image_folder: Path
    """The folder in which the images were found."""
    files: list[Path]
    """The annotation files that were read."""
    missing_images: list[str] = field(default_factory=list)
    """Images that were left out."""


@dataclass(frozen=True)
class FoundImages:
    """Image files that are there and are as they should be."""

    folder: Path
    """Where they are."""
    sizes: dict[str, tuple[int, int]]
    """Image -> height and width in pixels."""
    missing: list[str]
    """Images that are not there."""


def find_images(
    given: Path, below: Sequence[str], sizes: Mapping[str, tuple[int, int] | None], reading: Reading
) -> FoundImages:
    """Makes sure that the image files are there and have the size that their annotations were made for.

    Args:
        given: the folder that people gave.
        below: the usual places below it.
        sizes: image -> expected (height, width), or None where any size will do.
        reading: what to do about missing images, and how closely to look.

    Raises:
        UserError: the folder does not exist, or images are missing, broken or of another size.
    """
    folder = find_image_folder(given, below, sizes)
    present = existing_files(folder, sizes)
    missing = [image for image in sizes if image not in present]
    if missing and (not reading.allow_missing or not present):
        raise UserError(_missing_message(missing, len(sizes), folder, allow_missing=reading.allow_missing))
    names = [image for image in sizes if image in present]
    found: dict[str, tuple[int, int]] = {}
    for image in reading.track(names, "checking images", len(names)):
        path, expected = folder / image, sizes[image]
        height, width = read_image(path).shape[:2] if reading.decode_images else image_size(path)
        if expected is not None and expected != (height, width):
            raise UserError(
                f"{path} is {width} x {height} pixels but its annotation was made for {expected[1]} x {expected[0]}: "
                "give the folder with the original photos."
            )
        found[image] = (height, width)
    return FoundImages(folder, found, missing)


def existing_files(folder: Path, names: Iterable[str]) -> set[str]:
    """Those of ``names`` (paths relative to ``folder``) that exist; each folder is listed once."""
    by_parent: dict[str, list[str]] = {}
    for name in names:
        by_parent.setdefault(str(PurePosixPath(name).parent), []).append(name)
    found: set[str] = set()
    for parent, children in by_parent.items():
        try:
            listing = {entry.name for entry in (folder / parent).iterdir()}
        except OSError:
            continue
        found.update(name for name in children if PurePosixPath(name).name in listing)
    return found


def find_image_folder(given: Path, below: Sequence[str], wanted: Iterable[str]) -> Path:
    """The folder that holds most of the wanted images: the given one, or one of the usual places below it.

    Raises:
        UserError: the given folder does not exist.
    """
    if not given.is_dir():
        raise UserError(f"there is no image folder {given}: give the folder that holds the images with --images.")
    wanted = list(wanted)
    candidates = [given, *(given / place for place in below if (given / place).is_dir())]
    return max(candidates, key=lambda folder: len(existing_files(folder, wanted)))


def image_name(value: object) -> str:
    """An image's path relative to the image folder, checked to stay inside it.

    Raises:
        ValueError: it is no such path.
    """
    if not is_text(value) or not value or "\0" in value:
        raise ValueError("its image is not the name of a file")
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts:
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


def is_text(value: object) -> TypeGuard[str]:
    """Whether the value is text that a file can hold: JSON can name halves of characters, which no file can."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise UserError(f"{path} is damaged: it is not a JSON file.") from None


def _missing_message(missing: list[str], total: int, folder: Path, *, allow_missing: bool) -> str:
    names = ", ".join(missing[:3])
    be = "is" if len(missing) == 1 else "are"
    which = f"first: {names}" if len(missing) > 3 else names
    advice = "" if allow_missing else ", or --allow-missing to leave them out"
    where = f"missing in {folder} ({which})"
    return f"{len(missing):,} of {total:,} images {be} {where}. Give the folder that holds them{advice}."
