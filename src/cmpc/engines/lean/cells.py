"""Products and norms of cells, (E, S, C): expressions, cells, channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def unit_norm_(cells: Tensor, scale: float) -> Tensor:
    """Scales every cell to the norm ``scale``, in place; the numbers of ``cmpc.models.normalisation.unit_norm``."""
    norm = torch.linalg.vector_norm(cells, dim=-1, keepdim=True, dtype=torch.float32)
    return cells.mul_((scale / norm.clamp_min(1e-6)).to(cells.dtype))


class CellProduct(nn.Linear):
    """Multiplies cells by a matrix that never trains."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """
        Args:
            weight: (outputs, inputs), whose memory it shares.
            bias: (outputs,).
        """
        with torch.device("meta"):
            super().__init__(weight.shape[1], weight.shape[0], bias=bias is not None)
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)
        if bias is not None:
            self.bias = nn.Parameter(bias.detach(), requires_grad=False)

    @classmethod
    def of(cls, convolution: nn.Conv2d) -> CellProduct:
        """What a 1x1 convolution does."""
        return cls(convolution.weight.flatten(1), convolution.bias)


class JointNorm(nn.Module):
    """The layer norm of ``joint_layer_norm``, in place. Its statistics are sums over cells of sums over channels."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.weight = norm.weight
        self.bias = norm.bias
        self.epsilon = norm.eps

    def forward(self, cells: Tensor, *, shift: float = 0.0) -> Tensor:
        """(E, S, C), which is overwritten -> (E, S, C), with ``shift`` added to the result."""
        mean = cells.mean(dim=2, keepdim=True, dtype=torch.float32).mean(dim=1, keepdim=True)  # (E, 1, 1)
        cells = cells.sub_(mean.to(cells.dtype))
        norm = torch.linalg.vector_norm(cells, dim=2, keepdim=True, dtype=torch.float32)  # (E, S, 1)
        variance = norm.square().mean(dim=1, keepdim=True) / cells.shape[2]
        scale = (self.weight * torch.rsqrt(variance + self.epsilon)).to(cells.dtype)  # (E, 1, C)
        return torch.addcmul((self.bias + shift).to(cells.dtype), cells, scale)


def matrix(convolution: nn.Conv2d) -> Tensor:
    """The weights of a 1x1 convolution as a matrix to multiply cells by, (inputs, outputs); shares its memory."""
    return convolution.weight.detach().flatten(1).mT
