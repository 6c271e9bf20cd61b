"""Text-guided feature exchange for inference: attention without keys of the cells."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from cmpc.engines.lean.cells import CellProduct, matrix, unit_norm_
from cmpc.engines.lean.convolution import frozen
from cmpc.models.feature_exchange import GlobalVector, LevelExchange, TextGuidedFeatureExchange


class LeanGlobalVector(nn.Module):
    """``GlobalVector`` whose keys move to the query's side: ``q (K f)`` is formed as ``(q K) f``.

    The keys' bias adds the same to every cell, which the softmax takes away again.
    """

    def __init__(self, part: GlobalVector) -> None:
        super().__init__()
        self.feature_scale = part.feature_scale
        key = matrix(part.key).double().mT / math.sqrt(part.key.out_channels)  # (C, C): output, input
        self.query = frozen((part.query.weight.double().mT @ key).float())  # (D, C)
        self.query_bias = frozen((part.query.bias.double() @ key).float())
        self.project = part.project

    def forward(self, features: Tensor, sentence: Tensor) -> Tensor:
        """A level, (E, S, C), and sentences, (E, D) -> (E, C), unit norm."""
        query = (sentence @ self.query + self.query_bias)[:, :, None]  # (E, C, 1)
        attention = (features @ query).float().softmax(dim=1).to(features.dtype)  # (E, S, 1)
        pooled = attention.mT @ features  # (E, 1, C)
        return unit_norm_(self.project(torch.cat([pooled[:, 0], sentence], dim=1)), self.feature_scale)


class LeanLevelExchange(nn.Module):
    """``LevelExchange``, summed in place."""

    def __init__(self, part: LevelExchange) -> None:
        super().__init__()
        self.feature_scale = part.feature_scale
        self.global_vector = LeanGlobalVector(part.global_vector)
        self.gate = part.gate
        self.transform = nn.ModuleDict(
            {name: CellProduct.of(cast(nn.Conv2d, layer)) for name, layer in part.transform.items()}
        )

    def forward(self, features: Tensor, others: dict[str, Tensor], sentence: Tensor) -> Tensor:
        """This level, the others, (E, S, C) each, and sentences, (E, D) -> (E, S, C), unit norm."""
        vector = self.global_vector(features, sentence)  # (E, C)
        for name, gate in self.gate.items():
            opening = torch.sigmoid(gate(vector))[:, None]
            message = self.transform[name](others[name]).relu_()
            features = torch.addcmul(features, message, opening)
        return unit_norm_(features, self.feature_scale)


class LeanFeatureExchange(nn.Module):
    """``TextGuidedFeatureExchange``: one round."""

    def __init__(self, part: TextGuidedFeatureExchange) -> None:
        super().__init__()
        self.levels = nn.ModuleDict(
            {level: LeanLevelExchange(cast(LevelExchange, exchange)) for level, exchange in part.levels.items()}
        )

    def forward(self, levels: dict[str, Tensor], sentence: Tensor) -> dict[str, Tensor]:
        """Levels (E, S, C) each, sentences (E, D) -> the levels after the round."""
        return {level: exchange(levels[level], levels, sentence) for level, exchange in self.levels.items()}
