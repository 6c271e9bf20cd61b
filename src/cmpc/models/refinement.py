"""Finer masks than the grid: the fused map meets the image's features at stride 4. Not in the paper."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.models.cells import CellProduct, on_grid, to_map


class Refinement(nn.Module):
    """Brings the fused map to stride 4 with a skip connection from the backbone's features there."""

    def __init__(self, *, channels: int, detail_channels: int, refined_channels: int) -> None:
        super().__init__()
        self.project = CellProduct(channels, outputs=refined_channels)
        self.detail = nn.Conv2d(detail_channels, refined_channels, 1)
        self.mix = nn.Conv2d(refined_channels, refined_channels, 3, padding=1)

    def encode_image(self, features: Tensor) -> Tensor:
        """The part that needs no expression: (B, C, H', W') at stride 4 -> (B, R, H', W')."""
        return self.detail(features)

    def forward(self, fused: Tensor, detail: Tensor, grid: tuple[int, int]) -> Tensor:
        """Fused map on the grid, (E, S, F), and detail, (E, R, H', W') -> (E, R, H', W')."""
        coarse = on_grid(to_map(self.project(fused), grid), (detail.shape[2], detail.shape[3]))
        return F.relu(self.mix(F.relu(coarse + detail)))
