"""How fast a network answers and trains on a GPU, and how much of what the card can do that is.

python -m benchmarks.gpu --out gpu.json --docs docs/performance.md

Everything is made here: weights, pixels, words and photos. Prints Markdown tables: images and expressions a second,
share of the speed that a large matrix product reaches on the same card, the projected time of the original's schedule,
and what a training step spends its time on.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro

from benchmarks.gpu.clock import Precision, Step, matrix_speed, measure_side_by_side, wait
from benchmarks.gpu.report import GpuResults, tables
from benchmarks.gpu.steps import first_steps, further_steps, segmenting_steps, training_steps
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
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    """Numbers to compute with."""
    rounds: int = 10
    """Turns of each step; the median counts."""
    images: tuple[int, ...] = (1, 8, 32)
    """Images in a batch."""
    expressions: int = 4
    """Expressions about each image."""
    steps: int = 40
    """Steps of each run of cmpc train, for the last of --images; 0 for no runs."""
    matrix: int = 8192
    """Side of the matrices whose product stands for what the card can do."""
    out: Path | None = None
    """JSON file for the figures."""
    docs: Path | None = None
    """Page whose place "gpu" is renewed."""


def measure(options: Options, config: ModelConfig, device: torch.device, say: Callable[[str], None]) -> GpuResults:
    """Measures answers and training, all but whole runs of ``cmpc train``.

    Args:
        options: what to measure.
        config: the network.
        device: where.
        say: is told what comes next.
    """
    torch.manual_seed(0)
    model = CMPC(config).to(device).eval()
    speed = {name: matrix_speed(device, options.matrix, name, options.rounds) for name in options.precisions}
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    results = GpuResults(name, torch.__version__, speed)
    for steps in _groups(options, model, device):
        first = steps[0]
        say(f"{first.work}, {first.precision}, {first.images} x {first.expressions // first.images}")
        results.measurements += measure_side_by_side(steps, device, rounds=options.rounds, matrix_speed=speed)
    largest, precision = options.images[-1], options.precisions[-1]
    plain = training_steps(model, device, precision, largest, options.expressions)[0]
    results.profile = profile_table(plain.run, device)
    return results


def _groups(options: Options, model: CMPC, device: torch.device) -> Iterator[list[Step]]:
    """Steps that are measured side by side; the weights of one group are let go before the next one's are made."""
    for precision in options.precisions:
        yield first_steps(model, device, precision)
        yield further_steps(model, precision)
        for images in options.images:
            yield segmenting_steps(model, precision, images, options.expressions)
        for images in options.images:
            yield training_steps(model, device, precision, images, options.expressions)


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
            precision=options.precisions[-1],
            images=options.images[-1],
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
    results = measure(options, preset(options.preset), device, lambda text: print(text, file=sys.stderr, flush=True))
    _write(results, options)
    if options.steps:
        with tempfile.TemporaryDirectory(prefix="cmpc-benchmark-") as temporary:
            material = Material(Path(temporary))
            make_material(material, ("models", "photos", "dataset"))
            if device.type == "cuda":
                torch.cuda.empty_cache()  # the runs are other processes
            add_runs(results, options, material, device.type)
        _write(results, options)
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
