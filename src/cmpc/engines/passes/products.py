"""Products of cells whose weights lie in one block for each part and group, as they are multiplied."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.engines.passes.folding import frozen
from cmpc.models.cells import CellKeys, CellProduct, ConcatenatedProduct


class DividedProduct(ConcatenatedProduct, nn.Module):
    """``CellProduct``, whose weights are divided once instead of in each call."""

    def __init__(self, product: CellProduct) -> None:
        super().__init__()
        self.parts = len(product.inputs)
        rows = product.weight.flatten(1).split(product.outputs)
        self.blocks = nn.ParameterList(
            frozen(self.prepared(block)) for some in rows for block in some.split(product.inputs, dim=1)
        )
        self.dtype = product.weight.dtype
        biases = () if product.bias is None else product.bias.split(product.outputs)
        # Copies, with which the file that weights and bias are mapped from need not stay in memory.
        self.biases = nn.ParameterList(frozen(bias.detach().clone()) for bias in biases)

    def multiply(self, number: int, cells: Tensor, group: int, *, with_bias: bool) -> Tensor:
        """As ``ConcatenatedProduct.multiply``."""
        bias = self.biases[group] if with_bias and len(self.biases) else None
        return self.linear(cells.to(self.dtype), self.blocks[group * self.parts + number], bias)

    @staticmethod
    def prepared(block: Tensor) -> Tensor:
        """A block of the weights, (O, I), as ``linear`` takes it."""
        return block.contiguous()

    @staticmethod
    def linear(cells: Tensor, block: Tensor, bias: Tensor | None) -> Tensor:
        """(..., I) -> (..., O)."""
        return F.linear(cells, block, bias)


class TurnedKeys(nn.Module):
    """``CellKeys``, whose weights lie as queries are multiplied by them."""

    def __init__(self, keys: CellKeys) -> None:
        super().__init__()
        assert keys.bias is not None
        self.key = frozen(keys.weight.flatten(1).clone())
        self.bias = frozen(keys.bias.detach().clone())

    def forward(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """As that of ``CellKeys``."""
        return queries @ self.key, queries @ self.bias


@torch.no_grad()
def divide_products(root: nn.Module, kind: type[DividedProduct] = DividedProduct) -> None:
    """Divides the weights of products, and turns those of keys, one after the other.

    Args:
        root: a network; its numbers are final.
        kind: what takes the place of a product.
    """
    for module in list(root.modules()):
        for name, child in module.named_children():
            if isinstance(child, CellProduct):
                setattr(module, name, kind(child))
            elif isinstance(child, CellKeys):
                setattr(module, name, TurnedKeys(child))
