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
from cmpc.training.options import Precision
from cmpc.training.precision import resolve_precision

_SIGNS_OF_A_LOST_PROCESS = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "remote process exited",
)
"""In the errors of gloo and NCCL."""


def make_fabric(
    *,
    accelerator: str,
    devices: str = "1",
    nodes: int = 1,
    strategy: str = "auto",
    precision: Precision,
    batch_images: int,
    all_train: bool = True,
) -> tuple[Fabric, str]:
    """Chooses devices and precision; nothing is started yet.

    Args:
        accelerator: kind of device, or ``auto``.
        devices: how many on each node, or ``auto`` for all GPUs.
        nodes: how many machines.
        strategy: ``ddp`` to take that for a single device as well.
        precision: numbers to compute with, or ``auto``.
        batch_images: images of a step, which the devices share equally.
        all_train: whether every parameter that trains has a gradient in every step, which DDP must know.

    Returns:
        Fabric, and the precision: ``bf16`` or ``32``.

    Raises:
        UsageError: there is no such device, or the devices cannot share a step equally.
    """
    accelerator = _present(accelerator)
    per_node, nodes = _counts(accelerator, devices, nodes)
    count = per_node * nodes
    if batch_images % count:
        raise UsageError(
            f"{count} devices cannot share a step's {batch_images} images equally: give another --batch-images."
        )
    resolved = resolve_precision(precision, accelerator=accelerator)
    several = DDPStrategy(find_unused_parameters=not all_train, broadcast_buffers=False)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning_fabric")
    try:
        fabric = Fabric(
            accelerator=accelerator,
            devices=per_node,
            num_nodes=nodes,
            strategy=several if count > 1 or strategy == "ddp" else "auto",
            precision="bf16-mixed" if resolved == "bf16" else "32-true",
        )
    except (ValueError, RuntimeError, ImportError) as error:
        raise UsageError(f"cannot use the devices that --accelerator and --devices ask for: {error}") from None
    return fabric, resolved


def _present(accelerator: str) -> str:
    """The kind of device, where it is there; of ``auto``, the fastest kind that is."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if accelerator == "auto":
        return next(kind for kind, is_there in present.items() if is_there)
    if not present[accelerator]:
        raise UsageError(f"PyTorch finds no {accelerator} device here: give another --accelerator.")
    return accelerator


def _counts(accelerator: str, devices: str, nodes: int) -> tuple[int, int]:
    """Devices on each node, and nodes; under torchrun, as it says."""
    if torch.distributed.is_torchelastic_launched():
        per_node = int(os.environ["LOCAL_WORLD_SIZE"])
        if devices not in ("auto", str(per_node)):
            raise UsageError(f"torchrun started {per_node} processes on this node, but --devices is {devices}.")
        return per_node, int(os.environ["WORLD_SIZE"]) // per_node
    available = torch.cuda.device_count() if accelerator == "cuda" else 1
    return (available if devices == "auto" else int(devices)), nodes


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
