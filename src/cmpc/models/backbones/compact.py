"""A small residual network that trains from nothing."""

from __future__ import annotations

from torch import Tensor, nn

from cmpc.models.backbones.backbone import Backbone
from cmpc.models.backbones.unit import unit
from cmpc.models.config import CompactConfig

EPSILON = 1e-5
"""Of the batch norms."""


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
        x = unit(self.conv1, self.bn1, features)
        return unit(self.conv2, self.bn2, x, added=self.downsample(features))


class CompactBackbone(Backbone):
    """A small residual network: stages at strides 4, 8, 16, 16; the last is dilated to see most of the image."""

    is_pretrained = False

    def __init__(self, config: CompactConfig) -> None:
        super().__init__(config)
        stem = config.channels[0] // 2
        self.conv1 = nn.Conv2d(3, stem, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem, eps=EPSILON)
        self.layer1 = self._stage(1, stem, stride=2, dilation=1, config=config)
        self.layer2 = self._stage(2, config.channels[0], stride=2, dilation=1, config=config)
        self.layer3 = self._stage(3, config.channels[1], stride=2, dilation=1, config=config)
        self.layer4 = self._stage(4, config.channels[2], stride=1, dilation=2, config=config)

    @staticmethod
    def _stage(number: int, channels: int, *, stride: int, dilation: int, config: CompactConfig) -> nn.Sequential:
        out, epsilon = config.channels[number - 1], EPSILON
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
        x = unit(self.conv1, self.bn1, images)
        c2 = self.layer1(x)
        c3 = self.layer2(c2)
        c4 = self.layer3(c3)
        c5 = self.layer4(c4)
        return {"c2": c2, "c3": c3, "c4": c4, "c5": c5}
