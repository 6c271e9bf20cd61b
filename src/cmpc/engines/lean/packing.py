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

from cmpc.engines.lean.cells import CellProduct
from cmpc.engines.lean.convolution import LeanConvolution

OPERATORS = (
    "_reorder_convolution_weight",
    "_convolution_pointwise",
    "_reorder_linear_weight",
    "_linear_pointwise",
    "_is_mkldnn_bf16_supported",
)
PROCESSORS = ("x86_64", "AMD64")


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


class PackedConvolution(nn.Module):
    """``LeanConvolution``; what is added and the ReLU are taken while the results are still in registers."""

    def __init__(self, convolution: LeanConvolution, size: tuple[int, int]) -> None:
        """
        Args:
            convolution: whose weights are packed.
            size: of maps for which the order is chosen; it may see others.
        """
        super().__init__()
        self.padding, self.stride, self.dilation = (
            [int(value) for value in pair] for pair in (convolution.padding, convolution.stride, convolution.dilation)
        )
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(
            convolution.weight.detach(),
            *(self.padding, self.stride, self.dilation, 1),
            (1, convolution.in_channels, *size),
        )
        self.bias = _own(convolution.bias)
        self.relu = convolution.relu

    def forward(self, features: Tensor, added: Tensor | None = None) -> Tensor:
        """As that of ``LeanConvolution``."""
        convolve, shape = torch.ops.mkldnn._convolution_pointwise, (self.padding, self.stride, self.dilation, 1)
        result: Tensor
        if added is None:
            result = convolve(features, self.weight, self.bias, *shape, "relu" if self.relu else "none", [], "")
        else:
            then: tuple[Any, ...] = ("add", 1.0, "relu" if self.relu else None, [], None)
            result = convolve.binary(features, added, self.weight, self.bias, *shape, *then)
        return result


class PackedCellProduct(nn.Module):
    """``CellProduct``."""

    def __init__(self, product: CellProduct) -> None:
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(product.weight.detach().contiguous())
        self.bias = _own(product.bias)

    def forward(self, cells: Tensor) -> Tensor:
        """(..., I) -> (..., O)."""
        result: Tensor = torch.ops.mkldnn._linear_pointwise(cells, self.weight, self.bias, "none", [], "")
        return result


def _own(bias: Tensor | None) -> Tensor | None:
    """A copy, with which the file that weights and bias are mapped from need not stay in memory."""
    return None if bias is None else bias.detach().clone()


def pack_weights(part: nn.Module, grid: tuple[int, int]) -> None:
    """Packs the weights of convolutions and products of a lean network's part, in place, one after the other.

    Args:
        part: an image encoder or a comprehension.
        grid: rows and columns of cells, about what most convolutions see.
    """
    for module in list(part.modules()):
        for name, child in module.named_children():
            if isinstance(child, LeanConvolution):
                setattr(module, name, PackedConvolution(child, grid))
            elif isinstance(child, CellProduct):
                setattr(module, name, PackedCellProduct(child))
