"""What fine-tuning the model for photos on a few photos of one's own brings, beside a network that begins from nothing.

python -m benchmarks.fine_tuning DATA --photos 10 25 50 --work work

Takes the first photos of the training split of prepared data, trains on them from the model that ships and from
nothing (``--preset small``, as ``cmpc train`` does by itself), and tests on another split. Prints a row for each number
of photos, as Markdown. What is done is not done again.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import tyro

from cmpc.cli import main as run
from cmpc.data.schema import PreparedDataset, write_dataset


@dataclass
class Options:
    """What to learn from, and how long."""

    data: Annotated[Path, tyro.conf.Positional]
    """Prepared data (from cmpc prepare)."""
    work: Path
    """Folder for the runs."""
    photos: tuple[int, ...] = (10, 25, 50)
    """Numbers of photos."""
    epochs: int = 9
    """Of each run that begins from the model that ships: more would learn few photos by heart."""
    steps_from_nothing: int = 300
    """Of each run that begins from nothing; they are quicker."""
    learning_rate: float = 5e-4
    """Of the runs that begin from the model that ships."""
    split: str = "val"
    """Split to test on."""
    model: str = "photos"
    """Model to begin from."""


def main() -> None:
    """Trains, tests and prints the table."""
    options = tyro.cli(Options, description=__doc__)
    options.work.mkdir(parents=True, exist_ok=True)
    before = mean_iou(options, options.data, options.model, "untouched")
    print(f"Mean IoU on {options.split}: {before:.3f} as it ships")
    print("| photos | expressions | from nothing | minutes | fine-tuned | minutes |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for count in options.photos:
        data = options.work / f"{count}-photos"
        expressions = take_photos(options.data, data, count)
        cells: list[str] = []
        begins = {
            "nothing": f"--steps {options.steps_from_nothing}",
            "fine-tuned": f"--initial-model {options.model} --freeze-backbone --epochs {options.epochs} "
            f"--learning-rate {options.learning_rate}",
        }
        for name, settings in begins.items():
            out = options.work / f"{count}-{name}"
            command("train", "--data", data, "--out", out, "--validate-every", "0", *settings.split())
            score = mean_iou(options, options.data, out / "last", f"{count}-{name}")
            cells += [f"{score:.3f}", f"{minutes(out):.1f}"]
        print(f"| {count} | {expressions} | {' | '.join(cells)} |", flush=True)


def take_photos(data: Path, out: Path, count: int) -> int:
    """Writes the first photos of the training split as a dataset of their own; gives the number of expressions."""
    prepared = PreparedDataset.open(data)
    rows = prepared.read("train")
    chosen = set(islice(dict.fromkeys(row.image for row in rows), count))
    kept = [row for row in rows if row.image in chosen]
    info = dataclasses.replace(prepared.info, images=str(Path(str(prepared.image_folder)).resolve()))
    return write_dataset(out, info, {"train": kept}).splits["train"].expressions


def mean_iou(options: Options, data: Path, model: str | Path, name: str) -> float:
    """Tests a model."""
    report = options.work / f"report-{name}"
    command("evaluate", "--data", data, "--split", options.split, "--model", model, "--out", report)
    found: dict[str, Any] = json.loads((report / "report.json").read_text(encoding="utf-8"))
    return float(found["tables"]["without_crf"]["all"]["mean_iou"])


def minutes(run_folder: Path) -> float:
    """How long a run took."""
    with (run_folder / "training.csv").open(encoding="utf-8") as file:
        return float([row["seconds"] for row in csv.DictReader(file)][-1]) / 60


def command(name: str, *arguments: str | Path) -> None:
    """Runs a command of cmpc, or goes on with it, and ends with it if it fails."""
    out = Path(str(arguments[list(arguments).index("--out") + 1]))
    resume = ["--resume"] if out.exists() else []
    if status := run([name, *map(str, arguments), *resume]):
        sys.exit(status)


if __name__ == "__main__":
    main()
