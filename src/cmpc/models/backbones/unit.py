"""Convolution, norm, shortcut and activation: what backbones are made of, and where engines fuse them into one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Activation = Literal["relu", "relu6", "none"]


class FusedConvolution(nn.Module, ABC):
    """A convolution that holds its norm and takes the shortcut and the activation itself, for inference alone.

    Engines put it in the place of a convolution, with an identity in the place of the norm (``cmpc.engines.passes``).
    """

    @abstractmethod
    def forward(self, features: Tensor, added: Tensor | None = None, activation: Activation = "none") -> Tensor:
        """(B, I, H, W) and (B, O, H', W') -> (B, O, H', W')."""


def unit(
    convolution: nn.Module,
    norm: nn.Module,
    features: Tensor,
    *,
    added: Tensor | None = None,
    activation: Activation = "relu",
) -> Tensor:
    """``activation(norm(convolution(features)) + added)``.

    Args:
        convolution: (B, I, H, W) -> (B, O, H', W'). Siblings ``conv<name>`` and ``bn<name>`` of a module are fused for
            inference.
        norm: of O channels.
        features: (B, I, H, W).
        added: a shortcut, (B, O, H', W').
        activation: what follows.
    """
    if isinstance(convolution, FusedConvolution):
        fused: Tensor = convolution(features, added, activation)
        return fused
    result: Tensor = norm(convolution(features))
    if added is not None:
        result = result + added
    return activate(result, activation)


def activate(features: Tensor, activation: Activation) -> Tensor:
    """The activation of that name."""
    if activation == "none":
        return features
    return F.relu(features) if activation == "relu" else F.relu6(features)
