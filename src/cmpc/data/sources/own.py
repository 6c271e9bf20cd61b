"""Your own data: a table of JSON Lines, one referred object a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cmpc.conventions import WORD_TYPES
from cmpc.data.images import image_size
from cmpc.data.masks import box_of, encode_mask, rle_from_box, rle_from_coco, rle_from_polygons
from cmpc.data.schema import ReferredObject
from cmpc.data.sources.collection import (
    WHOLE,
    Collection,
    Reading,
    expression_texts,
    find_images,
    image_name,
    is_text,
    split_name,
)
from cmpc.data.vocabulary import tokenize
from cmpc.errors import UserError

FIELDS = ("image", "expression", "expressions", "mask", "rle", "polygon", "box",
          "split", "category", "group", "groups", "id", "word_types")  # fmt: skip
SHAPES = ("mask", "rle", "polygon", "box")


@dataclass(frozen=True)
class _Line:
    """A line of the table, checked as far as that goes without the image."""

    number: int
    ref_id: str
    image: str
    split: str
    category: str
    expressions: tuple[str, ...]
    groups: tuple[str, ...]
    word_types: tuple[tuple[str, ...], ...]
    shape: str
    shape_value: Any


def collect(
    table: Path,
    images: Path,
    reading: Reading = WHOLE,
) -> Collection:
    """Reads a table of your own.

    Args:
        table: JSON Lines; ``docs/data.md`` describes the fields. Paths of mask files are relative to its folder.
        images: the folder that the table's image paths are relative to.
        reading: which splits, and what to do about images.

    Raises:
        UserError: a line is wrong (the message names it), or images are missing.
    """
    lines = [line for line in _read_lines(table) if not reading.splits or line.split in reading.splits]
    if not lines:
        where = f" of the splits {', '.join(reading.splits)}" if reading.splits else ""
        raise UserError(f"{table} holds no object{where}.")
    found = find_images(images, (), {line.image: None for line in lines}, reading)
    rows: dict[str, list[ReferredObject]] = {}
    for line in reading.track(lines, "reading masks", len(lines)):
        if line.image not in found.sizes:
            continue
        height, width = found.sizes[line.image]
        try:
            rle = _rle(line, table.parent, height, width)
            box = box_of(rle, height, width)
        except ValueError as error:
            raise UserError(f"{table}, line {line.number}: the mask is broken: {error}.") from None
        row = ReferredObject(
            ref_id=line.ref_id,
            image_id=line.image,
            image=line.image,
            height=height,
            width=width,
            rle=rle,
            box=box,
            category=line.category,
            expressions=line.expressions,
            groups=line.groups,
            word_types=line.word_types,
        )
        rows.setdefault(line.split, []).append(row)
    return Collection(rows=rows, image_folder=found.folder, files=[table], missing_images=found.missing)


def _read_lines(table: Path) -> list[_Line]:
    try:
        text = table.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read the table {table}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UserError(f"{table} is not a table of JSON Lines: it is not UTF-8 text.") from None
    lines: list[_Line] = []
    seen: dict[tuple[str, str], int] = {}
    for number, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            line = _line(number, content)
            first = seen.setdefault((line.split, line.ref_id), number)
            if first != number:
                raise ValueError(f"the id {line.ref_id!r} stands already on line {first}")
        except ValueError as error:
            raise UserError(f"{table}, line {number}: {error}.") from None
        lines.append(line)
    return lines


def _line(number: int, content: str) -> _Line:
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON; each line must be one JSON object") from None
    if not isinstance(values, dict):
        raise ValueError('it is not a JSON object such as {"image": ..., "expression": ..., "mask": ...}')
    if unknown := [name for name in values if name not in FIELDS]:
        raise ValueError(f"there is no field {unknown[0]!r}; the fields are {', '.join(FIELDS)}")
    shapes = [name for name in SHAPES if name in values]
    if len(shapes) != 1:
        raise ValueError(f"give one of {', '.join(SHAPES)}, not {' and '.join(shapes) or 'none'}")
    split = split_name(values.get("split", "train"))
    expressions = _expressions(values)
    ref_id = values.get("id", number)
    if not (is_text(ref_id) or isinstance(ref_id, int)) or isinstance(ref_id, bool):
        raise ValueError("the id is neither text nor a whole number")
    category = values.get("category", "")
    if not is_text(category):
        raise ValueError("the category is not text")
    return _Line(
        number=number,
        ref_id=str(ref_id),
        image=image_name(values.get("image")),
        split=split,
        category=category,
        expressions=expressions,
        groups=_groups(values, len(expressions)),
        word_types=_word_types(values, expressions),
        shape=shapes[0],
        shape_value=values[shapes[0]],
    )


def _expressions(values: dict[str, Any]) -> tuple[str, ...]:
    if ("expression" in values) == ("expressions" in values):
        raise ValueError("give either expression or expressions")
    return expression_texts([values["expression"]] if "expression" in values else values["expressions"])


def _groups(values: dict[str, Any], count: int) -> tuple[str, ...]:
    if "group" in values and "groups" in values:
        raise ValueError("give either group or groups")
    groups = [values["group"]] * count if "group" in values else values.get("groups", [])
    if not isinstance(groups, list) or not all(is_text(group) and group for group in groups):
        raise ValueError("groups are names, one for each expression")
    if groups and len(groups) != count:
        raise ValueError(f"there are {len(groups)} groups for {count} expressions")
    return tuple(groups)


def _word_types(values: dict[str, Any], expressions: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    if "word_types" not in values:
        return ()
    given = [values["word_types"]] if "expression" in values else values["word_types"]
    if not isinstance(given, list) or len(given) != len(expressions):
        raise ValueError("word_types needs one list for each expression")
    for types, expression in zip(given, expressions, strict=True):
        tokens = tokenize(expression)
        if not isinstance(types, list) or len(types) != len(tokens) or not set(map(str, types)) <= set(WORD_TYPES):
            raise ValueError(
                f"word_types of {expression!r} needs {len(tokens)} of {', '.join(WORD_TYPES)}, one for each of {tokens}"
            )
    return tuple(tuple(types) for types in given)


def _rle(line: _Line, folder: Path, height: int, width: int) -> str:
    value = line.shape_value
    if line.shape == "mask":
        return encode_mask(_read_mask_file(folder, value, height, width))
    if line.shape == "box":
        return rle_from_box(value if isinstance(value, list) else [], height, width)
    if line.shape == "rle":
        return rle_from_coco(value if isinstance(value, dict) else None, height, width)
    if not isinstance(value, list):
        raise ValueError("polygon is not a list of numbers or of such lists")
    polygons = value if all(isinstance(part, list) for part in value) else [value]
    return rle_from_polygons(polygons, height, width)


def _read_mask_file(folder: Path, name: object, height: int, width: int) -> np.ndarray:
    if not isinstance(name, str) or not name:
        raise ValueError("mask is not the name of an image file")
    try:
        data = (folder / name).read_bytes()
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from None
    if data.startswith(b"\xff\xd8"):
        raise ValueError(f"{name} is a JPEG, whose edges are blurred; save masks as PNG")
    try:
        mask_size = image_size(data, name=name)
    except UserError as error:
        raise ValueError(str(error).removesuffix(".")) from None
    if mask_size != (height, width):
        raise ValueError(f"{name} is {mask_size[1]} x {mask_size[0]} pixels but the image is {width} x {height}")
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError(f"{name} is damaged")
    return (pixels[:, :, :3] if pixels.ndim == 3 else pixels[:, :, None]).max(axis=2) != 0
