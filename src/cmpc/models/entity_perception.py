"""Entity perception: which cells could be what the entity and attribute words name (paper, section 3.2, stage 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cmpc.models.grid import POSITION_CHANNELS
from cmpc.models.normalisation import unit_norm


class EntityPerception(nn.Module):
    """Bilinear fusion of each cell with the entity and attribute words (MUTAN; paper, equation 2).

    ``m = unit_norm(tanh(sum_r tanh(A_r [v ; s]) * tanh(B_r l)))`` with heads r, image feature v, position s and
    sentence vector l. The branch of A does not depend on the expression and is computed once per image; its heads are
    one product.
    """

    def __init__(self, *, channels: int, word_channels: int, heads: int, feature_scale: float) -> None:
        super().__init__()
        self.heads = heads
        self.feature_scale = feature_scale
        self.visual = nn.Conv2d(channels + POSITION_CHANNELS, heads * channels, 1)
        self.language = nn.Linear(word_channels, heads * channels)

    def encode_image(self, features: Tensor, position: Tensor) -> Tensor:
        """The part that needs no expression.

        Args:
            features: lateral features of a level, (B, C, H, W).
            position: spatial code of the cells, (8, H, W).

        Returns:
            (B, heads, C, H, W)
        """
        tiled = position.to(features.dtype).expand(len(features), -1, -1, -1)
        visual = torch.tanh(self.visual(torch.cat([features, tiled], dim=1)))  # (B, heads * C, H, W)
        return visual.unflatten(1, (self.heads, -1))

    def forward(self, visual: Tensor, sentence: Tensor, image_index: Tensor) -> Tensor:
        """Multimodal features of each expression.

        Args:
            visual: what ``encode_image`` gave, (B, heads, C, H, W).
            sentence: vector of the entity and attribute words, (E, D).
            image_index: the image of each expression, (E,) int64.

        Returns:
            (E, C, H, W), unit norm over C.
        """
        language = torch.tanh(self.language(sentence)).unflatten(1, (self.heads, -1))  # (E, heads, C)

        def seen(head: int) -> Tensor:
            """(E, C, H, W), or (1, C, H, W) for a single image: no copies for training to keep."""
            return visual[:, head] if len(visual) == 1 else visual[image_index, head]

        fused = seen(0) * language[:, 0, :, None, None]  # (E, C, H, W)
        for head in range(1, self.heads):
            fused = torch.addcmul(fused, seen(head), language[:, head, :, None, None])
        return unit_norm(torch.tanh(fused), dim=1, scale=self.feature_scale)


class Concatenation(nn.Module):
    """Entity perception switched off: one layer over image, position and sentence, as networks before the paper did."""

    def __init__(self, *, channels: int, word_channels: int, feature_scale: float) -> None:
        super().__init__()
        self.feature_scale = feature_scale
        self.visual = nn.Conv2d(channels + POSITION_CHANNELS, channels, 1)
        self.language = nn.Linear(word_channels, channels, bias=False)

    def encode_image(self, features: Tensor, position: Tensor) -> Tensor:
        """(B, C, H, W) and (8, H, W) -> (B, C, H, W)."""
        tiled = position.to(features.dtype).expand(len(features), -1, -1, -1)
        return self.visual(torch.cat([features, tiled], dim=1))

    def forward(self, visual: Tensor, sentence: Tensor, image_index: Tensor) -> Tensor:
        """(B, C, H, W), (E, D), (E,) -> (E, C, H, W), unit norm over C."""
        fused = visual[image_index] + self.language(sentence)[:, :, None, None]
        return unit_norm(torch.relu(fused), dim=1, scale=self.feature_scale)
