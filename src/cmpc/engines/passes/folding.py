"""Batch norms folded into the convolutions before them, and peepholes resized once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.models.backbones.deeplab_resnet import FrozenBatchNorm2d
from cmpc.models.backbones.unit import Activation, FusedConvolution
from cmpc.models.paper.conv_lstm import PEEPHOLES, ConvLSTMCell, peephole_cells

BatchNorm = FrozenBatchNorm2d | nn.BatchNorm2d


class FoldedConvolution(FusedConvolution):
    """A convolution with a bias that never trains."""

    def __init__(self, convolution: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
        """
        Args:
            convolution: has the stride, padding, dilation and groups.
            weight: (O, I / groups, rows, columns).
            bias: (O,).
        """
        super().__init__()
        self.stride = tuple(convolution.stride)
        self.padding = tuple(int(value) for value in convolution.padding)
        self.dilation = tuple(convolution.dilation)
        self.groups = convolution.groups
        self.weight = frozen(weight)
        self.bias = frozen(bias)

    def forward(self, features: Tensor, added: Tensor | None = None, activation: Activation = "none") -> Tensor:
        """As ``FusedConvolution.forward``."""
        shape = (self.stride, self.padding, self.dilation, self.groups)
        return finished(F.conv2d(features, self.weight, self.bias, *shape), added, activation)


def finished(result: Tensor, added: Tensor | None, activation: Activation) -> Tensor:
    """What follows a convolution, in place."""
    if added is not None:
        result = result.add_(added)
    if activation == "none":
        return result
    return result.relu_() if activation == "relu" else result.clamp_(0, 6)


def frozen(values: Tensor) -> nn.Parameter:
    """Weights that never train."""
    return nn.Parameter(values.detach(), requires_grad=False)


@torch.no_grad()
def fold_batch_norms(root: nn.Module) -> None:
    """Folds each batch norm, with its stored statistics, into the convolution before it.

    Such are siblings ``conv<name>`` and ``bn<name>``, which the backbones call by ``unit``, and the two layers of an
    ``nn.Sequential``. An identity takes the place of the norm.
    """
    for module in list(root.modules()):
        children = dict(module.named_children())
        pairs = [(name, f"bn{name.removeprefix('conv')}") for name in children if name.startswith("conv")]
        if isinstance(module, nn.Sequential) and len(module) == 2:
            pairs.append(("0", "1"))
        for convolution, norm in pairs:
            if isinstance(children[convolution], nn.Conv2d) and isinstance(children.get(norm), BatchNorm):
                setattr(module, convolution, _folded(children[convolution], children[norm]))  # type: ignore[arg-type]
                setattr(module, norm, nn.Identity())


def _folded(convolution: nn.Conv2d, norm: BatchNorm) -> FoldedConvolution:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    epsilon = norm.epsilon if isinstance(norm, FrozenBatchNorm2d) else norm.eps
    scale = norm.weight * torch.rsqrt(norm.running_var + epsilon)
    weight = (convolution.weight * scale[:, None, None, None]).contiguous(memory_format=torch.channels_last)
    bias = norm.bias - norm.running_mean * scale
    if convolution.bias is not None:
        bias = bias + convolution.bias * scale
    return FoldedConvolution(convolution, weight, bias)


@torch.no_grad()
def fix_peepholes(root: nn.Module, grid: tuple[int, int]) -> None:
    """Brings the peepholes of ConvLSTMs to the grid and the order of the cells, once instead of in each step."""
    for module in root.modules():
        if isinstance(module, ConvLSTMCell):
            for name in PEEPHOLES:
                weights = getattr(module, name)
                if weights is not None:
                    setattr(module, name, frozen(peephole_cells(weights, grid).contiguous()))
