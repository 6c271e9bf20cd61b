"""Time for each row, and peak memory, of preparing, loading, testing and answering sets of 10,000 rows and more.

python -m benchmarks.scale --rows 10000 100000 1000000 --out benchmarks/scale.json --docs docs/scale.md

The photos are small JPEGs with a coloured box, ten expressions to a photo; the network is tiny, so that what is
measured is the work around it. Each piece of work runs in a process of its own. Prints a table in Markdown.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
import tyro

from benchmarks.report import write_places

EXPRESSIONS_OF_A_PHOTO = 10
COLOURS = {"red": (30, 30, 220), "blue": (220, 30, 30), "green": (30, 200, 30), "white": (240, 240, 240)}
"""Names, and the colours as OpenCV writes them."""
Stage = Literal["prepare", "load", "evaluate", "bulk"]
STAGES: tuple[Stage, ...] = ("prepare", "load", "evaluate", "bulk")
DONE: dict[Stage, str] = {
    "prepare": "`cmpc prepare own --pack`",
    "load": "loading each photo once, as training does",
    "evaluate": "`cmpc evaluate`",
    "bulk": "`cmpc bulk`",
}
"""What the table calls them."""


@dataclass
class Options:
    """How much, and where."""

    rows: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    """Expressions of each set."""
    stages: tuple[Stage, ...] = STAGES
    """What to measure of each."""
    most_asked: int = 100_000
    """Of larger sets so many expressions are asked for in evaluation, and sets for bulk have no more: the network's
    time, which grows with them alone, would be hours."""
    work: Path | None = None
    """Folder for the sets; by default one that is removed. Sets that are there are taken as they are."""
    out: Path | None = None
    """JSON file of the figures; those of other sets and stages that it holds stay."""
    docs: Path | None = None
    """Page whose table, at its place "rows", is to be written anew, of all figures in --out."""
    load: Annotated[Path | None, tyro.conf.arg(name="only-load")] = None
    """Loads the photos of a prepared set once, and nothing else: the command uses it for itself."""


@dataclass(frozen=True)
class Figures:
    """What a piece of work took."""

    rows: int
    """Expressions of the set."""
    stage: Stage
    """Which work."""
    done: int
    """Expressions that it was done for."""
    seconds: float
    """From start to end."""
    core_seconds: float
    """Those that it had of a core."""
    peak_bytes: int
    """Its highest memory, as the system counts it (ru_maxrss)."""


def main(options: Options) -> None:
    """Measures and prints the table."""
    if options.load is not None:
        load(options.load)
        return
    known = json.loads(options.out.read_text(encoding="utf-8")) if options.out and options.out.exists() else []
    figures = {(one["rows"], one["stage"]): Figures(**one) for one in known}
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        for rows in options.rows:
            folder = work / str(rows)
            if not folder.exists():
                make_set(folder, rows, options.most_asked)
                maker = get_context("spawn").Process(target=make_model, args=(folder / "model",))
                maker.start()  # what it loads would be counted as memory of all that is started here
                maker.join()
            for stage in options.stages:
                done = min(rows, options.most_asked) if stage in ("evaluate", "bulk") else rows
                of_stage = Figures(rows, stage, done, *measured(command(stage, folder, done)))
                figures[rows, stage] = of_stage
                print(table([of_stage]), flush=True)
    in_order = sorted(figures.values(), key=lambda one: (STAGES.index(one.stage), one.rows))
    if options.out:
        text = json.dumps([asdict(one) for one in in_order], indent=1)
        options.out.write_text(text + "\n", encoding="utf-8")
    if options.docs:
        write_places(options.docs, {"rows": table(in_order)})


def table(figures: Sequence[Figures]) -> str:
    """The figures as Markdown."""
    lines = ["| work | rows | of these done | of a core, ms a row | peak memory, MB |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    for one in figures:
        time_of_row = f"{1000 * one.core_seconds / one.done:.2f}"
        done = "all" if one.done == one.rows else f"{one.done:,}"
        lines.append(f"| {DONE[one.stage]} | {one.rows:,} | {done} | {time_of_row} | {one.peak_bytes / 1e6:,.0f} |")
    return "\n".join(lines) + "\n"


def make_set(folder: Path, rows: int, most_asked: int) -> None:
    """Writes photos and a table of boxes with an expression each; and one for bulk, of at most so many."""
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
                if photo * EXPRESSIONS_OF_A_PHOTO + number < most_asked:
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


def command(stage: Stage, folder: Path, done: int) -> list[str]:
    """What does one piece of work on so many expressions of a set."""
    cmpc = [sys.executable, "-m", "cmpc"]
    data, model = str(folder / "prepared"), str(folder / "model")
    if stage == "prepare":
        own = ["prepare", "own", str(folder / "table.jsonl"), "--images", str(folder / "photos"), "--name", "boxes"]
        return [*cmpc, *own, "--pack", "--out", data]
    if stage == "load":
        return [sys.executable, "-m", "benchmarks.scale", "--only-load", data]
    if stage == "evaluate":
        limit = ["--limit", str(-(-done // EXPRESSIONS_OF_A_PHOTO))]
        report = ["--out", str(folder / "report"), *limit]
        return [*cmpc, stage, "--data", data, "--split", "train", "--model", model, *report]
    shutil.rmtree(folder / "answers", ignore_errors=True)
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
