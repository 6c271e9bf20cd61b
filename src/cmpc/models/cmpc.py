"""The network: see once, ask many times.

What an expression needs of the image does not depend on the expression, so the network runs in three steps::

    image_features = model.encode_image(images)                  # once per image
    expression_features = model.encode_expression(tokens)        # words and sentence
    output = model.comprehend(image_features, expression_features, image_index)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.models.backbone import build_backbone
from cmpc.models.config import LEVELS, ModelConfig
from cmpc.models.conv_lstm import ConvLSTM
from cmpc.models.entity_perception import Concatenation, EntityPerception
from cmpc.models.feature_exchange import TextGuidedFeatureExchange
from cmpc.models.grid import cell_positions, upsample
from cmpc.models.language import ExpressionFeatures, LanguageEncoder
from cmpc.models.level_fusion import LevelFusion
from cmpc.models.normalisation import unit_norm
from cmpc.models.refinement import Refinement
from cmpc.models.relation_reasoning import Reasoning, RelationAwareReasoning


@dataclass(frozen=True)
class ImageFeatures:
    """What the network keeps of B images for any number of expressions."""

    levels: dict[str, Tensor]
    """For each level the part of entity perception that needs no expression: (B, heads, C, h, w)."""
    position: Tensor
    """Spatial code of the grid, (8, h, w)."""
    detail: Tensor | None
    """Features at stride 4 for the refinement, (B, R, H', W'); None without refinement."""
    size: tuple[int, int]
    """Height and width of the images in pixels."""

    def __len__(self) -> int:
        return len(next(iter(self.levels.values())))

    def select(self, number: int) -> ImageFeatures:
        """The features of one image, as a batch of one that shares its memory."""
        one = slice(number, number + 1)
        levels = {level: visual[one] for level, visual in self.levels.items()}
        return ImageFeatures(levels, self.position, None if self.detail is None else self.detail[one], self.size)


@dataclass(frozen=True)
class LevelMaps:
    """What happened on one level, for explanations: E expressions, S = h * w cells, N words."""

    entities: Tensor
    """Entity features, (E, C, h, w)."""
    reasoning: Reasoning | None
    """The graph's result; None when relation-aware reasoning is off."""
    fused: Tensor
    """What the level hands on to the exchange, (E, F, h, w)."""
    side_scores: Tensor
    """The mask as this level alone sees it, (E, h, w) logits."""


@dataclass(frozen=True)
class SegmentationOutput:
    """Result of the network for E expressions; a pixel belongs to the mask where its logit is not negative."""

    logits: Tensor
    """At the size of the images: (E, H, W)."""
    scores: Tensor
    """Before up-sampling: (E, h, w). ``pred`` of the original."""
    side_logits: dict[str, Tensor]
    """Logits of each level alone, for the side losses: (E, H, W) each."""
    expressions: ExpressionFeatures
    """Words and sentences that were asked for."""
    maps: dict[str, LevelMaps]
    """What happened on each level."""

    @property
    def word_types(self) -> Tensor:
        """Probability of each word type, in the order of ``WORD_TYPES``, zero at padding: (E, N, 4)."""
        return self.expressions.word_types

    @property
    def word_type_logits(self) -> Tensor:
        """Scores of the word types: (E, N, 4)."""
        return self.expressions.word_type_logits


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
        self.relation_reasoning: RelationAwareReasoning | None = None
        if config.relation_reasoning:
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
        self, visual: Tensor, position: Tensor, expressions: ExpressionFeatures, image_index: Tensor
    ) -> LevelMaps:
        """
        Args:
            visual: the level's part of ``ImageFeatures``, (B, heads, C, h, w).
            position: spatial code, (8, h, w).
            expressions: words and sentences of E expressions.
            image_index: the image of each expression, (E,) int64.
        """
        entities = self.entity_perception(visual, expressions.entity_attribute, image_index)
        cells, reasoning = [entities], None
        if self.relation_reasoning is not None:
            reasoning = self.relation_reasoning(entities, expressions.words, expressions.relation, expressions.is_word)
            cells.append(reasoning.features)
        fused = self.fusion(cells, expressions.entity_attribute, position)
        return LevelMaps(entities, reasoning, fused, self.side_score(fused)[:, 0].float())


class CMPC(nn.Module):
    """Cross-Modal Progressive Comprehension network (Huang et al., CVPR 2020)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config.backbone)
        channels = dict(zip(LEVELS, config.backbone.channels[1:], strict=True))
        self.lateral = nn.ModuleDict(
            {level: nn.Conv2d(channels[level], config.multimodal_channels, 1) for level in LEVELS}
        )
        self.language = LanguageEncoder(
            vocabulary_size=config.vocabulary_size,
            embedding_channels=config.embedding_channels,
            word_channels=config.word_channels,
            word_type_channels=config.word_type_channels,
            word_type_gating=config.word_type_gating,
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
        self.refinement: Refinement | None = None
        if config.refinement_channels:
            self.refinement = Refinement(
                channels=config.fusion_channels,
                detail_channels=config.backbone.channels[0],
                refined_channels=config.refinement_channels,
            )
        self.score = nn.Conv2d(config.refinement_channels or config.fusion_channels, 1, 3, padding=1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initial values: Xavier-uniform kernels and zero biases as in the original; the backbone by He's rule."""
        for name, module in self.named_modules():
            if not isinstance(module, nn.Conv2d | nn.Linear):
                continue
            if name.startswith("backbone."):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            else:
                nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        self.language.reset_parameters()
        if self.conv_lstm is not None:
            self.conv_lstm.reset_parameters()

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """What needs no expression: backbone, laterals, the visual branch of entity perception.

        Args:
            images: normalised images, (B, 3, H, W) float.

        Raises:
            ValueError: the layout is another one.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(
                f"images must be (B, 3, H, W) float, got {tuple(images.shape)} {images.dtype}"
                + (": add a batch axis" if images.ndim == 3 else "")
            )
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
        detail = None if self.refinement is None else self.refinement.encode_image(stages["c2"])
        return ImageFeatures(levels, position, detail, (images.shape[2], images.shape[3]))

    def encode_expression(self, tokens: Tensor) -> ExpressionFeatures:
        """Features of words and sentences.

        Args:
            tokens: word ids, (E, N) int64, padded with 0 at the end.

        Raises:
            ValueError: the layout is another one.
        """
        if tokens.ndim != 2 or tokens.dtype != torch.int64:
            raise ValueError(f"tokens must be (E, N) int64, got {tuple(tokens.shape)} {tokens.dtype}")
        return self.language(tokens)

    def comprehend(
        self, images: ImageFeatures, expressions: ExpressionFeatures, image_index: Tensor
    ) -> SegmentationOutput:
        """The part that looks at an image with an expression in mind.

        Args:
            images: features of B images.
            expressions: features of E expressions.
            image_index: which image each expression is about, (E,) int64.
        """
        if image_index.shape != expressions.is_word.shape[:1]:
            raise ValueError(
                f"image_index must hold one image for each of the {len(expressions.is_word)} expressions, "
                f"got {tuple(image_index.shape)}"
            )
        maps: dict[str, LevelMaps] = {
            level: comprehension(images.levels[level], images.position, expressions, image_index)
            for level, comprehension in self.levels.items()
        }
        exchanged = {level: maps[level].fused for level in LEVELS}
        for exchange in self.exchange:
            exchanged = exchange(exchanged, expressions.necessary)
        in_order = [exchanged[level] for level in LEVELS]
        merged = torch.stack(in_order).sum(dim=0) if self.conv_lstm is None else self.conv_lstm(in_order)
        if self.refinement is not None and images.detail is not None:
            merged = self.refinement(merged, images.detail[image_index])
        scores = self.score(merged)[:, 0].float()  # (E, h, w)
        rule = self.config.upsampling
        return SegmentationOutput(
            logits=upsample(scores, images.size, rule),
            scores=scores,
            side_logits={level: upsample(maps[level].side_scores, images.size, rule) for level in LEVELS},
            expressions=expressions,
            maps=maps,
        )

    def forward(self, images: Tensor, tokens: Tensor, image_index: Tensor) -> SegmentationOutput:
        """All three steps: images (B, 3, H, W), tokens (E, N), image_index (E,)."""
        return self.comprehend(self.encode_image(images), self.encode_expression(tokens), image_index)
