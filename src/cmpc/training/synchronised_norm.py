"""Batch norm whose statistics are those of the whole step on all devices, on CPUs as well as on GPUs."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.distributed
from torch import Tensor, nn

from cmpc.models.network import ReferringNetwork


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` over the batches of all devices, which must be of equal size (PyTorch's own needs GPUs).

    Parameters and buffers have the same names; outside training it is the same.
    """

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        if not self.training or self.running_mean is None or self.running_var is None or self.momentum is None:
            return super().forward(features)
        devices = torch.distributed.get_world_size()
        values = features.float()
        mean = _sum_over_devices(values.mean(dim=(0, 2, 3))) / devices  # (C,)
        centred = values - mean[:, None, None]
        variance = _sum_over_devices(centred.square().mean(dim=(0, 2, 3))) / devices  # (C,)
        with torch.no_grad():
            count = devices * values.numel() // values.shape[1]
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / max(count - 1, 1)), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(features.dtype)


def synchronise_batch_norms(model: nn.Module) -> None:
    """Makes the batch norms of a model see all devices, in place."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SynchronisedBatchNorm2d


def learns_statistics(model: ReferringNetwork) -> bool:
    """Whether batch norms of a network use and learn the statistics of what it is trained with, as only those of a
    backbone that trains do."""
    backbone = model.train().backbone
    if not any(parameter.requires_grad for parameter in backbone.parameters()):
        return False
    return any(isinstance(module, nn.BatchNorm2d) and module.training for module in backbone.modules())


class _SumOverDevices(torch.autograd.Function):
    """Sum of a tensor over all processes; each of them gets the gradients of all."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total


def _sum_over_devices(values: Tensor) -> Tensor:
    return cast(Tensor, _SumOverDevices.apply(values))
