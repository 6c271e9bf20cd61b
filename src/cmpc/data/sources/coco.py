"""Your own data: COCO instances, and a list of expressions for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from cmpc.data.schema import ReferredObject
from cmpc.data.sources.collection import WHOLE, Collection, Reading, find_images
from cmpc.data.sources.faults import BrokenRows
from cmpc.data.sources.fields import expression_texts, identities, identity, split_name
from cmpc.data.sources.instances import Instances
from cmpc.data.sources.json_files import read_rows, row_object

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
        expressions: a JSON list, or JSON Lines, of ``{"ann_id": 123, "expressions": ["..."], "split": "train"}``;
            ``ann_id`` may be a list, of several annotations or of none.
        images: the folder that holds the images.
        reading: which splits, and what to do about images.
        default_split: split of the entries that name none.

    Raises:
        UserError: a file is damaged, an entry is wrong (the message says which), or images are missing.
    """
    broken = BrokenRows(reading.skip_broken)
    objects = Instances.load(instances)
    referred: dict[tuple[str, int | str, tuple[int | str, ...]], tuple[str, ...]] = {}
    sizes: dict[str, tuple[int, int] | None] = {}
    for place, content in read_rows(expressions):
        with broken.told("entries that are wrong", f"{expressions}, {place}"):
            entry = _entry(content, default_split)
            image_id = objects.common_image(entry.annotation_ids, entry.image_id)
            if not reading.splits or entry.split in reading.splits:
                objects.add_size(image_id, sizes)
                key = (entry.split, image_id, entry.annotation_ids)
                referred[key] = referred.get(key, ()) + entry.texts
    if not referred:
        where = f" of the splits {', '.join(reading.splits)}" if reading.splits else ""
        raise broken.nothing_left(f"{expressions} holds no expression{where}")

    found = find_images(images, USUAL_IMAGE_FOLDERS, sizes, reading, broken)
    rows: dict[str, list[ReferredObject]] = {}
    for (split, image_id, ids), texts in reading.track(referred.items(), "reading masks", len(referred)):
        with broken.told("broken masks", str(instances)):
            if objects.image(image_id)[0] in found.sizes:
                name = " and ".join(map(str, ids)) if ids else f"none in {image_id}"
                row = objects.row(name, image_id, ids, texts)
                rows.setdefault(split, []).append(row)
    if not rows:
        raise broken.nothing_left(f"{expressions} holds no expression that can be used")
    return Collection(
        rows=rows,
        image_folder=found.folder,
        files=[instances, expressions],
        missing_images=found.missing,
        turned_images=found.turned.turned,
        broken=dict(broken.faults.counts),
        notes=found.turned.lines() + broken.lines(),
    )


class _Entry(NamedTuple):
    """An entry of the list of expressions, checked."""

    annotation_ids: tuple[int | str, ...]
    """Sorted; empty where the expressions refer to nothing."""
    image_id: int | str | None
    """None where the entry does not say it."""
    split: str
    texts: tuple[str, ...]


def _entry(content: Any, default_split: str) -> _Entry:
    values = row_object(content, '{"ann_id": 123, "expressions": ["left man"]}')
    ids = [values[name] for name in ANNOTATION_NAMES if name in values]
    if len(ids) != 1:
        raise ValueError("it needs one ann_id")
    texts = [values[name] for name in EXPRESSION_NAMES if name in values]
    if len(texts) != 1:
        raise ValueError("it needs expressions, a list of texts")
    return _Entry(
        tuple(sorted(identities(ids[0]), key=str)),
        identity(values["image_id"]) if "image_id" in values else None,
        split_name(values.get("split", default_split)),
        expression_texts([texts[0]] if isinstance(texts[0], str) else texts[0]),
    )
