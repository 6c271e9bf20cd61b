"""Seconds, operations and memory of a step on a device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch.utils.flop_counter import FlopCounterMode

Precision = Literal["fp32", "bf16"]

WARM_UPS = 3
"""Rounds that do not count: libraries choose algorithms, compilers compile, kernels are recorded."""


@dataclass(frozen=True)
class Step:
    """Something to repeat."""

    work: str
    """What is done."""
    by: str
    """How."""
    precision: Precision
    images: int
    """How many in a step."""
    expressions: int
    """How many in a step."""
    run: Callable[[], object]
    """Does it."""
    operations: float
    """Floating-point operations of it, counted; a multiply-add is two."""


@dataclass
class Measurement:
    """Speed of a step."""

    work: str
    by: str
    precision: Precision
    images: int
    expressions: int
    seconds: list[float]
    """Of each round."""
    operations: float
    share: float
    """Of the speed of a large matrix product in the same precision, 0..1."""
    gigabytes: float | None
    """Most memory that tensors took, with those of the steps that it is compared with; None where the device does not
    say."""

    @property
    def median(self) -> float:
        """Seconds of a step."""
        return statistics.median(self.seconds)

    @property
    def images_per_second(self) -> float:
        """Images seen a second."""
        return self.images / self.median

    @property
    def expressions_per_second(self) -> float:
        """Expressions answered, or learned from, a second."""
        return self.expressions / self.median


def measure_side_by_side(
    steps: Sequence[Step], device: torch.device, *, rounds: int, matrix_speed: dict[Precision, float]
) -> list[Measurement]:
    """Measures steps in turns, so that a disturbance meets all of them.

    Args:
        steps: what is compared.
        device: where they compute.
        rounds: turns of each that count.
        matrix_speed: precision -> operations a second of a large matrix product.
    """
    seconds: list[list[float]] = [[] for _ in steps]
    gigabytes: list[float | None] = [None for _ in steps]
    for turn in range(WARM_UPS + rounds):
        for number, step in enumerate(steps):
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            taken = seconds_of(step.run, device)
            if turn >= WARM_UPS:
                seconds[number].append(taken)
            if device.type == "cuda":
                gigabytes[number] = torch.cuda.max_memory_allocated(device) / 1e9
    results = []
    for step, taken_by_step, most in zip(steps, seconds, gigabytes, strict=True):
        share = step.operations / statistics.median(taken_by_step) / matrix_speed[step.precision]
        described = (step.work, step.by, step.precision, step.images, step.expressions)
        results.append(Measurement(*described, taken_by_step, step.operations, share, most))
    return results


def seconds_of(run: Callable[[], object], device: torch.device) -> float:
    """How long something takes, to its last kernel."""
    wait(device)
    start = time.perf_counter()
    run()
    wait(device)
    return time.perf_counter() - start


def wait(device: torch.device) -> None:
    """Until the device has nothing more to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def count_operations(run: Callable[[], object]) -> float:
    """Floating-point operations of what is run: those of convolutions, products and attention."""
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def matrix_speed(device: torch.device, side: int, precision: Precision, rounds: int) -> float:
    """Operations a second of a square matrix product: what the card can do in practice.

    In fp32 it is without TF32, which convolutions use on cards of NVIDIA: their share of it may be more than all.
    """
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
    seconds = [seconds_of(lambda: left @ right, device) for _ in range(WARM_UPS + rounds)]
    return 2 * side**3 / min(seconds[WARM_UPS:])
