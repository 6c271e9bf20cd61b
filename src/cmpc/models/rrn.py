"""The recurrent refinement network (Li et al., CVPR 2018), from which the paper's program derives."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.conventions import LEVELS, WORD_TYPES
from cmpc.models.cells import to_cells
from cmpc.models.config import ModelConfig
from cmpc.models.grid import cell_positions
from cmpc.models.network import Context, LevelMaps, ReferringNetwork
from cmpc.models.normalisation import unit_norm
from cmpc.models.paper.conv_lstm import ConvLSTM
from cmpc.models.paper.level_fusion import LevelFusion
from cmpc.models.paper.word_types import ExpressionFeatures
from cmpc.models.text.lstm import LSTMEncoder


class RRN(ReferringNetwork):
    """c5 with the expression, then refined by a ConvLSTM that reads the levels c5, c4, c3 of the image alone.

    The expression enters once: the LSTM's last output is tiled over the grid and concatenated with c5 and the position.
    There are no word types (all zero), no side losses and no stages to explain.
    """

    conv_lstm: ConvLSTM

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        sizes = config.network
        channels = {level: config.backbone.stages[level][0] for level in LEVELS}
        self.visual = nn.Conv2d(channels["c5"], sizes.multimodal_channels, 1)
        self.language = LSTMEncoder(config.text, feature_scale=sizes.feature_scale)
        self.fusion = LevelFusion(
            cell_channels=(sizes.multimodal_channels,),
            word_channels=config.text.word_channels,
            channels=sizes.fusion_channels,
        )
        self.lateral = nn.ModuleDict({level: nn.Conv2d(channels[level], sizes.fusion_channels, 1) for level in LEVELS})
        self.conv_lstm = ConvLSTM(channels=sizes.fusion_channels, peephole_grid=sizes.peephole_grid)
        self._add_score()
        self.reset_parameters()

    def see(self, stages: dict[str, Tensor], grid: tuple[int, int]) -> dict[str, Tensor]:
        """As ``ReferringNetwork.see``: ``fused``, what c5 and the position give before the sentence is added, and the
        levels, (B, S, F) each."""
        visual = unit_norm(to_cells(self.visual(stages["c5"]), grid), self.config.network.feature_scale)
        position = cell_positions(*grid, device=visual.device)
        maps = {"fused": self.fusion.project(visual, None, position)}
        for level in LEVELS:
            maps[level] = to_cells(self.lateral[level](stages[level]), grid).relu_()
        return maps

    def read(self, tokens: Tensor) -> ExpressionFeatures:
        """As ``ReferringNetwork.read``."""
        words, is_word = self.language.encode_words(tokens)
        last = (is_word.sum(dim=1) - 1).clamp_min(0)[:, None, None].expand(-1, 1, words.shape[2])  # (E, 1, D)
        sentence = words.gather(1, last)[:, 0]  # (E, D)
        types = torch.zeros(*tokens.shape, len(WORD_TYPES), device=tokens.device)
        return ExpressionFeatures(
            words=words,
            is_word=is_word,
            word_type_logits=types,
            word_types=types,
            relation=types[..., 0],
            entity_attribute=sentence,
            necessary=sentence,
        )

    def comprehend_levels(self, context: Context) -> Iterator[tuple[str, LevelMaps]]:
        """Nothing: the words enter but once."""
        return iter(())

    def merge(self, levels: dict[str, Tensor], context: Context) -> Tensor:
        """The sentence is added to what c5 gives, and the levels refine that."""
        sentence = self.fusion.project.part(1, context.expressions.necessary[:, None])  # (E, 1, F)
        fused = F.relu(context.seen("fused") + sentence)
        in_order = [fused, *(context.seen(level) for level in reversed(LEVELS))]
        return self.conv_lstm(in_order, context.grid)
