"""A synthetic benchmark in the files of the REFER toolkit, as large as one likes: ``refs(unc).p``, ``instances.json``.

Numbers for each image are those of UNC: 2.5 referred objects, 7 expressions, 10 annotated objects.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

COLOURS = ("red", "blue", "white", "black", "green", "yellow", "brown", "grey")
NOUNS = ("man", "woman", "dog", "shirt", "car", "horse", "chair", "pizza", "umbrella", "bus", "kid", "zebra")
PLACES = ("left", "right", "middle", "front", "back", "top")
WORDS = ("the", "of", "in", "a", "on", "behind", "next", "to", *COLOURS, *NOUNS, *PLACES)
"""All words of the expressions."""

OBJECTS_PER_IMAGE = 10
REFERRED_PER_IMAGE = 2.5
HEIGHT, WIDTH = 480, 640


def write_annotations(folder: Path, photos: Sequence[Path], *, images: int, expressions: int, split: str) -> None:
    """Writes ``folder/refcoco`` and ``folder/train2014``.

    Args:
        folder: where to.
        photos: JPEGs of 640 x 480 pixels, which are linked as many times as there are images.
        images: how many images are referred to.
        expressions: how many expressions there are about them.
        split: the split of all of them.
    """
    (folder / "train2014").mkdir(parents=True)
    (folder / "refcoco").mkdir()
    names = [f"COCO_train2014_{number:012d}.jpg" for number in range(images)]
    for number, name in enumerate(names):
        _link(photos[number % len(photos)], folder / "train2014" / name)
    with (folder / "refcoco" / "instances.json").open("w", encoding="utf-8") as file:
        file.writelines(_instances(names))
    with (folder / "refcoco" / "refs(unc).p").open("wb") as file:
        pickle.dump(list(_references(names, expressions, split)), file, protocol=0)  # as Python 2 wrote them


def _link(photo: Path, path: Path) -> None:
    try:
        os.link(photo, path)
    except OSError:  # another file system, or one without links
        shutil.copyfile(photo, path)


def _instances(names: Sequence[str]) -> Iterator[str]:
    """COCO's JSON piece by piece; objects that nothing refers to share a few hundred outlines."""
    random = np.random.default_rng(0)
    common = [json.dumps([_outline(random)]) for _ in range(400)]
    categories = [{"id": number, "name": noun} for number, noun in enumerate(NOUNS, start=1)]
    yield f'{{"categories": {json.dumps(categories)}, "images": ['
    for number, name in enumerate(names):
        entry = {"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH, "license": 1}
        yield (", " if number else "") + json.dumps(entry)
    yield '], "annotations": ['
    for number in range(OBJECTS_PER_IMAGE * len(names)):
        referred = number % OBJECTS_PER_IMAGE < REFERRED_PER_IMAGE
        outline = json.dumps([_outline(random)]) if referred else common[number % len(common)]
        yield (", " if number else "") + (
            f'{{"id": {number}, "image_id": {number // OBJECTS_PER_IMAGE}, "category_id": {number % len(NOUNS) + 1}, '
            f'"iscrowd": 0, "area": 5000.0, "bbox": [0.0, 0.0, 1.0, 1.0], "segmentation": {outline}}}'
        )
    yield "]}"


def _outline(random: np.random.Generator) -> list[float]:
    """A polygon of 12 to 60 points inside the image: x1, y1, x2, y2, ..."""
    count = int(random.integers(12, 61))
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    radii = random.uniform(25, 120) * random.uniform(0.7, 1.3, count)
    x = np.clip(random.uniform(60, WIDTH - 60) + radii * np.cos(angles), 0, WIDTH)
    y = np.clip(random.uniform(60, HEIGHT - 60) + radii * np.sin(angles), 0, HEIGHT)
    return np.stack([x, y], axis=1).round(2).flatten().tolist()


def _references(names: Sequence[str], expressions: int, split: str) -> Iterator[dict[str, Any]]:
    """The entries of the pickle; expressions are spread evenly over the images and, in them, over the objects."""
    random = np.random.default_rng(1)
    sentence = 0
    for image, name in enumerate(names):
        objects = _share(round(REFERRED_PER_IMAGE * len(names)), len(names), image)
        about_image = _share(expressions, len(names), image)
        for number in range(objects):
            annotation = image * OBJECTS_PER_IMAGE + number
            sentences = [_sentence(random, sentence + one) for one in range(_share(about_image, objects, number))]
            sentence += len(sentences)
            yield {
                "sent_ids": [one["sent_id"] for one in sentences],
                "file_name": f"{name.removesuffix('.jpg')}_{annotation}.jpg",
                "ann_id": annotation,
                "ref_id": annotation,
                "image_id": image,
                "split": split,
                "sentences": sentences,
                "category_id": annotation % len(NOUNS) + 1,
            }


def _share(total: int, parts: int, part: int) -> int:
    """How much of ``total`` a part gets when it is spread evenly."""
    return total * (part + 1) // parts - total * part // parts


def _sentence(random: np.random.Generator, number: int) -> dict[str, Any]:
    colour, noun, place, other = (words[int(random.integers(len(words)))] for words in (COLOURS, NOUNS, PLACES, NOUNS))
    forms = (f"{place} {noun}", f"{colour} {noun}", f"the {colour} {noun} on the {place}", f"{noun} behind the {other}")
    text = forms[int(random.integers(len(forms)))]
    return {"tokens": text.split(), "raw": text, "sent_id": number, "sent": text}
