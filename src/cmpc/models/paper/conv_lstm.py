"""Fusion of the levels by a convolutional LSTM that reads them one after the other (paper, section 3.4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.models.cells import CellProduct
from cmpc.models.normalisation import JointLayerNorm

CONTENT, INPUT, FORGET, OUTPUT = range(4)
"""Order of the gates in the kernel (j, i, f, o of the original)."""
PEEPHOLES = ("peephole_input", "peephole_forget", "peephole_output")


class ConvLSTMCell(nn.Module):
    """One step: 1x1 kernel without bias, layer norm on every gate and on the state, forget bias 1, optional peepholes.

    As in the original, peepholes are added before the layer norm, the output's peephole looks at the new state before
    its norm, and the normed state is carried on.
    """

    peephole_input: nn.Parameter | None
    peephole_forget: nn.Parameter | None
    peephole_output: nn.Parameter | None

    def __init__(self, *, channels: int, peephole_grid: tuple[int, int] | None) -> None:
        super().__init__()
        self.kernel = CellProduct(channels, channels, outputs=channels, groups_of_outputs=4, bias=False)
        self.norm_content = JointLayerNorm(channels)
        self.norm_input = JointLayerNorm(channels)
        self.norm_forget = JointLayerNorm(channels)
        self.norm_output = JointLayerNorm(channels)
        self.norm_state = JointLayerNorm(channels)
        for name in PEEPHOLES:
            weight = None if peephole_grid is None else nn.Parameter(torch.empty(channels, *peephole_grid))
            self.register_parameter(name, weight)

    def forward(
        self, features: Tensor, before: tuple[Tensor, Tensor] | None, grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """
        Args:
            features: the next level, (E, S, C).
            before: output and state of the step before, (E, S, C) each; None at the first step (zeros).
            grid: rows and columns of the cells.

        Returns:
            Output and state, (E, S, C) each.
        """
        output, state = (None, None) if before is None else before
        content = self.norm_content(self.kernel(features, output, group=CONTENT)).tanh_()
        gate = _look(self.kernel(features, output, group=INPUT), self.peephole_input, state, grid)
        new = self.norm_input(gate).sigmoid_() * content
        if state is not None:
            gate = _look(self.kernel(features, output, group=FORGET), self.peephole_forget, state, grid)
            new = new.addcmul_(state, self.norm_forget(gate, shift=1.0).sigmoid_())
        gate = _look(self.kernel(features, output, group=OUTPUT), self.peephole_output, new, grid)
        state = self.norm_state(new)
        return self.norm_output(gate).sigmoid_() * state.tanh(), state


def _look(gate: Tensor, peephole: Tensor | None, state: Tensor | None, grid: tuple[int, int]) -> Tensor:
    """Adds what a peephole shows of the state."""
    if peephole is None or state is None:
        return gate
    weights = peephole_cells(peephole, grid).to(gate.dtype)
    return gate.addcmul_(weights, state.to(gate.dtype))


def peephole_cells(weights: Tensor, grid: tuple[int, int]) -> Tensor:
    """Weights of a peephole, (C, h, w), for the cells of a grid, to which they are resized: (S, C).

    Those that are for cells already stay as they are.
    """
    if weights.ndim == 2:
        return weights
    if weights.shape[1:] != grid:
        weights = F.interpolate(weights[None], size=grid, mode="bilinear", align_corners=False)[0]
    return weights.flatten(1).mT


class ConvLSTM(nn.Module):
    """Reads the levels in turn and gives the last output."""

    def __init__(self, *, channels: int, peephole_grid: tuple[int, int] | None) -> None:
        super().__init__()
        self.cell = ConvLSTMCell(channels=channels, peephole_grid=peephole_grid)

    def forward(self, levels: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
        """Levels in the order of reading, (E, S, C) each -> (E, S, C)."""
        state: tuple[Tensor, Tensor] | None = None
        for level in levels:
            state = self.cell(level, state, grid)
        if state is None:
            raise ValueError("the ConvLSTM needs at least one level")
        return state[0]

    def reset_parameters(self) -> None:
        """Initial values of the original: Xavier-uniform by TensorFlow's rule, also for the peepholes."""
        nn.init.xavier_uniform_(self.cell.kernel.weight)
        for name in PEEPHOLES:
            peephole = getattr(self.cell, name)
            if peephole is not None:
                channels, height, width = peephole.shape
                limit = (6 / (height * (width + channels))) ** 0.5  # fans of the original's (height, width, channels)
                nn.init.uniform_(peephole, -limit, limit)
