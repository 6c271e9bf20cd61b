"""What sharpening is worth on a model's own answers: masks before and after, against those of prepared data.

python -m benchmarks.refined_answers DATA --model photos --split val --objects 250

Asks one expression about each drawn object and sharpens what was found. Answers that miss the object (IoU below
``--found``) say nothing about edges and are left out; their number is told. Prints IoU, boundary IoU (Cheng et al.,
CVPR 2021) and milliseconds by the size of the mask, as Markdown. The masks of the data should be exact.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import tyro

import cmpc
from benchmarks.refinement import LEAST_AREA, boundary_iou, iou, size_of, table
from cmpc.data.schema import PreparedDataset
from cmpc.refining.refine import REFINEMENTS, check_refinement


@dataclass
class Options:
    """What is asked."""

    data: tyro.conf.Positional[Path]
    """Prepared data."""
    model: str = "photos"
    """Folder or name of the model."""
    split: str = "val"
    """Split of the data."""
    objects: int = 250
    """How many objects, drawn at random."""
    found: float = 0.5
    """IoU from which an answer counts as found."""
    seed: int = 0
    """Of the drawing."""


def main(options: Options) -> None:
    """Measures and prints the table."""
    check_refinement("crf")
    data, segmenter = PreparedDataset.open(options.data), cmpc.load(options.model)
    rows = [row for row in data.read(options.split) if not row.is_empty]
    rows = random.Random(options.seed).sample(rows, min(options.objects, len(rows)))
    scores: dict[tuple[str, str], list[tuple[float, float, float]]] = defaultdict(list)
    asked = 0
    for row in rows:
        mask = row.decode_mask()
        if mask.sum() < LEAST_AREA:
            continue
        asked += 1
        pixels = data.read_image(row)
        [answer] = segmenter.predict(row.expressions[0], image=pixels)
        if iou(answer.mask, mask) < options.found:
            continue
        for name in REFINEMENTS:
            start = time.perf_counter()
            refined = answer.refined(pixels, name).mask
            seconds = time.perf_counter() - start
            for size in (size_of(mask), "all"):
                scores[size, name].append((iou(refined, mask), boundary_iou(refined, mask), seconds))
    print(table(scores))
    print(f"\n{len(scores['all', 'none'])} of {asked} objects were found with an IoU of {options.found} or more.")


if __name__ == "__main__":
    main(tyro.cli(Options))
