"""Layers on cells, (E, S, C): expressions or images, cells of the grid, channels.

Their weights have the shapes of 1x1 and 3x3 convolutions, as checkpoints hold them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConcatenatedProduct(ABC):
    """A product with a concatenation that is never formed: ``W [a; b] = W_a a + W_b b``.

    Parts that are alike in all cells, as a sentence is, or for all expressions, as an image is, are multiplied once.
    """

    def forward(self, *parts: Tensor | None, group: int = 0) -> Tensor:
        """The sum over the parts, with the bias.

        Args:
            parts: (..., S, I) each, the first of the concatenation; None or left out: without that one.
            group: which of the groups of outputs.

        Returns:
            (..., S, O)
        """
        total: Tensor | None = None
        for number in reversed(range(len(parts))):  # the last are the smallest: they are added up before they spread
            cells = parts[number]
            if cells is not None and total is None:
                total = self.multiply(number, cells, group, with_bias=True)
            elif cells is not None and total is not None:
                total = self.part(number, cells, group=group) + total
        assert total is not None, "a product needs at least one part"
        return total

    def part(self, number: int, cells: Tensor, *, group: int = 0) -> Tensor:
        """What one part of the concatenation gives, without the bias: (..., S, I) -> (..., S, O)."""
        return self.multiply(number, cells, group, with_bias=False)

    @abstractmethod
    def multiply(self, number: int, cells: Tensor, group: int, *, with_bias: bool) -> Tensor:
        """One part times its weights, in a group of outputs: (..., S, I) -> (..., S, O)."""


class CellProduct(ConcatenatedProduct, nn.Conv2d):
    """A 1x1 convolution over a concatenation."""

    def __init__(self, *inputs: int, outputs: int, groups_of_outputs: int = 1, bias: bool = True) -> None:
        """
        Args:
            inputs: channels of each part of the concatenation, in the order of the weights.
            outputs: channels of the result, or of each group of it.
            groups_of_outputs: groups that can be asked for one by one, such as the gates of a cell.
            bias: whether there is one.
        """
        super().__init__(sum(inputs), groups_of_outputs * outputs, 1, bias=bias)
        self.inputs = inputs
        self.outputs = outputs

    def multiply(self, number: int, cells: Tensor, group: int, *, with_bias: bool) -> Tensor:
        """As ``ConcatenatedProduct.multiply``."""
        columns = self._rows(self.weight.flatten(1), group)
        if len(self.inputs) > 1:
            columns = columns.split(self.inputs, dim=1)[number]
        bias = self._rows(self.bias, group) if with_bias and self.bias is not None else None
        return F.linear(cells.to(self.weight.dtype), columns, bias)

    def _rows(self, values: Tensor, group: int) -> Tensor:
        return values if len(values) == self.outputs else values.split(self.outputs)[group]


class CellKeys(nn.Conv2d):
    """A 1x1 convolution whose results are only multiplied by queries: ``q (K f + b)`` is ``(q K) f + q b``.

    Queries are few and cells are many, so that no cell is projected.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 1)

    def forward(self, queries: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Queries, (..., C) -> what to multiply cells by, (..., C), and what to add to the products, (...)."""
        assert self.bias is not None
        return queries @ self.weight.flatten(1), queries @ self.bias


class CellScore(nn.Conv2d):
    """A 3x3 convolution to one channel: nine products a cell, shifted and summed."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 1, 3, padding=1)

    def forward(self, cells: Tensor, grid: tuple[int, int]) -> Tensor:  # type: ignore[override]
        """(E, S, C) on a grid of rows and columns -> (E, h, w) float32."""
        products = (cells @ self.weight[0].flatten(1)).mT.unflatten(2, grid)  # (E, 9, h, w)
        shifts = torch.eye(9, dtype=products.dtype, device=products.device).view(1, 9, 3, 3)
        return F.conv2d(products, shifts, self.bias, padding=1)[:, 0].float()


def to_cells(features: Tensor, grid: tuple[int, int]) -> Tensor:
    """A map of any resolution, (B, C, h', w'), as the cells of the grid, (B, S, C)."""
    return on_grid(features, grid).flatten(2).mT.contiguous()


def to_map(cells: Tensor, grid: tuple[int, int]) -> Tensor:
    """Cells, (E, S, C), as a map, (E, C, h, w)."""
    return cells.mT.unflatten(2, grid)


def on_grid(features: Tensor, grid: tuple[int, int]) -> Tensor:
    """A map of any resolution, (B, C, h', w'), at that of the grid, (B, C, h, w)."""
    if features.shape[2:] == grid:
        return features
    return F.interpolate(features, size=grid, mode="bilinear", align_corners=False)
