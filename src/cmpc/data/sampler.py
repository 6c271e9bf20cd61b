"""Which images and expressions each training step sees: a function of seed and step alone.

Nothing is drawn from a running random state, so a run continues anywhere, with any number of workers and devices.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler


class Visit(NamedTuple):
    """One look at an image with some of its expressions."""

    epoch: int
    """Which pass over the data, from 0."""
    image: int
    """Number of the image in its dataset."""
    part: int
    """Which part of the image's expressions."""
    step_expressions: int
    """Expressions of the whole step on all devices: what the mean of a loss is divided by. 0 where the visit only fills
    a device's time and is not to be counted."""


@dataclass(frozen=True)
class VisitOrder:
    """Splits the expressions of each image into visits, and shuffles the visits of an epoch.

    Every expression is seen once an epoch. An image with more than ``expressions_per_image`` expressions is visited
    several times, with parts of about equal size.
    """

    expressions: tuple[int, ...]
    """Number of expressions of each image."""
    expressions_per_image: int
    """Most expressions of a visit."""
    seed: int = 0
    """Decides the order."""
    shuffle: bool = True
    """Off: images in their order, each epoch alike (validation)."""
    absent: tuple[int, ...] = ()
    """Number of expressions of other images, which fit nothing in it, that each visit to an image adds; empty for none
    at all."""

    def __post_init__(self) -> None:
        if not self.expressions or min(self.expressions) < 1:
            raise ValueError("every image must have an expression, and there must be an image")
        if self.absent and len(self.absent) != len(self.expressions):
            raise ValueError(f"absent is for {len(self.absent)} images, expressions for {len(self.expressions)}")
        if self.expressions_per_image < 1:
            raise ValueError(f"expressions_per_image must be positive, got {self.expressions_per_image}")

    def parts(self, image: int) -> int:
        """Number of visits to an image in an epoch."""
        return -(-self.expressions[image] // self.expressions_per_image)

    def size(self, image: int, part: int) -> int:
        """Number of the image's own expressions in a visit."""
        whole, rest = divmod(self.expressions[image], self.parts(image))
        return whole + (part < rest)

    def asked(self, image: int, part: int) -> int:
        """Number of all expressions of a visit."""
        return self.size(image, part) + (self.absent[image] if self.absent else 0)

    def __len__(self) -> int:
        """Number of visits in an epoch."""
        return sum(map(self.parts, range(len(self.expressions))))

    def visits(self, epoch: int) -> list[tuple[int, int]]:
        """(image, part) of all visits of an epoch, in order."""
        visits = [(image, part) for image in range(len(self.expressions)) for part in range(self.parts(image))]
        if not self.shuffle:
            return visits
        return [visits[i] for i in random_generator(self.seed, epoch).permutation(len(visits))]

    def chosen(self, epoch: int, image: int, part: int) -> list[int]:
        """Numbers of the expressions of a visit among the image's expressions."""
        count = self.expressions[image]
        order = random_generator(self.seed, epoch, image + 1).permutation(count) if self.shuffle else np.arange(count)
        start = sum(self.size(image, earlier) for earlier in range(part))
        return [int(number) for number in order[start : start + self.size(image, part)]]


class StepSampler(Sampler[list[Visit]]):
    """The visits of each training step, for one of several devices.

    Visits form one endless stream, epoch after epoch; step ``s`` takes the visits ``s * batch`` to ``(s + 1) * batch``.
    All batches are full, a batch may reach into the next epoch, and ``batch`` is that of all devices together: what a
    step learns from does not depend on how many there are, nor on how many micro batches it is made of.
    """

    def __init__(
        self,
        order: VisitOrder,
        *,
        batch: int,
        start: int,
        stop: int,
        device_rank: int = 0,
        device_count: int = 1,
        micro_batches: int = 1,
    ) -> None:
        """
        Args:
            order: the visits of an epoch.
            batch: images of a step on all devices together.
            start: the first step, from 0.
            stop: the step after the last.
            device_rank: which device this is.
            device_count: how many there are.
            micro_batches: equal parts of a step, which come one after the other. Times the devices they divide
                ``batch``.
        """
        if batch < 1 or batch % (device_count * micro_batches):
            raise ValueError(
                f"batch must be a positive multiple of the {device_count} devices"
                + (f" times {micro_batches} micro batches" if micro_batches > 1 else "")
                + f", got {batch}"
            )
        self.order = order
        self.batch = batch
        self.steps = range(start, max(start, stop))
        self.device_rank = device_rank
        self.device_count = device_count
        self.micro_batches = micro_batches

    def __len__(self) -> int:
        return len(self.steps) * self.micro_batches

    def __iter__(self) -> Iterator[list[Visit]]:
        at_once = self.batch // self.micro_batches
        in_epoch = len(self.order)
        epoch, visits = -1, list[tuple[int, int]]()
        for step in self.steps:
            chosen: list[tuple[int, int, int]] = []
            for position in range(step * self.batch, (step + 1) * self.batch):
                if position // in_epoch != epoch:
                    epoch = position // in_epoch
                    visits = self.order.visits(epoch)
                chosen.append((epoch, *visits[position % in_epoch]))
            total = sum(self.order.asked(image, part) for _, image, part in chosen)
            for first in range(0, self.batch, at_once):
                mine = chosen[first : first + at_once][self.device_rank :: self.device_count]
                yield [Visit(*visit, total) for visit in mine]


class PassSampler(Sampler[list[Visit]]):
    """One pass over all visits in order, for validation; the last batch may be smaller.

    Every device has as many batches, as devices that share a network's weights compute at the same time: where visits
    run out, a batch of one that is not to be counted (``step_expressions`` is 0).
    """

    def __init__(self, order: VisitOrder, *, batch: int, device_rank: int = 0, device_count: int = 1) -> None:
        visits = [Visit(0, image, part, order.asked(image, part)) for image, part in order.visits(0)]
        mine = visits[device_rank::device_count]
        self.batches = [mine[i : i + batch] for i in range(0, len(mine), batch)]
        most = math.ceil(math.ceil(len(visits) / device_count) / batch)
        self.batches += [[visits[0]._replace(step_expressions=0)]] * (most - len(self.batches))

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Visit]]:
        return iter(self.batches)


def random_generator(seed: int, epoch: int, image: int = 0, part: int = 0) -> np.random.Generator:
    """A random generator for one purpose; image and part count from 1, so that 0 means "of the epoch", "of the
    image"."""
    return np.random.default_rng((seed, epoch, image, part))
