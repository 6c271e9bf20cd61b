"""Unit-norm features and the layer norm of the original."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def unit_norm(features: Tensor, *, dim: int, scale: float = 1.0) -> Tensor:
    """Features scaled to the Euclidean norm ``scale`` along ``dim`` (``tf.nn.l2_normalize``, epsilon 1e-12)."""
    square = features.float().square().sum(dim=dim, keepdim=True)
    return features * (scale * torch.rsqrt(square.clamp_min(1e-12))).to(features.dtype)


def joint_layer_norm(channels: int) -> nn.GroupNorm:
    """Layer norm over all positions and channels of a sample jointly, with a gain and a shift per channel.

    This is what ``tf.contrib.layers.layer_norm`` computes on a feature map, epsilon 1e-12; not a norm per position.
    """
    return nn.GroupNorm(1, channels, eps=1e-12)
