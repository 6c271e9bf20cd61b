"""What every network of the family has in common: three steps, what goes between them, and what comes out."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.models.backbones import build_backbone
from cmpc.models.cells import CellScore
from cmpc.models.config import ModelConfig
from cmpc.models.grid import cell_positions, upsample
from cmpc.models.paper.conv_lstm import ConvLSTM
from cmpc.models.paper.relation_reasoning import Reasoning
from cmpc.models.paper.word_types import ExpressionFeatures
from cmpc.models.presence import Presence
from cmpc.models.refinement import Refinement
from cmpc.models.text.lstm import LSTMEncoder

DETAIL = "detail_"
"""Begins the names of what is kept of images for the refinement."""


@dataclass(frozen=True)
class ImageFeatures:
    """What the network keeps of B images for any number of expressions."""

    maps: dict[str, Tensor]
    """All that depends on the images, by the names that the network gives; each has a batch axis of B first."""
    grid: tuple[int, int]
    """Rows and columns of the cells, S in all."""
    size: tuple[int, int]
    """Height and width of the images in pixels."""

    def __len__(self) -> int:
        return len(next(iter(self.maps.values())))

    def select(self, number: int) -> ImageFeatures:
        """The features of one image, as a batch of one that shares its memory."""
        return replace(self, maps={name: value[number : number + 1] for name, value in self.maps.items()})


@dataclass(frozen=True)
class Context:
    """Images with E expressions in mind."""

    images: ImageFeatures
    """Features of B images."""
    expressions: ExpressionFeatures
    """Words and sentences of E expressions."""
    image_index: Tensor
    """The image of each expression, (E,) int64."""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the cells."""
        return self.images.grid

    @cached_property
    def position(self) -> Tensor:
        """Spatial code of the cells, (S, 8)."""
        return cell_positions(*self.grid, device=self.image_index.device)

    def seen(self, name: str) -> Tensor:
        """One of the images' maps for each expression, (E, ...); of a single image without copies."""
        value = self.images.maps[name]
        if len(value) == 1:
            return value.expand(self.image_index.shape[0], *value.shape[1:])  # len() would fix it in an export
        return value[self.image_index]


@dataclass(frozen=True)
class LevelMaps:
    """What happened on one level: E expressions, S cells, N words."""

    entities: Tensor
    """Entity features, (E, S, C)."""
    reasoned: Reasoning | None
    """The graph's result; None when relation-aware reasoning is off."""
    fused: Tensor
    """What the level hands on to the exchange, (E, S, F)."""


@dataclass(frozen=True)
class Decoded:
    """What became of the map in which the levels were brought together."""

    scores: Tensor
    """Before up-sampling: (E, h, w). ``pred`` of the original."""
    presence: Tensor | None
    """Logit of whether anything in the image fits, (E,); None for a network that does not tell."""


@dataclass(frozen=True)
class SegmentationOutput:
    """Result of the network for E expressions; a pixel belongs to the mask where its logit is not negative."""

    logits: Tensor
    """At the size of the images: (E, H, W)."""
    decoded: Decoded
    """The scores that became the logits, and how they were found."""
    expressions: ExpressionFeatures
    """Words and sentences that were asked for."""
    levels: dict[str, LevelMaps]
    """What happened on each level; empty for a network without such stages."""
    grid: tuple[int, int]
    """Rows and columns of the cells."""

    @property
    def presence(self) -> Tensor | None:
        """Logit of whether anything in the image fits, (E,); None for a network that does not tell."""
        return self.decoded.presence

    @property
    def word_types(self) -> Tensor:
        """Probability of each word type, in the order of ``WORD_TYPES``, zero at padding: (E, N, 4)."""
        return self.expressions.word_types

    @property
    def word_type_logits(self) -> Tensor:
        """Scores of the word types: (E, N, 4)."""
        return self.expressions.word_type_logits


class ReferringNetwork(nn.Module):
    """A network that segments what expressions refer to, in three steps: see once, ask many times.

    What an expression needs of the image does not depend on the expression::

        image_features = network.encode_image(images)                # once per image
        expression_features = network.encode_expression(tokens)      # words and sentence
        output = network.comprehend(image_features, expression_features, image_index)
    """

    language: LSTMEncoder
    conv_lstm: ConvLSTM | None
    refinement: Refinement | None
    score: nn.Conv2d
    presence: Presence | None

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config.backbone)

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """What can be computed before an expression is known.

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
        of_cells = stages[self.config.network.grid_level]
        grid = (of_cells.shape[2], of_cells.shape[3])
        maps: dict[str, Tensor] = {}
        if self.refinement is not None:
            maps |= {DETAIL + name: value for name, value in self.refinement.encode_image(stages).items()}
        maps |= self.see(stages, grid)
        return ImageFeatures(maps, grid, (images.shape[2], images.shape[3]))

    def encode_expression(self, tokens: Tensor) -> ExpressionFeatures:
        """Features of words and sentences.

        Args:
            tokens: word ids, (E, N) int64, padded with 0 at the end.

        Raises:
            ValueError: the layout is another one.
        """
        if tokens.ndim != 2 or tokens.dtype != torch.int64:
            raise ValueError(f"tokens must be (E, N) int64, got {tuple(tokens.shape)} {tokens.dtype}")
        return self.read(tokens)

    def comprehend(
        self, images: ImageFeatures, expressions: ExpressionFeatures, image_index: Tensor
    ) -> SegmentationOutput:
        """The part that looks at an image with an expression in mind.

        Args:
            images: features of B images.
            expressions: features of E expressions.
            image_index: which image each expression is about, (E,) int64.

        Raises:
            ValueError: ``image_index`` does not hold one image for each expression.
        """
        if image_index.shape != expressions.is_word.shape[:1]:
            raise ValueError(
                f"image_index must hold one image for each of the {len(expressions.is_word)} expressions, "
                f"got {tuple(image_index.shape)}"
            )
        context = Context(images, expressions, image_index)
        levels = dict(self.comprehend_levels(context))
        decoded = self.decode(self.merge({level: maps.fused for level, maps in levels.items()}, context), context)
        logits = self.upsample(decoded.scores, images.size)
        return SegmentationOutput(logits, decoded, expressions, levels, images.grid)

    def answer(
        self, images: ImageFeatures, expressions: ExpressionFeatures, image_index: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """``logits``, (E, H, W), and ``presence``, (E,), of ``comprehend`` alone: maps are let go as soon as they were
        used."""
        context = Context(images, expressions, image_index)
        fused = {level: maps.fused for level, maps in self.comprehend_levels(context)}
        decoded = self.decode(self.merge(fused, context), context)
        return self.upsample(decoded.scores, images.size), decoded.presence

    def forward(self, images: Tensor, tokens: Tensor, image_index: Tensor) -> SegmentationOutput:
        """All three steps: images (B, 3, H, W), tokens (E, N), image_index (E,)."""
        return self.comprehend(self.encode_image(images), self.encode_expression(tokens), image_index)

    @abstractmethod
    def see(self, stages: dict[str, Tensor], grid: tuple[int, int]) -> dict[str, Tensor]:
        """What is kept of images, by name, from the maps of the backbone, (B, C, h', w') each.

        Maps may be taken out of ``stages`` when they are not needed any more.
        """

    @abstractmethod
    def read(self, tokens: Tensor) -> ExpressionFeatures:
        """As ``encode_expression``."""

    @abstractmethod
    def comprehend_levels(self, context: Context) -> Iterator[tuple[str, LevelMaps]]:
        """What happens on each level, one after the other; nothing for a network without such stages."""

    @abstractmethod
    def merge(self, levels: dict[str, Tensor], context: Context) -> Tensor:
        """The map in which all levels, (E, S, F) each, come together: (E, S, F)."""

    def decode(self, fused: Tensor, context: Context) -> Decoded:
        """From that map, (E, S, F), to scores: (E, h, w), or (E, 2H', 2W') where there is a refinement."""
        return Decoded(self.score_map(fused, context), self.tell_presence(fused, context))

    def tell_presence(self, fused: Tensor, context: Context) -> Tensor | None:
        """Whether anything fits, by a map, (E, S, F), and the sentence: logits, (E,)."""
        if self.presence is None:
            return None
        told: Tensor = self.presence(fused, context.expressions.necessary.to(fused.dtype))
        return told

    def score_map(self, fused: Tensor, context: Context) -> Tensor:
        """The scores of a map, (E, S, F), by the last layers."""
        if self.refinement is None:
            scores: Tensor = self.score(fused, context.grid)
            return scores
        details = {name: context.seen(DETAIL + name) for name in self.refinement.stages}
        refined = self.refinement(fused, details, context.grid)  # (E, R, H', W')
        return F.pixel_shuffle(self.score(refined), 2)[:, 0].float()

    def upsample(self, scores: Tensor, size: tuple[int, int]) -> Tensor:
        """Scores, (E, h, w), at the size of the images, (E, H, W)."""
        return upsample(scores, size, self.config.network.upsampling)

    @property
    def side_names(self) -> tuple[str, ...]:
        """Names of ``side_scores``, in their order."""
        return ()

    def side_scores(self, output: SegmentationOutput) -> dict[str, Tensor]:
        """Scores, (E, h, w) each, of what comes before the last layers, by their names."""
        return {}

    def side_logits(self, output: SegmentationOutput, stride: int = 1) -> dict[str, Tensor]:
        """``side_scores`` as training judges them, (E, H', W') each: at the size of the images, or at a part of it,
        rounded up."""
        height, width = (-(-side // stride) for side in output.logits.shape[1:])
        return {name: self.upsample(scores, (height, width)) for name, scores in self.side_scores(output).items()}

    def last_reasoned(self, output: SegmentationOutput) -> Reasoning | None:
        """What reasoned last, after the levels were brought together; None where only the levels reason."""
        return None

    def attentions(self, output: SegmentationOutput) -> list[Tensor]:
        """Attention of words over the cells that they speak about, (E, N, S) each, which labels can teach."""
        return []

    @property
    def vision_parts(self) -> dict[str, nn.Module]:
        """The parts that see without words, and can be taught and taken over alone."""
        return {"backbone": self.backbone}

    @property
    def compiled_parts(self) -> Sequence[nn.Module]:
        """The parts that ``torch.compile`` takes one by one; parts of equal shapes share what is compiled."""
        found: list[nn.Module | None] = [self.backbone, self.conv_lstm, self.refinement]
        return [part for part in found if part is not None]

    def _add_score(self) -> None:
        """Adds what turns the fused map into scores: the refinement, where there is one, and the last layer; and what
        tells from it whether anything fits, where the network is to.

        After a refinement the last layer scores 2 x 2 parts of each of its cells (sub-pixel convolution).
        """
        sizes = self.config.network
        self.refinement = None
        if sizes.refinement_channels:
            self.refinement = Refinement(
                channels=sizes.fusion_channels,
                detail_channels=self.config.refined_stages,
                refined_channels=sizes.refinement_channels,
            )
            self.score = nn.Conv2d(sizes.refinement_channels, 4, 3, padding=1)
        else:
            self.score = CellScore(sizes.fusion_channels)
        self.presence = None
        if sizes.presence_channels:
            self.presence = Presence(
                channels=sizes.fusion_channels,
                sentence_channels=self.config.text.word_channels,
                hidden_channels=sizes.presence_channels,
            )

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
        for module in self.modules():
            if isinstance(module, ConvLSTM):
                module.reset_parameters()


def copy_sharing_weights(network: ReferringNetwork) -> ReferringNetwork:
    """A copy whose modules can be replaced; its tensors are those of the network."""
    tensors = (*network.parameters(), *network.buffers())
    return copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})
