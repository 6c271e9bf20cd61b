"""Weights in the order in which the processor's own library, oneDNN, reads them, so that no call has to reorder them.

PyTorch reorders the weights of a convolution whenever it is called, and multiplies matrices with another library, which
on some processors takes twice as long. ``torch.compile`` has the operators used here put into the code that it writes
for inference; they are not in PyTorch's documentation.
"""

from __future__ import annotations

import platform
from typing import Any

import torch
from torch import Tensor, nn

from cmpc.engines.passes.folding import FoldedConvolution
from cmpc.engines.passes.products import DividedProduct, divide_products
from cmpc.models.backbones.unit import Activation, FusedConvolution

OPERATORS = (
    "_reorder_convolution_weight",
    "_convolution_pointwise",
    "_reorder_linear_weight",
    "_linear_pointwise",
    "_is_mkldnn_bf16_supported",
)
PROCESSORS = ("x86_64", "AMD64")
ACTIVATIONS: dict[Activation, tuple[str, list[float], str]] = {
    "none": ("none", [], ""),
    "relu": ("relu", [], ""),
    "relu6": ("hardtanh", [0.0, 6.0], ""),
}
"""How the operators call what follows a convolution."""


def packing_pays(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether weights of such numbers can be packed: on the CPU, by a PyTorch that has the operators."""
    operators = torch.ops.mkldnn
    return (
        device.type == "cpu"
        and platform.machine() in PROCESSORS
        and torch.backends.mkldnn.is_available()
        and all(hasattr(operators, name) for name in OPERATORS)
        and (dtype == torch.float32 or bool(operators._is_mkldnn_bf16_supported()))
    )


class PackedConvolution(FusedConvolution):
    """What is added and the activation are taken while the results are still in registers."""

    def __init__(self, convolution: FoldedConvolution | nn.Conv2d, size: tuple[int, int]) -> None:
        """
        Args:
            convolution: whose weights are packed.
            size: of maps for which the order is chosen; it may see others.
        """
        super().__init__()
        self.padding, self.stride, self.dilation = (
            [int(value) for value in pair] for pair in (convolution.padding, convolution.stride, convolution.dilation)
        )
        self.groups = convolution.groups
        channels = convolution.weight.shape[1] * self.groups
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(
            convolution.weight.detach(),
            *(self.padding, self.stride, self.dilation, self.groups),
            (1, channels, *size),
        )
        self.bias = _own(convolution.bias)

    def forward(self, features: Tensor, added: Tensor | None = None, activation: Activation = "none") -> Tensor:
        """As ``FusedConvolution.forward``."""
        convolve, shape = torch.ops.mkldnn._convolution_pointwise, (self.padding, self.stride, self.dilation)
        result: Tensor
        if added is None:
            then: tuple[Any, ...] = ACTIVATIONS[activation]
            result = convolve(features, self.weight, self.bias, *shape, self.groups, *then)
        elif activation == "relu6":  # what is added goes with no other activation than the ReLU
            then = ("add", 1.0, None, [], None)
            result = convolve.binary(features, added, self.weight, self.bias, *shape, self.groups, *then).clamp_(0, 6)
        else:
            then = ("add", 1.0, "relu" if activation == "relu" else None, [], None)
            result = convolve.binary(features, added, self.weight, self.bias, *shape, self.groups, *then)
        return result


class PackedProduct(DividedProduct):
    """``CellProduct``."""

    @staticmethod
    def prepared(block: Tensor) -> Tensor:
        """As that of ``DividedProduct``."""
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(block.detach().contiguous())
        return packed

    @staticmethod
    def linear(cells: Tensor, block: Tensor, bias: Tensor | None) -> Tensor:
        """As that of ``DividedProduct``."""
        result: Tensor = torch.ops.mkldnn._linear_pointwise(cells, block, bias, "none", [], "")
        return result


def _own(bias: Tensor | None) -> Tensor | None:
    """A copy, with which the file that weights and bias are mapped from need not stay in memory."""
    return None if bias is None else bias.detach().clone()


@torch.no_grad()
def pack_weights(root: nn.Module, grid: tuple[int, int]) -> None:
    """Packs the weights of convolutions and products, one after the other.

    Args:
        root: a network whose batch norms are folded; its numbers are final.
        grid: rows and columns of cells, about what most convolutions see.
    """
    for module in list(root.modules()):
        for name, child in module.named_children():
            if isinstance(child, FoldedConvolution) or (type(child) is nn.Conv2d and child.groups == 1):
                setattr(module, name, PackedConvolution(child, grid))
    divide_products(root, PackedProduct)
