"""Time for each row, and peak memory, of preparing, loading, testing and answering sets of 10,000 rows and more.

python -m benchmarks.scale --rows 10000 100000 1000000 --work /tmp/scale

The photos are small JPEGs with a coloured box, ten expressions to a photo; the network is tiny, so that what is
measured is the work around it. Each piece of work runs in a process of its own. Prints a table in Markdown.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import tyro

EXPRESSIONS_OF_A_PHOTO = 10
COLOURS = {"red": (30, 30, 220), "blue": (220, 30, 30), "green": (30, 200, 30), "white": (240, 240, 240)}
"""Names, and the colours as OpenCV writes them."""
STAGES = ("prepare", "load", "evaluate", "bulk")


@dataclass
class Options:
    """How much, and where."""

    rows: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    """Expressions of each set."""
    work: Path | None = None
    """Folder for the sets; by default one that is removed."""
    load: Annotated[Path | None, tyro.conf.arg(name="only-load")] = None
    """Loads the photos of a prepared set once, and nothing else: the command uses it for itself."""


def main(options: Options) -> None:
    """Measures and prints the table."""
    if options.load is not None:
        load(options.load)
        return
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        print("| rows | work | ms a row | of a core, ms a row | peak memory, MB |\n| ---: | --- | ---: | ---: | ---: |")
        for rows in options.rows:
            folder = work / str(rows)
            make_set(folder, rows)
            make_model(folder / "model")
            for stage in STAGES:
                seconds, of_a_core, memory = measured(command(stage, folder))
                times = f"{1000 * seconds / rows:.2f} | {1000 * of_a_core / rows:.2f}"
                print(f"| {rows:,} | {stage} | {times} | {memory / 1e6:,.0f} |", flush=True)


def make_set(folder: Path, rows: int) -> None:
    """Writes photos and a table of boxes with an expression each."""
    photos = folder / "photos"
    photos.mkdir(parents=True)
    random = np.random.default_rng(0)
    names = list(COLOURS)
    with (folder / "table.jsonl").open("w", encoding="utf-8") as own, (folder / "asked.jsonl").open("w") as asked:
        for photo in range(-(-rows // EXPRESSIONS_OF_A_PHOTO)):
            name = f"{photo // 1000:04d}/{photo:07d}.jpg"
            (photos / name).parent.mkdir(exist_ok=True)
            pixels = np.full((64, 80, 3), 110, np.uint8)
            colour = names[photo % len(names)]
            x, y = (int(value) for value in random.integers(4, 36, 2))
            pixels[y : y + 24, x : x + 30] = COLOURS[colour]
            cv2.imwrite(str(photos / name), pixels)
            for number in range(min(EXPRESSIONS_OF_A_PHOTO, rows - photo * EXPRESSIONS_OF_A_PHOTO)):
                expression = f"the {colour} box number {names[number % len(names)]}"
                row = {"image": name, "expressions": [expression], "box": [x, y, 30, 24]}
                own.write(json.dumps(row) + "\n")
                asked.write(json.dumps({"image": name, "expression": expression}) + "\n")


def make_model(folder: Path) -> None:
    """A network with few channels and random weights."""
    from cmpc.data.vocabulary import Vocabulary
    from cmpc.model_folder import save_model_folder
    from cmpc.models.config import preset
    from cmpc.models.paper.cmpc import CMPC

    vocabulary = Vocabulary.from_expressions([f"the {name} box number" for name in COLOURS])
    channels = {"multimodal_channels": 12, "fusion_channels": 10, "refinement_channels": 8, "word_type_channels": 8}
    config = preset(
        "small",
        image={"size": 64},
        backbone={"channels": (16, 16, 24, 32), "blocks": (1, 1, 1, 1)},
        text={"vocabulary_size": len(vocabulary), "embedding_channels": 12, "word_channels": 16},
        network=channels,
    )
    save_model_folder(folder, CMPC(config), vocabulary)


def command(stage: str, folder: Path) -> list[str]:
    """What does one piece of work on a set."""
    cmpc = [sys.executable, "-m", "cmpc"]
    data, model = str(folder / "prepared"), str(folder / "model")
    if stage == "prepare":
        own = ["prepare", "own", str(folder / "table.jsonl"), "--images", str(folder / "photos"), "--name", "boxes"]
        return [*cmpc, *own, "--pack", "--out", data]
    if stage == "load":
        return [sys.executable, "-m", "benchmarks.scale", "--only-load", data]
    if stage == "evaluate":
        return [*cmpc, stage, "--data", data, "--split", "train", "--model", model, "--out", str(folder / "report")]
    photos = ["--images", str(folder / "photos"), "--model", model, "--out", str(folder / "answers")]
    return [*cmpc, stage, str(folder / "asked.jsonl"), *photos]


def load(data: Path) -> None:
    """Reads each photo of a prepared set once, as training does, in this process."""
    from cmpc.conventions import ImageConfig
    from cmpc.data.dataset import ReferringImages
    from cmpc.data.sampler import StepSampler
    from cmpc.data.schema import PreparedDataset
    from cmpc.data.vocabulary import Vocabulary

    dataset = PreparedDataset.open(data)
    rows = dataset.read("train")
    vocabulary = Vocabulary.from_expressions(expression for row in rows[:100] for expression in row.expressions)
    images = ReferringImages(
        dataset, "train", vocabulary, ImageConfig(size=64), max_words=20, expressions_per_image=10, rows=rows
    )
    start = time.perf_counter()
    for visits in StepSampler(images.order, batch=8, start=0, stop=len(images) // 8):
        images.__getitems__(visits)
    print(f"{len(images) / (time.perf_counter() - start):,.0f} photos/s", file=sys.stderr)


def measured(arguments: Sequence[str]) -> tuple[float, float, int]:
    """Runs a command: seconds, those that it had a core, and its highest memory in bytes."""
    start = time.perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{said}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
