"""Entity perception for inference: the heads are mixed in place, for all expressions about one image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cmpc.engines.lean.cells import CellProduct, unit_norm_
from cmpc.models.entity_perception import Concatenation, EntityPerception


class VisualBranch(nn.Module):
    """What entity perception needs of the image, whatever the expression."""

    def __init__(self, part: EntityPerception | Concatenation) -> None:
        super().__init__()
        self.heads = part.heads if isinstance(part, EntityPerception) else None
        self.visual = CellProduct.of(part.visual)  # to heads * C from C + 8

    def forward(self, lateral: Tensor, position: Tensor) -> Tensor:
        """Lateral features, (B, S, C), and spatial code, (S, 8) -> (B, S, heads, C), without heads (B, S, 1, C)."""
        tiled = position.to(lateral.dtype).expand(lateral.shape[0], -1, -1)
        visual: Tensor = self.visual(torch.cat([lateral, tiled], dim=2))
        if self.heads is None:
            return visual.unflatten(2, (1, -1))
        return visual.tanh_().unflatten(2, (self.heads, -1))


class LeanEntityPerception(nn.Module):
    """``EntityPerception`` for expressions about one image."""

    def __init__(self, part: EntityPerception) -> None:
        super().__init__()
        self.heads = part.heads
        self.feature_scale = part.feature_scale
        self.language = part.language

    def forward(self, visual: Tensor, sentence: Tensor) -> Tensor:
        """What ``VisualBranch`` gave of one image, (1, S, heads, C), and sentences, (E, D) -> (E, S, C), unit norm."""
        language = torch.tanh(self.language(sentence)).unflatten(1, (self.heads, 1, -1))  # (E, heads, 1, C)
        fused = visual[:, :, 0] * language[:, 0]  # (E, S, C)
        for head in range(1, self.heads):
            fused.addcmul_(visual[:, :, head], language[:, head])
        return unit_norm_(fused.tanh_(), self.feature_scale)


class LeanConcatenation(nn.Module):
    """``Concatenation`` for expressions about one image."""

    def __init__(self, part: Concatenation) -> None:
        super().__init__()
        self.feature_scale = part.feature_scale
        self.language = part.language

    def forward(self, visual: Tensor, sentence: Tensor) -> Tensor:
        """(1, S, 1, C) and (E, D) -> (E, S, C), unit norm."""
        return unit_norm_((visual[:, :, 0] + self.language(sentence)[:, None]).relu_(), self.feature_scale)
