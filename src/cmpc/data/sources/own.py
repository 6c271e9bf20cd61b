"""Your own data: a table of JSON Lines, one referred object a line."""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from cmpc.conventions import WORD_TYPES
from cmpc.data.image_formats import ImageHeader, read_header
from cmpc.data.mask_pictures import doubt, read_mask_picture
from cmpc.data.masks import (
    encode_mask,
    polygon_parts,
    reaches_outside,
    rle_from_box,
    rle_from_coco,
    rle_from_polygons,
)
from cmpc.data.schema import ReferredObject, stored_rows
from cmpc.data.sequence_on_disk import SequenceOnDisk
from cmpc.data.sources.collection import WHOLE, Collection, Reading, find_images
from cmpc.data.sources.faults import BrokenRows, Faults
from cmpc.data.sources.fields import expression_texts, identity, image_name, is_text, split_name
from cmpc.data.sources.json_files import read_rows, row_object
from cmpc.data.sources.targets import target_of
from cmpc.data.vocabulary import tokenize
from cmpc.errors import UserError

FIELDS = ("image", "expression", "expressions", "mask", "rle", "polygon", "box",
          "split", "category", "group", "groups", "id", "word_types")  # fmt: skip
SHAPES = ("mask", "rle", "polygon", "box")


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the table, checked as far as that goes without the image."""

    place: str
    """Such as ``line 7``."""
    ref_id: str
    image: str
    split: str
    category: str
    expressions: tuple[str, ...]
    groups: tuple[str, ...]
    word_types: tuple[tuple[str, ...], ...]
    shape: str
    objects: tuple[Any, ...]
    """A value of this shape for each object that the expressions refer to; empty where they refer to nothing."""


_values = attrgetter(*(field.name for field in dataclasses.fields(_Line)))


def collect(
    table: Path,
    images: Path,
    reading: Reading = WHOLE,
) -> Collection:
    """Reads a table of your own.

    Args:
        table: JSON Lines, or a JSON list; ``docs/data.md`` describes the fields. Paths of mask files are relative to
            its folder.
        images: the folder that the table's image paths are relative to.
        reading: which splits, and what to do about images.

    Raises:
        UserError: a line is wrong (the message names it), or images are missing.
    """
    broken = BrokenRows(reading.skip_broken)
    lines = _read_lines(table, reading.splits, broken)
    if not lines:
        where = f" of the splits {', '.join(reading.splits)}" if reading.splits else ""
        raise broken.nothing_left(f"{table} holds no object{where}")
    expected: dict[str, tuple[int, int] | None] = {line.image: None for line in lines}
    found = find_images(images, (), expected, reading, broken, guess_size=_sizes_by_annotations(lines, table.parent))
    rows: dict[str, SequenceOnDisk[ReferredObject]] = {}
    doubts = Faults()
    for line in reading.track(lines, "reading masks", len(lines)):
        if line.image not in found.sizes:
            continue
        height, width = found.sizes[line.image]
        where = f"{table}, {line.place}"
        with broken.told("broken masks", f"{where}: the mask is broken"):
            target = target_of([_rle(line, one, table.parent, height, width) for one in line.objects], height, width)
            row = ReferredObject(
                ref_id=line.ref_id,
                image_id=line.image,
                image=line.image,
                height=height,
                width=width,
                rle=target.rle,
                box=target.box,
                category=line.category,
                expressions=line.expressions,
                groups=line.groups,
                word_types=line.word_types,
                instances=target.instances,
            )
            if line.split not in rows:
                rows[line.split] = stored_rows()
            rows[line.split].append(row)
            mask = row.decode_mask()
            is_doubted = bool(line.objects) and (line.shape != "box" or mask.sum() == 1)  # a box may be the whole photo
            if is_doubted and (reason := doubt(mask)):
                doubts.add("masks that may not be as they are meant", f"{where}: {reason}")
    if not rows:
        raise broken.nothing_left(f"{table} holds no object that can be used")
    return Collection(
        rows=rows,
        image_folder=found.folder,
        files=[table],
        missing_images=found.missing,
        turned_images=found.turned.turned,
        broken=dict(broken.faults.counts),
        notes=[*found.turned.lines(), *doubts.lines(), *broken.lines()],
    )


def _read_lines(table: Path, splits: Sequence[str], broken: BrokenRows) -> SequenceOnDisk[_Line]:
    lines = SequenceOnDisk(_values, _line_of)
    repeated = _repeated_ids(table)
    seen: dict[tuple[str, str], str] = {}
    for place, content in read_rows(table):
        with broken.told("rows that are not as the table's fields ask", f"{table}, {place}"):
            line = _line(place, content)
            if hash(line.ref_id) in repeated:
                first = seen.setdefault((line.split, line.ref_id), place)
                if first != place:
                    raise ValueError(f"the id {line.ref_id!r} stands already on {first}")
            if not splits or line.split in splits:
                lines.append(line)
    return lines


def _repeated_ids(table: Path) -> set[int]:
    """Hashes of the ids that more than one row has, in whatever split: the others need not be remembered."""
    hashes = array("q")
    for place, content in read_rows(table):
        try:
            hashes.append(hash(_ref_id(row_object(content, ""), place)))
        except ValueError:  # told when the row is read
            continue
    found, counts = np.unique(np.array(hashes), return_counts=True)
    return set(found[counts > 1].tolist())


def _line(place: str, content: Any) -> _Line:
    values = row_object(content, '{"image": ..., "expression": ..., "mask": ...}')
    if unknown := [name for name in values if name not in FIELDS]:
        raise ValueError(f"there is no field {unknown[0]!r}; the fields are {', '.join(FIELDS)}")
    shapes = [name for name in SHAPES if name in values]
    if len(shapes) != 1:
        raise ValueError(f"give one of {', '.join(SHAPES)}, not {' and '.join(shapes) or 'none'}")
    split = split_name(values.get("split", "train"))
    expressions = _expressions(values)
    ref_id = _ref_id(values, place)
    category = values.get("category", "")
    if not is_text(category):
        raise ValueError("the category is not text")
    return _Line(
        place=place,
        ref_id=ref_id,
        image=image_name(values.get("image")),
        split=split,
        category=category,
        expressions=expressions,
        groups=_groups(values, len(expressions)),
        word_types=_word_types(values, expressions),
        shape=shapes[0],
        objects=_objects(shapes[0], values[shapes[0]]),
    )


def _ref_id(values: dict[str, Any], place: str) -> str:
    """The id of a row; by default its number."""
    try:
        return str(identity(values.get("id", place.rpartition(" ")[2])))
    except ValueError:
        raise ValueError("the id is neither text nor a whole number") from None


def _line_of(values: list[Any]) -> _Line:
    """The line of what JSON says of its fields."""
    line = _Line(*values)
    return dataclasses.replace(
        line,
        expressions=tuple(line.expressions),
        groups=tuple(line.groups),
        word_types=tuple(map(tuple, line.word_types)),
        objects=tuple(line.objects),
    )


def _objects(shape: str, value: Any) -> tuple[Any, ...]:
    """The values of a line's objects: a list is one of objects where it cannot mean a single one."""
    if not isinstance(value, list):
        return (value,)
    if shape == "box":
        several = not value or isinstance(value[0], list)
    elif shape == "polygon":
        several = not value or (isinstance(value[0], list) and bool(value[0]) and isinstance(value[0][0], list))
    else:
        several = True
    return tuple(value) if several else (value,)


def _expressions(values: dict[str, Any]) -> tuple[str, ...]:
    if ("expression" in values) == ("expressions" in values):
        raise ValueError("give either expression or expressions")
    return expression_texts(_listed(values.get("expression", values.get("expressions"))))


def _listed(value: Any) -> Any:
    """One value as a list of it; whether a text or a list stands under expression or expressions does not matter."""
    return value if isinstance(value, list) else [value]


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
    is_single = not isinstance(values.get("expression", values.get("expressions")), list)
    given = [values["word_types"]] if is_single else values["word_types"]
    if not isinstance(given, list) or len(given) != len(expressions):
        raise ValueError("word_types needs one list for each expression")
    for types, expression in zip(given, expressions, strict=True):
        tokens = tokenize(expression)
        if not isinstance(types, list) or len(types) != len(tokens) or not set(map(str, types)) <= set(WORD_TYPES):
            raise ValueError(
                f"word_types of {expression!r} needs {len(tokens)} of {', '.join(WORD_TYPES)}, one for each of {tokens}"
            )
    return tuple(tuple(types) for types in given)


def _rle(line: _Line, value: Any, folder: Path, height: int, width: int) -> str:
    if line.shape == "mask":
        return encode_mask(read_mask_picture(_mask_path(folder, value), name=value, size=(height, width)))
    if line.shape == "box":
        return rle_from_box(value if isinstance(value, list) else [], height, width)
    if line.shape == "rle":
        return rle_from_coco(value if isinstance(value, dict) else None, height, width)
    return rle_from_polygons(_polygons(value), height, width)


def _polygons(value: Any) -> list[list[float]]:
    if not isinstance(value, list):
        raise ValueError("polygon is not a list of numbers or of such lists")
    return polygon_parts(value)


def _mask_path(folder: Path, name: object) -> Path:
    if not is_text(name) or not name or "\0" in name:
        raise ValueError("mask is not the name of an image file")
    return folder / name.replace("\\", "/")


def _sizes_by_annotations(lines: Sequence[_Line], folder: Path) -> Callable[[str, ImageHeader], tuple[int, int] | None]:
    """For which height and width the masks of an image were made, if they fit only one of the two that it may have."""

    @cache
    def by_image() -> dict[str, list[int]]:  # which few datasets need
        numbers: dict[str, list[int]] = {}
        for number, line in enumerate(lines):
            numbers.setdefault(line.image, []).append(number)
        return numbers

    def guess(image: str, header: ImageHeader) -> tuple[int, int] | None:
        sizes = {(header.height, header.width), header.upright}
        of_image = [lines[number] for number in by_image()[image]]
        fitting = [size for size in sizes if all(_may_fit(line, folder, *size) for line in of_image)]
        return fitting[0] if len(fitting) == 1 else None

    return guess


def _may_fit(line: _Line, folder: Path, height: int, width: int) -> bool:
    """Whether the masks of a line may be of an image of this size; also if one is broken, which is told later."""
    return all(_may_be_of(line.shape, value, folder, height, width) for value in line.objects)


def _may_be_of(shape: str, value: Any, folder: Path, height: int, width: int) -> bool:
    try:
        if shape == "mask":
            header = read_header(_mask_path(folder, value))
            return (header.height, header.width) == (height, width)
        if shape == "rle":
            return value.get("size") in (None, [height, width])
        if shape == "box":
            x, y, box_width, box_height = value
            polygons = [[x, y, x + box_width, y + box_height]]
        else:
            polygons = polygon_parts(value)
        return not any(reaches_outside(polygon[0::2], polygon[1::2], height, width) for polygon in polygons)
    except (UserError, ValueError, TypeError, AttributeError):
        return True
