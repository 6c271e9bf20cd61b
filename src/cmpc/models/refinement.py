"""Finer masks than the grid: the fused map meets the image's features at finer strides. Not in the paper."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.models.cells import CellProduct, on_grid, to_map


class Refinement(nn.Module):
    """Brings the fused map to a finer grid in as many steps as there are stages of the backbone on the way, each with a
    skip connection from the features there."""

    def __init__(self, *, channels: int, detail_channels: Mapping[str, int], refined_channels: int) -> None:
        """
        Args:
            channels: of the fused map.
            detail_channels: of these stages, the finest first.
            refined_channels: of the result.
        """
        super().__init__()
        self.project = CellProduct(channels, outputs=refined_channels)
        finest, *others = detail_channels
        self.stages = (*reversed(others), finest)
        """Names of the stages, in the order of the steps."""
        self.detail = nn.Conv2d(detail_channels[finest], refined_channels, 1)  # layers have the names of checkpoints
        self.mix = nn.Conv2d(refined_channels, refined_channels, 3, padding=1)
        self.coarser_detail = nn.ModuleDict(
            {name: nn.Conv2d(detail_channels[name], refined_channels, 1) for name in others}
        )
        self.coarser_mix = nn.ModuleDict(
            {name: nn.Conv2d(refined_channels, refined_channels, 3, padding=1) for name in others}
        )

    def encode_image(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The part that needs no expression: for each stage (B, C, H', W') -> (B, R, H', W')."""
        *others, finest = self.stages
        detail = {name: self.coarser_detail[name](features[name]) for name in others}
        return {**detail, finest: self.detail(features[finest])}

    def forward(self, fused: Tensor, detail: Mapping[str, Tensor], grid: tuple[int, int]) -> Tensor:
        """Fused map on the grid, (E, S, F), and for each stage (E, R, H', W') -> (E, R, H', W') of the finest."""
        refined = to_map(self.project(fused), grid)
        for name in self.stages:
            finer = detail[name]
            mix = self.mix if name == self.stages[-1] else self.coarser_mix[name]
            refined = F.relu(mix(F.relu(on_grid(refined, (finer.shape[2], finer.shape[3])) + finer)))
        return refined
