"""What the CMPC module hands on: entity features, reasoned features, sentence and position in one map per level."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.models.grid import POSITION_CHANNELS


class LevelFusion(nn.Module):
    """``relu(conv1x1([m ; g ; l ; s]))`` (end of the CMPC module); what is alike in all cells is computed once.

    The weight covers the whole concatenation in the original's order: entities, reasoned features, sentence, position.
    """

    def __init__(self, *, cell_channels: int, word_channels: int, channels: int) -> None:
        super().__init__()
        self.cell_channels = cell_channels
        self.project = nn.Conv2d(cell_channels + word_channels + POSITION_CHANNELS, channels, 1)

    def forward(self, cells: list[Tensor], sentence: Tensor, position: Tensor) -> Tensor:
        """
        Args:
            cells: feature maps that are concatenated, each (E, C, H, W), ``cell_channels`` in all.
            sentence: vector of the entity and attribute words, (E, D).
            position: spatial code, (8, H, W).

        Returns:
            (E, channels, H, W)
        """
        weight = self.project.weight  # (channels, all, 1, 1)
        of_cells, of_sentence, of_position = weight.split(
            [self.cell_channels, sentence.shape[1], POSITION_CHANNELS], dim=1
        )
        alike = F.linear(sentence, of_sentence.flatten(1), self.project.bias)  # (E, channels)
        everywhere = F.conv2d(position[None].to(weight.dtype), of_position)  # (1, channels, H, W)
        return F.relu(F.conv2d(torch.cat(cells, dim=1), of_cells) + alike[:, :, None, None] + everywhere)
