"""The backbones with their batch norms folded into the convolutions."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from cmpc.engines.lean.convolution import LeanConvolution, WinogradConvolution, folded, frozen
from cmpc.models.backbone import Bottleneck, CompactBackbone, DeepLabResNet, FrozenBatchNorm2d, ResidualBlock


class FoldedBlock(nn.Module):
    """A residual block of either backbone: convolutions with ReLU, the last after the shortcut is added."""

    def __init__(self, convolutions: list[nn.Module], downsample: nn.Module) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(convolutions)
        self.downsample = downsample

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, O, H / stride, W / stride)."""
        x = features
        *before, last = self.convolutions
        for convolution in before:
            x = convolution(x)
        result: Tensor = last(x, self.downsample(features))
        return result


def folded_backbone(backbone: DeepLabResNet | CompactBackbone, *, winograd: bool) -> DeepLabResNet | CompactBackbone:
    """A backbone that gives the same features with fewer operations.

    Args:
        backbone: stays as it is.
        winograd: whether wide 3x3 convolutions use Winograd's method. Runtimes that bring their own convolutions
            do without.
    """
    result = copy.copy(backbone)
    result._modules = dict(backbone._modules)  # the copy shared the original's table of modules
    result.conv1 = _convolution(backbone.conv1, backbone.bn1, winograd=winograd)  # type: ignore[assignment]
    result.bn1 = nn.Identity()  # type: ignore[assignment]
    for name in ("layer1", "layer2", "layer3", "layer4"):
        blocks = getattr(backbone, name)
        setattr(result, name, nn.Sequential(*(_block(block, winograd=winograd) for block in blocks)))
    return result


def _block(block: Bottleneck | ResidualBlock, *, winograd: bool) -> FoldedBlock:
    pairs = [(block.conv1, block.bn1), (block.conv2, block.bn2)]
    if isinstance(block, Bottleneck):
        pairs.append((block.conv3, block.bn3))
    downsample = block.downsample
    if isinstance(downsample, nn.Sequential):
        downsample = _convolution(*downsample, winograd=winograd)
    return FoldedBlock([_convolution(*pair, winograd=winograd, relu=True) for pair in pairs], downsample)


def _convolution(
    convolution: nn.Conv2d, norm: FrozenBatchNorm2d | nn.BatchNorm2d, *, winograd: bool, relu: bool = False
) -> LeanConvolution | WinogradConvolution:
    result = folded(convolution, norm, relu=relu)
    if winograd and WinogradConvolution.suits(result):
        return WinogradConvolution(result)
    result.weight = frozen(result.weight.contiguous(memory_format=torch.channels_last))
    return result
