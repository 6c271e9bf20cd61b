"""From the bytes of letterboxed photos to what a network takes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cmpc.conventions import ImageConfig


class PixelNormalisation(nn.Module):
    """From the bytes of letterboxed photos to the network's input, on the device where they are."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: ImageConfig) -> None:
        super().__init__()
        self.reverse_channels = config.channel_order == "BGR"
        self.register_buffer("mean", torch.tensor(config.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(config.std)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """RGB uint8 (B, S, S, 3) -> float32 (B, 3, S, S), channels in the network's order."""
        channels = images.permute(0, 3, 1, 2)
        if self.reverse_channels:
            channels = channels.flip(1)
        return (channels.contiguous().float() - self.mean) / self.std  # bytes are turned to planes faster than floats
