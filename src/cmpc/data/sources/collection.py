"""What every source of data gives, and the checks of image files that all of them share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard, TypeVar

from cmpc.data.images import image_size, read_image
from cmpc.data.schema import ReferredObject
from cmpc.errors import UserError

T = TypeVar("T")

Track = Callable[[Iterable[T], str, int], Iterable[T]]
"""Shows progress: called with the items, what is done with them and how many there are; gives the items back."""


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


def no_progress(items: Iterable[T], what: str, total: int) -> Iterable[T]:
    """A ``Track`` that shows nothing."""
    return items


def check_images(
    image_folder: Path,
    sizes: Mapping[str, tuple[int, int] | None],
    *,
    allow_missing: bool,
    decode: bool,
    track: Track = no_progress,
) -> dict[str, tuple[int, int]]:
    """Makes sure that the image files are there and have the size that their annotations were made for.

    Args:
        image_folder: where the images are.
        sizes: image -> expected (height, width), or None where any size will do.
        allow_missing: leave missing images out instead of refusing.
        decode: decode each image in full (minutes for a benchmark) instead of reading its header.
        track: shows progress.

    Returns:
        The images that are there -> (height, width).

    Raises:
        UserError: images are missing, broken or of another size.
    """
    present = existing_files(image_folder, sizes)
    missing = [image for image in sizes if image not in present]
    if missing and (not allow_missing or not present):
        raise UserError(_missing_message(missing, len(sizes), image_folder, allow_missing))
    names = [image for image in sizes if image in present]
    found: dict[str, tuple[int, int]] = {}
    for image in track(names, "checking images", len(names)):
        path, expected = image_folder / image, sizes[image]
        height, width = read_image(path).shape[:2] if decode else image_size(path)
        if expected is not None and expected != (height, width):
            raise UserError(
                f"{path} is {width} x {height} pixels but its annotation was made for {expected[1]} x {expected[0]}: "
                "give the folder with the original photos."
            )
        found[image] = (height, width)
    return found


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


def file_hashes(files: Iterable[Path]) -> dict[str, str]:
    """Name -> SHA-256 in hexadecimal."""
    hashes = {}
    for path in files:
        with path.open("rb") as file:
            hashes[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def _missing_message(missing: list[str], total: int, folder: Path, allow_missing: bool) -> str:
    names = ", ".join(missing[:3])
    be = "is" if len(missing) == 1 else "are"
    which = f"first: {names}" if len(missing) > 3 else names
    advice = "" if allow_missing else ", or --allow-missing to leave them out"
    where = f"missing in {folder} ({which})"
    return f"{len(missing):,} of {total:,} images {be} {where}. Give the folder that holds them{advice}."
