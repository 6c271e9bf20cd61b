"""From the fused map to logits for inference: the score of a cell without gathering its neighbours' channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.engines.lean.convolution import frozen
from cmpc.models import ReferringNetwork
from cmpc.models.grid import upsample

KERNEL = 3


class LeanScore(nn.Module):
    """The network's last layers. A 3x3 convolution to one channel is nine products a cell, shifted and summed."""

    def __init__(self, network: ReferringNetwork, *, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        size = network.config.image.size
        self.size = (size, size)
        self.rule = network.config.upsampling
        self.refinement = network.refinement
        self.score = network.score
        if self.refinement is None:
            self.parts = frozen(network.score.weight[0].flatten(1))  # (F, 9)
            shifts = torch.eye(KERNEL**2, dtype=self.parts.dtype, device=self.parts.device)
            self.shifts = frozen(shifts.view(1, KERNEL**2, KERNEL, KERNEL))

    def forward(self, fused: Tensor, detail: Tensor | None) -> Tensor:
        """Fused map, (E, S, F), and the image's features at stride 4, (1, R, H', W') -> logits, (E, H, W) float32."""
        if self.refinement is None or detail is None:
            parts = (fused @ self.parts).mT.unflatten(2, self.grid)  # (E, 9, h, w)
            scores = F.conv2d(parts, self.shifts, self.score.bias, padding=KERNEL // 2)
        else:
            refined = self.refinement(fused.mT.unflatten(2, self.grid), detail)
            scores = F.pixel_shuffle(self.score(refined), 2)
        return upsample(scores[:, 0].float(), self.size, self.rule)
