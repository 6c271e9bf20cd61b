"""``cmpc train`` as a whole on a device: photos are read, decoded and brought there while it trains."""

from __future__ import annotations

import csv
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cases.programs import run_python
from benchmarks.gpu.clock import Precision
from benchmarks.material import Material

KINDS: dict[str, tuple[str, ...]] = {
    "photos rendered by the processor": ("--render-on", "cpu"),
    "photos rendered on the device": ("--render-on", "device"),
    "the same, not deterministic": ("--render-on", "device", "--no-deterministic"),
    "the same, compiled": ("--render-on", "device", "--no-deterministic", "--compile"),
}
"""What is compared -> options."""
LOG_EVERY = 5
"""Steps that a rate is a mean of."""


@dataclass
class TrainingRun:
    """How fast ``cmpc train`` went."""

    kind: str
    images: int
    """In a step."""
    expressions: int
    """In a step."""
    images_per_second: list[float]
    """Means of ``LOG_EVERY`` steps, but the first, which began the run."""

    @property
    def expressions_per_second(self) -> float:
        """Median over the run."""
        return statistics.median(self.images_per_second) * self.expressions / self.images


def training_run(
    material: Material,
    kind: str,
    *,
    preset: str,
    accelerator: str,
    precision: Precision,
    images: int,
    expressions: int,
    steps: int,
) -> TrainingRun:
    """Trains a network of the material for some steps, by the published recipe, on 640 x 480 JPEGs.

    Args:
        material: with models, photos and dataset.
        kind: one of ``KINDS``.
        preset: ``paper`` or ``small``.
        accelerator: ``cuda`` or ``cpu``.
        precision: numbers to compute with.
        images: in a step.
        expressions: about each image.
        steps: how many; at least twice ``LOG_EVERY``.

    Raises:
        UserError: the run failed, with the last line of what it said.
    """
    with tempfile.TemporaryDirectory(prefix="cmpc-training-") as temporary:
        out = Path(temporary) / "run"
        arguments = [
            *("-m", "cmpc", "train", "--data", str(material.dataset), "--train-split", "val", "--out", str(out)),
            *("--initial-model", str(material.model(preset)), "--recipe", "paper", "--validate-every", "0"),
            *("--accelerator", accelerator, "--devices", "1", "--precision", "32" if precision == "fp32" else "bf16"),
            *("--batch-images", str(images), "--expressions-per-image", str(expressions)),
            *("--steps", str(steps), "--log-every", str(LOG_EVERY), *KINDS[kind]),
        ]
        run_python(arguments)
        with (out / "training.csv").open(encoding="utf-8") as file:
            rates = [float(row["images_per_second"]) for row in csv.DictReader(file)]
    return TrainingRun(kind, images, images * expressions, rates[1:])
