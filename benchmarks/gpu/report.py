"""The figures of a GPU as Markdown."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from benchmarks.gpu.clock import Measurement, Precision
from benchmarks.gpu.steps import TRAINING
from benchmarks.gpu.training_runs import TrainingRun
from benchmarks.report import number, table

SCHEDULE = 700_000
"""Expressions that the original trains on, one a step."""


@dataclass
class GpuResults:
    """All figures of a card."""

    device: str
    torch_version: str
    matrix_speed: dict[Precision, float]
    """Operations a second of the matrix product."""
    measurements: list[Measurement] = field(default_factory=list)
    """Those that were compared stand together."""
    runs: list[TrainingRun] = field(default_factory=list)
    """Of ``cmpc train``."""
    profile: str = ""
    """What a training step spends its time on."""
    left_out: list[str] = field(default_factory=list)
    """What there was no time for."""


def tables(results: GpuResults) -> str:
    """Everything."""
    matrix = ", ".join(f"{speed / 1e12:.3g} TFLOP/s in {name}" for name, speed in results.matrix_speed.items())
    parts = [
        f"{results.device}, torch {results.torch_version}; a large matrix product: {matrix}.\n",
        _steps_table(results.measurements),
        _runs_table(results.runs),
        schedule(results),
        f"```\n{results.profile.rstrip()}\n```\n" if results.profile else "",
        f"Not measured, for lack of time: {'; '.join(results.left_out)}.\n" if results.left_out else "",
    ]
    return "\n".join(part for part in parts if part)


def schedule(results: GpuResults) -> str:
    """Projected time of the original's schedule: by the fastest training step, and by ``cmpc train`` from files."""
    rates = {
        "by the fastest training step": [one.expressions_per_second for one in results.measurements if _trains(one)],
        "by the fastest `cmpc train`": [run.expressions_per_second for run in results.runs],
    }
    projected = [f"{SCHEDULE / max(found) / 60:.0f} min {what}" for what, found in rates.items() if found]
    return f"The original's {SCHEDULE:,} expressions take {', '.join(projected)}.\n" if projected else ""


def _trains(measurement: Measurement) -> bool:
    return measurement.work == TRAINING


def _steps_table(measurements: list[Measurement]) -> str:
    header = ["work", "by", "precision", "images x expressions", "images/s", "expressions/s", "ms (min to max)"]
    header += ["share of the matrix product", "memory"]
    rows = [
        [
            *(one.work, one.by, one.precision, f"{one.images} x {one.expressions // one.images}"),
            *(number(one.images_per_second), number(one.expressions_per_second)),
            f"{1e3 * one.median:.1f} ({1e3 * min(one.seconds):.1f} to {1e3 * max(one.seconds):.1f})",
            *(f"{one.share:.0%}", "" if one.gigabytes is None else f"{one.gigabytes:.1f} GB"),
        ]
        for one in measurements
    ]
    return table(header, rows)


def _runs_table(runs: list[TrainingRun]) -> str:
    header = ["`cmpc train` from files", "images x expressions", "images/s (min to max)", "expressions/s"]
    rows = []
    for run in runs:
        rates = run.images_per_second
        spread = f"{number(statistics.median(rates))} ({number(min(rates))} to {number(max(rates))})"
        shape = f"{run.images} x {run.expressions // run.images}"
        rows.append([run.kind, shape, spread, number(run.expressions_per_second)])
    return table(header, rows) if rows else ""
