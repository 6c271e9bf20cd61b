"""Fabric for the devices that the options ask for."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy, FSDPStrategy
from torch import Tensor, nn

from cmpc.errors import UsageError
from cmpc.models.network import ReferringNetwork
from cmpc.training.optimizers import optimizer_tensors
from cmpc.training.options import Precision
from cmpc.training.precision import resolve_precision

if TYPE_CHECKING:
    from cmpc.training.sharding import ShardedStrategy


def make_fabric(
    *,
    accelerator: str,
    devices: str = "1",
    nodes: int = 1,
    strategy: str = "auto",
    precision: Precision,
    batch_images: int,
    accumulate: int = 1,
    all_train: bool = True,
) -> tuple[Fabric, str]:
    """Chooses devices and precision; nothing is started yet.

    Args:
        accelerator: kind of device, or ``auto``.
        devices: how many on each node, or ``auto`` for all GPUs.
        nodes: how many machines.
        strategy: ``ddp`` to take that for a single device as well; ``fsdp`` for several to share the weights.
        precision: numbers to compute with, or ``auto``.
        batch_images: images of a step, which the devices share equally.
        accumulate: micro batches of a step on each device, of equal size.
        all_train: whether every parameter that trains has a gradient in every step, which DDP must know.

    Returns:
        Fabric, and the precision: ``bf16`` or ``32``.

    Raises:
        UsageError: there is no such device, it cannot be used so, or the devices cannot share a step equally.
    """
    accelerator = _present(accelerator)
    per_node, nodes = _counts(accelerator, devices, nodes)
    count = per_node * nodes
    if batch_images % (count * accumulate):
        parts = f" in {accumulate} micro batches" if accumulate > 1 else ""
        raise UsageError(
            f"{count} device{'s' if count > 1 else ''} cannot share a step's {batch_images} images equally{parts}: "
            f"give another --batch-images{' or --accumulate' if accumulate > 1 else ''}."
        )
    if strategy == "fsdp" and accelerator == "mps":
        raise UsageError("--strategy fsdp shares a network between GPUs of NVIDIA, or processes: give another one.")
    resolved = resolve_precision(precision, accelerator=accelerator)
    mixed: Literal["bf16-mixed", "32-true"] = "bf16-mixed" if resolved == "bf16" else "32-true"
    chosen: dict[str, Any] = {"strategy": "auto", "precision": mixed}
    if strategy == "fsdp" and count > 1:
        from cmpc.training.sharding import ShardedPrecision, ShardedStrategy  # takes a second

        chosen = {"strategy": ShardedStrategy(), "plugins": [ShardedPrecision(mixed, accelerator)]}
    elif strategy == "ddp" or count > 1:
        chosen["strategy"] = DDPStrategy(find_unused_parameters=not all_train, broadcast_buffers=False)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    for module in ("lightning_fabric", "torch.distributed.fsdp"):
        warnings.filterwarnings("ignore", module=module)
    try:
        fabric = Fabric(
            accelerator=accelerator,
            devices=per_node,
            num_nodes=nodes,
            **chosen,
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


def is_sharded(fabric: Fabric) -> bool:
    """Whether each device has a share of the weights alone."""
    return isinstance(fabric.strategy, FSDPStrategy)


def whole_network(fabric: Fabric, model: ReferringNetwork) -> ReferringNetwork:
    """The network with all weights; only the first process may read them. All processes must call it."""
    return cast("ShardedStrategy", fabric.strategy).whole_network(model.config) if is_sharded(fabric) else model


def whole_optimizer(
    fabric: Fabric, optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]
) -> dict[str, Tensor]:
    """What ``optimizer_tensors`` gives; only the first process may read it. All processes must call it."""
    if is_sharded(fabric):
        return cast("ShardedStrategy", fabric.strategy).whole_state(optimizer)
    return optimizer_tensors(optimizer, parameters)


def over_devices(fabric: Fabric, values: Tensor, operation: Literal["sum", "max"] = "sum") -> Tensor:
    """A copy of the values, summed over all processes, or their greatest. All processes must call it."""
    if fabric.world_size == 1:
        return values.clone()
    return cast(Tensor, fabric.all_reduce(values.clone(), reduce_op=operation))
