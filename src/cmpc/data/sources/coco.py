"""Your own data: COCO instances, and a list of expressions for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cmpc.data.schema import ReferredObject
from cmpc.data.sources.collection import WHOLE, Collection, Reading, expression_texts, find_images, split_name
from cmpc.data.sources.instances import Instances
from cmpc.errors import UserError

USUAL_IMAGE_FOLDERS = ("train2014", "val2014", "train2017", "val2017", "images")
ANNOTATION_NAMES = ("ann_id", "annotation_id")
EXPRESSION_NAMES = ("expression", "expressions", "sents")


def collect(
    instances: Path,
    expressions: Path,
    images: Path,
    reading: Reading = WHOLE,
    *,
    default_split: str = "train",
) -> Collection:
    """Reads COCO instances and the expressions that refer to them.

    Args:
        instances: a file in the format of COCO's ``instances_*.json``.
        expressions: a JSON list, or JSON Lines, of ``{"ann_id": 123, "expressions": ["..."], "split": "train"}``.
        images: the folder that holds the images.
        reading: which splits, and what to do about images.
        default_split: split of the entries that name none.

    Raises:
        UserError: a file is damaged, an entry is wrong (the message says which), or images are missing.
    """
    objects = Instances.load(instances)
    referred: dict[tuple[str, int], tuple[str, ...]] = {}
    for number, entry in enumerate(_read_entries(expressions), start=1):
        try:
            annotation_id, split, texts = _entry(entry, default_split)
            if annotation_id not in objects.annotations:
                raise ValueError(f"annotation {annotation_id} is not in {instances}")
        except ValueError as error:
            raise UserError(f"{expressions}, entry {number}: {error}.") from None
        if not reading.splits or split in reading.splits:
            key = (split, annotation_id)
            referred[key] = referred.get(key, ()) + texts
    if not referred:
        where = f" of the splits {', '.join(reading.splits)}" if reading.splits else ""
        raise UserError(f"{expressions} holds no expression{where}.")

    sizes: dict[str, tuple[int, int] | None] = {}
    for _, annotation_id in referred:
        image, height, width = objects.image_of(annotation_id)
        sizes[image] = (height, width)
    found = find_images(images, USUAL_IMAGE_FOLDERS, sizes, reading)
    rows: dict[str, list[ReferredObject]] = {}
    for (split, annotation_id), texts in reading.track(referred.items(), "reading masks", len(referred)):
        row = objects.row(annotation_id, str(annotation_id), texts)
        if row.image in found.sizes:
            rows.setdefault(split, []).append(row)
    return Collection(
        rows=rows,
        image_folder=found.folder,
        files=[instances, expressions],
        missing_images=found.missing,
    )


def _read_entries(path: Path) -> list[Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read the expressions {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a list of expressions: it is not UTF-8 text.") from None
    try:
        if text.lstrip().startswith("["):
            return json.loads(text)
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    except (ValueError, RecursionError):
        raise UserError(f"{path} is neither a JSON list nor JSON Lines.") from None


def _entry(entry: Any, default_split: str) -> tuple[int, str, tuple[str, ...]]:
    if not isinstance(entry, dict):
        raise ValueError('it is not a JSON object such as {"ann_id": 123, "expressions": ["left man"]}')
    ids = [entry[name] for name in ANNOTATION_NAMES if name in entry]
    if len(ids) != 1 or not isinstance(ids[0], int):
        raise ValueError("it needs one ann_id, a whole number")
    texts = [entry[name] for name in EXPRESSION_NAMES if name in entry]
    if len(texts) != 1:
        raise ValueError("it needs expressions, a list of texts")
    split = split_name(entry.get("split", default_split))
    return ids[0], split, expression_texts([texts[0]] if isinstance(texts[0], str) else texts[0])
