"""Rows a second of ``cmpc bulk``, in one process and on Ray, beside a plain loop of ``Segmenter.predict``.

python -m benchmarks.bulk_speed --photos examples/photos --rows 400

Each row of the table is a photo and two expressions. Prints a table in Markdown. Loading the model and starting Ray are
part of the time, as a user waits for them; ``without start`` leaves them out by asking for as many rows again.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

EXPRESSIONS = ("the person on the left", "the animal")
LOOP = """
import json, sys, pathlib, cmpc
segmenter = cmpc.load(sys.argv[2])
for line in open(sys.argv[1]):
    row = json.loads(line)
    for prediction in segmenter.predict(row["expression"], image=row["image"]):
        prediction.to_rle(), prediction.score, prediction.box
"""


@dataclass
class Options:
    """What to ask, and how much."""

    photos: Path
    """Folder with JPEGs."""
    rows: int = 400
    """Rows of the smaller table; the larger one has twice as many."""
    model: str = "photos"
    """Folder or name of the model."""
    workers: tuple[int, ...] = (1, 2)
    """How many of Ray's."""


def main(options: Options) -> None:
    """Measures and prints the table."""
    photos = sorted(options.photos.resolve().glob("*.jpg"))
    bulk = [sys.executable, "-m", "cmpc", "bulk", "TABLE", "--model", options.model, "--out", "OUT"]
    bulk += ["--rows-per-part", str(max(1, options.rows // 8))]
    ways = {
        "a loop of `Segmenter.predict`": [sys.executable, "-c", LOOP, "TABLE", options.model],
        "`cmpc bulk`": bulk,
    }
    for workers in options.workers:
        ways[f"`cmpc bulk --engine ray --workers {workers}`"] = [*bulk, "--engine", "ray", "--workers", str(workers)]
    print("| | rows/s | without start |\n| --- | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        tables = []
        for rows in (options.rows, 2 * options.rows):
            table = Path(folder) / f"{rows}.jsonl"
            asked = ({"image": str(photos[row % len(photos)]), "expression": EXPRESSIONS} for row in range(rows))
            table.write_text("".join(json.dumps(row) + "\n" for row in asked), encoding="utf-8")
            tables.append(table)
        for number, (name, command) in enumerate(ways.items()):
            times = []
            for table in tables:
                places = {"TABLE": str(table), "OUT": str(Path(folder) / f"out-{number}-{table.stem}")}
                start = time.perf_counter()
                subprocess.run([places.get(word, word) for word in command], check=True, capture_output=True)
                times.append(time.perf_counter() - start)
            rate = 2 * options.rows / times[1]
            print(f"| {name} | {rate:.1f} | {options.rows / (times[1] - times[0]):.1f} |", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
