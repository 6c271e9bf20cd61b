"""The lean CMPC network: an image encoder, and comprehension of expressions about one image."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.engines.lean.backbone import folded_backbone
from cmpc.engines.lean.cells import unit_norm_
from cmpc.engines.lean.conv_lstm import LeanConvLSTM
from cmpc.engines.lean.convolution import LeanConvolution
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
from cmpc.models.objects import ObjectFeatures, find_objects, things_on_grid

HEAD_SUFFIX = "_head_"
"""Between a level and the number of a head, in the names of the features of an image."""
OBJECT_PREFIX = "objects_"
"""Of the names of what is known of the objects, among the features of an image."""


class ImageEncoder(nn.Module):
    """``CMPC.encode_image``."""

    def __init__(self, network: CMPC, *, winograd: bool) -> None:
        super().__init__()
        self.backbone = folded_backbone(network.backbone, winograd=winograd)
        self.feature_scale = network.config.feature_scale
        self.lateral = nn.ModuleDict(
            {level: LeanConvolution.of(cast(nn.Conv2d, layer)) for level, layer in network.lateral.items()}
        )
        self.aspects = network.aspects
        self.object_reader = network.object_reader
        self.perception = nn.ModuleDict(
            {
                level: VisualBranch(cast(LevelComprehension, comprehension).entity_perception)
                for level, comprehension in network.levels.items()
            }
        )
        self.selects = network.selection is not None
        self.refinement = network.refinement

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Images, (B, 3, H, W) -> each head of each level, (B, S, C), with grounded reasoning ``aspects``, (B, aspects,
        classes, S), what is known of the objects and, with selection, ``things``, (B, 3, S), and ``detail``, (B, R, H',
        W'), if refined."""
        stages = self.backbone(images)
        grid = stages["c3"].shape[2:]
        position = cell_positions(*grid, device=images.device).flatten(1).mT  # (S, 8)
        features: dict[str, Tensor] = {}
        if self.aspects is not None and self.object_reader is not None:
            readings = self.object_reader(stages)
            objects = find_objects(readings, grid)
            if self.selects:
                features["things"] = things_on_grid(readings, grid)
            features["aspects"] = self.aspects(stages).flatten(3)
            features |= {OBJECT_PREFIX + name: value for name, value in vars(objects).items()}
        if self.refinement is not None:
            features["detail"] = self.refinement.encode_image(stages["c2"])
        stages.pop("c2", None)
        for level in reversed(LEVELS):  # the largest first; each map is let go when its cells are there
            cells = cells_on_grid(self.lateral[level](stages.pop(level)), grid)  # (B, S, C)
            visual = self.perception[level](unit_norm_(cells, self.feature_scale), position)
            features |= {f"{level}{HEAD_SUFFIX}{head}": part for head, part in enumerate(visual)}
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
        self.second_look = (
            None if network.second_look is None else LeanGroundedReasoning(network.second_look, grid=grid)
        )
        self.feature_scale = network.config.feature_scale
        self.selection = network.selection
        self.grid = grid
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
        aspects, objects = features.get("aspects"), objects_of(features)
        levels = {
            level: comprehension(heads_of(features, level), aspects, objects, sentence, expressions)
            for level, comprehension in self.levels.items()
        }
        for exchange in self.exchange:
            levels = exchange(levels, expressions.necessary.to(dtype))
        in_order = [levels[level] for level in LEVELS]
        fused = in_order[0] + in_order[1] + in_order[2] if self.conv_lstm is None else self.conv_lstm(in_order)
        if self.second_look is not None:
            assert aspects is not None, "the image encoder gives aspects where there is grounded reasoning"
            assert objects is not None, "the image encoder gives objects where there is grounded reasoning"
            found = unit_norm_(fused.clone(), self.feature_scale)
            fused = fused + self.second_look(found, expressions, self.second_look.keys(found), aspects, objects)
        if self.selection is not None:
            every = torch.zeros(len(tokens), dtype=torch.int64, device=tokens.device)
            selected, _ = self.selection(fused.mT.unflatten(2, self.grid), features["things"], every)
            fused = selected.flatten(2).mT
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
        self,
        visual: list[Tensor],
        aspects: Tensor | None,
        objects: ObjectFeatures | None,
        sentence: Tensor,
        expressions: ExpressionFeatures,
    ) -> Tensor:
        """
        Args:
            visual: the level's heads among the image features, (1, S, C) each.
            aspects: those of the cells, (1, aspects, classes, S), for grounded reasoning.
            objects: of the image, for grounded reasoning.
            sentence: vector of the entity and attribute words, (E, D).
            expressions: words of E expressions and their types.

        Returns:
            (E, S, F)
        """
        cells = [self.entity_perception(visual, sentence)]
        if isinstance(self.relation_reasoning, LeanGroundedReasoning):
            assert aspects is not None, "the image encoder gives aspects where there is grounded reasoning"
            assert objects is not None, "the image encoder gives objects where there is grounded reasoning"
            keys = self.relation_reasoning.keys(torch.cat(visual, dim=2)[0])  # (S, G)
            cells.append(self.relation_reasoning(cells[0], expressions, keys, aspects, objects))
        elif self.relation_reasoning is not None:
            of_words = (expressions.words, expressions.relation, expressions.is_word)
            cells.append(self.relation_reasoning(cells[0], *of_words))
        return self.fusion(cells, sentence)


def heads_of(features: Mapping[str, Tensor], level: str) -> list[Tensor]:
    """The heads of a level among the features of an image, (1, S, C) each."""
    names = (f"{level}{HEAD_SUFFIX}{head}" for head in itertools.count())
    return [features[name] for name in itertools.takewhile(lambda name: name in features, names)]


def objects_of(features: Mapping[str, Tensor]) -> ObjectFeatures | None:
    """What the features of an image say of its objects, where there is grounded reasoning."""
    found = {name.removeprefix(OBJECT_PREFIX): value for name, value in features.items() if OBJECT_PREFIX in name}
    return ObjectFeatures(**found) if found else None


def cells_on_grid(features: Tensor, grid: tuple[int, int]) -> Tensor:
    """A map of any resolution, (B, C, h', w'), as the cells of the grid, (B, S, C)."""
    if features.shape[2:] != grid:
        features = F.interpolate(features, size=grid, mode="bilinear", align_corners=False)
    return features.flatten(2).mT.contiguous()
