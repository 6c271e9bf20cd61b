"""How fast a network runs and trains on a GPU, and how much of what the card can do that is.

python -m benchmarks.gpu --out gpu.json

Random weights and pixels: the time of a step does not depend on them. Prints Markdown tables: images and expressions a
second, share of the speed that a large matrix product reaches on the same card, the projected time of the original's
schedule, and what a training step spends its time on.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro
from torch.utils.flop_counter import FlopCounterMode

from cmpc.data.dataset import Batch
from cmpc.devices import choose_device
from cmpc.errors import UserError
from cmpc.files import atomic_file
from cmpc.models import CMPC, ModelConfig, preset
from cmpc.training.losses import PaperLoss
from cmpc.training.objective import Objective
from cmpc.training.optimizers import freeze_backbone, paper_optimizer

Precision = Literal["fp32", "bf16"]
Work = Literal["inference", "training"]
WORKS: tuple[Work, ...] = ("inference", "training")
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")

SCHEDULE = 700_000
"""Expressions that the original trains on, one a step."""
WORDS = 9


@dataclass
class Options:
    """What to measure."""

    preset: Literal["paper", "small"] = "paper"
    """The network."""
    device: str = "cuda"
    """The card."""
    rounds: int = 10
    """Rounds of each measurement; the median counts."""
    images: tuple[int, ...] = (1, 8, 32)
    """Images in a batch."""
    expressions: int = 4
    """Expressions about each image."""
    matrix: int = 8192
    """Side of the matrices whose product stands for what the card can do."""
    out: Path | None = None
    """JSON file for the figures."""


@dataclass
class Measurement:
    """Speed of one kind of work."""

    work: Work
    precision: Precision
    images: int
    """In a batch."""
    expressions: int
    """In a batch."""
    seconds: float
    """Median of a batch."""
    least_seconds: float
    most_seconds: float
    operations: float
    """Floating-point operations of a batch, counted; a multiply-add is two."""
    share: float
    """Of the speed of the matrix product in the same precision, 0..1."""
    gigabytes: float | None
    """Most memory that tensors took; None where the device does not say."""

    @property
    def expressions_per_second(self) -> float:
        """Expressions answered, or learned from, a second."""
        return self.expressions / self.seconds


@dataclass
class GpuResults:
    """All figures of a card."""

    device: str
    torch_version: str
    matrix_speed: dict[str, float]
    """Precision -> operations a second of the matrix product."""
    measurements: list[Measurement]
    profile: str
    """What a training step spends its time on."""

    def schedule_hours(self) -> float:
        """Projected time of the original's schedule in the fastest kind of training."""
        fastest = max(one.expressions_per_second for one in self.measurements if one.work == "training")
        return SCHEDULE / fastest / 3600


def measure(
    config: ModelConfig,
    device: torch.device,
    *,
    rounds: int,
    images: tuple[int, ...],
    expressions: int,
    matrix: int,
    precisions: tuple[Precision, ...] = PRECISIONS,
) -> GpuResults:
    """Measures inference and training.

    Args:
        config: the network.
        device: where.
        rounds: of each measurement.
        images: sizes of the batches.
        expressions: about each image.
        matrix: side of the matrices of the yardstick.
        precisions: numbers to compute with; weights stay in fp32.
    """
    torch.manual_seed(0)
    model = CMPC(config).to(device)
    speed: dict[str, float] = {precision: matrix_speed(device, matrix, precision, rounds) for precision in precisions}
    measurements = []
    for count in images:
        batch = random_batch(config, count, expressions).to(device)
        for precision in precisions:
            for work in WORKS:
                step = (inference if work == "inference" else training)(model, batch)
                measurements.append(_measure(work, step, batch, device, precision, rounds, speed[precision]))
    step = training(model, random_batch(config, images[-1], expressions).to(device))
    return GpuResults(
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        torch_version=torch.__version__,
        matrix_speed=speed,
        measurements=measurements,
        profile=profile_table(step, device, precisions[-1]),
    )


def random_batch(config: ModelConfig, images: int, expressions: int) -> Batch:
    """Random pixels, words and masks: ``expressions`` for each image."""
    count, size = images * expressions, config.image.size
    return Batch(
        images=torch.randint(0, 256, (images, size, size, 3), dtype=torch.uint8),
        tokens=torch.randint(1, config.vocabulary_size, (count, min(WORDS, config.max_words))),
        image_index=torch.arange(images).repeat_interleave(expressions),
        masks=torch.rand(count, size, size) > 0.8,
        word_types=None,
        step_expressions=count,
    )


def inference(model: CMPC, batch: Batch) -> Callable[[], object]:
    """All masks of a batch."""
    objective = Objective(model, PaperLoss(), weight_decay=0.0, device_count=1).to(batch.images.device)

    def step() -> None:
        model.eval()
        with torch.inference_mode():
            objective.predict(batch)

    return step


def training(model: CMPC, batch: Batch) -> Callable[[], object]:
    """Forward, backward and Adam with the published loss; the backbone of ``paper`` is frozen."""
    model.requires_grad_(True)
    model.language.lstm.get_parameter("bias_hh_l0").requires_grad_(False)
    freeze_backbone(model, tune=False)
    objective = Objective(model, PaperLoss(), weight_decay=5e-4, device_count=1).to(batch.images.device)
    optimizer = paper_optimizer(model, learning_rate=2.5e-4)

    def step() -> None:
        model.train()
        objective(batch)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def matrix_speed(device: torch.device, side: int, precision: Precision, rounds: int) -> float:
    """Operations a second of a square matrix product: what the card can do in practice. fp32 is without TF32."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
    return 2 * side**3 / min(_seconds(lambda: left @ right, device, rounds))


def profile_table(step: Callable[[], object], device: torch.device, precision: Precision) -> str:
    """The dearest operations of a step, as a table of the profiler."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with _autocast(device, precision):
        step()
        with torch.profiler.profile(activities=activities) as profile:
            step()
            _wait(device)
    by = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    return profile.key_averages().table(sort_by=by, row_limit=15, max_name_column_width=50)


def tables(results: GpuResults) -> str:
    """Everything as Markdown."""
    lines = [f"{results.device}, torch {results.torch_version}", ""]
    for precision, speed in results.matrix_speed.items():
        lines.append(f"matrix product in {precision}: {speed / 1e12:.3g} TFLOP/s  ")
    lines += [
        "",
        "| work | precision | images x expressions | images/s | expressions/s | ms (min to max) | share | memory |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in results.measurements:
        cells = [
            *(one.work, one.precision, f"{one.images} x {one.expressions // one.images}"),
            *(f"{one.images / one.seconds:.1f}", f"{one.expressions_per_second:.1f}"),
            f"{1e3 * one.seconds:.1f} ({1e3 * one.least_seconds:.1f} to {1e3 * one.most_seconds:.1f})",
            *(f"{one.share:.0%}", "" if one.gigabytes is None else f"{one.gigabytes:.1f} GB"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"The original's {SCHEDULE:,} expressions at the fastest of these: {results.schedule_hours():.1f} h."]
    return "\n".join([*lines, "", "```", results.profile.rstrip(), "```", ""])


def _measure(
    work: Work,
    step: Callable[[], object],
    batch: Batch,
    device: torch.device,
    precision: Precision,
    rounds: int,
    matrix: float,
) -> Measurement:
    with _autocast(device, precision):
        with FlopCounterMode(display=False) as counter:
            step()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        seconds = _seconds(step, device, rounds)
    middle = statistics.median(seconds)
    return Measurement(
        work=work,
        precision=precision,
        images=len(batch.images),
        expressions=len(batch.tokens),
        seconds=middle,
        least_seconds=min(seconds),
        most_seconds=max(seconds),
        operations=counter.get_total_flops(),
        share=counter.get_total_flops() / middle / matrix,
        gigabytes=torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else None,
    )


def _seconds(step: Callable[[], object], device: torch.device, rounds: int) -> list[float]:
    """Seconds of each round, after two that do not count."""
    seconds = []
    for _ in range(rounds + 2):
        _wait(device)
        start = time.perf_counter()
        step()
        _wait(device)
        seconds.append(time.perf_counter() - start)
    return seconds[2:]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def main() -> int:
    """Runs the command; returns the exit status."""
    options = tyro.cli(Options, description=__doc__, prog="python -m benchmarks.gpu")
    try:
        device = choose_device(options.device)
        results = measure(
            preset(options.preset),
            device,
            rounds=options.rounds,
            images=options.images,
            expressions=options.expressions,
            matrix=options.matrix,
        )
        print(tables(results))
        if options.out is not None:
            with atomic_file(options.out) as file:
                file.write_text(json.dumps(dataclasses.asdict(results), indent=1) + "\n", encoding="utf-8")
    except UserError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
