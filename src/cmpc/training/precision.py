"""Which numbers to compute with."""

from __future__ import annotations

from typing import Literal

import torch

from cmpc.training.options import Precision


def resolve_precision(wanted: Precision, *, accelerator: str) -> Literal["bf16", "32"]:
    """Turns ``auto`` into bfloat16 where the device has instructions for it, else into float32.

    Nothing is timed: equal commands on one machine compute alike, whatever else it does.

    Args:
        wanted: what the user asked for.
        accelerator: name of the device's kind: ``cuda``, ``cpu``, ``mps``.
    """
    if wanted != "auto":
        return wanted
    has_bfloat16 = {"cuda": _gpu_has_bfloat16, "cpu": _cpu_has_bfloat16}.get(accelerator)
    return "bf16" if has_bfloat16 is not None and has_bfloat16() else "32"


def _gpu_has_bfloat16() -> bool:
    return torch.cuda.is_bf16_supported(including_emulation=False)


def _cpu_has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16; without them it is emulated and several times slower."""
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)
