"""Relation-aware reasoning: relational words decide which entity is meant (paper, section 3.2, stage 2)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.models.normalisation import joint_layer_norm, unit_norm


@dataclass(frozen=True)
class Reasoning:
    """Result of the graph of one level; S = H * W cells, N words."""

    features: Tensor
    """Features after the messages, unit norm over C: (E, C, H, W). ``spa_graph`` of the original."""
    cell_to_words: Tensor
    """How each cell spreads over the words that it hears, rows sum to 1: (E, S, N). ``gw_affi_w`` of the original."""
    word_to_cells: Tensor
    """How each word spreads over the cells that it speaks of, columns sum to 1: (E, S, N). ``gw_affi_v`` of the
    original."""


class RelationAwareReasoning(nn.Module):
    """Messages between the cells that answer to the same relational words (paper, equations 4 to 7).

    Cells are nodes; the adjacency ``cell_to_words @ word_to_cells.T`` (S x S, rows sum to 1) has rank N, so it is never
    formed: messages go from cells to words and back.
    """

    def __init__(self, *, channels: int, word_channels: int, feature_scale: float) -> None:
        super().__init__()
        self.feature_scale = feature_scale
        self.project_cells = nn.Conv2d(channels, channels, 1)
        self.project_words = nn.Linear(word_channels, channels)
        self.message_norm = joint_layer_norm(channels)
        self.update = nn.Conv2d(channels, channels, 1)
        self.update_norm = joint_layer_norm(channels)

    def forward(self, entities: Tensor, words: Tensor, relation: Tensor, is_word: Tensor) -> Reasoning:
        """
        Args:
            entities: multimodal features from entity perception, (E, C, H, W).
            words: feature of each word, (E, N, D).
            relation: how much each word is a relation, (E, N).
            is_word: False where the expression is padded, (E, N).
        """
        nodes = entities.flatten(2)  # (E, C, S)
        affinity = self.project_cells(entities).flatten(2).mT @ self.project_words(words).mT  # (E, S, N)
        affinity = affinity.float() / math.sqrt(nodes.shape[1]) * relation[:, None, :]
        # The lowest number instead of -inf: an expression without any word then gives finite numbers.
        lowest = torch.finfo(affinity.dtype).min
        cell_to_words = affinity.masked_fill(~is_word[:, None, :], lowest).softmax(dim=2)
        word_to_cells = affinity.softmax(dim=1)
        gathered = nodes @ word_to_cells.to(nodes.dtype)  # (E, C, N)
        messages = gathered @ cell_to_words.mT.to(nodes.dtype)  # (E, C, S)
        features = F.relu(entities + self.message_norm(messages.unflatten(2, entities.shape[2:])))
        features = F.relu(self.update_norm(self.update(features)))  # (E, C, H, W)
        return Reasoning(unit_norm(features, dim=1, scale=self.feature_scale), cell_to_words, word_to_cells)
