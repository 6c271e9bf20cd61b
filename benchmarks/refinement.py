"""What sharpening is worth: masks at the networks' resolution before and after, against exact ones.

python -m benchmarks.refinement PHOTOS INSTANCES.json --instances 400

Takes exact masks of a folder of photos with COCO instances (annotations may carry a field ``quality``: then only those
that say ``exact``), makes of each an answer as a network gives it that finds the thing but not its edge to the pixel
(the edge is moved by a smooth random field of ``--shift`` and seen in 40 cells a side), and sharpens that. Prints IoU,
boundary IoU (Cheng et al., CVPR 2021) and milliseconds by the size of the mask, as Markdown.
"""

from __future__ import annotations

import json
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tyro
from numpy.typing import NDArray

from cmpc.data.images import read_image
from cmpc.data.masks import decode_mask, rle_from_coco
from cmpc.refining.refine import CELL, REFINEMENTS, check_refinement, refine_probability

SIZES = ((0.1, "up to 10 %"), (0.3, "10 to 30 %"), (float("inf"), "more than 30 %"))
"""Classes by the square root of the mask's area, in parts of the photo's longest side."""
LEAST_AREA = 64
"""Smaller masks say little about edges."""


@dataclass
class Options:
    """Which masks."""

    photos: tyro.conf.Positional[Path]
    """Folder of the photos."""
    annotations: tyro.conf.Positional[Path]
    """COCO's JSON of their instances."""
    instances: int = 400
    """How many masks, drawn at random."""
    shift: float = 0.0125
    """Standard deviation of the edges' error in each direction, in parts of the photo's longest side."""
    seed: int = 0
    """Of the drawing, and of the errors."""


def main(options: Options) -> None:
    """Measures and prints the table."""
    check_refinement("crf")
    scores: dict[tuple[str, str], list[tuple[float, float, float]]] = defaultdict(list)
    generator = np.random.default_rng(options.seed)
    for pixels, mask in instances(options):
        probability = answer_about(mask, options.shift, generator)
        found = probability >= 0.5
        if not found.any():
            continue
        box = cv2.boundingRect(found.astype(np.uint8))
        for name in REFINEMENTS:
            start = time.perf_counter()
            refined = refine_probability(probability, pixels, (box[0], box[1], box[2], box[3]), name) >= 0.5
            seconds = time.perf_counter() - start
            for size in (size_of(mask), "all"):
                scores[size, name].append((iou(refined, mask), boundary_iou(refined, mask), seconds))
    print(table(scores))


def instances(options: Options) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    """Pixels and mask of each drawn instance."""
    content: dict[str, Any] = json.loads(options.annotations.read_text(encoding="utf-8"))
    images = {image["id"]: image for image in content["images"]}
    exact = [
        annotation
        for annotation in content["annotations"]
        if annotation.get("quality", "exact") == "exact" and not annotation.get("iscrowd")
    ]
    for annotation in random.Random(options.seed).sample(exact, min(options.instances, len(exact))):
        image = images[annotation["image_id"]]
        height, width = image["height"], image["width"]
        mask = decode_mask(rle_from_coco(annotation["segmentation"], height, width), height, width)
        pixels = read_image(options.photos / image["file_name"])
        if pixels.shape[:2] == mask.shape and mask.sum() >= LEAST_AREA:
            yield pixels, mask


def answer_about(mask: NDArray[np.bool_], shift: float, generator: np.random.Generator) -> NDArray[np.float32]:
    """A mask with errors at its edge, as the probabilities, (H, W), of logits between the cells of a network's map.

    Args:
        mask: the exact one, (H, W).
        shift: standard deviation of the errors in each direction, in parts of the longest side.
        generator: of the errors.
    """
    height, width = mask.shape
    longest = max(height, width)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    coarse = generator.normal(0, shift * longest, (2, 10, 10)).astype(np.float32)
    down, right = (cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC) for field in coarse)
    moved = cv2.remap(mask.astype(np.float32), columns + right, rows + down, cv2.INTER_LINEAR)
    scale = 1 / (CELL * longest)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    covered = cv2.resize(moved, size, interpolation=cv2.INTER_AREA).clip(0.02, 0.98)
    logits = cv2.resize(np.log(covered / (1 - covered)), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def size_of(mask: NDArray[np.bool_]) -> str:
    """The class of a mask's size."""
    side = mask.sum() ** 0.5 / max(mask.shape)
    return next(name for most, name in SIZES if side <= most)


def iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union; 1 where both are empty."""
    union = (one | other).sum()
    return float((one & other).sum() / union) if union else 1.0


def boundary_iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """IoU of the masks' inner edges, as wide as 2 % of the photo's diagonal."""
    width = max(1, round(0.02 * float(np.hypot(*one.shape))))
    return iou(_edge(one, width), _edge(other, width))


def _edge(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    padded = np.pad(mask.astype(np.uint8), 1)  # what touches the photo's border has an edge there
    inner = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1]
    return np.asarray(mask & (inner == 0))


def table(scores: dict[tuple[str, str], list[tuple[float, float, float]]]) -> str:
    """The means as a table in Markdown."""
    lines = ["| mask | masks | refine | IoU | boundary IoU | ms |", "| --- | ---: | --- | ---: | ---: | ---: |"]
    for size in [*(name for _, name in SIZES), "all"]:
        for name in ("none", "guided", "crf"):
            if some := scores[size, name]:
                overlap, boundary, seconds = np.mean(some, axis=0)
                lines.append(
                    f"| {size} | {len(some)} | {name} | {overlap:.3f} | {boundary:.3f} | {1000 * seconds:.0f} |"
                )
    return "\n".join(lines)


if __name__ == "__main__":
    main(tyro.cli(Options))
