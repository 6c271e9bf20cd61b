"""A training that is ready to begin, or to go on: what the loop needs of it, whatever is learned."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from cmpc.data.vocabulary import Vocabulary
from cmpc.models.network import ReferringNetwork
from cmpc.training.checkpoints import RunFolder, TrainingState, named_parameters
from cmpc.training.fabric import is_sharded, over_devices, whole_network, whole_optimizer
from cmpc.training.optimizers import set_learning_rate
from cmpc.training.progress import Meters, not_finite
from cmpc.training.schedule import Schedule
from cmpc.training.validation import ValidationScores


class StepBatch(Protocol):
    """What one step learns from."""

    def to(self, device: torch.device | str) -> Any:
        """The batch on another device."""


@dataclass
class Run:
    """A training that is ready to begin, or to go on."""

    folder: RunFolder
    """Where it is."""
    is_new: bool
    """Whether it begins; otherwise it goes on."""
    model: ReferringNetwork
    """The network that learns."""
    vocabulary: Vocabulary
    """Its words."""
    fabric: Fabric
    """The devices."""
    objective: Any
    """Gives the terms of a step's loss, ``loss`` among them, from a batch; as Fabric wraps it."""
    optimizer: torch.optim.Optimizer
    """Holds the state that a checkpoint needs."""
    wrapped_optimizer: Any
    """The same as Fabric wraps it, which takes the steps."""
    schedule: Schedule
    """Learning rate of each step."""
    clip_norm: float | None
    """Greatest norm of the gradients; None for any."""
    state: TrainingState
    """How far it has come."""
    meters: Meters
    """What will be logged next."""
    batches: Callable[[], AbstractContextManager[Iterator[StepBatch]]]
    """What the steps that are left learn from."""
    validate: Callable[[], ValidationScores] | None
    """Scores the model; None without validation."""
    steps: int
    """Steps in all."""
    batch_images: int
    """Images of a step, on all devices."""
    epoch_images: int
    """Images of an epoch."""
    seed: int
    """Decides everything random."""
    validate_every: int
    """Epochs between validations; 0 for none."""
    save_every: int
    """Most steps between checkpoints."""
    log_every: int
    """Steps between log entries."""
    notes: Sequence[str]
    """Sentences for the user, before the first step."""
    measure: tuple[str, str] = ("iou", "IoU")
    """The term that the live line shows beside the loss, and its name there."""
    heads: torch.nn.Module | None = None
    """What learns beside the model and is not part of it."""
    accumulate: int = 1
    """Micro batches of a step on each device."""
    clock: Clock = field(init=False)
    """Time spent, and the pace."""

    def __post_init__(self) -> None:
        self.clock = Clock(self.state.seconds, self.state.step)

    @property
    def is_over(self) -> bool:
        """Whether the last step is made."""
        return self.state.step >= self.steps

    @property
    def epoch(self) -> float:
        """Epochs made."""
        return self.state.step * self.batch_images / self.epoch_images

    def steps_of(self, loaded: Iterator[StepBatch]) -> Iterator[list[StepBatch]]:
        """The micro batches of each step."""
        while batches := list(islice(loaded, self.accumulate)):
            yield batches

    def take_step(self, batches: Sequence[StepBatch]) -> float:
        """Learns from the micro batches of a step; gives the learning rate."""
        # Whatever a step draws at random depends on seed, step and device alone: there is no random state to restore.
        entropy = (self.seed, self.state.step, self.fabric.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))
        learning_rate = self.schedule(self.state.step)
        set_learning_rate(self.optimizer, learning_rate)
        terms: dict[str, Tensor] = {}
        for number, batch in enumerate(batches, start=1):
            # FSDP would keep the gradients of all weights where it waits: what it is there to avoid.
            waits = number < len(batches) and not is_sharded(self.fabric)
            with self.fabric.no_backward_sync(self.objective, enabled=waits):
                shares: dict[str, Tensor] = self.objective(batch.to(self.fabric.device))
                # DDP and FSDP average over devices; shares are to be added.
                self.fabric.backward(shares["loss"] * self.fabric.world_size)
            terms = {name: value.detach() + terms[name] if terms else value.detach() for name, value in shares.items()}
        if self.clip_norm is not None:
            self.fabric.clip_gradients(
                self.objective, self.wrapped_optimizer, max_norm=self.clip_norm, error_if_nonfinite=False
            )
        self.wrapped_optimizer.step()
        self.wrapped_optimizer.zero_grad()
        self.state.step += 1
        self.meters.add(self.state.step, terms)
        return learning_rate

    @property
    def is_to_be_validated(self) -> bool:
        """Whether the last step ended the run, or another ``validate_every`` epochs."""
        if self.validate is None:
            return False
        if self.is_over:
            return True
        images = self.validate_every * self.epoch_images
        step = self.state.step
        return bool(images) and step * self.batch_images // images > (step - 1) * self.batch_images // images

    def save_last(self) -> None:
        """Writes a checkpoint.

        Raises:
            UserError: the loss, or a weight, is no longer a number.
        """
        self.meters.read(self.fabric)
        finite = torch.stack([parameter.isfinite().all() for parameter in self.model.parameters()])
        if over_devices(self.fabric, (~finite).any().int(), "max"):
            raise not_finite(self.state.step)
        self.state.sums, self.state.seconds = self.meters.state(self.fabric), self.clock.seconds
        model = whole_network(self.fabric, self.model)
        optimizer = whole_optimizer(self.fabric, self.optimizer, named_parameters(self.model, self.heads))
        if self.fabric.is_global_zero:
            self.folder.save_last(model, self.vocabulary, optimizer, self.state, heads=self.heads)

    def save_best(self, scores: dict[str, Any]) -> None:
        """Writes the present model as the best one.

        Args:
            scores: what it is the best in.
        """
        model = whole_network(self.fabric, self.model)
        if self.fabric.is_global_zero:
            self.folder.save_best(model, self.vocabulary, scores)


class Clock:
    """Time spent training, and the pace since the last mark."""

    def __init__(self, seconds: float, step: int) -> None:
        """
        Args:
            seconds: spent before.
            step: steps made before.
        """
        self._before, self._began = seconds, time.monotonic()
        self._marked, self._marked_step = self._began, step

    @property
    def seconds(self) -> float:
        """Spent in all."""
        return self._before + time.monotonic() - self._began

    def steps_per_second(self, step: int) -> float:
        """Steps made since the last mark, over the time since."""
        return (step - self._marked_step) / max(time.monotonic() - self._marked, 1e-9)

    def mark(self, step: int) -> None:
        """Counts from this step on."""
        self._marked, self._marked_step = time.monotonic(), step
