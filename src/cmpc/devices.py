"""Where to compute, and how much at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmpc.errors import UserError
from cmpc.models.config import ModelConfig

if TYPE_CHECKING:
    import torch

CACHED_VALUES = 2**21
"""Values of a feature map that a processor computes at once, for as many images or expressions as they hold: more
leave its caches and take longer for each."""


def choose_device(name: str) -> torch.device:
    """The device of that name; ``auto`` takes the first GPU, else the CPU.

    Raises:
        UserError: there is no such device on this machine.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device).cpu()
    except (RuntimeError, AssertionError):
        raise UserError(f"there is no device {name!r} here: give auto, cpu, cuda, cuda:N or mps.") from None
    return device


def channels_last_pays(device: torch.device) -> bool:
    """Whether convolutions that train are faster on maps whose channels come last: on GPUs of NVIDIA, whose matrix
    units read them so. Processors choose an order of their own."""
    return device.type == "cuda"


def images_at_once(config: ModelConfig, device: torch.device) -> int | None:
    """How many images a device looks at together at best; None for all of them, as a GPU does."""
    return images_in_caches(config) if device.type == "cpu" else None


def expressions_at_once(config: ModelConfig, device: torch.device) -> int | None:
    """How many expressions a device computes together at best; None for all of them, as a GPU does."""
    return expressions_in_caches(config) if device.type == "cpu" else None


def images_in_caches(config: ModelConfig) -> int:
    """How many images a processor looks at together at best."""
    channels, stride = config.backbone.largest_map
    side = -(-config.image.size // stride)
    return max(1, CACHED_VALUES // (side * side * channels))


def expressions_in_caches(config: ModelConfig) -> int:
    """How many expressions a processor computes together at best."""
    rows, columns = config.grid
    return max(1, CACHED_VALUES // (rows * columns * config.network.multimodal_channels))
