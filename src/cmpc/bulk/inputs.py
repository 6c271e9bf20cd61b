"""Cuts the input into parts without reading it into memory, and reads the rows of a part."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cmpc.bulk.parts import InputRow, Part
from cmpc.data.sources.fields import is_text
from cmpc.errors import UsageError, UserError
from cmpc.file_systems import Place, RemotePath, UnreachableError, named, place

IMAGE_COLUMNS = ("image", "photo")
EXPRESSION_COLUMNS = ("expression", "expressions")
TABLE_KINDS = {".parquet": "parquet", ".jsonl": "jsonl"}
_BLOCK = 8 * 1024**2
"""Bytes of JSON Lines that are looked through at once."""


@dataclass(frozen=True)
class FoundInput:
    """What INPUT means."""

    kind: str
    """``parquet``, ``jsonl`` or ``photos``."""
    files: tuple[Place, ...]
    """The tables, sorted by name; of photos, the folder alone."""
    folder: Place
    """The folder that relative names of photos are in."""


@dataclass(frozen=True)
class BulkPlan:
    """The parts of an input."""

    parts: tuple[Part, ...]
    """All of them, in the order of the input."""
    fingerprint: str
    """Stands for the content of the input."""

    @property
    def rows(self) -> int:
        """Rows of the input: photos, of a folder."""
        return sum(part.rows for part in self.parts)


def find_input(text: str, *, has_expressions: bool) -> FoundInput:
    """What is at a path or URL: with expressions a folder of photos, else a table or a folder of tables of one kind.

    Raises:
        UsageError: there is a table and expressions as well, or photos without any.
        UserError: there is nothing, or nothing of these kinds.
    """
    where = place(text)
    with reading(where):
        is_folder = where.is_dir()
        if not is_folder and not where.is_file():
            raise UserError(
                f"there is no input {where}: give a table (.parquet, .jsonl), a folder of tables, or of photos."
            )
        if has_expressions:
            if not is_folder:
                raise UsageError("expressions go with a folder of photos; a table has a column expression.")
            return FoundInput("photos", (where,), where)
        if not is_folder:
            if where.suffix.lower() not in TABLE_KINDS:
                raise UsageError(f"{where} is no table: give Parquet (.parquet) or JSON Lines (.jsonl).")
            return FoundInput(TABLE_KINDS[where.suffix.lower()], (where,), where.parent)
        for suffix, kind in TABLE_KINDS.items():
            tables = [file for file in where.glob(f"*{suffix}") if isinstance(file, RemotePath) or file.is_file()]
            if tables:
                return FoundInput(kind, tuple(sorted(tables, key=str)), where)
    raise UsageError(
        f"{where} holds no table (.parquet, .jsonl); for a folder of photos, say what to look for: "
        "cmpc bulk FOLDER 'EXPRESSION' ['MORE' ...] --out OUT."
    )


def plan_parts(found: FoundInput, rows_per_part: int) -> BulkPlan:
    """Cuts an input into parts; none reaches over the end of a file.

    Raises:
        UserError: a file is damaged, lacks a column, or cannot be read, or the input is empty.
    """
    digest = hashlib.sha256()
    parts: list[Part] = []
    for number, file in enumerate(found.files):
        with reading(file):
            cut = {"parquet": _cut_parquet, "jsonl": _cut_lines, "photos": _cut_photos}[found.kind]
            digest.update(f"{file.name if found.kind != 'photos' else ''}\0".encode())
            for rows, where in cut(file, rows_per_part, digest):
                first_row = parts[-1].first_row + parts[-1].rows if parts else 0
                parts.append(Part(len(parts), first_row, rows, file=number, **where))
    if not parts:
        raise UserError(f"the input {found.files[0] if len(found.files) == 1 else found.folder} is empty.")
    return BulkPlan(tuple(parts), digest.hexdigest())


def read_part(files: Sequence[str], kind: str, expressions: tuple[str, ...], part: Part) -> list[InputRow]:
    """The rows of a part.

    Args:
        files: of the input, as paths or URLs.
        kind: what they are.
        expressions: what is asked about every photo of a folder.
        part: which rows.

    Raises:
        UserError: a file is gone or damaged.
    """
    if kind == "photos":
        return [InputRow(name, name, expressions) for name in part.photos]
    file = place(files[part.file])
    with reading(file):
        if kind == "parquet":
            rows: list[Any] = _rows_of_parquet(file, part.start, part.rows)
        else:
            lines = _read_bytes(file, part.start, part.length).split(b"\n")
            rows = [_row_of_json(line) for line in lines if line.strip()]
    if len(rows) != part.rows:
        raise UserError(f"{file} has changed since the run began: give the input of then, or another --out.")
    return [_input_row(row, part.first_row + position) for position, row in enumerate(rows)]


@contextmanager
def reading(what: Place) -> Iterator[None]:
    """Errors of a file system become sentences."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot read {error.filename or what}: {error.strerror or error}.") from None


def _cut_photos(folder: Place, rows_per_part: int, digest: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """The photos of a folder and of those below it, by their relative names."""
    from cmpc.data.image_formats import is_photo_name

    if isinstance(folder, RemotePath):
        own = len(str(folder)) + 1
        names = [str(file)[own:] for file in folder.files(below=True)]
    else:
        names = sorted(str(file.relative_to(folder).as_posix()) for file in folder.rglob("*") if file.is_file())
    names = [name for name in names if is_photo_name(Path(name))]
    if not names:
        raise UserError(f"the folder {folder} holds no photo.")
    digest.update("\0".join(names).encode())
    for start in range(0, len(names), rows_per_part):
        some = tuple(names[start : start + rows_per_part])
        yield len(some), {"photos": some}


def _cut_parquet(file: Place, rows_per_part: int, digest: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    table = _parquet(file)
    with _damaged(f"{file} is damaged: copy it again."):
        _columns(table.schema_arrow.names, file)
        digest.update(json.dumps(table.metadata.to_dict(), default=str, sort_keys=True).encode())
    total = table.metadata.num_rows
    for start in range(0, total, rows_per_part):
        yield min(rows_per_part, total - start), {"start": start}


def _cut_lines(file: Place, rows_per_part: int, digest: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """Looks through all bytes once for the ends of lines; lines without a letter are no rows."""
    rows, start, position = 0, 0, 0
    has_columns, names = False, list[str]()
    for line in _lines(file):
        digest.update(line)
        position += len(line)
        if not line.strip():
            continue
        rows += 1
        if not has_columns and position < _BLOCK:
            row = _row_of_json(line)
            names = list(row) if isinstance(row, dict) and not names else names
            has_columns = isinstance(row, dict) and all(
                any(name in row for name in some) for some in (IMAGE_COLUMNS, EXPRESSION_COLUMNS)
            )
        if rows == rows_per_part:
            if not has_columns:
                _columns(names, file)
                has_columns = True
            yield rows, {"start": start, "length": position - start}
            rows, start = 0, position
    if rows:
        if not has_columns:
            _columns(names, file)
        yield rows, {"start": start, "length": position - start}


def _lines(file: Place) -> Iterator[bytes]:
    """The lines of a file with their ends, some megabytes at once."""
    with file.open() if isinstance(file, RemotePath) else file.open("rb") as opened:
        rest = b""
        while block := opened.read(_BLOCK):
            *lines, rest = (rest + block).split(b"\n")
            yield from (line + b"\n" for line in lines)
        if rest:
            yield rest


def _read_bytes(file: Place, start: int, length: int) -> bytes:
    if isinstance(file, RemotePath):
        return file.read_part(start, length)
    with file.open("rb") as opened:
        opened.seek(start)
        return opened.read(length)


def _row_of_json(line: bytes) -> Any:
    """The value of a line; None where it is no JSON."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _columns(names: Sequence[str], file: Place) -> tuple[str, str]:
    """The names of the columns with photos and with expressions.

    Raises:
        UserError: one of them is missing.
    """
    found = []
    for some in (IMAGE_COLUMNS, EXPRESSION_COLUMNS):
        name = next((name for name in some if name in names), None)
        if name is None:
            has = ", ".join(list(names)[:8]) or "none"
            raise UserError(f"{file} has no column {some[0]}; it has {has}: a table needs image and expression.")
        found.append(name)
    return found[0], found[1]


def _parquet(file: Place) -> Any:
    import pyarrow.parquet

    with _damaged(f"{file} is not a Parquet file, or it is damaged."):
        return pyarrow.parquet.ParquetFile(file.open() if isinstance(file, RemotePath) else file)


def _rows_of_parquet(file: Place, start: int, count: int) -> list[Any]:
    """Some rows, which may lie in several row groups."""
    _, ends = _opened_parquet(file)
    rows: list[Any] = []
    for group, end in enumerate(ends):
        first = ends[group - 1] if group else 0
        if end <= start or first >= start + count:
            continue
        content = _row_group(file, group)
        with _damaged(f"{file} is damaged: copy it again."):
            rows += content.slice(max(0, start - first), min(end, start + count) - max(first, start)).to_pylist()
    return rows


@lru_cache(maxsize=2)
def _opened_parquet(file: Place) -> tuple[Any, tuple[int, ...]]:
    """A file and, for each of its row groups, the row after its last one."""
    table = _parquet(file)
    ends: list[int] = []
    for group in range(table.metadata.num_row_groups):
        ends.append(table.metadata.row_group(group).num_rows + (ends[-1] if ends else 0))
    return table, tuple(ends)


@lru_cache(maxsize=1)
def _row_group(file: Place, group: int) -> Any:
    """The two columns of a row group, which several parts after each other may lie in."""
    table, _ = _opened_parquet(file)
    gone = f"{file} is gone or damaged: put it back and go on with --resume."
    with _damaged(gone), named(file) if isinstance(file, RemotePath) else nullcontext():
        return table.read_row_group(group, columns=list(_columns(table.schema_arrow.names, file)))


@contextmanager
def _damaged(sentence: str) -> Iterator[None]:
    """What readers of Parquet raise on damaged files, which are many things, becomes a sentence."""
    try:
        yield
    except (UserError, UnreachableError):
        raise
    except Exception:
        raise UserError(sentence) from None


def _input_row(row: Any, number: int) -> InputRow:
    """A row of a table; whatever is wrong with it is said of this row."""
    if not isinstance(row, Mapping):
        return InputRow(f"#{number}", None, (None,), "the row is not a JSON object with an image and an expression.")
    photo = next((row[name] for name in IMAGE_COLUMNS if row.get(name) is not None), None)
    asked = next((row[name] for name in EXPRESSION_COLUMNS if row.get(name) is not None), None)
    name = f"#{number}"
    if isinstance(photo, str) and not is_text(photo):
        return InputRow(name, None, (None,), "the path of the image is no text.")
    if isinstance(photo, Mapping):  # as data sets of the hub keep images
        path = photo.get("path")
        name = path if isinstance(path, str) and path and is_text(path) else name
        photo = photo.get("bytes") or path
    elif isinstance(photo, str):
        name = photo
    if isinstance(asked, str):
        asked = [asked]
    if not isinstance(asked, list) or not asked:
        return InputRow(name, None, (None,), "the row has no expression.")
    expressions = tuple(one if isinstance(one, str) and is_text(one) else None for one in asked)
    if not isinstance(photo, str | bytes) or not photo:
        return InputRow(name, None, expressions, "the row has no image.")
    return InputRow(name, photo, expressions)
