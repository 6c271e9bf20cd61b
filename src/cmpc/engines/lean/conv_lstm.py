"""The ConvLSTM for inference: no concatenation, no gate that nothing reads, norms and activations in place."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.engines.lean.cells import CellProduct, JointNorm
from cmpc.engines.lean.convolution import frozen
from cmpc.models.conv_lstm import ConvLSTM

GATES = ("content", "input", "forget", "output")
"""The order of the kernel's outputs."""


class LeanConvLSTM(nn.Module):
    """``ConvLSTM`` over cells; the peepholes are resized to the grid once."""

    def __init__(self, part: ConvLSTM, *, grid: tuple[int, int]) -> None:
        super().__init__()
        cell = part.cell
        kernel = cell.kernel.weight.flatten(1)  # (4C, 2C)
        of_features, of_output = kernel.chunk(2, dim=1)
        self.of_features = nn.ModuleDict(dict(zip(GATES, map(CellProduct, of_features.chunk(4)), strict=True)))
        self.of_output = nn.ModuleDict(dict(zip(GATES, map(CellProduct, of_output.chunk(4)), strict=True)))
        self.norm = nn.ModuleDict({gate: JointNorm(getattr(cell, f"norm_{gate}")) for gate in (*GATES, "state")})
        self.peephole = nn.ParameterDict()
        for gate in GATES[1:]:
            weight = getattr(cell, f"peephole_{gate}")  # (C, h, w)
            if weight is not None and weight.shape[1:] != grid:
                weight = F.interpolate(weight[None], size=grid, mode="bilinear", align_corners=False)[0]
            if weight is not None:
                self.peephole[gate] = frozen(weight.flatten(1).mT.contiguous())  # (S, C)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Levels in the order of reading, each (E, S, C) -> (E, S, C)."""
        output = state = None
        for level in levels:
            content = self.norm["content"](self._gate("content", level, output)).tanh_()
            new = self.norm["input"](self._gate("input", level, output, state)).sigmoid_().mul_(content)
            if state is not None:
                forget = self.norm["forget"](self._gate("forget", level, output, state), shift=1.0).sigmoid_()
                new.addcmul_(state, forget)
            gate = self.norm["output"](self._gate("output", level, output, new)).sigmoid_()
            state = self.norm["state"](new)
            output = gate.mul_(state.tanh())
        if output is None:
            raise ValueError("the ConvLSTM needs at least one level")
        return output

    def _gate(self, name: str, features: Tensor, output: Tensor | None, seen: Tensor | None = None) -> Tensor:
        """A gate before its norm, (E, S, C), with what its peephole shows of the state."""
        gate: Tensor = self.of_features[name](features)
        if output is not None:
            gate += self.of_output[name](output)
        if seen is not None and name in self.peephole:
            gate.addcmul_(self.peephole[name], seen)
        return gate
