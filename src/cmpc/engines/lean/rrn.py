"""The lean recurrent refinement network: all products of the image alone are formed when it is seen."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.engines.lean.backbone import folded_backbone
from cmpc.engines.lean.cells import unit_norm_
from cmpc.engines.lean.conv_lstm import LeanConvLSTM
from cmpc.engines.lean.convolution import LeanConvolution
from cmpc.engines.lean.level_fusion import LeanLevelFusion
from cmpc.engines.lean.network import cells_on_grid
from cmpc.engines.lean.score import LeanScore
from cmpc.models import LEVELS, RRN, WORD_TYPES
from cmpc.models.grid import image_grid


class RRNImageEncoder(nn.Module):
    """``RRN.encode_image``, and the image's part of the fusion."""

    def __init__(self, network: RRN, *, winograd: bool) -> None:
        super().__init__()
        self.backbone = folded_backbone(network.backbone, winograd=winograd)
        self.feature_scale = network.config.feature_scale
        self.visual = LeanConvolution.of(network.visual)
        self.lateral = nn.ModuleDict(
            {level: LeanConvolution.of(cast(nn.Conv2d, layer)) for level, layer in network.lateral.items()}
        )
        self.fusion = LeanLevelFusion(network.fusion, maps=1, grid=image_grid(network.config.image.size))
        self.refinement = network.refinement

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Images, (B, 3, H, W) -> ``fused`` and each level, (B, S, F), and ``detail``, (B, R, H', W'), if refined."""
        stages = self.backbone(images)
        grid = stages["c3"].shape[2:]
        visual = unit_norm_(cells_on_grid(self.visual(stages["c5"]), grid), self.feature_scale)
        features = {"fused": self.fusion.of_image([visual])}
        for level in LEVELS:
            features[level] = cells_on_grid(self.lateral[level](stages[level]), grid).relu_()
        if self.refinement is not None:
            features["detail"] = self.refinement.encode_image(stages["c2"])
        return features


class RRNComprehension(nn.Module):
    """``RRN.encode_expression`` and ``RRN.comprehend`` for expressions about one image."""

    def __init__(self, network: RRN) -> None:
        super().__init__()
        grid = image_grid(network.config.image.size)
        self.language = network.language
        self.fusion = LeanLevelFusion(network.fusion, maps=1, grid=grid)
        self.conv_lstm = LeanConvLSTM(network.conv_lstm, grid=grid)
        self.score = LeanScore(network, grid=grid)

    def forward(self, features: dict[str, Tensor], tokens: Tensor) -> tuple[Tensor, Tensor]:
        """As ``Comprehension``; the word types are all zero."""
        words, is_word = self.language.encode_words(tokens)  # (E, N, D), (E, N)
        last = (is_word.sum(dim=1) - 1).clamp_min(0)[:, None, None].expand(-1, 1, words.shape[2])  # (E, 1, D)
        sentence = words.gather(1, last)[:, 0]
        fused = F.relu(features["fused"] + self.fusion.of_sentences(sentence))  # (E, S, F)
        levels = [features[level].expand(fused.shape[0], -1, -1) for level in reversed(LEVELS)]
        refined = self.conv_lstm([fused, *levels])
        types = torch.zeros(*tokens.shape, len(WORD_TYPES), dtype=torch.float32, device=tokens.device)
        return self.score(refined, features.get("detail")), types
