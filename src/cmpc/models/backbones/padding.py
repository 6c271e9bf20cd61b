"""TensorFlow's padding, which depends on the size of what is padded."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def pad_same(features: Tensor, *, kernel: int, stride: int = 2, value: float = 0.0) -> Tensor:
    """What TensorFlow's SAME adds before a strided layer: an odd row or column lies at the bottom or right.

    Args:
        features: (B, C, H, W).
        kernel: size of the layer's window.
        stride: of the layer, whose output then has H / stride rows and W / stride columns, rounded up.
        value: of what is added.
    """
    padding: list[int] = []
    for size in (features.shape[3], features.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        padding += [total // 2, total - total // 2]
    return F.pad(features, padding, value=value)
