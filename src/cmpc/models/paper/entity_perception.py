"""Entity perception: which cells could be what the entity and attribute words name (paper, section 3.2, stage 1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cmpc.models.cells import CellProduct
from cmpc.models.grid import POSITION_CHANNELS
from cmpc.models.normalisation import unit_norm_


class EntityPerception(nn.Module):
    """Bilinear fusion of each cell with the entity and attribute words (MUTAN; paper, equation 2).

    ``m = unit_norm(tanh(sum_r tanh(A_r [v ; s]) * tanh(B_r l)))`` with heads r, image feature v, position s and
    sentence vector l. The branch of A does not depend on the expression and is computed once per image.
    """

    def __init__(self, *, channels: int, word_channels: int, heads: int, feature_scale: float) -> None:
        super().__init__()
        self.heads = heads
        self.feature_scale = feature_scale
        self.visual = CellProduct(channels + POSITION_CHANNELS, outputs=channels, groups_of_outputs=heads)
        self.language = nn.Linear(word_channels, heads * channels)

    def encode_image(self, lateral: Tensor, position: Tensor) -> list[Tensor]:
        """The part that needs no expression.

        Args:
            lateral: lateral features of a level, (B, S, C).
            position: spatial code of the cells, (S, 8).

        Returns:
            For each head (B, S, C).
        """
        cells = torch.cat([lateral, position.to(lateral.dtype).expand(lateral.shape[0], -1, -1)], dim=2)
        return [self.visual(cells, group=head).tanh_() for head in range(self.heads)]

    def forward(self, visual: Sequence[Tensor], sentence: Tensor) -> Tensor:
        """Multimodal features of each expression.

        Args:
            visual: what ``encode_image`` gave of the image of each expression, (E, S, C) for each head.
            sentence: vector of the entity and attribute words, (E, D).

        Returns:
            (E, S, C), unit norm over C.
        """
        language = torch.tanh(self.language(sentence)).unflatten(1, (self.heads, 1, -1))  # (E, heads, 1, C)
        fused = visual[0] * language[:, 0]  # (E, S, C)
        for head in range(1, self.heads):
            fused = fused.addcmul_(visual[head], language[:, head])
        return unit_norm_(fused.tanh_(), self.feature_scale)


class Concatenation(nn.Module):
    """Entity perception switched off: one layer over image, position and sentence, as networks before the paper did."""

    def __init__(self, *, channels: int, word_channels: int, feature_scale: float) -> None:
        super().__init__()
        self.feature_scale = feature_scale
        self.visual = CellProduct(channels, POSITION_CHANNELS, outputs=channels)
        self.language = nn.Linear(word_channels, channels, bias=False)

    def encode_image(self, lateral: Tensor, position: Tensor) -> list[Tensor]:
        """(B, S, C) and (S, 8) -> (B, S, C), once."""
        return [self.visual(lateral, position)]

    def forward(self, visual: Sequence[Tensor], sentence: Tensor) -> Tensor:
        """(E, S, C), once, and (E, D) -> (E, S, C), unit norm over C."""
        return unit_norm_((visual[0] + self.language(sentence)[:, None]).relu_(), self.feature_scale)
