"""Which photos a command is about, and what is asked about each."""

from __future__ import annotations

import csv
import glob
import io
import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmpc.errors import UsageError, UserError
from cmpc.file_systems import Place, RemotePath, is_url, place

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESULT_SUFFIXES = (".overlay.png", ".mask.png", ".indexed.png", ".cutout.png")
"""What earlier runs wrote beside the photos of a folder is none of them."""
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
PHOTO_COLUMNS = ("photo", "image")
EXPRESSION_COLUMNS = ("expression", "expressions")
FILE_BYTES = 64 * 1024**2
"""Largest list or table that is read."""

Say = Callable[[str], object]
"""Takes a sentence that the user should read."""


@dataclass(frozen=True)
class AskedPhoto:
    """A photo and what is asked about it."""

    photo: Place
    """The file, which may be on a remote file system."""
    expressions: tuple[str, ...] = ()
    """What to look for, each expression once; empty where only the photo is known."""


def asked_photos(
    arguments: Sequence[str], prompts: Path | None = None, say: Say = lambda sentence: None
) -> list[AskedPhoto]:
    """The photos of the command line with their expressions.

    Args:
        arguments: photos first, then expressions; expressions there are asked in the place of a table's own.
        prompts: a text file with one expression a line, for all photos, or a table with the expressions of each photo;
            then all arguments are photos.
        say: is told which files of folders are no photos.

    Raises:
        UsageError: there is no photo or no expression, expressions stand in both places, or a URL is of a file system
            that is not read.
        UserError: a file is missing or unreadable, a folder holds no photo, or a photo has no expression.
    """
    if prompts is not None:
        photos = [found for argument in arguments for found in _found(argument, say)]
        return _with_prompts(photos, prompts)
    photos, expressions = _split(arguments, say)
    if photos and expressions:
        return [replace(asked, expressions=tuple(dict.fromkeys(expressions))) for asked in photos]
    if not photos or not any(asked.expressions for asked in photos):
        raise UsageError(
            "say what to look for: cmpc segment PHOTO 'EXPRESSION' ['MORE' ...] --out FOLDER, or --prompts FILE."
        )
    if missing := next((asked.photo for asked in photos if not asked.expressions), None):
        raise UserError(f"the tables say nothing to look for in {missing}: give expressions after the photos.")
    return photos


def split_arguments(arguments: Sequence[str], say: Say = lambda sentence: None) -> tuple[list[Place], list[str]]:
    """Photos and expressions: the first argument is a photo, and so are those after it that exist or look like one.

    The last one may be an expression that happens to be the name of a folder.

    Args:
        arguments: as a user types them.
        say: is told which files of folders are no photos.

    Raises:
        UsageError: there is no photo or no expression.
        UserError: a photo, or one of a list, is missing, or a folder holds none.
    """
    photos, expressions = _split(arguments, say)
    if not photos or not expressions:
        raise UsageError("say what to look for: cmpc segment PHOTO 'EXPRESSION' ['MORE' ...] --out FOLDER.")
    return [asked.photo for asked in photos], expressions


def read_photo(photo: Place) -> NDArray[np.uint8]:
    """A photo's pixels, RGB, uint8, (H, W, 3), turned upright as its EXIF orientation says.

    Raises:
        UserError: it is missing or damaged, or its file system does not answer.
    """
    from cmpc.data.image_formats import MAX_BYTES
    from cmpc.data.images import decode_image, read_image

    if isinstance(photo, Path):
        return read_image(photo, exif_rotation=True)
    try:
        data = photo.read(at_most=MAX_BYTES)
    except OSError as error:
        raise UserError(f"cannot read the image {photo}: {error.strerror}.") from None
    return decode_image(data, exif_rotation=True, name=str(photo)).pixels


def result_names(photos: Sequence[Place]) -> dict[str, Place]:
    """A name for the results of each photo: its own, numbered where two photos share it."""
    names: dict[str, Place] = {}
    for photo in photos:
        name, number = photo.stem, 2
        while name in names:
            name, number = f"{photo.stem}-{number}", number + 1
        names[name] = photo
    return names


def _split(arguments: Sequence[str], say: Say) -> tuple[list[AskedPhoto], list[str]]:
    photos: list[AskedPhoto] = []
    rest = list(arguments)
    while rest and rest[0].strip() and (not photos or _looks_like_photo(rest[0], last=len(rest) == 1)):
        photos += _found(rest.pop(0), say)
    return photos, rest


def _looks_like_photo(argument: str, *, last: bool) -> bool:
    from cmpc.data.image_formats import SUFFIXES

    if is_url(argument):
        return True
    try:
        exists = Path(argument).is_file() or (Path(argument).is_dir() and not last)
    except (OSError, ValueError):  # an expression that is too long for a file's name, or holds what none can
        exists = False
    return exists or argument.lower().endswith(SUFFIXES)


def _found(argument: str, say: Say) -> list[AskedPhoto]:
    """The photos that one argument means."""
    path = place(argument)
    if isinstance(path, RemotePath):
        return list(map(AskedPhoto, _remote_photos(path)))
    if path.is_dir():
        return list(map(AskedPhoto, _photos_of_folder(path, say)))
    if not path.exists():
        return list(map(AskedPhoto, _matching(str(path))))
    if path.suffix.lower() == ".txt":
        return list(map(AskedPhoto, _listed_photos(path)))
    if path.suffix.lower() in TABLE_SUFFIXES:
        return _photos_of_table(path)
    return [AskedPhoto(path)]


def _photos_of_folder(folder: Path, say: Say) -> list[Path]:
    from cmpc.data.image_formats import SUFFIXES

    entries = [entry for entry in sorted(folder.iterdir()) if not entry.name.endswith(RESULT_SUFFIXES)]
    photos = [entry for entry in entries if _is_photo(entry)]
    if not photos:
        raise UserError(f"the folder {folder} holds no photo ({', '.join(SUFFIXES)}).")
    if others := [entry.name for entry in entries if entry not in set(photos)]:
        first = ", ".join(others[:3]) + (f" and {len(others) - 3:,} more" if len(others) > 3 else "")
        say(f"{len(others):,} of {len(entries):,} names in {folder} are no photos and are skipped: {first}.")
    return photos


def _remote_photos(where: RemotePath) -> list[RemotePath]:
    """The photo at a URL, or those in the folder there."""
    try:
        if where.is_dir():
            photos = [file for file in where.files() if _is_photo(Path(file.name))]
            if not photos:
                raise UserError(f"the folder {where} holds no photo.")
            return photos
        if not where.is_file():
            raise UserError(f"there is no photo {where}.")
    except OSError as error:
        raise UserError(f"cannot read {error.filename or where}: {error.strerror}.") from None
    if where.suffix.lower() in (".txt", *TABLE_SUFFIXES):
        raise UsageError(
            f"{where} is a table on a remote file system, which cmpc bulk reads (.jsonl, .parquet); here tables lie on "
            "this machine, and may name photos by their URLs."
        )
    return [where]


def _is_photo(file: Path) -> bool:
    from cmpc.data.image_formats import is_photo_name

    return is_photo_name(file) and not file.is_dir() and not file.name.endswith(RESULT_SUFFIXES)


def _matching(pattern: str) -> list[Path]:
    """The photos that a pattern such as ``photos/*.jpg`` matches."""
    if not glob.has_magic(pattern):
        raise UserError(
            f"there is no photo {pattern}: give a file, a folder, a pattern, a table, or a text file with one path a "
            "line."
        )
    found = _photos_matching(pattern)
    if not found:
        raise UserError(f"no photo matches the pattern {pattern}.")
    return found


def _photos_matching(pattern: str) -> list[Path]:
    return [path for path in map(Path, sorted(glob.glob(pattern, recursive=True))) if _is_photo(path)]


def _listed_photos(path: Path) -> list[Place]:
    lines = _lines(path, "a list of photos", "path")
    if not lines:
        raise UserError(f"{path} lists no photo: write one path a line.")
    return _check_listed(path, [file for line in lines for file in _files_of_line(path.parent, line)])


def _files_of_line(folder: Path, line: str) -> Sequence[Place]:
    """What a line of a list means; the path itself where there is no such file."""
    if is_url(line):
        return [place(line)]
    for name in dict.fromkeys((line, line.replace("\\", "/"))):
        if os.path.exists(folder / name):  # False too where no file can have the name, as it is too long
            return [folder / name]
        if glob.has_magic(name) and (found := _photos_matching(str(Path(glob.escape(str(folder))) / name))):
            return found
    return [folder / line]


def _named(folder: Path, name: str) -> Place:
    """What a table calls so: a URL, or a path from the table's folder."""
    return place(name) if is_url(name) else folder / name


def _check_listed(path: Path, listed: list[Place]) -> list[Place]:
    """Those of a list, if all are there; of remote ones that is found out when they are read."""
    if missing := [_told(file) for file in listed if isinstance(file, Path) and not os.path.exists(file)]:
        raise UserError(f"{len(missing)} of {len(listed)} photos listed in {path} are missing (first: {missing[0]}).")
    return listed


def _told(file: Place) -> str:
    """A name that may be anything, in a sentence."""
    name = f"{file!s:.200}"
    return name if name.isprintable() else repr(name)


def _lines(path: Path, what: str, unit: str) -> list[str]:
    return [line for line in map(str.strip, _text(path, f"{what} with one {unit} a line").split("\n")) if line]


def _text(path: Path, what: str) -> str:
    from cmpc.reading import read_text

    try:
        return read_text(path, at_most=FILE_BYTES)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not {what}: it is not UTF-8 text.") from None


def _photos_of_table(path: Path) -> list[AskedPhoto]:
    table = _read_table(path)
    photos = [_named(path.parent, name) for name in table]
    _check_listed(path, photos)
    return [AskedPhoto(photo, expressions) for photo, expressions in zip(photos, table.values(), strict=True)]


def _with_prompts(photos: list[AskedPhoto], prompts: Path) -> list[AskedPhoto]:
    if not photos:
        raise UsageError("say which photos: cmpc segment PHOTO ... --prompts FILE --out FOLDER.")
    if not prompts.is_file():
        raise UserError(
            f"there is no file {prompts}: --prompts takes a text file with one expression a line, or a table."
        )
    if prompts.suffix.lower() not in TABLE_SUFFIXES:
        expressions = _lines(prompts, "a list of expressions", "expression")
        if not expressions:
            raise UserError(f"{prompts} holds no expression: write one a line.")
        return [replace(asked, expressions=tuple(dict.fromkeys(expressions))) for asked in photos]
    table = _read_table(prompts)
    by_path = {_named(prompts.parent, name).resolve(): expressions for name, expressions in table.items()}
    by_name = {Path(name).name: expressions for name, expressions in table.items()}
    answered = []
    for asked in photos:
        own = by_path.get(asked.photo.resolve()) or by_name.get(asked.photo.name)
        if not own:
            raise UserError(f"{prompts} says nothing to look for in {_told(asked.photo)}: add a row for it.")
        answered.append(replace(asked, expressions=own))
    return answered


def _read_table(path: Path) -> dict[str, tuple[str, ...]]:
    """Photo -> expressions, of a table's rows; rows of the same photo are joined.

    Raises:
        UserError: the table cannot be read, or has no column of photos.
    """
    from cmpc.data.sources.fields import is_text

    found: dict[str, list[str]] = {}
    for number, row in enumerate(_rows(path), start=1):
        if not isinstance(row, dict):
            raise UserError(f"{path}, row {number}: it is not a JSON object with a photo.")
        photo = next((row[name] for name in PHOTO_COLUMNS if row.get(name)), None)
        if not is_text(photo) or "\0" in photo:
            raise UserError(f"{path}, row {number}: there is no photo; name the column {' or '.join(PHOTO_COLUMNS)}.")
        asked = found.setdefault(photo, [])
        for name in EXPRESSION_COLUMNS:
            value = row.get(name) or []
            values = [value] if isinstance(value, str) else value
            if not isinstance(values, list) or not all(map(is_text, values)):
                raise UserError(f"{path}, row {number}: {name} is not text.")
            asked += [one for one in values if one.strip()]
    if not found:
        raise UserError(f"{path} lists no photo: it has no row.")
    return {photo: tuple(dict.fromkeys(asked)) for photo, asked in found.items()}


def _rows(path: Path) -> Iterator[Any]:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return iter(_rows_of_parquet(path))
    if suffix == ".jsonl":
        return map(_row_of_json, itertools.repeat(path), itertools.count(1), _lines(path, "a table", "row"))
    return _rows_of_csv(path, "\t" if suffix == ".tsv" else ",")


def _rows_of_csv(path: Path, delimiter: str) -> Iterator[Any]:
    try:
        yield from csv.DictReader(io.StringIO(_text(path, "a table")), delimiter=delimiter)
    except csv.Error as error:
        raise UserError(f"{path} is not a table: {error}.") from None


def _rows_of_parquet(path: Path) -> list[Any]:
    import pyarrow.parquet

    from cmpc.reading import open_file

    try:
        with open_file(path, at_most=FILE_BYTES) as file:
            table = pyarrow.parquet.read_table(file)
        names = [name for name in (*PHOTO_COLUMNS, *EXPRESSION_COLUMNS) if name in table.column_names]
        return table.select(names).to_pylist()
    except Exception as error:  # readers of Parquet raise many things on damaged files
        reason = getattr(error, "strerror", None) or "it is not a Parquet file, or it is damaged"
        raise UserError(f"cannot read {path}: {reason}.") from None


def _row_of_json(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise UserError(f"{path}, row {number}: it is not JSON; each line must be one JSON object.") from None
