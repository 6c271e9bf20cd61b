"""The photos that arguments name: files, folders, patterns and lists."""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from pathlib import Path

from cmpc.errors import UsageError, UserError

RESULT_SUFFIXES = (".overlay.png", ".mask.png")
"""What earlier runs wrote beside the photos of a folder is none of them."""
LIST_BYTES = 64 * 1024**2

Say = Callable[[str], object]
"""Takes a sentence that the user should read."""


def split_arguments(arguments: Sequence[str], say: Say = lambda sentence: None) -> tuple[list[Path], list[str]]:
    """Photos and expressions: the first argument is a photo, and so are those after it that exist or look like one.

    The last one may be an expression that happens to be the name of a folder.

    Args:
        arguments: as a user types them.
        say: is told which files of folders are no photos.

    Raises:
        UsageError: there is no photo or no expression.
        UserError: a photo, or one of a list, is missing, or a folder holds none.
    """
    photos: list[Path] = []
    rest = list(arguments)
    while rest and rest[0].strip() and (not photos or _looks_like_photo(rest[0], last=len(rest) == 1)):
        photos += _photos(Path(rest.pop(0)), say)
    if not photos or not rest:
        raise UsageError("say what to look for: cmpc segment PHOTO 'EXPRESSION' ['MORE' ...] --out FOLDER.")
    return photos, rest


def _looks_like_photo(argument: str, *, last: bool) -> bool:
    from cmpc.data.image_formats import SUFFIXES

    try:
        exists = Path(argument).is_file() or (Path(argument).is_dir() and not last)
    except (OSError, ValueError):  # an expression that is too long for a file's name, or holds what none can
        exists = False
    return exists or argument.lower().endswith(SUFFIXES)


def _photos(path: Path, say: Say) -> list[Path]:
    if path.is_dir():
        return _photos_of_folder(path, say)
    if not path.exists():
        if found := _matching(path):
            return found
        raise UserError(f"there is no photo {path}: give a file, a folder, or a text file with one path a line.")
    if path.suffix.lower() == ".txt":
        return _listed_photos(path)
    return [path]


def _photos_of_folder(folder: Path, say: Say) -> list[Path]:
    from cmpc.data.image_formats import SUFFIXES, is_photo_name

    entries = [entry for entry in sorted(folder.iterdir()) if not entry.name.endswith(RESULT_SUFFIXES)]
    photos = [entry for entry in entries if is_photo_name(entry) and not entry.is_dir()]
    if not photos:
        raise UserError(f"the folder {folder} holds no photo ({', '.join(SUFFIXES)}).")
    if others := [entry.name for entry in entries if entry not in set(photos)]:
        first = ", ".join(others[:3]) + (f" and {len(others) - 3:,} more" if len(others) > 3 else "")
        say(f"{len(others):,} of {len(entries):,} names in {folder} are no photos and are skipped: {first}.")
    return photos


def _matching(pattern: Path) -> list[Path]:
    """The files that a pattern such as ``photos/*.jpg`` means, where no shell has done it."""
    if not glob.has_magic(str(pattern)):
        return []
    return [file for file in map(Path, sorted(glob.glob(str(pattern)))) if file.is_file()]


def _listed_photos(path: Path) -> list[Path]:
    from cmpc.reading import read_text

    try:
        text = read_text(path, at_most=LIST_BYTES)
    except OSError as error:
        raise UserError(f"cannot read the list of photos {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a list of photos: it is not UTF-8 text with one path a line.") from None
    listed = [file for line in text.split("\n") if line.strip() for file in _files_of_line(path.parent, line.strip())]
    if not listed:
        raise UserError(f"{path} lists no photo: write one path a line.")
    if missing := [str(file) for file in listed if not file.exists()]:
        raise UserError(f"{len(missing)} of {len(listed)} photos listed in {path} are missing (first: {missing[0]}).")
    return listed


def _files_of_line(folder: Path, line: str) -> list[Path]:
    """What a line of a list means; the path itself where there is no such file."""
    for name in dict.fromkeys((line, line.replace("\\", "/"))):
        if (folder / name).exists():
            return [folder / name]
        if found := _matching(Path(glob.escape(str(folder))) / name):
            return found
    return [folder / line]
