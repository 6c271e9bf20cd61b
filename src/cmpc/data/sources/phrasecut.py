"""PhraseCut: phrases about Visual Genome's photos, each with all instances that it fits and the structure of its words.

The files are those of its own program (https://github.com/ChenyunWu/PhraseCutDataset): ``refer_<split>.json`` and the
list of images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from cmpc.data.masks import encode_mask
from cmpc.data.schema import ReferredObject
from cmpc.data.sources.collection import WHOLE, Collection, Reading, find_images
from cmpc.data.sources.faults import BrokenRowError, BrokenRows
from cmpc.data.sources.fields import expression_texts, identity, image_size, is_text, whole_number
from cmpc.data.sources.json_files import read_json
from cmpc.data.sources.targets import target_of
from cmpc.data.vocabulary import tokenize
from cmpc.errors import UsageError, UserError

SPLITS = ("train", "val", "test", "miniv")
IMAGE_LISTS = ("image_data_split3000.json", "image_data_split.json")
USUAL_IMAGE_FOLDERS = ("images", "VG_100K", "VG_100K_2")
STARTS_OF_A_PHRASE_BEHIND = ("in", "on", "for", "of", "with", "made", "to", "not", "turned", "off", "from")
"""With these words, attributes of several words stand behind the name: "cat on the left"."""
NOT_VERBS = ("living", "king", "ping", "ceiling")
"""Words that end like the verbs with which such attributes begin too."""
FARTHEST = 100_000
"""Pixels beyond which no point of a polygon can be meant."""


@dataclass(frozen=True)
class _Task:
    """A phrase with its instances, checked."""

    place: str
    """Such as ``entry 7``."""
    ref_id: str
    image_id: int | str
    split: str
    category: str
    phrase: str
    kind: str
    """What tells its instances from others: ``name``, ``attribute``, ``relation``; ``verbose`` where nothing does."""
    word_types: tuple[str, ...]
    """Of each token; empty where the structure does not give the phrase."""
    instances: tuple[tuple[np.ndarray, ...], ...]
    """The polygons of each instance: points as int32 (P, 2), x and y in pixels."""


def collect(annotations: Path, images: Path, reading: Reading = WHOLE) -> Collection:
    """Reads PhraseCut.

    Args:
        annotations: the folder with ``refer_<split>.json`` and ``image_data_split3000.json``.
        images: the folder with ``<image>.jpg``, or one above its ``images``.
        reading: which splits (those whose files are there by default), and what to do about images.

    Raises:
        UsageError: there is no such split.
        UserError: a file is missing or damaged.
    """
    if unknown := [split for split in reading.splits if split not in SPLITS]:
        raise UsageError(f"phrasecut has no split {unknown[0]!r}; it has {', '.join(SPLITS)}.")
    if not annotations.is_dir():
        raise UserError(f"there is no annotation folder {annotations}: give PhraseCut's folder with --annotations.")
    files = {split: annotations / f"refer_{split}.json" for split in reading.splits or SPLITS}
    files = {split: path for split, path in files.items() if reading.splits or path.is_file()}
    image_list = next((annotations / name for name in IMAGE_LISTS if (annotations / name).is_file()), None)
    if not files or image_list is None:
        missing = "refer_train.json" if not files else IMAGE_LISTS[0]
        raise UserError(f"{missing} is not in {annotations}: give PhraseCut's folder with --annotations.")
    broken = BrokenRows(reading.skip_broken)
    all_sizes = _sizes(image_list)
    tasks: list[_Task] = []
    sizes: dict[str, tuple[int, int] | None] = {}
    for split, path in files.items():
        for task in _tasks(path, split, broken):
            with broken.told("damaged phrases", f"{path}, {task.place}"):
                if task.image_id not in all_sizes:
                    raise BrokenRowError(
                        "images that are missing in their list", f"its image {task.image_id} is not in {image_list}"
                    )
                sizes[_image_of(task)] = all_sizes[task.image_id]
                tasks.append(task)
    if not tasks:
        raise broken.nothing_left(f"{annotations} holds no phrase that can be used")

    found = find_images(images, USUAL_IMAGE_FOLDERS, sizes, reading, broken, if_both_fit="keep")
    rows: dict[str, list[ReferredObject]] = {split: [] for split in files}
    for task in reading.track(tasks, "reading masks", len(tasks)):
        if _image_of(task) in found.sizes:
            with broken.told("broken masks", f"{files[task.split]}, {task.place}: the mask is broken"):
                rows[task.split].append(_row(task, *found.sizes[_image_of(task)]))
    if not any(rows.values()):
        raise broken.nothing_left(f"{annotations} holds no phrase that can be used")
    untyped = sum(not task.word_types for task in tasks)
    return Collection(
        rows={split: of_split for split, of_split in rows.items() if of_split},
        image_folder=found.folder,
        files=[*files.values(), image_list],
        missing_images=found.missing,
        turned_images=found.turned.turned,
        broken=dict(broken.faults.counts),
        notes=[
            *found.turned.lines(),
            *([f"{untyped:,} phrases are not what their structure says: they have no word types."] if untyped else []),
            *broken.lines(),
        ],
    )


def polygon_mask(polygons: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    """The union of polygons as bool (height, width), painted with their outlines, as the benchmark's own program does.

    Args:
        polygons: the points of each, whole numbers (P, 2), x and y in pixels.
        height: height of the image in pixels.
        width: width of the image in pixels.
    """
    picture = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(picture)
    for points in polygons:
        if len(points) >= 2:
            draw.polygon(list(map(tuple, points.tolist())), outline=1, fill=1)
    return np.asarray(picture) > 0


def word_types_of(phrase: str, structure: Any) -> tuple[str, ...]:
    """The type of each token of a phrase, from the structure that it was made of.

    Args:
        phrase: as written.
        structure: ``phrase_structure`` of the data: the name, its attributes, and pairs of a predicate and the name of
            another thing.

    Returns:
        One of ``WORD_TYPES`` for each token; none where the structure does not give the phrase.
    """
    try:
        typed = _typed_words(structure["name"], structure["attributes"], structure["relation_descriptions"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return ()
    if [word for word, _ in typed] != phrase.split():
        return ()
    types: list[str] = []
    lowered, end = phrase.lower(), 0
    for token in tokenize(phrase):  # a word such as "man's" has several
        start = lowered.find(token, end)
        if start < 0:
            return ()
        end = start + len(token)
        before = lowered[: start + len(token) - len(token.lstrip())]
        types.append(typed[len((before + "x").split()) - 1][1])
    return tuple(types)


def _typed_words(name: str, attributes: Sequence[str], relations: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """The words of a phrase with their types, in the order in which the benchmark's program joins them."""
    words = [(word, "entity") for word in name.split()]
    for attribute in attributes:
        found = [(word, "attribute") for word in attribute.split()]
        words = words + found if _stands_behind(attribute.split()) else found + words
    for predicate, other in relations:
        words += [(word, "relation") for word in predicate.split()]
        words += [(word, "entity") for word in other.split()]
    return words


def _stands_behind(words: Sequence[str]) -> bool:
    if len(words) < 2:
        return False
    return words[0] in STARTS_OF_A_PHRASE_BEHIND or (words[0].endswith("ing") and words[0] not in NOT_VERBS)


def _row(task: _Task, height: int, width: int) -> ReferredObject:
    """
    Raises:
        ValueError: an instance has no pixel in the image.
    """
    rles = [encode_mask(polygon_mask(polygons, height, width)) for polygons in task.instances]
    target = target_of(rles, height, width)
    return ReferredObject(
        ref_id=task.ref_id,
        image_id=str(task.image_id),
        image=_image_of(task),
        height=height,
        width=width,
        rle=target.rle,
        box=target.box,
        category=task.category,
        expressions=(task.phrase,),
        groups=(task.kind,) if task.kind else (),
        word_types=(task.word_types,) if task.word_types else (),
        instances=target.instances,
    )


def _image_of(task: _Task) -> str:
    return f"{task.image_id}.jpg"


def _sizes(path: Path) -> dict[int | str, tuple[int, int]]:
    sizes: dict[int | str, tuple[int, int]] = {}
    try:
        for image in read_json(path):
            sizes[identity(image["image_id"])] = image_size(image)
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path} is not PhraseCut's list of images with their sizes: get the file anew.") from None
    return sizes


def _tasks(path: Path, split: str, broken: BrokenRows) -> list[_Task]:
    entries = read_json(path)
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path} is not a list of phrases: get the file anew.")
    tasks: dict[str, _Task] = {}
    for number, entry in enumerate(entries, start=1):
        with broken.told("damaged phrases", f"{path}, entry {number}"):
            task = _task(entry, f"entry {number}", split)
            if task.ref_id in tasks:
                raise BrokenRowError("phrases that stand twice", f"the task {task.ref_id} stands there twice")
            tasks[task.ref_id] = task
    return list(tasks.values())


def _task(entry: Any, place: str, split: str) -> _Task:
    """
    Raises:
        ValueError: it lacks something, or something is of another type.
    """
    try:
        (phrase,) = expression_texts([entry["phrase"]])
        structure = entry.get("phrase_structure") or {}
        category, kind = structure.get("name", ""), structure.get("type", "")
        if not is_text(category) or not is_text(kind):
            raise ValueError("its name or type is not text")
        return _Task(
            place=place,
            ref_id=str(identity(entry["task_id"])),
            image_id=_image_id(entry["image_id"]),
            split=split,
            category=category,
            phrase=phrase,
            kind=kind,
            word_types=word_types_of(phrase, structure),
            instances=_instances(entry["Polygons"]),
        )
    except KeyError as error:
        raise ValueError(f"it has no {error.args[0]}") from None
    except (TypeError, AttributeError):
        raise ValueError("it does not have the form of a phrase with its instances") from None


def _image_id(value: Any) -> int:
    number = whole_number(value)
    if number is None:
        raise ValueError(f"{value!r} is no number of an image")
    return number


def _instances(value: Any) -> tuple[tuple[np.ndarray, ...], ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("it has no polygons")
    return tuple(tuple(map(_points, polygons)) for polygons in value)


def _points(value: Any) -> np.ndarray:
    try:
        points = np.array(value or np.zeros((0, 2)), dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        points = np.full((1, 1), np.nan)
    if points.ndim != 2 or points.shape[1] != 2 or not (abs(points) <= FARTHEST).all():
        raise ValueError("a polygon is not a list of points, or one lies far outside of any image")
    return points.astype(np.int32)  # cut off, as the benchmark's program does
