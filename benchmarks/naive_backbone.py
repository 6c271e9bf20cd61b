"""DeepLab-ResNet-101 layer by layer, as it was converted from Caffe: every batch norm beside its convolution."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.models.backbones.deeplab_resnet import EPSILON
from cmpc.models.config import DeepLabResNetConfig


class NaiveBottleneck(nn.Module):
    """``branch2a``, ``branch2b``, ``branch2c`` and the shortcut ``branch1`` of the original."""

    def __init__(self, channels: int, out: int, *, stride: int, dilation: int, project: bool, epsilon: float) -> None:
        super().__init__()
        width = out // 4
        self.conv1 = nn.Conv2d(channels, width, 1, stride=stride, bias=False)
        self.bn1 = nn.BatchNorm2d(width, eps=epsilon)
        self.conv2 = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width, eps=epsilon)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out, eps=epsilon)
        self.downsample: nn.Module = nn.Identity()
        if project:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out, eps=epsilon)
            )

    def forward(self, features: Tensor) -> Tensor:
        """(1, C, h, w) -> (1, out, h / stride, w / stride)."""
        x = F.relu(self.bn1(self.conv1(features)))
        x = F.relu(self.bn2(self.conv2(x)))
        return F.relu(self.bn3(self.conv3(x)) + self.downsample(features))


class NaiveDeepLab(nn.Module):
    """The backbone of the ``paper`` preset, TensorFlow's SAME padding included. It is never trained."""

    def __init__(self, config: DeepLabResNetConfig) -> None:
        """
        Raises:
            ValueError: the configuration is not that of the original.
        """
        super().__init__()
        if config.convention != "caffe":
            raise ValueError("the original's backbone strides in the 1x1 convolution and pads as TensorFlow does")
        epsilon = EPSILON[config.convention]
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, bias=False)
        self.bn1 = nn.BatchNorm2d(64, eps=epsilon)
        channels, stages = 64, []
        for number, (out, blocks) in enumerate(zip(config.channels, config.blocks, strict=True), start=1):
            stage = nn.Sequential()
            for block in range(blocks):
                stage.append(
                    NaiveBottleneck(
                        channels if block == 0 else out,
                        out,
                        stride=2 if number == 2 and block == 0 else 1,
                        dilation={3: 2, 4: 4}.get(number, 1),
                        project=block == 0,
                        epsilon=epsilon,
                    )
                )
            stages.append(stage)
            channels = out
        self.layer1, self.layer2, self.layer3, self.layer4 = stages

    def train(self, mode: bool = True) -> NaiveDeepLab:
        """The batch norms keep their statistics while the network trains."""
        return super().train(False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(1, 3, H, W) -> ``c3``, ``c4`` and ``c5`` at stride 8."""
        x = F.relu(self.bn1(self.conv1(pad_same(images, 7, 0.0))))
        x = F.max_pool2d(pad_same(x, 3, float("-inf")), 3, stride=2)
        c3 = self.layer2(self.layer1(x))
        c4 = self.layer3(c3)
        return {"c3": c3, "c4": c4, "c5": self.layer4(c4)}


def pad_same(images: Tensor, kernel: int, value: float) -> Tensor:
    """TensorFlow's SAME padding of a layer with stride 2: the odd row and column go to the bottom and right."""
    height, width = (max((-(-size // 2) - 1) * 2 + kernel - size, 0) for size in images.shape[2:])
    return F.pad(images, (width // 2, width - width // 2, height // 2, height - height // 2), value=value)
