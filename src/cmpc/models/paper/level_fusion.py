"""What the CMPC module hands on: entity features, reasoned features, sentence and position in one map per level."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from cmpc.models.cells import CellProduct
from cmpc.models.grid import POSITION_CHANNELS


class LevelFusion(nn.Module):
    """``relu(conv1x1([m ; g ; l ; s]))`` (end of the CMPC module).

    The weight covers the whole concatenation in the original's order: entities, reasoned features, sentence, position.
    """

    def __init__(self, *, cell_channels: Sequence[int], word_channels: int, channels: int) -> None:
        """
        Args:
            cell_channels: of each feature map.
            word_channels: of the sentence.
            channels: of the result.
        """
        super().__init__()
        self.project = CellProduct(*cell_channels, word_channels, POSITION_CHANNELS, outputs=channels)

    def forward(self, cells: Sequence[Tensor], sentence: Tensor, position: Tensor) -> Tensor:
        """
        Args:
            cells: feature maps, (E, S, C) each.
            sentence: vector of the entity and attribute words, (E, D).
            position: spatial code, (S, 8).

        Returns:
            (E, S, channels)
        """
        return self.project(*cells, sentence[:, None], position).relu_()
