"""Finer masks than the grid: the fused map meets the image's features at stride 4. Not in the paper."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Refinement(nn.Module):
    """Doubles the resolution of the fused map with a skip connection from the backbone's first stage."""

    def __init__(self, *, channels: int, detail_channels: int, refined_channels: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, refined_channels, 1)
        self.detail = nn.Conv2d(detail_channels, refined_channels, 1)
        self.mix = nn.Conv2d(refined_channels, refined_channels, 3, padding=1)

    def encode_image(self, features: Tensor) -> Tensor:
        """The part that needs no expression: (B, C, H', W') at stride 4 -> (B, R, H', W')."""
        return self.detail(features)

    def forward(self, fused: Tensor, detail: Tensor) -> Tensor:
        """Fused map (E, F, h, w) and detail (E, R, H', W') -> (E, R, H', W')."""
        coarse = F.interpolate(self.project(fused), size=detail.shape[2:], mode="bilinear", align_corners=False)
        return F.relu(self.mix(F.relu(coarse + detail)))
