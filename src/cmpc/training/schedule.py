"""Learning rate as a function of the number of steps already taken."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


class Schedule(Protocol):
    """Gives the learning rate of the step that follows ``step`` others."""

    def __call__(self, step: int) -> float: ...


@dataclass(frozen=True)
class PolynomialDecay:
    """From ``initial`` to ``final`` over ``steps``, then constant (``tf.train.polynomial_decay`` as the original uses
    it)."""

    initial: float = 2.5e-4
    final: float = 1e-5
    power: float = 0.9
    steps: int = 800_000

    def __call__(self, step: int) -> float:
        """Learning rate after ``step`` steps."""
        left = 1 - min(step, self.steps) / self.steps
        return (self.initial - self.final) * left**self.power + self.final


@dataclass(frozen=True)
class WarmupCosine:
    """Grows linearly to ``peak`` over ``warmup`` steps, then falls to ``final`` along half a cosine until ``steps``."""

    peak: float
    steps: int
    warmup: int
    final: float = 0.0

    def __call__(self, step: int) -> float:
        """Learning rate after ``step`` steps."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        progress = min((step - self.warmup) / max(self.steps - self.warmup, 1), 1.0)
        return self.final + (self.peak - self.final) * (1 + math.cos(math.pi * progress)) / 2
