"""Where to compute."""

from __future__ import annotations

import torch

from cmpc.errors import UserError


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
