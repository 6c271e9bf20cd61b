"""What a network is made of: one dataclass, stored as JSON beside the weights, and the presets."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

LEVELS = ("c3", "c4", "c5")
WORD_TYPES = ("entity", "attribute", "relation", "unnecessary")


@dataclass(frozen=True)
class ImageConfig:
    """How a photo becomes the network's input. It travels with the weights."""

    size: int = 320
    """Side of the square that an image is letterboxed to, in pixels."""
    channel_order: Literal["RGB", "BGR"] = "BGR"
    """Order of the colour channels of the network's input."""
    mean: tuple[float, float, float] = (104.00698793, 116.66876762, 122.67891434)
    """Subtracted from each channel, in the channel order above, for values 0..255."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Divides each channel after the mean is subtracted."""
    resize: Literal["original", "area"] = "original"
    """``original``: the published program's bilinear rule without antialiasing; ``area``: averages when shrinking."""


@dataclass(frozen=True)
class BackboneConfig:
    """The convolutional network that sees the image. Its last three stages give the levels c3, c4, c5."""

    kind: Literal["deeplab_resnet101", "compact"] = "deeplab_resnet101"
    """``deeplab_resnet101``: the paper's, all three levels at stride 8. ``compact``: a small residual network that
    trains from nothing."""
    channels: tuple[int, int, int, int] = (256, 512, 1024, 2048)
    """Channels after each stage (the last three are those of c3, c4, c5)."""
    blocks: tuple[int, int, int, int] = (3, 4, 23, 3)
    """Residual blocks of each stage."""
    stride_in: Literal["1x1", "3x3"] = "1x1"
    """Which convolution of a strided bottleneck holds the stride: the first 1x1 (Caffe's weights, the paper's) or the
    3x3 (torchvision's and timm's weights)."""
    tensorflow_padding: bool = True
    """Strided layers pad as TensorFlow's SAME does (odd row and column at the bottom and right), else on both sides."""
    norm_epsilon: float = 1e-3
    """Epsilon of the batch norms: 1e-3 in the original, 1e-5 for torchvision's weights."""


@dataclass(frozen=True)
class ModelConfig:
    """A network of the CMPC family. ``preset`` gives the published one; every part of it can be switched off."""

    network: Literal["cmpc", "rrn"] = "cmpc"
    """``cmpc``: the paper's; ``rrn``: the recurrent refinement network that it derives from, which takes the sizes
    below and none of the parts."""
    vocabulary_size: int = 12112
    """Number of words; id 0 is ``<pad>``."""
    max_words: int = 20
    """Longer expressions are cut to their first words (T)."""
    image: ImageConfig = field(default_factory=ImageConfig)
    """How a photo becomes the network's input."""
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    """The network that sees the image."""

    embedding_channels: int = 300
    """Size of a word's embedding."""
    word_channels: int = 1000
    """Units of the LSTM, hence size of a word's feature."""
    both_directions: bool = False
    """On: half of these units read the expression from its end, so that a relation knows what follows it. As published:
    off."""
    word_type_channels: int = 500
    """Hidden size of the word-type classifier."""
    multimodal_channels: int = 1000
    """Channels of the laterals, of entity perception and of the graph."""
    fusion_channels: int = 500
    """Channels of the fused levels, of the exchange and of the ConvLSTM."""
    fusion_heads: int = 5
    """Heads of the bilinear (MUTAN) fusion of entity perception."""
    feature_scale: float = 1.0
    """Unit-norm features are multiplied by this; 1 as published, larger trains faster from nothing."""

    entity_perception: bool = True
    """Off: image, words and position are concatenated instead (ablation)."""
    relation_reasoning: bool = True
    """Off: no graph; entity features go to the fusion alone (ablation)."""
    grounded_reasoning: bool = False
    """On: words are grounded in cells, and relations know where cells lie to each other and how alike they are, in the
    place of the published graph. As published: off."""
    second_look: bool = False
    """On: words look again, at what reasoning made of the cells, and reason once more on the fused map. As published:
    off."""
    selection: bool = False
    """On: cells of the fused map compete for the one thing that is referred to. As published: off."""
    word_type_gating: bool = True
    """Off: every word counts alike in the sentence vectors and in the graph (ablation)."""
    exchange_rounds: int = 2
    """Rounds of text-guided feature exchange between the levels: 0, 1 or 2."""
    conv_lstm: bool = True
    """Off: the exchanged levels are summed instead (ablation)."""
    peephole_grid: tuple[int, int] | None = (40, 40)
    """Grid that the ConvLSTM's peephole weights are made for (resized on other grids); None: no peepholes."""
    refinement_channels: int = 0
    """Channels of a refinement of the fused map with the image features at stride 4, which ends in scores at stride 2;
    0: none, as published."""
    upsampling: Literal["tensorflow", "bilinear"] = "tensorflow"
    """How logits reach the size of the input: TensorFlow's legacy bilinear, or PyTorch's."""
    word_type_supervision: bool = False
    """Whether the word types were trained with labels; without, entity and attribute are only known as a sum."""

    def __post_init__(self) -> None:
        if not 0 <= self.exchange_rounds <= 2:
            raise ValueError(f"exchange_rounds must be 0, 1 or 2, got {self.exchange_rounds}")
        if self.both_directions and self.word_channels % 2:
            raise ValueError(f"both_directions needs an even number of word_channels, got {self.word_channels}")
        if self.grounded_reasoning and not (self.entity_perception and self.word_type_gating):
            raise ValueError("grounded_reasoning needs entity_perception and word_type_gating")
        if self.grounded_reasoning and not (self.relation_reasoning and self.network == "cmpc"):
            raise ValueError("grounded_reasoning needs the network cmpc with relation_reasoning")
        if self.second_look and not self.grounded_reasoning:
            raise ValueError("second_look needs grounded_reasoning")
        if self.selection and not self.grounded_reasoning:
            raise ValueError("selection needs grounded_reasoning, which reads where things are")
        if self.refinement_channels and self.backbone.kind != "compact":
            raise ValueError("refinement_channels needs the compact backbone, which gives features at stride 4")

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain JSON values."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> ModelConfig:
        """The inverse of ``to_dict``.

        Raises:
            ValueError: a key is unknown (written by a newer version) or a value is impossible.
        """
        values = dict(values)
        image = _build(ImageConfig, values.pop("image", {}))
        backbone = _build(BackboneConfig, values.pop("backbone", {}))
        return _build(ModelConfig, {**values, "image": image, "backbone": backbone})


def _build(kind: type, values: dict[str, Any]) -> Any:
    known = {field.name for field in dataclasses.fields(kind)}
    if unknown := sorted(set(values) - known):
        raise ValueError(f"unknown {kind.__name__} field{'s' * (len(unknown) > 1)}: {', '.join(unknown)}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


PAPER = ModelConfig()
"""The published network ("updated" model of the authors' program): 119 M parameters, 320 x 320."""

SMALL = ModelConfig(
    image=ImageConfig(
        size=192, channel_order="RGB", mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375), resize="area"
    ),
    backbone=BackboneConfig(
        kind="compact",
        channels=(32, 64, 128, 192),
        blocks=(2, 2, 2, 2),
        stride_in="3x3",
        tensorflow_padding=False,
        norm_epsilon=1e-5,
    ),
    embedding_channels=128,
    word_channels=192,
    word_type_channels=96,
    multimodal_channels=128,
    fusion_channels=64,
    fusion_heads=2,
    feature_scale=4.0,
    peephole_grid=None,
    refinement_channels=32,
    upsampling="bilinear",
)
"""The same parts at sizes that train on a laptop."""

RRN = dataclasses.replace(PAPER, network="rrn", embedding_channels=1000)
"""The recurrent refinement network as published: the paper's backbone and sizes, embeddings of 1,000."""

PRESETS: dict[str, ModelConfig] = {"paper": PAPER, "small": SMALL, "rrn": RRN}


def preset(name: str, **changes: Any) -> ModelConfig:
    """The configuration of a preset, with fields of ``ModelConfig`` changed: ``preset("paper", exchange_rounds=0)``.

    Raises:
        ValueError: there is no such preset.
    """
    if name not in PRESETS:
        raise ValueError(f"there is no preset {name!r}; the presets are {', '.join(PRESETS)}")
    return dataclasses.replace(PRESETS[name], **changes)
