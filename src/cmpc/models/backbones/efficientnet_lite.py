"""EfficientNet-Lite: EfficientNet without squeeze-excite and with ReLU6, made for processors without a GPU.

Blocks, sizes and padding are those of the TensorFlow program (https://github.com/tensorflow/tpu, EfficientNet-Lite);
the classifier's 1x1 convolution is left out, and so is the dropping of whole blocks in training.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor, nn

from cmpc.models.backbones.backbone import Backbone
from cmpc.models.backbones.padding import pad_same
from cmpc.models.backbones.unit import unit
from cmpc.models.config import EfficientNetLiteConfig

EPSILON, MOMENTUM = 1e-3, 0.01
"""Of the batch norms."""
STEM_CHANNELS = 32


class Group(NamedTuple):
    """Blocks of one kind, the first of which may be strided, as Lite0 has them."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


GROUPS = (
    Group(blocks=1, kernel=3, stride=1, expansion=1, channels=16),
    Group(blocks=2, kernel=3, stride=2, expansion=6, channels=24),
    Group(blocks=2, kernel=5, stride=2, expansion=6, channels=40),
    Group(blocks=3, kernel=3, stride=2, expansion=6, channels=80),
    Group(blocks=3, kernel=5, stride=1, expansion=6, channels=112),
    Group(blocks=4, kernel=5, stride=2, expansion=6, channels=192),
    Group(blocks=1, kernel=3, stride=1, expansion=6, channels=320),
)
SCALES = ((1.0, 1.0), (1.0, 1.1), (1.1, 1.2), (1.2, 1.4), (1.4, 1.8))
"""How much wider and deeper than Lite0 each variant is."""


class BlockShape(NamedTuple):
    """Sizes of one block."""

    channels: int
    out: int
    kernel: int
    stride: int
    expansion: int


def block_shapes(variant: int) -> list[BlockShape]:
    """Every block of Lite0 to Lite4 in order; the first and the last group are as deep in all of them."""
    width, depth = SCALES[variant]
    shapes: list[BlockShape] = []
    channels = STEM_CHANNELS
    for group in GROUPS:
        out = _multiple_of_8(width * group.channels)
        for block in range(group.blocks if group in (GROUPS[0], GROUPS[-1]) else math.ceil(depth * group.blocks)):
            stride = group.stride if block == 0 else 1
            shapes.append(BlockShape(channels, out, group.kernel, stride, group.expansion))
            channels = out
    return shapes


def _multiple_of_8(channels: float) -> int:
    """The nearest multiple that is at most a tenth smaller."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


class InvertedBottleneck(nn.Module):
    """A 1x1 convolution to more channels, one over each channel, and a 1x1 back to few; with a shortcut where it fits.

    The first block expands nothing.
    """

    def __init__(self, shape: BlockShape) -> None:
        super().__init__()
        wide = shape.channels * shape.expansion
        self.expands = shape.expansion != 1
        self.adds = shape.stride == 1 and shape.channels == shape.out
        self.kernel, self.stride = shape.kernel, shape.stride
        if self.expands:
            self.conv_expand = nn.Conv2d(shape.channels, wide, 1, bias=False)
            self.bn_expand = nn.BatchNorm2d(wide, eps=EPSILON, momentum=MOMENTUM)
        padding = shape.kernel // 2 if shape.stride == 1 else 0
        self.conv_depthwise = nn.Conv2d(
            wide, wide, shape.kernel, stride=shape.stride, padding=padding, groups=wide, bias=False
        )
        self.bn_depthwise = nn.BatchNorm2d(wide, eps=EPSILON, momentum=MOMENTUM)
        self.conv_project = nn.Conv2d(wide, shape.out, 1, bias=False)
        self.bn_project = nn.BatchNorm2d(shape.out, eps=EPSILON, momentum=MOMENTUM)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, out, H / stride, W / stride), rounded up."""
        x = unit(self.conv_expand, self.bn_expand, features, activation="relu6") if self.expands else features
        if self.stride != 1:
            x = pad_same(x, kernel=self.kernel, stride=self.stride)
        x = unit(self.conv_depthwise, self.bn_depthwise, x, activation="relu6")
        return unit(self.conv_project, self.bn_project, x, added=features if self.adds else None, activation="none")


class EfficientNetLite(Backbone):
    """EfficientNet-Lite up to its last block: stages at strides 4, 8, 16 and 32.

    Batch norms keep their statistics, as those of few images are worse than ImageNet's. The blocks up to stride 8,
    which see edges and textures and take most of the time, are kept as they are unless they are asked for.
    """

    is_pretrained = True

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__(config)
        shapes = block_shapes(config.variant)
        self.conv_stem = nn.Conv2d(3, STEM_CHANNELS, 3, stride=2, bias=False)
        self.bn_stem = nn.BatchNorm2d(STEM_CHANNELS, eps=EPSILON, momentum=MOMENTUM)
        self.blocks = nn.ModuleList(InvertedBottleneck(shape) for shape in shapes)
        last_of_stride = [block for block, after in enumerate(shapes[1:]) if after.stride != 1] + [len(shapes) - 1]
        self.stage_after = dict(zip(last_of_stride[1:], self.stages, strict=True))
        """Name of the stage that a block's output is; what has stride 2 is none."""

    def train(self, mode: bool = True) -> EfficientNetLite:
        """As ``nn.Module.train``, but batch norms keep their statistics."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def trainable(self, tune: bool) -> list[nn.Parameter]:
        """The blocks after stride 8, or all of it where ``tune`` says so."""
        kept = next(block for block, stage in self.stage_after.items() if stage == "c3")
        learning = [self] if tune else self.blocks[kept + 1 :]
        return [parameter for part in learning for parameter in part.parameters()]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Features of the four stages.

        Args:
            images: normalised images, (B, 3, H, W).

        Returns:
            ``c2`` at stride 4, ``c3`` at stride 8, ``c4`` at stride 16 and ``c5`` at stride 32, each (B, C, h, w);
            sizes are rounded up.
        """
        maps: dict[str, Tensor] = {}
        x = unit(self.conv_stem, self.bn_stem, pad_same(images, kernel=3), activation="relu6")
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.stage_after:
                maps[self.stage_after[index]] = x
        return maps
