"""Relation-aware reasoning: relational words decide which entity is meant (paper, section 3.2, stage 2)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from cmpc.models.cells import CellKeys, CellProduct
from cmpc.models.normalisation import JointLayerNorm, unit_norm_


class Reasoning(Protocol):
    """What explanations and losses read of any reasoning over E expressions, S cells and N words."""

    @property
    def features(self) -> Tensor:
        """Features after the messages, unit norm over C: (E, S, C)."""

    @property
    def cell_to_words(self) -> Tensor:
        """Attention of each cell over the words, rows sum to 1: (E, S, N)."""

    @property
    def word_to_cells(self) -> Tensor:
        """Attention of each word over the cells, columns sum to 1: (E, S, N)."""


@dataclass(frozen=True)
class Reasoned:
    """Result of the graph of one level; S cells, N words."""

    features: Tensor
    """Features after the messages, unit norm over C: (E, S, C). ``spa_graph`` of the original."""
    cell_to_words: Tensor
    """Attention of each cell over the words, rows sum to 1: (E, S, N). ``gw_affi_w`` of the original."""
    word_to_cells: Tensor
    """Attention of each word over the cells, columns sum to 1: (E, S, N). ``gw_affi_v`` of the original."""


class RelationAwareReasoning(nn.Module):
    """Messages between the cells that answer to the same relational words (paper, equations 4 to 7).

    Cells are nodes; the adjacency ``cell_to_words @ word_to_cells.T`` (S x S, rows sum to 1) has rank N, so it is never
    formed: messages go from cells to words and back. The affinity ``(P m)(Q h)`` is ``m (P' Q h)``: words are few and
    cells are many, so that no cell is projected. And as each cell's weights over the words sum to 1, the layer norm of
    the messages needs their statistics alone, which follow from N x N products.
    """

    def __init__(self, *, channels: int, word_channels: int, feature_scale: float) -> None:
        super().__init__()
        self.feature_scale = feature_scale
        self.project_cells = CellKeys(channels)
        self.project_words = nn.Linear(word_channels, channels)
        self.message_norm = JointLayerNorm(channels)
        self.update = CellProduct(channels, outputs=channels)
        self.update_norm = JointLayerNorm(channels)

    def forward(self, entities: Tensor, words: Tensor, relation: Tensor, is_word: Tensor) -> Reasoned:
        """
        Args:
            entities: multimodal features from entity perception, (E, S, C).
            words: feature of each word, (E, N, D).
            relation: how much each word is a relation, (E, N).
            is_word: False where the expression is padded, (E, N).
        """
        keys, offset = self.project_cells(self.project_words(words) / math.sqrt(entities.shape[2]))  # (E, N, C), (E, N)
        affinity = ((entities @ keys.mT).float() + offset[:, None].float()) * relation[:, None]  # (E, S, N)
        # The lowest number instead of -inf: an expression without any word then gives finite numbers.
        lowest = torch.finfo(affinity.dtype).min
        cell_to_words = affinity.masked_fill(~is_word[:, None], lowest).softmax(dim=2)
        word_to_cells = affinity.softmax(dim=1)
        gathered = word_to_cells.mT.to(entities.dtype) @ entities  # (E, N, C)
        sent = self._normed(gathered.float(), cell_to_words).to(entities.dtype)
        features = torch.baddbmm(entities, cell_to_words.to(entities.dtype), sent).relu_()
        features = self.update_norm(self.update(features)).relu_()  # (E, S, C)
        return Reasoned(unit_norm_(features, self.feature_scale), cell_to_words, word_to_cells)

    def _normed(self, gathered: Tensor, cell_to_words: Tensor) -> Tensor:
        """What each word sends, (E, N, C), so that the messages ``cell_to_words @ ...`` come out with their norm."""
        share = cell_to_words.mean(dim=1)  # (E, N)
        mean = (share * gathered.mean(dim=2)).sum(dim=1)[:, None, None]  # (E, 1, 1), of all messages
        centred = gathered - mean
        together = cell_to_words.mT @ cell_to_words / cell_to_words.shape[1]  # (E, N, N)
        alike = centred @ centred.mT / centred.shape[2]  # (E, N, N)
        variance = (together * alike).sum(dim=(1, 2), keepdim=True)  # (E, 1, 1)
        norm = self.message_norm
        return centred * torch.rsqrt(variance.clamp_min(0) + norm.epsilon) * norm.weight + norm.bias
