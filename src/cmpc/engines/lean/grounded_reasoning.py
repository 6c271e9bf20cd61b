"""Grounded reasoning for inference: what cells are compared by is formed once for all expressions about an image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cmpc.engines.lean.cells import CellProduct, JointNorm, unit_norm_
from cmpc.engines.lean.convolution import frozen
from cmpc.models.aspects import ASPECTS, CLASSES
from cmpc.models.grounded_reasoning import (
    ECHO_SCALE,
    FIELDS,
    OBJECT_VIEWS,
    SHARPNESS,
    VIEWS,
    GroundedReasoning,
    drawing_words,
    of_speakers,
    spread_over_places,
)
from cmpc.models.language import ExpressionFeatures
from cmpc.models.objects import ObjectFeatures


class LeanGroundedReasoning(nn.Module):
    """``GroundedReasoning`` for expressions about one image."""

    def __init__(self, part: GroundedReasoning, *, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.feature_scale = part.feature_scale
        self.ground_cells = CellProduct.of(part.ground_cells)  # to G from heads * C
        self.pairs = frozen(part.pairs.weight.view(ASPECTS, CLASSES, CLASSES))
        self.ground_words = part.ground_words
        self.field_weights = part.field_weights
        self.object_weights = part.object_weights
        self.objects = part.objects
        self.echo_weights = part.echo_weights
        self.spread = CellProduct.of(part.spread)  # to C from fields + echoes
        self.update = CellProduct.of(part.update)
        self.update_norm = JointNorm(part.update_norm)

    def keys(self, seen: Tensor) -> Tensor:
        """The codes by which words find cells: (..., S, C') -> (..., S, G)."""
        keys: Tensor = self.ground_cells(seen)
        return keys

    def forward(
        self,
        entities: Tensor,
        expressions: ExpressionFeatures,
        keys: Tensor,
        aspects: Tensor,
        objects: ObjectFeatures,
    ) -> Tensor:
        """
        Args:
            entities: multimodal features from entity perception, (E, S, C).
            expressions: words of E expressions and their types.
            keys: codes of what words look at, (S, G) for all expressions or (E, S, G).
            aspects: shares of the classes of its cells, (1, aspects, classes, S).
            objects: of the image.

        Returns:
            Features after the messages, unit norm, (E, S, C).
        """
        words = expressions.words
        affinity = (self.ground_words(words) @ keys.mT).float() * SHARPNESS  # (E, N, S)
        attention = affinity.softmax(dim=2)
        gate, speakers = drawing_words(expressions)  # (E, R) twice
        gate = gate[:, :, None, None].to(words.dtype)
        sources = of_speakers(attention, speakers).to(words.dtype)  # (E, R, S)
        speaking = of_speakers(words, speakers)
        weights = (self.field_weights(speaking).unflatten(2, (VIEWS, FIELDS)) * gate).flatten(1, 2)
        compared = self._compare(sources, aspects)  # (E, R, 2 * aspects, S)
        views = torch.cat([spread_over_places(sources, self.grid), compared], dim=2).flatten(1, 2)
        object_weights = (self.object_weights(speaking).unflatten(2, (OBJECT_VIEWS, FIELDS)) * gate).flatten(1, 2)
        object_views = self.objects(expressions, attention, objects, speakers).to(words.dtype).flatten(1, 2)
        of_objects = object_views.mT @ object_weights  # (E, K, fields)
        fields = views.mT @ weights + objects.belonging[0].to(words.dtype).mT @ of_objects  # (E, S, fields)
        of_echoes = self.echo_weights(words) * expressions.is_word[:, :, None]
        echoes = affinity.mT.to(words.dtype) @ of_echoes * ECHO_SCALE  # (E, S, echoes)
        drawn = self.spread(torch.cat([fields, echoes], dim=2).relu_())
        features = drawn.add_(entities).relu_()
        features = self.update_norm(self.update(features)).relu_()
        return unit_norm_(features, self.feature_scale)

    def _compare(self, sources: Tensor, aspects: Tensor) -> Tensor:
        """As that of ``GroundedReasoning``."""
        sent = sources[:, None] @ aspects.mT  # (E, aspects, R, classes)
        compared = [sent @ received for received in (aspects, self.pairs @ aspects)]  # (E, aspects, R, S) twice
        return torch.cat(compared, dim=1).transpose(1, 2)
