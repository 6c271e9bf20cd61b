"""Text-guided feature exchange (TGFE): the levels pass each other what the expression asks for (paper, section 3.3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from cmpc.conventions import LEVELS
from cmpc.models.cells import CellKeys, CellProduct
from cmpc.models.normalisation import unit_norm_


class GlobalVector(nn.Module):
    """A level summed up as the expression guides: attention over cells, then one layer (paper, equation 8).

    The products ``q (K f)`` of query, keys and cells are ``(q K) f``: no cell is projected.
    """

    def __init__(self, *, channels: int, word_channels: int, feature_scale: float) -> None:
        super().__init__()
        self.feature_scale = feature_scale
        self.key = CellKeys(channels)
        self.query = nn.Linear(word_channels, channels)
        self.project = nn.Linear(channels + word_channels, channels)

    def forward(self, features: Tensor, sentence: Tensor) -> tuple[Tensor, Tensor]:
        """
        Args:
            features: a level, (E, S, C).
            sentence: vector of the necessary words, (E, D).

        Returns:
            The vector (E, C), unit norm, and the attention over the cells (E, S, 1).
        """
        keys, offset = self.key(self.query(sentence) / math.sqrt(features.shape[2]))  # (E, C), (E,)
        scores = features @ keys[:, :, None] + offset[:, None, None]  # (E, S, 1)
        attention = scores.float().softmax(dim=1).to(features.dtype)
        pooled = attention.mT @ features  # (E, 1, C)
        vector = self.project(torch.cat([pooled[:, 0], sentence.to(pooled.dtype)], dim=1))
        return unit_norm_(vector, self.feature_scale), attention


class LevelExchange(nn.Module):
    """One level takes from the others what its global vector lets through (paper, equation 9)."""

    def __init__(self, level: str, *, channels: int, word_channels: int, feature_scale: float) -> None:
        super().__init__()
        self.feature_scale = feature_scale
        others = [other for other in LEVELS if other != level]
        self.global_vector = GlobalVector(channels=channels, word_channels=word_channels, feature_scale=feature_scale)
        self.gate = nn.ModuleDict({other: nn.Linear(channels, channels) for other in others})
        self.transform = nn.ModuleDict({other: CellProduct(channels, outputs=channels) for other in others})

    def forward(self, features: Tensor, others: dict[str, Tensor], sentence: Tensor) -> Tensor:
        """
        Args:
            features: this level, (E, S, C).
            others: the other levels, (E, S, C) each.
            sentence: vector of the necessary words, (E, D).

        Returns:
            (E, S, C), unit norm over C.
        """
        vector, _ = self.global_vector(features, sentence)  # (E, C)
        for name, gate in self.gate.items():
            opening = torch.sigmoid(gate(vector))[:, None]
            features = torch.addcmul(features, self.transform[name](others[name]).relu_(), opening)
        return unit_norm_(features, self.feature_scale)


class TextGuidedFeatureExchange(nn.Module):
    """One round of exchange: all three levels at once, each from the features before the round."""

    def __init__(self, *, channels: int, word_channels: int, feature_scale: float) -> None:
        super().__init__()
        sizes = {"channels": channels, "word_channels": word_channels}
        self.levels = nn.ModuleDict(
            {level: LevelExchange(level, **sizes, feature_scale=feature_scale) for level in LEVELS}
        )

    def forward(self, levels: dict[str, Tensor], sentence: Tensor) -> dict[str, Tensor]:
        """Levels (E, S, C) each, sentence (E, D) -> the levels after the round."""
        return {level: exchange(levels[level], levels, sentence) for level, exchange in self.levels.items()}
