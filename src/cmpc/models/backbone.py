"""The networks that see the image: DeepLab-ResNet-101 as in the paper, and a compact one that trains from nothing.

Parameters of the ResNet carry torchvision's and timm's names (``layer3.22.conv2.weight``).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.models.config import BackboneConfig


class FrozenBatchNorm2d(nn.Module):
    """Batch norm that always uses its stored statistics; nothing in it trains (the paper's backbone).

    The buffers have the names of ``nn.BatchNorm2d``, so that its weights load as they are.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        scale = self.weight * torch.rsqrt(self.running_var + self.epsilon)
        shift = self.bias - self.running_mean * scale
        return features * scale[:, None, None].to(features.dtype) + shift[:, None, None].to(features.dtype)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions with a shortcut; the 3x3 may be dilated."""

    expansion = 4

    def __init__(
        self, channels: int, width: int, *, stride: int, dilation: int, project: bool, config: BackboneConfig
    ) -> None:
        super().__init__()
        out = width * self.expansion
        first, second = (stride, 1) if config.stride_in == "1x1" else (1, stride)
        self.conv1 = nn.Conv2d(channels, width, 1, stride=first, bias=False)
        self.bn1 = FrozenBatchNorm2d(width, epsilon=config.norm_epsilon)
        self.conv2 = nn.Conv2d(width, width, 3, stride=second, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = FrozenBatchNorm2d(width, epsilon=config.norm_epsilon)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = FrozenBatchNorm2d(out, epsilon=config.norm_epsilon)
        self.downsample: nn.Module = nn.Identity()
        if project:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride=stride, bias=False),
                FrozenBatchNorm2d(out, epsilon=config.norm_epsilon),
            )

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 4 * width, H / stride, W / stride)."""
        x = F.relu(self.bn1(self.conv1(features)))
        x = F.relu(self.bn2(self.conv2(x)))
        return F.relu(self.bn3(self.conv3(x)) + self.downsample(features))


class DeepLabResNet(nn.Module):
    """ResNet whose last two stages are dilated instead of strided (DeepLab): c3, c4 and c5 all have stride 8.

    Batch norms keep their statistics and do not train.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.tensorflow_padding = config.tensorflow_padding
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, bias=False)
        self.bn1 = FrozenBatchNorm2d(64, epsilon=config.norm_epsilon)
        self.layer1 = self._stage(1, 64, stride=1, dilation=1, config=config)
        self.layer2 = self._stage(2, config.channels[0], stride=2, dilation=1, config=config)
        self.layer3 = self._stage(3, config.channels[1], stride=1, dilation=2, config=config)
        self.layer4 = self._stage(4, config.channels[2], stride=1, dilation=4, config=config)

    @staticmethod
    def _stage(number: int, channels: int, *, stride: int, dilation: int, config: BackboneConfig) -> nn.Sequential:
        out = config.channels[number - 1]
        return nn.Sequential(
            *(
                Bottleneck(
                    channels if block == 0 else out,
                    out // Bottleneck.expansion,
                    stride=stride if block == 0 else 1,
                    dilation=dilation,
                    project=block == 0,
                    config=config,
                )
                for block in range(config.blocks[number - 1])
            )
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Features of the last three stages.

        Args:
            images: normalised images, (B, 3, H, W).

        Returns:
            ``c3`` (B, 512, H/8, W/8), ``c4`` (B, 1024, H/8, W/8), ``c5`` (B, 2048, H/8, W/8); sizes are rounded up.
        """
        x = self.conv1(_pad_strided(images, kernel=7, tensorflow=self.tensorflow_padding, value=0.0))
        x = F.relu(self.bn1(x))
        x = F.max_pool2d(
            _pad_strided(x, kernel=3, tensorflow=self.tensorflow_padding, value=float("-inf")), 3, stride=2
        )
        x = self.layer1(x)
        c3 = self.layer2(x)
        c4 = self.layer3(c3)
        c5 = self.layer4(c4)
        return {"c3": c3, "c4": c4, "c5": c5}


def _pad_strided(images: Tensor, *, kernel: int, tensorflow: bool, value: float) -> Tensor:
    """Padding before a layer of stride 2; TensorFlow's SAME puts the odd row and column at the bottom and right."""
    if not tensorflow:
        return F.pad(images, [kernel // 2] * 4, value=value)
    padding: list[int] = []
    for size in (images.shape[3], images.shape[2]):
        total = max((-(-size // 2) - 1) * 2 + kernel - size, 0)
        padding += [total // 2, total - total // 2]
    return F.pad(images, padding, value=value)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut."""

    def __init__(self, channels: int, out: int, *, stride: int, dilation: int, epsilon: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out, eps=epsilon)
        self.conv2 = nn.Conv2d(out, out, 3, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(out, eps=epsilon)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out, eps=epsilon)
            )

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, out, H / stride, W / stride)."""
        x = F.relu(self.bn1(self.conv1(features)))
        return F.relu(self.bn2(self.conv2(x)) + self.downsample(features))


class CompactBackbone(nn.Module):
    """A small residual network: stages at strides 4, 8, 16, 16; the last is dilated to see most of the image."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        stem = config.channels[0] // 2
        self.conv1 = nn.Conv2d(3, stem, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem, eps=config.norm_epsilon)
        self.layer1 = self._stage(1, stem, stride=2, dilation=1, config=config)
        self.layer2 = self._stage(2, config.channels[0], stride=2, dilation=1, config=config)
        self.layer3 = self._stage(3, config.channels[1], stride=2, dilation=1, config=config)
        self.layer4 = self._stage(4, config.channels[2], stride=1, dilation=2, config=config)

    @staticmethod
    def _stage(number: int, channels: int, *, stride: int, dilation: int, config: BackboneConfig) -> nn.Sequential:
        out, epsilon = config.channels[number - 1], config.norm_epsilon
        first = ResidualBlock(channels, out, stride=stride, dilation=dilation, epsilon=epsilon)
        rest = (
            ResidualBlock(out, out, stride=1, dilation=dilation, epsilon=epsilon)
            for _ in range(config.blocks[number - 1] - 1)
        )
        return nn.Sequential(first, *rest)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Features of the four stages.

        Args:
            images: normalised images, (B, 3, H, W).

        Returns:
            ``c2`` at stride 4, ``c3`` at stride 8, ``c4`` and ``c5`` at stride 16, each (B, C, h, w);
            sizes are rounded up.
        """
        x = F.relu(self.bn1(self.conv1(images)))
        c2 = self.layer1(x)
        c3 = self.layer2(c2)
        c4 = self.layer3(c3)
        c5 = self.layer4(c4)
        return {"c2": c2, "c3": c3, "c4": c4, "c5": c5}


def build_backbone(config: BackboneConfig) -> DeepLabResNet | CompactBackbone:
    """The backbone that the configuration names."""
    return DeepLabResNet(config) if config.kind == "deeplab_resnet101" else CompactBackbone(config)
