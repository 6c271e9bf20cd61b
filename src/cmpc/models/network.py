"""What every network of the family has in common: three steps, what goes between them, and what comes out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.models.aspects import Aspects
from cmpc.models.backbone import build_backbone
from cmpc.models.config import ModelConfig
from cmpc.models.conv_lstm import ConvLSTM
from cmpc.models.grounded_reasoning import GroundedMaps, GroundedReasoning
from cmpc.models.language import ExpressionFeatures, WordEncoder
from cmpc.models.objects import ObjectFeatures, ObjectReader
from cmpc.models.refinement import Refinement
from cmpc.models.relation_reasoning import Reasoning
from cmpc.models.selection import Selection


@dataclass(frozen=True)
class ImageFeatures:
    """What the network keeps of B images for any number of expressions."""

    levels: dict[str, Tensor]
    """For each level the part of entity perception that needs no expression: (B, heads, C, h, w). With grounded
    reasoning also ``aspects``, the shares of the classes of each cell: (B, aspects, classes, h, w); with
    selection ``things``, whether each cell shows a thing and where the middle of that is, (B, 3, S)."""
    position: Tensor
    """Spatial code of the grid, (8, h, w)."""
    detail: Tensor | None
    """Features at stride 4 for the refinement, (B, R, H', W'); None without refinement."""
    size: tuple[int, int]
    """Height and width of the images in pixels."""
    objects: ObjectFeatures | None = None
    """What grounded reasoning knows of their objects."""

    def __len__(self) -> int:
        return len(next(iter(self.levels.values())))

    def tensors(self) -> list[Tensor]:
        """All that depends on the images."""
        detail = [] if self.detail is None else [self.detail]
        return [*self.levels.values(), *detail, *(vars(self.objects).values() if self.objects else ())]

    def with_tensors(self, tensors: Sequence[Tensor]) -> ImageFeatures:
        """The same with other values of ``tensors``, in its order."""
        values = iter(tensors)
        levels = {level: next(values) for level in self.levels}
        detail = None if self.detail is None else next(values)
        objects = self.objects and ObjectFeatures(**{name: next(values) for name in vars(self.objects)})
        return replace(self, levels=levels, detail=detail, objects=objects)

    def select(self, number: int) -> ImageFeatures:
        """The features of one image, as a batch of one that shares its memory."""
        one = slice(number, number + 1)
        levels = {level: visual[one] for level, visual in self.levels.items()}
        detail = None if self.detail is None else self.detail[one]
        objects = None if self.objects is None else self.objects.select(one)
        return ImageFeatures(levels, self.position, detail, self.size, objects)


@dataclass(frozen=True)
class LevelMaps:
    """What happened on one level, for explanations: E expressions, S = h * w cells, N words."""

    entities: Tensor
    """Entity features, (E, C, h, w)."""
    reasoning: Reasoning | GroundedMaps | None
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
    """Logits of each level alone and, with selection, those by which things compete (``selection``), for the side
    losses: (E, H, W) each."""
    expressions: ExpressionFeatures
    """Words and sentences that were asked for."""
    maps: dict[str, LevelMaps]
    """What happened on each level."""
    second_look: GroundedMaps | None = None
    """What words speak about when they look again; None for a network without a second look."""

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

    aspects: Aspects | None
    object_reader: ObjectReader | None
    second_look: GroundedReasoning | None
    selection: Selection | None
    language: WordEncoder
    conv_lstm: ConvLSTM | None
    refinement: Refinement | None
    score: nn.Conv2d

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config.backbone)
        self.aspects = None
        self.object_reader = None
        self.second_look = None
        self.selection = None

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
        return self._encode_image(images)

    def encode_expression(self, tokens: Tensor) -> ExpressionFeatures:
        """Features of words and sentences.

        Args:
            tokens: word ids, (E, N) int64, padded with 0 at the end.

        Raises:
            ValueError: the layout is another one.
        """
        if tokens.ndim != 2 or tokens.dtype != torch.int64:
            raise ValueError(f"tokens must be (E, N) int64, got {tuple(tokens.shape)} {tokens.dtype}")
        return self._encode_expression(tokens)

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
        return self._comprehend(images, expressions, image_index)

    def forward(self, images: Tensor, tokens: Tensor, image_index: Tensor) -> SegmentationOutput:
        """All three steps: images (B, 3, H, W), tokens (E, N), image_index (E,)."""
        return self.comprehend(self.encode_image(images), self.encode_expression(tokens), image_index)

    def _add_score(self, config: ModelConfig) -> None:
        """Adds what turns the fused map into scores: the refinement, where there is one, and the last layer.

        After a refinement the last layer scores 2 x 2 parts of each cell (sub-pixel convolution), at stride 2.
        """
        self.refinement = None
        if config.refinement_channels:
            self.refinement = Refinement(
                channels=config.fusion_channels,
                detail_channels=config.backbone.channels[0],
                refined_channels=config.refinement_channels,
            )
            self.score = nn.Conv2d(config.refinement_channels, 4, 3, padding=1)
        else:
            self.score = nn.Conv2d(config.fusion_channels, 1, 3, padding=1)

    def _detail(self, stages: dict[str, Tensor]) -> Tensor | None:
        """What the refinement needs of the image, from the backbone's stages: (B, R, H', W')."""
        return None if self.refinement is None else self.refinement.encode_image(stages["c2"])

    def _scores(self, fused: Tensor, images: ImageFeatures, image_index: Tensor) -> Tensor:
        """The scores of a fused map, (E, F, h, w): (E, h, w), or (E, 2H', 2W') where there is a refinement."""
        if self.refinement is None or images.detail is None:
            return self.score(fused)[:, 0].float()
        refined = self.refinement(fused, images.detail[image_index])  # (E, R, H', W')
        return F.pixel_shuffle(self.score(refined), 2)[:, 0].float()

    @abstractmethod
    def _encode_image(self, images: Tensor) -> ImageFeatures: ...

    @abstractmethod
    def _encode_expression(self, tokens: Tensor) -> ExpressionFeatures: ...

    @abstractmethod
    def _comprehend(
        self, images: ImageFeatures, expressions: ExpressionFeatures, image_index: Tensor
    ) -> SegmentationOutput: ...

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
