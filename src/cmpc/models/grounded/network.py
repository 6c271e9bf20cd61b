"""Our addition to the paper's network, for scenes of separate things whose places, looks and numbers matter.

It assumes things that stand apart from each other, on a ground that is seen from one side, as those of Blocks do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from cmpc.conventions import LEVELS, OBJECTS
from cmpc.models.config import GroundedConfig, ModelConfig
from cmpc.models.grounded.aspects import Aspects
from cmpc.models.grounded.objects import ObjectFeatures, ObjectHead, find_objects, things_on_grid
from cmpc.models.grounded.reasoning import GroundedReasoned, GroundedReasoning
from cmpc.models.grounded.selection import Selection
from cmpc.models.network import Context, Decoded, SegmentationOutput
from cmpc.models.normalisation import unit_norm
from cmpc.models.paper.cmpc import CMPC, LevelComprehension
from cmpc.models.paper.relation_reasoning import Reasoning

"""Begins the names of what is kept of the objects of images."""


@dataclass(frozen=True)
class GroundedDecoded(Decoded):
    """As ``Decoded``, with what our additions found on the way."""

    second_look: GroundedReasoned | None
    """What words speak about when they look again; None without a second look."""
    selection_scores: Tensor | None
    """The scores by which things compete, (E, h, w); None without selection."""


class GroundedLevel(LevelComprehension):
    """The CMPC module of one level, whose graph is grounded reasoning."""

    relation_reasoning: GroundedReasoning

    def encode_image(self, lateral: Tensor, position: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
        """As ``LevelComprehension.encode_image``, with the keys by which words find cells."""
        visual, rest = super().encode_image(lateral, position)
        return visual, {**rest, "keys": self.relation_reasoning.keys(*visual)}

    def reason(self, entities: Tensor, seen: dict[str, Tensor], context: Context) -> GroundedReasoned:
        """Words attend to what they speak about and say of all cells how they lie to that."""
        return ground(self.relation_reasoning, entities, seen["keys"], seen["paired"], context)

    def _make_reasoning(self, config: ModelConfig) -> nn.Module:
        sizes = cast(GroundedConfig, config.network)
        return GroundedReasoning(
            channels=sizes.multimodal_channels,
            attended_channels=(sizes.multimodal_channels,) * sizes.fusion_heads,
            key_channels=sizes.multimodal_channels // 2,
            word_channels=config.text.word_channels,
            feature_scale=sizes.feature_scale,
        )


class GroundedCMPC(CMPC):
    """The paper's network with grounded reasoning, and a second look and selection where the configuration has them."""

    second_look: GroundedReasoning | None
    selection: Selection | None

    def _add_vision(self) -> None:
        stages, sizes = self.config.backbone.stages, self.config.network
        self.aspects = Aspects({level: stages[level][0] for level in LEVELS})
        # Objects are read on a grid twice as fine as that of the cells, where there is one.
        finest = stages[sizes.grid_level][1] / 2
        self.object_reader = ObjectHead({name: channels for name, (channels, step) in stages.items() if step >= finest})

    def _make_level(self) -> LevelComprehension:
        return GroundedLevel(self.config)

    def _add_decoder(self) -> None:
        sizes = cast(GroundedConfig, self.config.network)
        self.second_look = self.selection = None
        if sizes.second_look:
            self.second_look = GroundedReasoning(
                channels=sizes.fusion_channels,
                attended_channels=(sizes.fusion_channels,),
                key_channels=sizes.multimodal_channels // 2,
                word_channels=self.config.text.word_channels,
                feature_scale=sizes.feature_scale,
            )
        if sizes.selection:
            self.selection = Selection(channels=sizes.fusion_channels, middle_error=sizes.middle_error)

    def see(self, stages: dict[str, Tensor], grid: tuple[int, int]) -> dict[str, Tensor]:
        """As ``ReferringNetwork.see``, with ``aspects``, (B, aspects, classes, S), and ``objects_...``."""
        of_cells = self.object_reader(stages)
        aspects = self.aspects(stages, grid)
        maps = {"aspects": aspects}
        middle_error = cast(GroundedConfig, self.config.network).middle_error
        objects = find_objects(of_cells, grid, middle_error=middle_error)
        maps |= {OBJECTS + name: value for name, value in vars(objects).items()}
        if self.selection is not None:
            maps["things"] = things_on_grid(of_cells, grid)
        if self.second_look is not None:
            maps["second_look_paired"] = self.second_look.paired(aspects)
        for level in LEVELS:
            maps[f"{level}_paired"] = self._grounded_level(level).relation_reasoning.paired(aspects)
        return maps | super().see(stages, grid)

    def decode(self, fused: Tensor, context: Context) -> Decoded:
        """Words look again, things compete, and the last layers score what comes of it."""
        again: GroundedReasoned | None = None
        if self.second_look is not None:
            found = unit_norm(fused, self.config.network.feature_scale)
            paired = context.seen("second_look_paired")
            again = ground(self.second_look, found, self.second_look.keys(found), paired, context)
            fused = fused + again.features
        selection_scores: Tensor | None = None
        if self.selection is not None:
            fused, selection_scores = self.selection(fused, context.seen("things"), context.grid)
        presence = self.tell_presence(fused, context)
        return GroundedDecoded(self.score_map(fused, context), presence, again, selection_scores)

    @property
    def side_names(self) -> tuple[str, ...]:
        """The levels, and the scores by which things compete."""
        return (*super().side_names, *(() if self.selection is None else ("selection",)))

    def side_scores(self, output: SegmentationOutput) -> dict[str, Tensor]:
        """As ``CMPC.side_scores``, with those of ``selection``."""
        competing = cast(GroundedDecoded, output.decoded).selection_scores
        return super().side_scores(output) | ({} if competing is None else {"selection": competing})

    def last_reasoned(self, output: SegmentationOutput) -> GroundedReasoned | None:
        """The second look's."""
        return cast(GroundedDecoded, output.decoded).second_look

    def attentions(self, output: SegmentationOutput) -> list[Tensor]:
        """Those of each level and of the second look."""
        looks: list[Reasoning | None] = [maps.reasoned for maps in output.levels.values()]
        looks.append(cast(GroundedDecoded, output.decoded).second_look)
        return [look.word_to_cells.mT for look in looks if look is not None]

    @property
    def vision_parts(self) -> dict[str, nn.Module]:
        """As ``ReferringNetwork.vision_parts``, with the heads that read aspects and objects."""
        return {**super().vision_parts, "aspects": self.aspects, "object_reader": self.object_reader}

    @property
    def compiled_parts(self) -> Sequence[nn.Module]:
        """As ``ReferringNetwork.compiled_parts``."""
        ours = [part for part in (self.second_look, self.selection) if part is not None]
        return [*super().compiled_parts, *ours]

    def _grounded_level(self, level: str) -> GroundedLevel:
        return cast(GroundedLevel, self.levels[level])


def ground(
    reasoning: GroundedReasoning, found: Tensor, keys: Tensor, paired: Tensor, context: Context
) -> GroundedReasoned:
    """Grounded reasoning about one map.

    Args:
        reasoning: the layer.
        found: what was found so far, (E, S, C).
        keys: of what words attend to, (E, S, G).
        paired: what the layer compares aspects with, (E, aspects, classes, S).
        context: the words, and what was seen of the images.
    """
    names = [name.removeprefix(OBJECTS) for name in context.images.maps if name.startswith(OBJECTS)]
    objects = ObjectFeatures(**{name: context.seen(OBJECTS + name) for name in names})
    reasoned: GroundedReasoned = reasoning(
        found, context.expressions, keys, (context.seen("aspects"), paired), objects, context.grid
    )
    return reasoned
