"""How fast a network answers and trains on a GPU, and how much of what the card can do that is.

python -m benchmarks.gpu --out gpu.json --docs docs/performance.md

Everything is made here: weights, pixels, words and photos. Prints Markdown tables: images and expressions a second,
share of the speed that a large matrix product reaches on the same card, the projected time of the original's schedule,
and what a training step spends its time on. What was measured is written after each comparison, so that nothing of it
is lost where the card has to be given back.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
import tyro

from benchmarks.gpu.clock import Precision, Step, matrix_speed, measure_side_by_side, wait
from benchmarks.gpu.report import GpuResults, tables
from benchmarks.gpu.steps import (
    FIRST,
    FURTHER,
    SEGMENTING,
    TRAINING,
    first_steps,
    further_steps,
    segmenting_steps,
    training_steps,
)
from benchmarks.gpu.training_runs import KINDS, LOG_EVERY, training_run
from benchmarks.make_material import make_material
from benchmarks.material import Material
from benchmarks.report import write_places
from cmpc.devices import choose_device
from cmpc.errors import UsageError, UserError
from cmpc.files import atomic_file
from cmpc.models.config import ModelConfig, preset
from cmpc.models.paper.cmpc import CMPC


@dataclass
class Options:
    """What to measure, and where to write."""

    preset: Literal["paper", "small"] = "paper"
    """The network."""
    device: str = "cuda"
    """The card."""
    precisions: tuple[Precision, ...] = ("bf16", "fp32")
    """Numbers to compute with; all that is measured with the first comes before the others."""
    minutes: float = 5.0
    """Begin no other comparison after so long; what was left out is named."""
    rounds: int = 10
    """Turns of each step; the median counts."""
    images: tuple[int, ...] = (32, 8, 1)
    """Images in a batch."""
    expressions: int = 4
    """Expressions about each image."""
    steps: int = 40
    """Steps of each run of cmpc train, for the first of --images and of --precisions; 0 for no runs."""
    matrix: int = 8192
    """Side of the matrices whose product stands for what the card can do."""
    out: Path | None = None
    """JSON file for the figures."""
    docs: Path | None = None
    """Page whose place "gpu" is renewed."""


def measure(
    options: Options,
    config: ModelConfig,
    device: torch.device,
    say: Callable[[str], None],
    *,
    keep: Callable[[GpuResults], None] = lambda results: None,
    train: Callable[[GpuResults], None] = lambda results: None,
) -> GpuResults:
    """Measures answers and training.

    Args:
        options: what to measure.
        config: the network.
        device: where.
        say: is told what comes next.
        keep: is given all figures so far after each comparison.
        train: adds whole runs of ``cmpc train``, after all that is measured in the first precision.
    """
    end = time.monotonic() + 60 * options.minutes
    torch.manual_seed(0)
    model = CMPC(config).to(device).eval()
    speed = {name: matrix_speed(device, options.matrix, name, options.rounds) for name in options.precisions}
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    results = GpuResults(name, torch.__version__, speed)
    for what, carry_out in _work(options, model, device, results, train):
        if time.monotonic() >= end:
            results.left_out.append(what)
            continue
        say(what)
        carry_out()
        keep(results)
    keep(results)
    return results


def _work(
    options: Options, model: CMPC, device: torch.device, results: GpuResults, train: Callable[[GpuResults], None]
) -> Iterator[tuple[str, Callable[[], None]]]:
    """What there is to do, and its name; the weights of one comparison are let go before the next one's are made."""

    def compare(make: Callable[[], list[Step]]) -> Callable[[], None]:
        def carry_out() -> None:
            steps = make()
            speed = results.matrix_speed
            results.measurements += measure_side_by_side(steps, device, rounds=options.rounds, matrix_speed=speed)

        return carry_out

    def profile() -> None:
        shape = (options.precisions[0], options.images[0], options.expressions)
        results.profile = profile_table(training_steps(model, device, *shape)[0].run, device)

    asked = options.expressions
    for number, precision in enumerate(options.precisions):
        yield f"{FIRST}, {precision}", compare(partial(first_steps, model, device, precision))
        yield f"{FURTHER}, {precision}", compare(partial(further_steps, model, precision))
        for images in options.images:
            steps = partial(training_steps, model, device, precision, images, asked)
            yield f"{TRAINING}, {precision}, {images} x {asked}", compare(steps)
        for images in options.images:
            steps = partial(segmenting_steps, model, precision, images, asked)
            yield f"{SEGMENTING}, {precision}, {images} x {asked}", compare(steps)
        if not number:
            yield "profile of a training step", profile
            if options.steps:
                yield "runs of cmpc train", partial(train, results)


def profile_table(step: Callable[[], object], device: torch.device) -> str:
    """The dearest operations of a step, as a table of the profiler."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    step()
    with torch.profiler.profile(activities=activities) as profile:
        step()
        wait(device)
    by = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    return profile.key_averages().table(sort_by=by, row_limit=15, max_name_column_width=50)


def add_runs(results: GpuResults, options: Options, material: Material, accelerator: str) -> None:
    """Runs ``cmpc train`` on photos in each of its ways.

    Raises:
        UserError: a run failed.
    """
    for kind in KINDS:
        run = training_run(
            material,
            kind,
            preset=options.preset,
            accelerator=accelerator,
            precision=options.precisions[0],
            images=options.images[0],
            expressions=options.expressions,
            steps=options.steps,
        )
        results.runs.append(run)


def run(options: Options) -> None:
    """Measures and writes.

    Raises:
        UsageError: options are out of range.
        UserError: there is no such device, a run failed, or a file cannot be written.
    """
    if 0 < options.steps < 2 * LOG_EVERY:
        raise UsageError(f"--steps must be 0 or at least {2 * LOG_EVERY}, got {options.steps}.")
    device = choose_device(options.device)

    def train(results: GpuResults) -> None:
        with tempfile.TemporaryDirectory(prefix="cmpc-benchmark-") as temporary:
            material = Material(Path(temporary))
            make_material(material, ("models", "photos", "dataset"))
            if device.type == "cuda":
                torch.cuda.empty_cache()  # the runs are other processes
            add_runs(results, options, material, device.type)

    results = measure(
        options,
        preset(options.preset),
        device,
        lambda text: print(text, file=sys.stderr, flush=True),
        keep=lambda results: _write(results, options),
        train=train,
    )
    print(tables(results))


def _write(results: GpuResults, options: Options) -> None:
    if options.out is not None:
        with atomic_file(options.out) as file:
            file.write_text(json.dumps(dataclasses.asdict(results), indent=1) + "\n", encoding="utf-8")
    if options.docs is not None:
        write_places(options.docs, {"gpu": tables(results)})


def main() -> int:
    """Runs the command; returns the exit status."""
    options = tyro.cli(Options, description=__doc__, prog="python -m benchmarks.gpu")
    try:
        run(options)
    except UserError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
