"""Unit-norm features and the layer norm of the original."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def unit_norm(features: Tensor, scale: float = 1.0) -> Tensor:
    """Features scaled to the Euclidean norm ``scale`` along the last axis (``tf.nn.l2_normalize``, epsilon 1e-12)."""
    return features * _factor(features, scale)


def unit_norm_(features: Tensor, scale: float = 1.0) -> Tensor:
    """As ``unit_norm``, of features that nothing else needs: in their place where no gradient is recorded."""
    factor = _factor(features, scale)
    return features * factor if torch.is_grad_enabled() else features.mul_(factor)


def _factor(features: Tensor, scale: float) -> Tensor:
    norm = torch.linalg.vector_norm(features, dim=-1, keepdim=True, dtype=torch.float32)
    return (scale / norm.clamp_min(1e-6)).to(features.dtype)


class JointLayerNorm(nn.Module):
    """Layer norm over all cells and channels of a sample jointly, with a gain and a shift per channel.

    This is what ``tf.contrib.layers.layer_norm`` computes on a feature map, epsilon 1e-12; not a norm per position.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.epsilon = 1e-12

    def forward(self, cells: Tensor, *, shift: float = 0.0) -> Tensor:
        """(E, S, C), which nothing else needs -> (E, S, C), with ``shift`` added to the result.

        The statistics are sums over cells of sums over channels, so that several cores share the work of one sample.
        """
        mean = cells.mean(dim=2, keepdim=True, dtype=torch.float32).mean(dim=1, keepdim=True)  # (E, 1, 1)
        mean = mean.to(cells.dtype)
        centred = cells - mean if torch.is_grad_enabled() else cells.sub_(mean)
        norm = torch.linalg.vector_norm(centred, dim=2, keepdim=True, dtype=torch.float32)  # (E, S, 1)
        variance = norm.square().mean(dim=1, keepdim=True) / cells.shape[2]
        scale = (self.weight * torch.rsqrt(variance + self.epsilon)).to(cells.dtype)  # (E, 1, C)
        return torch.addcmul((self.bias + shift).to(cells.dtype), centred, scale)
