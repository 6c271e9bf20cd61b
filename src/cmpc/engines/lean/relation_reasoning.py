"""Relation-aware reasoning for inference: two of its three products over all cells and channels fall away."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from cmpc.engines.lean.cells import CellProduct, JointNorm, matrix, unit_norm_
from cmpc.engines.lean.convolution import frozen
from cmpc.models.relation_reasoning import RelationAwareReasoning


class LeanRelationAwareReasoning(nn.Module):
    """``RelationAwareReasoning`` with its low rank used twice more.

    The affinity ``(P m)(Q h)`` is formed as ``m (P' Q h)``: words are few and cells are many, so the projection moves
    to the words' side and no cell is projected. And as each cell's weights over the words sum to 1, the layer norm of
    the messages needs their statistics alone, which follow from N x N products; gain and shift go to the words too.
    """

    def __init__(self, part: RelationAwareReasoning) -> None:
        super().__init__()
        self.feature_scale = part.feature_scale
        cells, words = part.project_cells, part.project_words
        assert cells.bias is not None
        project = matrix(cells).double().mT  # (C, C): output, input
        scale = math.sqrt(project.shape[0])
        query = words.weight.double()  # (C, D)
        self.key = frozen((query.mT @ project / scale).float())  # (D, C)
        self.key_bias = frozen((words.bias.double() @ project / scale).float())  # (C,)
        self.offset = frozen((query.mT @ cells.bias.double() / scale).float())  # (D,)
        self.offset_bias = frozen((words.bias.double() @ cells.bias.double() / scale).float())  # ()
        self.message_norm = part.message_norm
        self.update = CellProduct.of(part.update)
        self.update_norm = JointNorm(part.update_norm)

    def forward(self, entities: Tensor, words: Tensor, relation: Tensor, is_word: Tensor) -> Tensor:
        """
        Args:
            entities: multimodal features from entity perception, (E, S, C).
            words: feature of each word, (E, N, D).
            relation: how much each word is a relation, (E, N).
            is_word: False where the expression is padded, (E, N).

        Returns:
            Features after the messages, unit norm, (E, S, C).
        """
        keys = words @ self.key + self.key_bias  # (E, N, C)
        offset = words @ self.offset + self.offset_bias  # (E, N)
        affinity = ((entities @ keys.mT).float() + offset[:, None].float()) * relation[:, None]  # (E, S, N)
        lowest = torch.finfo(affinity.dtype).min
        cell_to_words = affinity.masked_fill(~is_word[:, None], lowest).softmax(dim=2)
        word_to_cells = affinity.softmax(dim=1)
        gathered = word_to_cells.mT.to(entities.dtype) @ entities  # (E, N, C)
        messages = self._normed(gathered.float(), cell_to_words).to(entities.dtype)
        features = torch.baddbmm(entities, cell_to_words.to(entities.dtype), messages).relu_()
        features = self.update_norm(self.update(features)).relu_()
        return unit_norm_(features, self.feature_scale)

    def _normed(self, gathered: Tensor, cell_to_words: Tensor) -> Tensor:
        """What each word sends, (E, N, C), so that the messages ``cell_to_words @ ...`` come out with their norm."""
        share = cell_to_words.mean(dim=1)  # (E, N)
        mean = (share * gathered.mean(dim=2)).sum(dim=1)[:, None, None]  # (E, 1, 1), of all messages
        centred = gathered - mean
        together = cell_to_words.mT @ cell_to_words / cell_to_words.shape[1]  # (E, N, N)
        alike = centred @ centred.mT / centred.shape[2]  # (E, N, N)
        variance = (together * alike).sum(dim=(1, 2), keepdim=True)  # (E, 1, 1)
        norm = self.message_norm
        return centred * torch.rsqrt(variance + norm.eps) * norm.weight + norm.bias
