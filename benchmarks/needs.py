"""What a training run needs in memory and on disk: a few steps of the presets ``paper`` and ``photos``.

python -m benchmarks.needs --out benchmarks/needs.json --docs docs/scale.md

Weights are random, photos drawn: neither changes what is needed. Prints a table in Markdown.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro

from benchmarks.report import table, write_places
from benchmarks.scale import make_set, measured


@dataclass
class Options:
    """What to measure."""

    presets: tuple[str, ...] = ("paper", "photos")
    """Networks."""
    batch_images: int = 1
    """Photos of a step."""
    expressions_per_image: int = 4
    """Expressions of a photo."""
    out: Path | None = None
    """JSON file of the figures."""
    docs: Path | None = None
    """Page whose table, at its place "needs", is to be written anew."""


@dataclass(frozen=True)
class Figures:
    """What a run needed."""

    preset: str
    batch_images: int
    expressions_per_image: int
    peak_bytes: int
    """Highest memory, as the system counts it (ru_maxrss), with one process that loads nothing ahead."""
    run_bytes: int
    """The run's folder after its end."""
    model_bytes: int
    """The model in it, as it is published."""


def main(options: Options) -> None:
    """Measures and prints the table."""
    figures = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_set(folder, 100, 1)
        cmpc = [sys.executable, "-m", "cmpc"]
        own = ["prepare", "own", str(folder / "table.jsonl"), "--images", str(folder / "photos"), "--name", "boxes"]
        measured([*cmpc, *own, "--out", str(folder / "data")])
        for preset in options.presets:
            run = folder / "runs" / preset
            counts = ["--batch-images", str(options.batch_images)]
            counts += ["--expressions-per-image", str(options.expressions_per_image)]
            what = ["--preset", preset, "--backbone-weights", "random", "--steps", "2", "--workers", "0"]
            device = ["--accelerator", "cpu", "--precision", "32"]
            train = ["train", "--data", str(folder / "data"), "--out", str(run), *what, *counts, *device]
            _, _, memory = measured([*cmpc, *train])
            of_run = sum(file.stat().st_size for file in run.rglob("*") if file.is_file())
            model = (run / "last" / "model.safetensors").stat().st_size
            of_preset = (preset, options.batch_images, options.expressions_per_image, memory, of_run, model)
            figures.append(Figures(*of_preset))
    print(needs_table(figures))
    if options.out:
        text = json.dumps([asdict(one) for one in figures], indent=1)
        options.out.write_text(text + "\n", encoding="utf-8")
    if options.docs:
        write_places(options.docs, {"needs": needs_table(figures)})


def needs_table(figures: Sequence[Figures]) -> str:
    """The figures as Markdown."""
    header = ["preset", "images of a step", "expressions of each", "memory", "the run's folder", "the model in it"]
    rows = [
        [
            f"`{one.preset}`",
            str(one.batch_images),
            str(one.expressions_per_image),
            f"{one.peak_bytes / 1e9:.2f} GB",
            f"{one.run_bytes / 1e6:,.0f} MB",
            f"{one.model_bytes / 1e6:,.0f} MB",
        ]
        for one in figures
    ]
    return table(header, rows)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
