"""3x3 convolutions by Winograd's method."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.engines.passes.folding import FoldedConvolution, finished, frozen
from cmpc.models.backbones.unit import Activation, FusedConvolution

WINOGRAD_CHANNELS = 256
"""With fewer channels the transforms of Winograd's method cost more than its products save."""


def winograd_pays(device: torch.device, precision: str) -> bool:
    """Whether Winograd's method saves time: in fp32 on processors whose own convolutions do not have AVX-512."""
    return device.type == "cpu" and precision == "fp32" and torch.backends.cpu.get_cpu_capability() != "AVX512"


@torch.no_grad()
def use_winograd(root: nn.Module) -> None:
    """Has wide 3x3 convolutions that hold their norms computed by Winograd's method."""
    for module in list(root.modules()):
        for name, child in module.named_children():
            if isinstance(child, FoldedConvolution) and WinogradConvolution.suits(child):
                setattr(module, name, WinogradConvolution(child))


class WinogradConvolution(FusedConvolution):
    """A 3x3 convolution of stride 1 that keeps the size of the map, dilated or not, with 2.25 times fewer products.

    Winograd's F(2x2, 3x3) (Lavin and Gray, CVPR 2016): tiles of 4x4 cells give 2x2 results with 16 products for each
    pair of channels, where 36 are usual. A dilation d parts the map into d x d maps that do not see each other, and
    each is treated so. Results differ from the plain convolution by rounding alone.
    """

    def __init__(self, convolution: FoldedConvolution) -> None:
        super().__init__()
        self.dilation = int(convolution.dilation[0])
        weight = convolution.weight  # (O, I, 3, 3)
        spread = weight.new_tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]])
        tiles = torch.einsum("ai,bj,ocij->baco", spread, spread, weight)  # columns first, as below
        self.weight = frozen(tiles.flatten(0, 1).contiguous())  # (16, I, O)
        self.bias = frozen(convolution.bias)

    @staticmethod
    def suits(convolution: FoldedConvolution) -> bool:
        """Whether the method applies and saves time."""
        outputs, inputs, *kernel = convolution.weight.shape
        return (
            kernel == [3, 3]
            and convolution.groups == 1
            and convolution.stride == (1, 1)
            and convolution.padding == convolution.dilation
            and min(inputs, outputs) >= WINOGRAD_CHANNELS
        )

    def forward(self, features: Tensor, added: Tensor | None = None, activation: Activation = "none") -> Tensor:
        """As ``FusedConvolution.forward``, in channels-last memory."""
        step = self.dilation
        images, channels, height, width = features.shape
        down, across = -(-height // (2 * step)), -(-width // (2 * step))  # tiles of each part, D and A
        right, bottom = 2 * step * across - width, 2 * step * down - height
        cells = F.pad(features.permute(0, 2, 3, 1), (0, 0, step, step + right, step, step + bottom))
        # Row g * step + p is row g of part p.
        cells = cells.view(images, 2 * down + 2, step, 2 * across + 2, step, channels)
        rows = _tile(cells, dim=1, tiles=down)  # (4, B, D, step, 2 A + 2, step, I)
        tiles = _tile(rows, dim=4, tiles=across)  # (columns 4, rows 4, B, D, step, A, step, I)
        products = tiles.view(16, -1, channels) @ self.weight  # (16, B * D * step * A * step, O)
        products = products.view(4, 4, images, down, step, across, step, -1)
        result = products.new_empty(images, down, 2, step, across, 2, step, products.shape[-1])
        for column in range(2):
            mixed = _untile(products, column)
            for row in range(2):
                torch.add(_untile(mixed, row), self.bias, out=result[:, :, row, :, :, column])
        result = result.view(images, 2 * down * step, 2 * across * step, -1)
        return finished(result[:, :height, :width].permute(0, 3, 1, 2), added, activation)


def _tile(cells: Tensor, *, dim: int, tiles: int) -> Tensor:
    """Winograd's transform of the input along one axis of ``2 * tiles + 2`` cells: four values for each tile, first."""
    first, second, third, fourth = (
        cells[(slice(None),) * dim + (slice(k, k + 2 * tiles, 2),)] for k in range(4)
    )  # cells 0, 1, 2 and 3 of each tile
    result = first.new_empty(4, *first.shape)
    torch.sub(first, third, out=result[0])
    torch.add(second, third, out=result[1])
    torch.sub(third, second, out=result[2])
    torch.sub(second, fourth, out=result[3])
    return result


def _untile(products: Tensor, output: int) -> Tensor:
    """Winograd's transform of the four values of the first axis into one of a tile's two results."""
    if output == 0:
        return products[0] + products[1] + products[2]
    return products[1] - products[2] - products[3]
