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
        self.takes_tanh = isinstance(part, EntityPerception)
        heads = part.heads if isinstance(part, EntityPerception) else 1
        weight, bias = part.visual.weight.flatten(1), part.visual.bias
        assert bias is not None
        self.heads = nn.ModuleList(
            CellProduct(*of_head) for of_head in zip(weight.chunk(heads), bias.chunk(heads), strict=True)
        )

    def forward(self, lateral: Tensor, position: Tensor) -> list[Tensor]:
        """Lateral features, (B, S, C), and spatial code, (S, 8) -> for each head, or once without heads, (B, S, C)."""
        tiled = position.to(lateral.dtype).expand(lateral.shape[0], -1, -1)
        cells = torch.cat([lateral, tiled], dim=2)
        return [head(cells).tanh_() if self.takes_tanh else head(cells) for head in self.heads]


class LeanEntityPerception(nn.Module):
    """``EntityPerception`` for expressions about one image."""

    def __init__(self, part: EntityPerception) -> None:
        super().__init__()
        self.heads = part.heads
        self.feature_scale = part.feature_scale
        self.language = part.language

    def forward(self, visual: list[Tensor], sentence: Tensor) -> Tensor:
        """What ``VisualBranch`` gave of one image, (1, S, C) each, and sentences, (E, D) -> (E, S, C), unit norm."""
        language = torch.tanh(self.language(sentence)).unflatten(1, (self.heads, 1, -1))  # (E, heads, 1, C)
        fused = visual[0] * language[:, 0]  # (E, S, C)
        for head in range(1, self.heads):
            fused.addcmul_(visual[head], language[:, head])
        return unit_norm_(fused.tanh_(), self.feature_scale)


class LeanConcatenation(nn.Module):
    """``Concatenation`` for expressions about one image."""

    def __init__(self, part: Concatenation) -> None:
        super().__init__()
        self.feature_scale = part.feature_scale
        self.language = part.language

    def forward(self, visual: list[Tensor], sentence: Tensor) -> Tensor:
        """(1, S, C), once, and (E, D) -> (E, S, C), unit norm."""
        return unit_norm_((visual[0] + self.language(sentence)[:, None]).relu_(), self.feature_scale)
