"""Fusion of the levels by a convolutional LSTM that reads them one after the other (paper, section 3.4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.models.normalisation import joint_layer_norm


class ConvLSTMCell(nn.Module):
    """One step: 1x1 kernel without bias, layer norm on every gate and on the state, forget bias 1, optional peepholes.

    As in the original, peepholes are added before the layer norm, the output's peephole looks at the new state before
    its norm, and the normed state is carried on. Gate order of the kernel: j (new content), i, f, o.
    """

    peephole_input: nn.Parameter | None
    peephole_forget: nn.Parameter | None
    peephole_output: nn.Parameter | None

    def __init__(self, *, channels: int, peephole_grid: tuple[int, int] | None) -> None:
        super().__init__()
        self.kernel = nn.Conv2d(2 * channels, 4 * channels, 1, bias=False)
        self.norm_content = joint_layer_norm(channels)
        self.norm_input = joint_layer_norm(channels)
        self.norm_forget = joint_layer_norm(channels)
        self.norm_output = joint_layer_norm(channels)
        self.norm_state = joint_layer_norm(channels)
        for gate in ("input", "forget", "output"):
            weight = None if peephole_grid is None else nn.Parameter(torch.empty(channels, *peephole_grid))
            self.register_parameter(f"peephole_{gate}", weight)

    def forward(self, features: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """
        Args:
            features: the next level, (E, C, H, W).
            state: output and state of the step before, each (E, C, H, W); None at the first step (zeros).

        Returns:
            Output and state, each (E, C, H, W).
        """
        channels = features.shape[1]
        if state is None:
            gates = F.conv2d(features, self.kernel.weight[:, :channels])  # (E, 4C, H, W)
        else:
            gates = self.kernel(torch.cat([features, state[0].to(features.dtype)], dim=1))
        content, input_gate, forget_gate, output_gate = gates.chunk(4, dim=1)
        if state is not None:
            input_gate = self._look(input_gate, self.peephole_input, state[1])
            forget_gate = self._look(forget_gate, self.peephole_forget, state[1])
        new = torch.sigmoid(self.norm_input(input_gate)) * torch.tanh(self.norm_content(content))
        if state is not None:
            new = new + state[1] * torch.sigmoid(self.norm_forget(forget_gate) + 1.0)
        output_gate = self._look(output_gate, self.peephole_output, new)
        new = self.norm_state(new)
        return torch.sigmoid(self.norm_output(output_gate)) * torch.tanh(new), new

    @staticmethod
    def _look(gate: Tensor, peephole: Tensor | None, state: Tensor) -> Tensor:
        """Adds what a peephole shows of the state; its weights, (C, h, w), are resized to other grids."""
        if peephole is None:
            return gate
        if peephole.shape[1:] != state.shape[2:]:
            size = (state.shape[2], state.shape[3])
            peephole = F.interpolate(peephole[None], size=size, mode="bilinear", align_corners=False)[0]
        return torch.addcmul(gate, peephole.to(gate.dtype), state.to(gate.dtype))


class ConvLSTM(nn.Module):
    """Reads the levels in turn and gives the last output."""

    def __init__(self, *, channels: int, peephole_grid: tuple[int, int] | None) -> None:
        super().__init__()
        self.cell = ConvLSTMCell(channels=channels, peephole_grid=peephole_grid)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Levels in the order of reading, each (E, C, H, W) -> (E, C, H, W)."""
        state: tuple[Tensor, Tensor] | None = None
        for level in levels:
            state = self.cell(level, state)
        if state is None:
            raise ValueError("the ConvLSTM needs at least one level")
        return state[0]

    def reset_parameters(self) -> None:
        """Initial values of the original: Xavier-uniform by TensorFlow's rule, also for the peepholes."""
        nn.init.xavier_uniform_(self.cell.kernel.weight)
        for peephole in (self.cell.peephole_input, self.cell.peephole_forget, self.cell.peephole_output):
            if peephole is not None:
                channels, height, width = peephole.shape
                limit = (6 / (height * (width + channels))) ** 0.5  # fans of the original's (height, width, channels)
                nn.init.uniform_(peephole, -limit, limit)
