"""Explanations as files: PNG and SVG pictures, JSON numbers."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from PIL import Image

from cmpc.errors import UsageError
from cmpc.explanation.drawing import Drawing
from cmpc.explanation.explanation import Explanation
from cmpc.explanation.numbers import to_dict
from cmpc.explanation.picture import paint
from cmpc.explanation.staged_picture import check_levels, staged_picture
from cmpc.explanation.staged_sheet import staged_sheet
from cmpc.explanation.vector import to_svg
from cmpc.files import atomic_file

SUFFIXES = (".png", ".svg", ".json")
MOST_ROWS = 64
"""Rows of a sheet; higher pictures cannot be opened by many programs."""


def check_suffix(path: str | Path) -> None:
    """Refuses files of another kind than ``save`` writes.

    Raises:
        UsageError: names the kinds.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"{path} must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}: the ending says what to write."
        )


def save(explanation: Explanation, path: str | Path, *, levels: Sequence[str] = ()) -> None:
    """Writes the staged picture, or its numbers, whole or not at all.

    Args:
        explanation: what to write.
        path: a file that ends in .png, .svg or .json.
        levels: levels that get a row of their own in the picture; JSON has them always.

    Raises:
        UsageError: the file has another ending, or there is no such level.
    """
    check_suffix(path)
    check_levels(levels)
    if _wants_numbers(path):
        _write_numbers(path, to_dict(explanation))
    else:
        _write_drawing(path, staged_picture(explanation, levels))


def save_sheet(explanations: Iterable[tuple[str, Explanation]], path: str | Path) -> None:
    """Writes one sheet of many explanations, or a list of their numbers, whole or not at all.

    They are taken one after the other, so that a generator need not hold many photos in memory.

    Args:
        explanations: at least one, each with the name of its photo. A picture shows at most ``MOST_ROWS``.
        path: a file that ends in .png, .svg or .json.

    Raises:
        UsageError: the file has another ending.
    """
    check_suffix(path)
    if _wants_numbers(path):
        _write_numbers(path, [{"photo": name, **to_dict(explanation)} for name, explanation in explanations])
    else:
        _write_drawing(path, staged_sheet(islice(explanations, MOST_ROWS)))


def check_rows(count: int, path: str | Path) -> None:
    """Refuses sheets that are too high for a picture.

    Raises:
        UsageError: says how many rows there may be.
    """
    if count > MOST_ROWS and not _wants_numbers(path):
        raise UsageError(
            f"a sheet has at most {MOST_ROWS} rows, not {count}: give fewer photos or expressions, or write .json."
        )


def png_bytes(drawing: Drawing) -> bytes:
    """A drawing as the bytes of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(paint(drawing)).save(file, format="PNG")
    return file.getvalue()


def _wants_numbers(path: str | Path) -> bool:
    return Path(path).suffix.lower() == ".json"


def _write_numbers(path: str | Path, numbers: object) -> None:
    with atomic_file(path) as file:
        file.write_text(json.dumps(numbers, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_drawing(path: str | Path, drawing: Drawing) -> None:
    with atomic_file(path) as file:
        if Path(path).suffix.lower() == ".svg":
            file.write_text(to_svg(drawing), encoding="utf-8")
        else:
            file.write_bytes(png_bytes(drawing))
