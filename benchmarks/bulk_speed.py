"""Rows a second of ``cmpc bulk``, in one process and on Ray, beside a plain loop of ``Segmenter.predict``; and what
these figures make of 100 million photos.

python -m benchmarks.bulk_speed --out benchmarks/bulk_speed.json --docs docs/scale.md

Each row of the input is a photo and two expressions. Each way answers a table and one twice as long: their difference
leaves out loading the model and starting Ray. Prints tables in Markdown.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro

from benchmarks.report import table, write_places
from benchmarks.scale import measured

EXPRESSIONS = ("the person on the left", "the animal")
PHOTOS = 100_000_000
A_LOOP = "a loop of `Segmenter.predict`"
LOOP = """
import json, sys, cmpc
segmenter = cmpc.load(sys.argv[2])
with open(sys.argv[3], "w") as out:
    for line in open(sys.argv[1]):
        row = json.loads(line)
        for prediction in segmenter.predict(row["expression"], image=row["image"]):
            out.write(json.dumps([prediction.to_rle(), prediction.score, prediction.box]) + "\\n")
"""


@dataclass
class Options:
    """What to ask, and how much."""

    photos: Path = Path("examples/photos")
    """Folder with JPEGs."""
    rows: int = 400
    """Rows of the smaller table; the larger one has twice as many."""
    model: str = "photos"
    """Folder or name of the model."""
    workers: tuple[int, ...] = (1, 2)
    """How many of Ray's; none to leave Ray out."""
    out: Path | None = None
    """JSON file of the figures; those of other ways that it holds stay."""
    docs: Path | None = None
    """Page whose tables, at its places "bulk-speed" and "hundred-million", are to be written anew, of all in --out."""


@dataclass(frozen=True)
class Figures:
    """What a way took for two tables, of which one is twice as long."""

    way: str
    """Which."""
    rows: int
    """Of the smaller table."""
    seconds: tuple[float, float]
    """From start to end, of each."""
    core_seconds: tuple[float, float]
    """Those that each had of a core, without those of Ray's workers, which are not its children."""
    peak_bytes: int
    """Highest memory for the longer one."""
    photo_bytes: float
    """Of a photo, on average."""
    answer_bytes: float
    """Of the answers to a row of the input as JSON; 0 where they are written as a table, which is packed."""

    @property
    def ms_of_a_core(self) -> float:
        """Of a row, without the start."""
        return 1000 * (self.core_seconds[1] - self.core_seconds[0]) / self.rows


def main(options: Options) -> None:
    """Measures and prints the tables."""
    known = json.loads(options.out.read_text(encoding="utf-8")) if options.out and options.out.exists() else []
    figures = {one["way"]: Figures(**one) for one in known}
    photos = sorted(options.photos.resolve().glob("*.jpg"))
    photo_bytes = sum(photo.stat().st_size for photo in photos) / len(photos)
    with tempfile.TemporaryDirectory() as folder:
        tables = []
        for rows in (options.rows, 2 * options.rows):
            copies = [shutil.copy(photos[row % len(photos)], Path(folder) / f"{rows}-{row}.jpg") for row in range(rows)]
            asked = ({"image": str(copy), "expression": EXPRESSIONS} for copy in copies)  # each is seen once
            tables.append(Path(folder) / f"{rows}.jsonl")
            tables[-1].write_text("".join(json.dumps(row) + "\n" for row in asked), encoding="utf-8")
        for number, (way, command) in enumerate(ways(options).items()):
            outs = [Path(folder) / f"out-{number}-{asked.stem}" for asked in tables]
            took = [
                measured([{"TABLE": str(asked), "OUT": str(out)}.get(word, word) for word in command])
                for asked, out in zip(tables, outs, strict=True)
            ]
            (seconds, longer), (cores, longer_cores), (_, memory) = zip(*took, strict=True)
            figures[way] = Figures(
                way,
                options.rows,
                (seconds, longer),
                (cores, longer_cores),
                memory,
                photo_bytes,
                outs[1].stat().st_size / (2 * options.rows) if outs[1].is_file() else 0.0,
            )
            print(speed_table([figures[way]]), flush=True)
    if options.out:
        text = json.dumps([asdict(one) for one in figures.values()], indent=1)
        options.out.write_text(text + "\n", encoding="utf-8")
    pages = {"bulk-speed": speed_table([*figures.values()]), "hundred-million": projection(figures)}
    print(pages["hundred-million"])
    if options.docs:
        write_places(options.docs, pages)


def ways(options: Options) -> dict[str, list[str]]:
    """Name -> command, in which TABLE and OUT are still to be put in."""
    bulk = [sys.executable, "-m", "cmpc", "bulk", "TABLE", "--model", options.model, "--out", "OUT"]
    parts = ["--engine", "ray", "--rows-per-part", str(max(1, options.rows // 8)), "--workers"]  # for each of them some
    of_ray = {f"`--engine ray --workers {count}`": [*bulk, *parts, str(count)]
              for count in options.workers}  # fmt: skip
    loop = [sys.executable, "-c", LOOP, "TABLE", options.model, "OUT"]
    return {A_LOOP: loop, "`cmpc bulk`": bulk, **of_ray}


def speed_table(figures: Sequence[Figures]) -> str:
    """The figures as Markdown."""
    header = ["", "rows", "seconds", "rows a second without start", "of a core, ms a row", "peak memory, MB"]
    rows = []
    for one in figures:
        first, second = one.seconds
        on_ray = "ray" in one.way
        of_a_core = "" if on_ray else f"{one.ms_of_a_core:.0f}"
        memory = "" if on_ray else f"{one.peak_bytes / 1e6:,.0f}"
        rate = f"{one.rows / max(second - first, 1e-9):.2f}"
        rows.append([one.way, f"{2 * one.rows:,}", f"{second:.0f}", rate, of_a_core, memory])
    return table(header, rows)


def projection(figures: Mapping[str, Figures]) -> str:
    """What the figures of one process make of 100 million photos."""
    loop, one = figures[A_LOOP], figures["`cmpc bulk`"]
    core_hours = PHOTOS * one.ms_of_a_core / 1000 / 3600
    rate = PHOTOS * one.photo_bytes / (core_hours / 1600) / 3600
    rows = [
        ["hours of a core", f"{core_hours:,.0f}"],
        ["hours on a machine of 16 cores", f"{core_hours / 16:,.0f}"],
        *([f"hours on {count} such machines", f"{core_hours / (16 * count):,.1f}"] for count in (10, 100)),
        ["photos, as JPEGs", f"{PHOTOS * one.photo_bytes / 1e12:,.1f} TB"],
        ["photos read by 100 of them together", f"{rate / 1e6:,.0f} MB a second"],
        ["answers, before they are packed", f"{PHOTOS * loop.answer_bytes / 1e9:,.0f} GB"],
        ["files of answers, at 1,000 rows a part", f"{PHOTOS // 1000:,}"],
    ]
    return table([f"{PHOTOS:,} photos, {len(EXPRESSIONS)} expressions each", ""], rows)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
