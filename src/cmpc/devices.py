"""Where to compute."""

from __future__ import annotations

import torch

from cmpc.errors import UserError
from cmpc.models.config import ModelConfig
from cmpc.models.grid import image_grid

CACHED_VALUES = 2**21
"""Values of a feature map that a processor computes at once, for as many images or expressions as they hold: more
leave its caches and take longer for each."""
DETAIL_STRIDE = 4
"""Pixels of a cell of the backbone's largest feature map, along each axis."""


def choose_device(name: str) -> torch.device:
    """The device of that name; ``auto`` takes the first GPU, else the CPU.

    Raises:
        UserError: there is no such device on this machine.
    """
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
    if device.type != "cpu":
        return None
    side = -(-config.image.size // DETAIL_STRIDE)
    return max(1, CACHED_VALUES // (side * side * config.backbone.channels[0]))


def expressions_at_once(config: ModelConfig, device: torch.device) -> int | None:
    """How many expressions a device computes together at best; None for all of them, as a GPU does."""
    if device.type != "cpu":
        return None
    rows, columns = image_grid(config.image.size)
    return max(1, CACHED_VALUES // (rows * columns * config.multimodal_channels))
