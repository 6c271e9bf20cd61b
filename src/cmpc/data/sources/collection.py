"""What every source of data gives, and the checks of image files that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal, TypeVar

from cmpc.data.image_formats import ImageHeader, read_header
from cmpc.data.images import decode_image
from cmpc.data.schema import ReferredObject
from cmpc.data.sources.faults import BrokenRows
from cmpc.data.sources.upright import Exif, TurnedPhotos
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
    skip_broken: bool = False
    """Leave out rows that are broken, and count them, instead of refusing."""
    exif: Exif = "auto"
    """What to do about photos that are stored turned."""
    track: Track = no_progress
    """Shows progress."""


WHOLE = Reading()
"""All splits, and every image must be there and every row be right."""


@dataclass
class Collection:
    """A dataset as read from its files, before it is written as tables."""

    rows: Mapping[str, Sequence[ReferredObject]]
    """Split -> rows."""
    image_folder: Path
    """The folder in which the images were found."""
    files: list[Path]
    """The annotation files that were read."""
    missing_images: list[str] = field(default_factory=list)
    """Images that were left out because their files are missing."""
    turned_images: list[str] = field(default_factory=list)
    """Images that were annotated upright, but are stored turned."""
    broken: dict[str, int] = field(default_factory=dict)
    """What was left out on request because it is broken: reason -> number."""
    notes: list[str] = field(default_factory=list)
    """What the user should know, as sentences."""


@dataclass(frozen=True)
class FoundImages:
    """Image files that are there and are as they should be."""

    folder: Path
    """Where they are."""
    sizes: dict[str, tuple[int, int]]
    """Image -> height and width in pixels."""
    missing: list[str]
    """Images that are not there."""
    turned: TurnedPhotos
    """What was decided about images that are stored turned."""


def find_images(
    given: Path,
    below: Sequence[str],
    sizes: Mapping[str, tuple[int, int] | None],
    reading: Reading,
    broken: BrokenRows,
    *,
    guess_size: Callable[[str, ImageHeader], tuple[int, int] | None] = lambda image, header: None,
    if_both_fit: Literal["keep", "refuse"] = "refuse",
) -> FoundImages:
    """Makes sure that the image files are there and have the size that their annotations were made for.

    Args:
        given: the folder that people gave.
        below: the usual places below it.
        sizes: image -> expected (height, width), or None where any size will do.
        reading: what to do about missing images, and how closely to look.
        broken: what to do about broken images.
        guess_size: the height and width for which the annotations of an image with an EXIF orientation were made, where
            ``sizes`` does not say it; None where they fit it both as stored and upright.
        if_both_fit: what to do about these: ``keep`` for benchmarks, whose annotations were made on pixels as stored.

    Raises:
        UserError: the folder does not exist, or images are missing, broken or of another size, or it is not known
            whether they are to be turned.
    """
    folder = find_image_folder(given, below, sizes)
    present = existing_files(folder, sizes)
    missing = [image for image in sizes if image not in present]
    if missing and (not reading.allow_missing or not present):
        raise UserError(_missing_message(missing, len(sizes), folder, allow_missing=reading.allow_missing))
    names = [image for image in sizes if image in present]
    found: dict[str, tuple[int, int]] = {}
    turned = TurnedPhotos(reading.exif, if_both_fit)
    for image in reading.track(names, "checking images", len(names)):
        path, expected = folder / image, sizes[image]
        with broken.told("images that cannot be read or are of another size", str(path)):
            header = read_header(path)
            if reading.decode_images:
                decode_image(path)
            if expected is None and header.orientation != 1:
                expected = guess_size(image, header)
            height, width = turned.size(image, header, expected)
            if sizes[image] not in (None, (height, width)):
                assert expected is not None
                raise UserError(
                    f"{path} is {width} x {height} pixels but its annotation was made for {expected[1]} x "
                    f"{expected[0]}: give the folder with the original photos."
                )
            found[image] = (height, width)
    turned.check()
    return FoundImages(folder, found, missing, turned)


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


def _missing_message(missing: list[str], total: int, folder: Path, *, allow_missing: bool) -> str:
    names = ", ".join(missing[:3])
    be = "is" if len(missing) == 1 else "are"
    which = f"first: {names}" if len(missing) > 3 else names
    advice = "" if allow_missing else ", or --allow-missing to leave them out"
    where = f"missing in {folder} ({which})"
    return f"{len(missing):,} of {total:,} images {be} {where}. Give the folder that holds them{advice}."
