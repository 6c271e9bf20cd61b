"""The lean CMPC network: an image encoder, and comprehension of expressions about one image."""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.engines.lean.backbone import folded_backbone
from cmpc.engines.lean.cells import unit_norm_
from cmpc.engines.lean.conv_lstm import LeanConvLSTM
from cmpc.engines.lean.entity_perception import LeanConcatenation, LeanEntityPerception, VisualBranch
from cmpc.engines.lean.feature_exchange import LeanFeatureExchange
from cmpc.engines.lean.grounded_reasoning import LeanGroundedReasoning
from cmpc.engines.lean.level_fusion import LeanLevelFusion
from cmpc.engines.lean.relation_reasoning import LeanRelationAwareReasoning
from cmpc.engines.lean.score import LeanScore
from cmpc.models import CMPC, LEVELS
from cmpc.models.cmpc import LevelComprehension
from cmpc.models.entity_perception import EntityPerception
from cmpc.models.grid import cell_positions, image_grid
from cmpc.models.grounded_reasoning import GroundedReasoning
from cmpc.models.language import ExpressionFeatures


class ImageEncoder(nn.Module):
    """``CMPC.encode_image``."""

    def __init__(self, network: CMPC, *, winograd: bool) -> None:
        super().__init__()
        self.backbone = folded_backbone(network.backbone, winograd=winograd)
        self.feature_scale = network.config.feature_scale
        self.lateral = network.lateral
        self.aspects = network.aspects
        self.perception = nn.ModuleDict(
            {
                level: VisualBranch(cast(LevelComprehension, comprehension).entity_perception)
                for level, comprehension in network.levels.items()
            }
        )
        self.refinement = network.refinement

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Images, (B, 3, H, W) -> each level, (B, S, heads, C), with grounded reasoning ``aspects``, (B, aspects,
        classes, S), and ``detail``, (B, R, H', W'), if refined."""
        stages = self.backbone(images)
        grid = stages["c3"].shape[2:]
        position = cell_positions(*grid, device=images.device).flatten(1).mT  # (S, 8)
        features: dict[str, Tensor] = {}
        for level in LEVELS:
            cells = cells_on_grid(self.lateral[level](stages[level]), grid)  # (B, S, C)
            features[level] = self.perception[level](unit_norm_(cells, self.feature_scale), position)
        if self.aspects is not None:
            features["aspects"] = self.aspects(stages).flatten(3)
        if self.refinement is not None:
            features["detail"] = self.refinement.encode_image(stages["c2"])
        return features


class Comprehension(nn.Module):
    """``CMPC.encode_expression`` and ``CMPC.comprehend`` for expressions about one image."""

    def __init__(self, network: CMPC) -> None:
        super().__init__()
        grid = image_grid(network.config.image.size)
        self.language = network.language
        self.levels = nn.ModuleDict(
            {
                level: LeanLevel(cast(LevelComprehension, comprehension), grid=grid)
                for level, comprehension in network.levels.items()
            }
        )
        self.exchange = nn.ModuleList(LeanFeatureExchange(exchange) for exchange in network.exchange)  # type: ignore[arg-type]
        self.conv_lstm = None if network.conv_lstm is None else LeanConvLSTM(network.conv_lstm, grid=grid)
        self.score = LeanScore(network, grid=grid)

    def forward(self, features: dict[str, Tensor], tokens: Tensor) -> tuple[Tensor, Tensor]:
        """
        Args:
            features: what ``ImageEncoder`` gave of one image.
            tokens: word ids, (E, N) int64, padded with 0 at the end.

        Returns:
            Logits, (E, H, W) float32, and the probability of each word type, (E, N, 4), zero at padding.
        """
        expressions = self.language(tokens)
        dtype = expressions.words.dtype
        sentence = expressions.entity_attribute.to(dtype)
        levels = {
            level: comprehension(features[level], features.get("aspects"), sentence, expressions)
            for level, comprehension in self.levels.items()
        }
        for exchange in self.exchange:
            levels = exchange(levels, expressions.necessary.to(dtype))
        in_order = [levels[level] for level in LEVELS]
        fused = in_order[0] + in_order[1] + in_order[2] if self.conv_lstm is None else self.conv_lstm(in_order)
        return self.score(fused, features.get("detail")), expressions.word_types


class LeanLevel(nn.Module):
    """``LevelComprehension`` without what only training and explanations need."""

    def __init__(self, part: LevelComprehension, *, grid: tuple[int, int]) -> None:
        super().__init__()
        perception, reasoning = part.entity_perception, part.relation_reasoning
        self.entity_perception = (
            LeanEntityPerception(perception)
            if isinstance(perception, EntityPerception)
            else LeanConcatenation(perception)
        )
        self.relation_reasoning: LeanRelationAwareReasoning | LeanGroundedReasoning | None = None
        if isinstance(reasoning, GroundedReasoning):
            self.relation_reasoning = LeanGroundedReasoning(reasoning, grid=grid)
        elif reasoning is not None:
            self.relation_reasoning = LeanRelationAwareReasoning(reasoning)
        self.fusion = LeanLevelFusion(part.fusion, maps=1 if reasoning is None else 2, grid=grid)

    def forward(
        self, visual: Tensor, aspects: Tensor | None, sentence: Tensor, expressions: ExpressionFeatures
    ) -> Tensor:
        """
        Args:
            visual: the level's part of the image features, (1, S, heads, C).
            aspects: those of the cells, (1, aspects, classes, S), for grounded reasoning.
            sentence: vector of the entity and attribute words, (E, D).
            expressions: words of E expressions and their types.

        Returns:
            (E, S, F)
        """
        cells = [self.entity_perception(visual, sentence)]
        if isinstance(self.relation_reasoning, LeanGroundedReasoning):
            assert aspects is not None, "the image encoder gives aspects where there is grounded reasoning"
            cells.append(self.relation_reasoning(cells[0], expressions, visual, aspects))
        elif self.relation_reasoning is not None:
            of_words = (expressions.words, expressions.relation, expressions.is_word)
            cells.append(self.relation_reasoning(cells[0], *of_words))
        return self.fusion(cells, sentence)


def cells_on_grid(features: Tensor, grid: tuple[int, int]) -> Tensor:
    """A map of any resolution, (B, C, h', w'), as the cells of the grid, (B, S, C)."""
    if features.shape[2:] != grid:
        features = F.interpolate(features, size=grid, mode="bilinear", align_corners=False)
    return features.flatten(2).mT.contiguous()
