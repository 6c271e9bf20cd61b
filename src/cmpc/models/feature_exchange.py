"""Text-guided feature exchange (TGFE): the levels pass each other what the expression asks for (paper, section 3.3)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.models.config import LEVELS
from cmpc.models.normalisation import unit_norm


class GlobalVector(nn.Module):
    """A level summed up as the expression guides: attention over cells, then one layer (paper, equation 8)."""

    def __init__(self, *, channels: int, word_channels: int, feature_scale: float) -> None:
        super().__init__()
        self.feature_scale = feature_scale
        self.key = nn.Conv2d(channels, channels, 1)
        self.query = nn.Linear(word_channels, channels)
        self.project = nn.Linear(channels + word_channels, channels)

    def forward(self, features: Tensor, sentence: Tensor) -> tuple[Tensor, Tensor]:
        """
        Args:
            features: a level, (E, C, H, W).
            sentence: vector of the necessary words, (E, D).

        Returns:
            The vector (E, C), unit norm, and the attention over the cells (E, S).
        """
        scores = self.query(sentence)[:, None] @ self.key(features).flatten(2)  # (E, 1, S)
        attention = (scores.float() / math.sqrt(features.shape[1])).softmax(dim=2)
        pooled = attention.to(features.dtype) @ features.flatten(2).mT  # (E, 1, C)
        vector = self.project(torch.cat([pooled[:, 0], sentence.to(pooled.dtype)], dim=1))
        return unit_norm(vector, dim=1, scale=self.feature_scale), attention[:, 0]


class LevelExchange(nn.Module):
    """One level takes from the others what its global vector lets through (paper, equation 9)."""

    def __init__(self, level: str, *, channels: int, word_channels: int, feature_scale: float) -> None:
        super().__init__()
        self.feature_scale = feature_scale
        others = [other for other in LEVELS if other != level]
        self.global_vector = GlobalVector(channels=channels, word_channels=word_channels, feature_scale=feature_scale)
        self.gate = nn.ModuleDict({other: nn.Linear(channels, channels) for other in others})
        self.transform = nn.ModuleDict({other: nn.Conv2d(channels, channels, 1) for other in others})

    def forward(self, features: Tensor, others: dict[str, Tensor], sentence: Tensor) -> Tensor:
        """
        Args:
            features: this level, (E, C, H, W).
            others: the other levels, each (E, C, H, W).
            sentence: vector of the necessary words, (E, D).

        Returns:
            (E, C, H, W), unit norm over C.
        """
        vector, _ = self.global_vector(features, sentence)  # (E, C)
        for name, gate in self.gate.items():
            opening = torch.sigmoid(gate(vector))[:, :, None, None]
            features = torch.addcmul(features, F.relu(self.transform[name](others[name])), opening)
        return unit_norm(features, dim=1, scale=self.feature_scale)


class TextGuidedFeatureExchange(nn.Module):
    """One round of exchange: all three levels at once, each from the features before the round."""

    def __init__(self, *, channels: int, word_channels: int, feature_scale: float) -> None:
        super().__init__()
        self.levels = nn.ModuleDict(
            {
                level: LevelExchange(level, channels=channels, word_channels=word_channels, feature_scale=feature_scale)
                for level in LEVELS
            }
        )

    def forward(self, levels: dict[str, Tensor], sentence: Tensor) -> dict[str, Tensor]:
        """Levels (E, C, H, W) each, sentence (E, D) -> the levels after the round."""
        return {level: exchange(levels[level], levels, sentence) for level, exchange in self.levels.items()}
