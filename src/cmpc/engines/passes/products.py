"""Products of cells whose weights lie in one block for each part and group, as they are multiplied."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.engines.passes.folding import frozen
from cmpc.models.cells import CellKeys, CellProduct


class DividedProduct(nn.Module):
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

    def forward(self, *parts: Tensor | None, group: int = 0) -> Tensor:
        """As that of ``CellProduct``."""
        total: Tensor | None = None
        for number in reversed(range(len(parts))):
            cells = parts[number]
            if cells is not None and total is None:
                total = self._product(number, cells, group, self.biases[group] if len(self.biases) else None)
            elif cells is not None and total is not None:
                total = self._product(number, cells, group, None) + total
        assert total is not None, "a product needs at least one part"
        return total

    def part(self, number: int, cells: Tensor, *, group: int = 0) -> Tensor:
        """As that of ``CellProduct``."""
        return self._product(number, cells, group, None)

    def _product(self, number: int, cells: Tensor, group: int, bias: Tensor | None) -> Tensor:
        return self.multiply(cells.to(self.dtype), self.blocks[group * self.parts + number], bias)

    @staticmethod
    def prepared(block: Tensor) -> Tensor:
        """A block of the weights, (O, I), as ``multiply`` takes it."""
        return block.contiguous()

    @staticmethod
    def multiply(cells: Tensor, block: Tensor, bias: Tensor | None) -> Tensor:
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
