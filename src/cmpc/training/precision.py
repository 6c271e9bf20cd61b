"""Which numbers to compute with."""

from __future__ import annotations

import time
from typing import Literal

import torch
from torch import nn

from cmpc.training.options import Precision


def resolve_precision(wanted: Precision, *, accelerator: str, alone: bool) -> Literal["bf16", "32"]:
    """Turns ``auto`` into bfloat16 where the device computes in it and gains by it, else into float32.

    Args:
        wanted: what the user asked for.
        accelerator: name of the device's kind: ``cuda``, ``cpu``, ``mps``.
        alone: whether this is the only process. Several processes must not each measure and come to different answers.
    """
    if wanted != "auto":
        return wanted
    if accelerator == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "32"
    if accelerator == "cpu" and alone and _cpu_has_bfloat16():
        return "bf16" if _seconds(torch.bfloat16) < 0.8 * _seconds(torch.float32) else "32"
    return "32"


def _cpu_has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16; without them it is emulated and several times slower."""
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)


def _seconds(dtype: torch.dtype) -> float:
    """Best of three times for one convolution as the backbone has them, forward and backward."""
    layer = nn.Conv2d(128, 128, 3, padding=1)
    images = torch.zeros(4, 128, 40, 40)
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            layer(images).float().sum().backward()
        best = min(best, time.perf_counter() - start)
    return best
