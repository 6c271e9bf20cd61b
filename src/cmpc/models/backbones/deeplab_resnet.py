"""DeepLab-ResNet-101, the paper's backbone.

Its parameters carry torchvision's and timm's names (``layer3.22.conv2.weight``).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.models.backbones.backbone import Backbone
from cmpc.models.backbones.padding import pad_same
from cmpc.models.backbones.unit import unit
from cmpc.models.config import DeepLabResNetConfig

EPSILON = {"caffe": 1e-3, "torchvision": 1e-5}
"""Of the batch norms, by the convention of the weights."""


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
        self, channels: int, width: int, *, stride: int, dilation: int, project: bool, config: DeepLabResNetConfig
    ) -> None:
        super().__init__()
        out = width * self.expansion
        first, second = (stride, 1) if config.convention == "caffe" else (1, stride)
        self.conv1 = nn.Conv2d(channels, width, 1, stride=first, bias=False)
        self.bn1 = FrozenBatchNorm2d(width, epsilon=EPSILON[config.convention])
        self.conv2 = nn.Conv2d(width, width, 3, stride=second, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = FrozenBatchNorm2d(width, epsilon=EPSILON[config.convention])
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = FrozenBatchNorm2d(out, epsilon=EPSILON[config.convention])
        self.downsample: nn.Module = nn.Identity()
        if project:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride=stride, bias=False),
                FrozenBatchNorm2d(out, epsilon=EPSILON[config.convention]),
            )

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 4 * width, H / stride, W / stride)."""
        x = unit(self.conv1, self.bn1, features)
        x = unit(self.conv2, self.bn2, x)
        return unit(self.conv3, self.bn3, x, added=self.downsample(features))


class DeepLabResNet(Backbone):
    """ResNet whose last two stages are dilated instead of strided (DeepLab): c3, c4 and c5 all have stride 8.

    Batch norms keep their statistics and do not train.
    """

    is_pretrained = True

    def __init__(self, config: DeepLabResNetConfig) -> None:
        super().__init__(config)
        self.tensorflow_padding = config.convention == "caffe"
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, bias=False)
        self.bn1 = FrozenBatchNorm2d(64, epsilon=EPSILON[config.convention])
        self.layer1 = self._stage(1, 64, stride=1, dilation=1, config=config)
        self.layer2 = self._stage(2, config.channels[0], stride=2, dilation=1, config=config)
        self.layer3 = self._stage(3, config.channels[1], stride=1, dilation=2, config=config)
        self.layer4 = self._stage(4, config.channels[2], stride=1, dilation=4, config=config)

    @staticmethod
    def _stage(number: int, channels: int, *, stride: int, dilation: int, config: DeepLabResNetConfig) -> nn.Sequential:
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
        x = unit(self.conv1, self.bn1, self._padded(images, kernel=7, value=0.0))
        x = F.max_pool2d(self._padded(x, kernel=3, value=float("-inf")), 3, stride=2)
        x = self.layer1(x)
        c3 = self.layer2(x)
        c4 = self.layer3(c3)
        c5 = self.layer4(c4)
        return {"c3": c3, "c4": c4, "c5": c5}

    def _padded(self, features: Tensor, *, kernel: int, value: float) -> Tensor:
        """What goes into a layer of stride 2."""
        if self.tensorflow_padding:
            return pad_same(features, kernel=kernel, value=value)
        return F.pad(features, [kernel // 2] * 4, value=value)

    def trainable(self, tune: bool) -> list[nn.Parameter]:
        """The last three stages where ``tune`` says so (the original's ``-conv5``), else nothing."""
        stages = (self.layer2, self.layer3, self.layer4) if tune else ()
        return [parameter for stage in stages for parameter in stage.parameters()]
