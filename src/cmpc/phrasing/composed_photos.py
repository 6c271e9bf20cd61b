"""Writes composed scenes beside the photos that they are made of: a folder to learn from."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from PIL import Image

from cmpc.errors import UserError
from cmpc.files import atomic_folder
from cmpc.phrasing.annotations import AnnotatedPhoto, Annotation, Faults, read_photos
from cmpc.phrasing.composition import SceneComposer
from cmpc.phrasing.photo_folder import find_photos
from cmpc.processes import prepare_process

IMAGES, INSTANCES = "images", "instances_{split}.json"
JPEG_QUALITY = 90
SHARES = 10
"""Of the work, for each process: each begins with reading what all of them need."""


@dataclass(frozen=True)
class Composed:
    """What a folder holds."""

    photos: int
    """Photos as they were."""
    scenes: int
    """New scenes."""
    things: int
    """Annotations of both."""


def compose(
    files: Mapping[str, Path],
    images: Path,
    out: Path,
    *,
    scenes: int,
    seed: int = 0,
    workers: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> Composed:
    """Writes ``images/`` and ``instances_<split>.json``: the photos, which are linked where the disk allows it, and in
    the first split new scenes.

    Args:
        files: split -> file in the format of COCO's ``instances_*.json``.
        images: the folder that holds their photos, or the one above it.
        out: folder to write; one that stands there is replaced as a whole.
        scenes: how many new ones.
        seed: another one gives other scenes.
        workers: processes; their number changes nothing in the result.
        advance: called with the number of scenes that were written since the last call.

    Raises:
        UserError: the file cannot be used, something is broken, or photos are missing.
    """
    splits, images = _read(files, images)
    kinds = sorted({one.kind for photos in splits.values() for photo in photos for one in photo.annotations})
    categories = {kind: number for number, kind in enumerate(kinds, start=1)}
    photos, *_ = splits.values()
    tables = {split: _Table(categories) for split in splits}
    with atomic_folder(out) as folder:
        for split, table in tables.items():
            for photo in splits[split]:
                _link(images / photo.file, folder / IMAGES / photo.file)
                table.add_photo(photo)
        at_once = -(-scenes // (SHARES * workers)) or 1
        shares = [range(start, min(start + at_once, scenes)) for start in range(0, scenes, at_once)]
        write = partial(_write_scenes, photos, images, folder / IMAGES, seed, categories)
        with _runner(min(workers, len(shares))) as carry_out:
            for made in carry_out(write, shares):
                for image, things in made:
                    next(iter(tables.values())).add(image, things)
                advance(len(made))
        for split, table in tables.items():
            text = json.dumps(table.content(), separators=(",", ":"))
            (folder / INSTANCES.format(split=split)).write_text(text, encoding="utf-8")
    things = sum(len(table.annotations) for table in tables.values())
    return Composed(sum(map(len, splits.values())), scenes, things)


def check_output_folder(out: Path, images: Path) -> None:
    """Refuses a place where writing scenes would destroy something else.

    Raises:
        UserError: ``out`` is a file, the current folder, that of the photos or one above it, or holds other files.
    """
    place = out.resolve()
    if place == Path.cwd() or images.resolve().is_relative_to(place):
        raise UserError(f"{out} is the current folder, or the photos lie in it: give a new folder with --out.")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file: give a new folder with --out.")
    own = re.compile(rf"{IMAGES}|{INSTANCES.format(split='.+')}")
    foreign = sorted(entry.name for entry in out.iterdir() if not own.fullmatch(entry.name)) if out.is_dir() else []
    if foreign:
        raise UserError(f"{out} holds other files (such as {foreign[0]}): give a new folder with --out.")


class _Table:
    """The images and annotations of a split, numbered in their order."""

    def __init__(self, categories: Mapping[str, int]) -> None:
        self.categories = categories
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def add(self, image: dict[str, Any], things: Iterable[dict[str, Any]]) -> None:
        number = len(self.images) + 1
        self.images.append({**image, "id": number})
        for thing in things:
            self.annotations.append({**thing, "id": len(self.annotations) + 1, "image_id": number})

    def add_photo(self, photo: AnnotatedPhoto) -> None:
        size = {"height": photo.height, "width": photo.width}
        things = [annotation_entry(one, self.categories, photo.height, photo.width) for one in photo.annotations]
        self.add({"file_name": photo.file, **size, "annotated": photo.annotated.text()}, things)

    def content(self) -> dict[str, Any]:
        categories = [{"id": number, "name": kind} for kind, number in self.categories.items()]
        return {"images": self.images, "annotations": self.annotations, "categories": categories}


def _read(files: Mapping[str, Path], images: Path) -> tuple[dict[str, list[AnnotatedPhoto]], Path]:
    """The photos of each split, and the folder in which they lie."""
    faults = {split: Faults() for split in files}
    splits = {split: list(read_photos(path, faults[split])) for split, path in files.items()}
    folder = find_photos(images, splits)
    for split, photos in splits.items():
        for photo in photos:
            if not (folder / photo.file).is_file():
                faults[split].add(f"photos that are missing in {folder}", photo.file)
        if faults[split].counts:
            lines = "; ".join(faults[split].lines())
            raise UserError(f"{lines}. Mend them, or leave them out of {files[split].name}.")
        if not any(one.rle is not None for photo in photos for one in photo.annotations):
            raise UserError(f"{files[split]} has no annotation with a mask: there is nothing to make scenes of.")
    return splits, folder


def _write_scenes(
    photos: list[AnnotatedPhoto],
    images: Path,
    folder: Path,
    seed: int,
    categories: dict[str, int],
    numbers: range,
) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Some scenes, written; their entries, whose numbers are still to be given."""
    composer = SceneComposer(photos, images, seed=seed)
    made = []
    for number in numbers:
        scene = composer.scene(number)
        file = f"scene-{number:06d}.jpg"
        Image.fromarray(scene.pixels).save(folder / file, quality=JPEG_QUALITY)
        height, width = scene.pixels.shape[:2]
        image = {"file_name": file, "height": height, "width": width, "annotated": scene.annotated.text()}
        made.append((image, [annotation_entry(one, categories, height, width) for one in scene.annotations]))
    return made


Work = Callable[[range], list[tuple[dict[str, Any], list[dict[str, Any]]]]]


@contextmanager
def _runner(workers: int) -> Iterator[Callable[[Work, Iterable[range]], Iterable[Any]]]:
    """Carries out work here or in processes, in order."""
    if workers <= 1:
        yield map
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=prepare_process) as pool:
        try:
            yield pool.map
        except BrokenProcessPool:
            raise UserError("a process that composed scenes was ended: start again, with fewer --workers.") from None


def annotation_entry(one: Annotation, categories: Mapping[str, int], height: int, width: int) -> dict[str, Any]:
    """An annotation of COCO's ``instances_*.json``, with the fields ``quality`` and ``part``, still without numbers."""
    entry: dict[str, Any] = {
        "category_id": categories[one.kind],
        "iscrowd": int(one.is_crowd),
        "quality": one.quality,
    }
    if one.is_part:
        entry["part"] = True
    if one.box is not None:
        entry |= {"bbox": list(one.box), "area": one.box[2] * one.box[3]}
    if one.rle is not None:
        entry["segmentation"] = {"size": [height, width], "counts": one.rle}
    return entry


def _link(photo: Path, to: Path) -> None:
    """The same file under another name where the disk allows it, else a copy; nothing where another split has it."""
    if to.exists():
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(photo.resolve(), to)
    except OSError:
        shutil.copyfile(photo, to)
