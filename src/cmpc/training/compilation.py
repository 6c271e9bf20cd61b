"""``torch.compile`` for training: fewer, larger kernels for what stands between convolutions and products."""

from __future__ import annotations

import torch
from torch import Tensor

from cmpc.errors import UsageError
from cmpc.models.network import ReferringNetwork


def compile_parts(model: ReferringNetwork) -> None:
    """Has the parts of a network compiled when they are first called, each alone and in place.

    Parts compile sooner than the whole, and levels, which have equal shapes, share what is compiled. Names of weights
    stay as they are. LSTMs over words are left out: ``torch.compile`` does not take them.

    Args:
        model: the network; it gives the same numbers but for rounding.
    """
    for part in model.compiled_parts:
        part.compile()


def check_compiler(device: torch.device) -> None:
    """Makes sure that something can be compiled for a device; that takes seconds.

    Raises:
        UsageError: there is no compiler, or it does not work.
    """

    def doubled(values: Tensor) -> Tensor:
        return values * 2 + 1

    try:
        torch.compile(doubled)(torch.ones(8, device=device))
    except Exception as error:  # compilers fail in many ways
        lines = [line.strip() for line in str(error).splitlines()]
        reason = next((line for line in lines if line and not line.endswith("raised:")), type(error).__name__)
        raise UsageError(
            f"--compile needs what torch.compile works with on {device.type}, a C++ compiler or Triton, and that fails "
            f"here: leave --compile out ({reason})."
        ) from None
