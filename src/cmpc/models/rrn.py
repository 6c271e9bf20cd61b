"""The recurrent refinement network (Li et al., CVPR 2018), from which the paper's program derives."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.models.config import LEVELS, WORD_TYPES, ModelConfig
from cmpc.models.conv_lstm import ConvLSTM
from cmpc.models.grid import cell_positions, upsample
from cmpc.models.language import ExpressionFeatures, WordEncoder
from cmpc.models.level_fusion import LevelFusion
from cmpc.models.network import ImageFeatures, ReferringNetwork, SegmentationOutput
from cmpc.models.normalisation import unit_norm


class RRN(ReferringNetwork):
    """c5 with the expression, then refined by a ConvLSTM that reads the levels c5, c4, c3 of the image alone.

    The expression enters once: the LSTM's last output is tiled over the grid and concatenated with c5 and the position.
    There are no word types (all zero), no side losses and no stages to explain.
    """

    conv_lstm: ConvLSTM

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        channels = dict(zip(LEVELS, config.backbone.channels[1:], strict=True))
        self.visual = nn.Conv2d(channels["c5"], config.multimodal_channels, 1)
        self.language = WordEncoder(
            vocabulary_size=config.vocabulary_size,
            embedding_channels=config.embedding_channels,
            word_channels=config.word_channels,
            both_directions=False,
            feature_scale=config.feature_scale,
        )
        self.fusion = LevelFusion(
            cell_channels=config.multimodal_channels,
            word_channels=config.word_channels,
            channels=config.fusion_channels,
        )
        self.lateral = nn.ModuleDict({level: nn.Conv2d(channels[level], config.fusion_channels, 1) for level in LEVELS})
        self.conv_lstm = ConvLSTM(channels=config.fusion_channels, peephole_grid=config.peephole_grid)
        self._add_score(config)
        self.reset_parameters()

    def _encode_image(self, images: Tensor) -> ImageFeatures:
        stages = self.backbone(images)
        grid = stages["c3"].shape[2:]

        def on_grid(features: Tensor) -> Tensor:
            if features.shape[2:] == grid:
                return features
            return F.interpolate(features, size=grid, mode="bilinear", align_corners=False)

        levels = {level: F.relu(on_grid(self.lateral[level](stages[level]))) for level in LEVELS}  # (B, F, h, w)
        levels["visual"] = unit_norm(on_grid(self.visual(stages["c5"])), dim=1, scale=self.config.feature_scale)
        position = cell_positions(*grid, device=images.device)
        return ImageFeatures(levels, position, self._detail(stages), (images.shape[2], images.shape[3]))

    def _encode_expression(self, tokens: Tensor) -> ExpressionFeatures:
        words, is_word = self.language.encode_words(tokens)
        last = (is_word.sum(dim=1) - 1).clamp_min(0)  # (E,)
        sentence = words[torch.arange(len(words), device=words.device), last]  # (E, D)
        types = words.new_zeros(*is_word.shape, len(WORD_TYPES))
        return ExpressionFeatures(
            words=words,
            is_word=is_word,
            word_type_logits=types,
            word_types=types,
            relation=types[..., 0],
            drawing=types[..., 0],
            entity_attribute=sentence,
            necessary=sentence,
        )

    def _comprehend(
        self, images: ImageFeatures, expressions: ExpressionFeatures, image_index: Tensor
    ) -> SegmentationOutput:
        visual = images.levels["visual"][image_index]
        fused = self.fusion([visual], expressions.necessary, images.position)  # (E, F, h, w)
        refined = self.conv_lstm([fused, *(images.levels[level][image_index] for level in reversed(LEVELS))])
        scores = self._scores(refined, images, image_index)  # (E, h, w)
        logits = upsample(scores, images.size, self.config.upsampling)
        return SegmentationOutput(logits=logits, scores=scores, side_logits={}, expressions=expressions, maps={})
