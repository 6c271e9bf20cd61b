"""The network of the paper: CMPC module on three levels, text-guided feature exchange, ConvLSTM."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.models.aspects import Aspects
from cmpc.models.config import LEVELS, ModelConfig
from cmpc.models.conv_lstm import ConvLSTM
from cmpc.models.entity_perception import Concatenation, EntityPerception
from cmpc.models.feature_exchange import TextGuidedFeatureExchange
from cmpc.models.grid import cell_positions, upsample
from cmpc.models.grounded_reasoning import GroundedMaps, GroundedReasoning
from cmpc.models.language import ExpressionFeatures, LanguageEncoder
from cmpc.models.level_fusion import LevelFusion
from cmpc.models.network import ImageFeatures, LevelMaps, ReferringNetwork, SegmentationOutput
from cmpc.models.normalisation import unit_norm
from cmpc.models.objects import ObjectFeatures, ObjectReader, find_objects, things_on_grid
from cmpc.models.relation_reasoning import Reasoning, RelationAwareReasoning
from cmpc.models.selection import Selection


class LevelComprehension(nn.Module):
    """The CMPC module of one level: entity perception, relation-aware reasoning, fusion (paper, figure 2)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels, word_channels = config.multimodal_channels, config.word_channels
        self.entity_perception: EntityPerception | Concatenation
        if config.entity_perception:
            self.entity_perception = EntityPerception(
                channels=channels,
                word_channels=word_channels,
                heads=config.fusion_heads,
                feature_scale=config.feature_scale,
            )
        else:
            self.entity_perception = Concatenation(
                channels=channels, word_channels=word_channels, feature_scale=config.feature_scale
            )
        self.relation_reasoning: RelationAwareReasoning | GroundedReasoning | None = None
        if config.grounded_reasoning:
            self.relation_reasoning = GroundedReasoning(
                channels=channels,
                seen_channels=config.fusion_heads * channels,
                key_channels=channels // 2,
                word_channels=word_channels,
                feature_scale=config.feature_scale,
            )
        elif config.relation_reasoning:
            self.relation_reasoning = RelationAwareReasoning(
                channels=channels, word_channels=word_channels, feature_scale=config.feature_scale
            )
        self.fusion = LevelFusion(
            cell_channels=channels * (2 if config.relation_reasoning else 1),
            word_channels=word_channels,
            channels=config.fusion_channels,
        )
        self.side_score = nn.Conv2d(config.fusion_channels, 1, 3, padding=1)

    def forward(
        self,
        visual: Tensor,
        aspects: Tensor | None,
        objects: ObjectFeatures | None,
        position: Tensor,
        expressions: ExpressionFeatures,
        image_index: Tensor,
    ) -> LevelMaps:
        """
        Args:
            visual: the level's part of ``ImageFeatures``, (B, heads, C, h, w).
            aspects: those of the cells, (B, aspects, classes, h, w), for grounded reasoning.
            objects: of the images, for grounded reasoning.
            position: spatial code, (8, h, w).
            expressions: words and sentences of E expressions.
            image_index: the image of each expression, (E,) int64.
        """
        entities = self.entity_perception(visual, expressions.entity_attribute, image_index)
        cells = [entities]
        reasoning: Reasoning | GroundedMaps | None = None
        if isinstance(self.relation_reasoning, GroundedReasoning):
            assert aspects is not None, "the network has aspects where it has grounded reasoning"
            assert objects is not None, "the network has objects where it has grounded reasoning"
            keys = self.relation_reasoning.keys(visual.flatten(1, 2))[image_index]
            reasoning = self.relation_reasoning(entities, expressions, keys, aspects, objects, image_index)
        elif self.relation_reasoning is not None:
            reasoning = self.relation_reasoning(entities, expressions.words, expressions.relation, expressions.is_word)
        if reasoning is not None:
            cells.append(reasoning.features)
        fused = self.fusion(cells, expressions.entity_attribute, position)
        return LevelMaps(entities, reasoning, fused, self.side_score(fused)[:, 0].float())


class CMPC(ReferringNetwork):
    """Cross-Modal Progressive Comprehension network (Huang et al., CVPR 2020)."""

    language: LanguageEncoder

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        channels = dict(zip(LEVELS, config.backbone.channels[1:], strict=True))
        self.lateral = nn.ModuleDict(
            {level: nn.Conv2d(channels[level], config.multimodal_channels, 1) for level in LEVELS}
        )
        if config.grounded_reasoning:
            self.aspects = Aspects(channels)
            self.object_reader = ObjectReader({"c2": config.backbone.channels[0], **channels})
        self.language = LanguageEncoder(
            vocabulary_size=config.vocabulary_size,
            embedding_channels=config.embedding_channels,
            word_channels=config.word_channels,
            word_type_channels=config.word_type_channels,
            word_type_gating=config.word_type_gating,
            both_directions=config.both_directions,
            feature_scale=config.feature_scale,
        )
        self.levels = nn.ModuleDict({level: LevelComprehension(config) for level in LEVELS})
        self.exchange = nn.ModuleList(
            TextGuidedFeatureExchange(
                channels=config.fusion_channels, word_channels=config.word_channels, feature_scale=config.feature_scale
            )
            for _ in range(config.exchange_rounds)
        )
        self.conv_lstm: ConvLSTM | None = None
        if config.conv_lstm:
            self.conv_lstm = ConvLSTM(channels=config.fusion_channels, peephole_grid=config.peephole_grid)
        if config.second_look:
            self.second_look = GroundedReasoning(
                channels=config.fusion_channels,
                seen_channels=config.fusion_channels,
                key_channels=config.multimodal_channels // 2,
                word_channels=config.word_channels,
                feature_scale=config.feature_scale,
            )
        if config.selection:
            self.selection = Selection(channels=config.fusion_channels)
        self._add_score(config)
        self.reset_parameters()

    def _encode_image(self, images: Tensor) -> ImageFeatures:
        stages = self.backbone(images)
        grid = stages["c3"].shape[2:]
        position = cell_positions(*grid, device=images.device)
        levels: dict[str, Tensor] = {}
        for level in LEVELS:
            lateral = self.lateral[level](stages[level])  # (B, C, h, w)
            if lateral.shape[2:] != grid:
                lateral = F.interpolate(lateral, size=grid, mode="bilinear", align_corners=False)
            lateral = unit_norm(lateral, dim=1, scale=self.config.feature_scale)
            perception = cast(LevelComprehension, self.levels[level]).entity_perception
            levels[level] = perception.encode_image(lateral, position)
        objects: ObjectFeatures | None = None
        if self.aspects is not None and self.object_reader is not None:
            readings = self.object_reader(stages)
            objects = find_objects(readings, grid)
            levels["aspects"] = self.aspects(stages)
            if self.selection is not None:
                levels["things"] = things_on_grid(readings, grid)
        return ImageFeatures(levels, position, self._detail(stages), (images.shape[2], images.shape[3]), objects)

    def _encode_expression(self, tokens: Tensor) -> ExpressionFeatures:
        return self.language(tokens)

    def _comprehend(
        self, images: ImageFeatures, expressions: ExpressionFeatures, image_index: Tensor
    ) -> SegmentationOutput:
        aspects = images.levels.get("aspects")
        maps: dict[str, LevelMaps] = {
            level: comprehension(
                images.levels[level], aspects, images.objects, images.position, expressions, image_index
            )
            for level, comprehension in self.levels.items()
        }
        exchanged = {level: maps[level].fused for level in LEVELS}
        for exchange in self.exchange:
            exchanged = exchange(exchanged, expressions.necessary)
        in_order = [exchanged[level] for level in LEVELS]
        merged = torch.stack(in_order).sum(dim=0) if self.conv_lstm is None else self.conv_lstm(in_order)
        second_look: GroundedMaps | None = None
        if self.second_look is not None:
            assert aspects is not None, "the network has aspects where it has grounded reasoning"
            assert images.objects is not None, "the network has objects where it has grounded reasoning"
            found = unit_norm(merged, dim=1, scale=self.config.feature_scale)
            keys = self.second_look.keys(found)
            second_look = self.second_look(found, expressions, keys, aspects, images.objects, image_index)
            merged = merged + second_look.features
        rule = self.config.upsampling
        side_scores = {level: maps[level].side_scores for level in LEVELS}
        if self.selection is not None:
            merged, side_scores["selection"] = self.selection(merged, images.levels["things"], image_index)
        scores = self._scores(merged, images, image_index)  # (E, h, w)
        return SegmentationOutput(
            logits=upsample(scores, images.size, rule),
            scores=scores,
            side_logits={name: upsample(side, images.size, rule) for name, side in side_scores.items()},
            expressions=expressions,
            maps=maps,
            second_look=second_look,
        )
