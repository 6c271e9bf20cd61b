"""Fabric for the devices that the options ask for."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor

from cmpc.errors import UsageError, UserError
from cmpc.training.options import TrainingOptions
from cmpc.training.precision import resolve_precision

_SIGNS_OF_A_LOST_PROCESS = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "remote process exited",
)
"""In the errors of gloo and NCCL."""


def make_fabric(
    options: TrainingOptions, *, recipe: Literal["modern", "paper"], batch_images: int
) -> tuple[Fabric, str]:
    """Chooses devices and precision; nothing is started yet.

    Args:
        options: of the run.
        recipe: ``auto`` precision of the paper's recipe is float32, as published.
        batch_images: images of a step, which the devices share equally.

    Returns:
        Fabric, and the precision: ``bf16`` or ``32``.

    Raises:
        UsageError: there is no such device, or the devices cannot share a step equally.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    accelerator: str = options.accelerator
    if accelerator == "auto":
        accelerator = next(kind for kind, is_there in present.items() if is_there)
    elif not present[accelerator]:
        raise UsageError(f"PyTorch finds no {accelerator} device here: give another --accelerator.")
    if torch.distributed.is_torchelastic_launched():
        per_node = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // per_node
        if options.devices not in ("auto", str(per_node)):
            raise UsageError(f"torchrun started {per_node} processes on this node, but --devices is {options.devices}.")
    else:
        available = torch.cuda.device_count() if accelerator == "cuda" else 1
        per_node = available if options.devices == "auto" else int(options.devices)
        nodes = options.nodes
    count = per_node * nodes
    if batch_images % count:
        raise UsageError(
            f"{count} devices cannot share a step's {batch_images} images equally: give another --batch-images."
        )
    wanted = "32" if options.precision == "auto" and recipe == "paper" else options.precision
    precision = resolve_precision(wanted, accelerator=accelerator, alone=count == 1)
    # Without word-type gating nothing reaches the classifier of word types, which DDP must know.
    several = DDPStrategy(find_unused_parameters=not options.word_type_gating, broadcast_buffers=False)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning_fabric")
    try:
        fabric = Fabric(
            accelerator=accelerator,
            devices=per_node,
            num_nodes=nodes,
            strategy=several if count > 1 or options.strategy == "ddp" else "auto",
            precision="bf16-mixed" if precision == "bf16" else "32-true",
        )
    except (ValueError, RuntimeError, ImportError) as error:
        raise UsageError(f"cannot use the devices that --accelerator and --devices ask for: {error}") from None
    return fabric, precision


def use_deterministic_algorithms() -> None:
    """Has GPUs take algorithms that give the same bits each time, where there are such."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling costs time, and nothing is read before it is written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def over_devices(fabric: Fabric, values: Tensor, operation: Literal["sum", "max"] = "sum") -> Tensor:
    """A copy of the values, summed over all processes, or their greatest. All processes must call it."""
    if fabric.world_size == 1:
        return values.clone()
    return cast(Tensor, fabric.all_reduce(values.clone(), reduce_op=operation))


@contextmanager
def naming_lost_processes(fabric: Fabric) -> Iterator[None]:
    """Where another process of the run has ended, which says why by itself, this one ends with a sentence too.

    Raises:
        UserError: another process cannot be reached any more.
    """
    try:
        yield
    except RuntimeError as error:
        if fabric.world_size == 1 or not any(sign in str(error) for sign in _SIGNS_OF_A_LOST_PROCESS):
            raise
        raise UserError(
            f"process {fabric.global_rank} of {fabric.world_size} stops because another one did: "
            "its own message says why."
        ) from None
