"""The network of the paper: CMPC module on three levels, text-guided feature exchange, ConvLSTM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from torch import Tensor, nn

from cmpc.conventions import LEVELS
from cmpc.models.cells import CellScore, to_cells
from cmpc.models.config import CMPCConfig, ModelConfig
from cmpc.models.grid import cell_positions
from cmpc.models.network import Context, LevelMaps, ReferringNetwork, SegmentationOutput
from cmpc.models.normalisation import unit_norm_
from cmpc.models.paper.conv_lstm import ConvLSTM
from cmpc.models.paper.entity_perception import Concatenation, EntityPerception
from cmpc.models.paper.feature_exchange import TextGuidedFeatureExchange
from cmpc.models.paper.level_fusion import LevelFusion
from cmpc.models.paper.relation_reasoning import Reasoning, RelationAwareReasoning
from cmpc.models.paper.word_types import ExpressionFeatures, LanguageEncoder


class LevelComprehension(nn.Module):
    """The CMPC module of one level: entity perception, relation-aware reasoning, fusion (paper, figure 2)."""

    entity_perception: EntityPerception | Concatenation
    relation_reasoning: nn.Module | None

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        parts = cast(CMPCConfig, config.network)
        channels, word_channels = parts.multimodal_channels, config.text.word_channels
        sizes = {"channels": channels, "word_channels": word_channels}
        if parts.entity_perception:
            self.entity_perception = EntityPerception(
                **sizes, heads=parts.fusion_heads, feature_scale=parts.feature_scale
            )
        else:
            self.entity_perception = Concatenation(**sizes, feature_scale=parts.feature_scale)
        self.relation_reasoning = self._make_reasoning(config) if parts.relation_reasoning else None
        self.fusion = LevelFusion(
            cell_channels=(channels,) * (2 if parts.relation_reasoning else 1),
            word_channels=word_channels,
            channels=parts.fusion_channels,
        )
        self.side_score = CellScore(parts.fusion_channels)

    def forward(self, seen: dict[str, Tensor], visual: Sequence[Tensor], context: Context) -> LevelMaps:
        """
        Args:
            seen: what else ``encode_image`` gave of the level, by its name there, for each expression.
            visual: what it gave of the level for entity perception, for each expression, (E, S, C) each.
            context: the words, and where the cells are.
        """
        sentence = context.expressions.entity_attribute.to(visual[0].dtype)
        entities = self.entity_perception(visual, sentence)
        cells = [entities]
        reasoned = None
        if self.relation_reasoning is not None:
            reasoned = self.reason(entities, seen, context)
            cells.append(reasoned.features)
        return LevelMaps(entities, reasoned, self.fusion(cells, sentence, context.position))

    def encode_image(self, lateral: Tensor, position: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
        """What the level needs of images, from its lateral features, (B, S, C): for entity perception, and the rest."""
        return self.entity_perception.encode_image(lateral, position), {}

    def reason(self, entities: Tensor, seen: dict[str, Tensor], context: Context) -> Reasoning:
        """Highlights the entity that the relational words point at, among (E, S, C)."""
        words = context.expressions
        reasoned: Reasoning = cast(RelationAwareReasoning, self.relation_reasoning)(
            entities, words.words, words.relation, words.is_word
        )
        return reasoned

    def _make_reasoning(self, config: ModelConfig) -> nn.Module:
        return RelationAwareReasoning(
            channels=config.network.multimodal_channels,
            word_channels=config.text.word_channels,
            feature_scale=config.network.feature_scale,
        )


class CMPC(ReferringNetwork):
    """Cross-Modal Progressive Comprehension network (Huang et al., CVPR 2020)."""

    language: LanguageEncoder

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        parts = cast(CMPCConfig, config.network)
        self.lateral = nn.ModuleDict(
            {level: nn.Conv2d(config.backbone.stages[level][0], parts.multimodal_channels, 1) for level in LEVELS}
        )
        self._add_vision()
        self.language = LanguageEncoder(
            config.text,
            word_type_channels=parts.word_type_channels,
            word_type_gating=parts.word_type_gating,
            feature_scale=parts.feature_scale,
        )
        self.levels = nn.ModuleDict({level: self._make_level() for level in LEVELS})
        self.exchange = nn.ModuleList(
            TextGuidedFeatureExchange(
                channels=parts.fusion_channels,
                word_channels=config.text.word_channels,
                feature_scale=parts.feature_scale,
            )
            for _ in range(parts.exchange_rounds)
        )
        self.conv_lstm = None
        if parts.conv_lstm:
            self.conv_lstm = ConvLSTM(channels=parts.fusion_channels, peephole_grid=parts.peephole_grid)
        self._add_decoder()
        self._add_score()
        self.reset_parameters()

    def _add_vision(self) -> None:
        """Adds what else sees, for networks that build on this one."""

    def _make_level(self) -> LevelComprehension:
        return LevelComprehension(self.config)

    def _add_decoder(self) -> None:
        """Adds what else comes between the ConvLSTM and the last layers, for networks that build on this one."""

    def see(self, stages: dict[str, Tensor], grid: tuple[int, int]) -> dict[str, Tensor]:
        """As ``ReferringNetwork.see``: ``c3_0`` ... for entity perception, and what else a level needs, as
        ``c3_<name>``."""
        maps: dict[str, Tensor] = {}
        position: Tensor | None = None
        for level in reversed(LEVELS):  # the largest first; each map is let go when its cells are there
            lateral = to_cells(self.lateral[level](stages.pop(level)), grid)  # (B, S, C)
            lateral = unit_norm_(lateral, self.config.network.feature_scale)
            position = cell_positions(*grid, device=lateral.device) if position is None else position
            visual, rest = self._level(level).encode_image(lateral, position)
            maps |= {f"{level}_{number}": head for number, head in enumerate(visual)}
            maps |= {f"{level}_{name}": value for name, value in rest.items()}
        return maps

    def read(self, tokens: Tensor) -> ExpressionFeatures:
        """As ``ReferringNetwork.read``."""
        return self.language(tokens)

    def comprehend_levels(self, context: Context) -> Iterator[tuple[str, LevelMaps]]:
        """Entity perception and relation-aware reasoning on each level."""
        for level in LEVELS:
            yield level, self._comprehend_level(level, context)

    def _comprehend_level(self, level: str, context: Context) -> LevelMaps:
        names = [name.removeprefix(f"{level}_") for name in context.images.maps if name.startswith(f"{level}_")]
        seen = {name: context.seen(f"{level}_{name}") for name in names}
        visual = [seen.pop(name) for name in sorted(filter(str.isdecimal, names), key=int)]
        maps: LevelMaps = self._level(level)(seen, visual, context)
        return maps

    def merge(self, levels: dict[str, Tensor], context: Context) -> Tensor:
        """Text-guided feature exchange, then the ConvLSTM over the levels."""
        necessary = context.expressions.necessary.to(levels["c3"].dtype)
        for exchange in self.exchange:
            levels = exchange(levels, necessary)
        in_order = [levels[level] for level in LEVELS]
        if self.conv_lstm is None:
            return in_order[0] + in_order[1] + in_order[2]
        return self.conv_lstm(in_order, context.grid)

    @property
    def side_names(self) -> tuple[str, ...]:
        """The levels."""
        return LEVELS

    def side_scores(self, output: SegmentationOutput) -> dict[str, Tensor]:
        """The mask as each level alone sees it."""
        return {level: self._level(level).side_score(maps.fused, output.grid) for level, maps in output.levels.items()}

    @property
    def compiled_parts(self) -> Sequence[nn.Module]:
        """As ``ReferringNetwork.compiled_parts``."""
        return [*super().compiled_parts, *self.levels.values(), *self.exchange]

    def _level(self, level: str) -> LevelComprehension:
        return cast(LevelComprehension, self.levels[level])
