"""A step as ``cmpc train --recipe paper`` makes it, for the benchmarks of processors and of GPUs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from cmpc.data.dataset import Batch
from cmpc.devices import channels_last_pays, expressions_at_once
from cmpc.models.paper.cmpc import CMPC
from cmpc.training.compilation import compile_parts
from cmpc.training.losses import PaperLoss
from cmpc.training.objective import Objective
from cmpc.training.optimizers import freeze_backbone, paper_optimizer


def let_published_parts_train(model: CMPC) -> CMPC:
    """The network in training mode; the backbone of ``paper`` is frozen."""
    model.requires_grad_(True)
    model.language.lstm.get_parameter("bias_hh_l0").requires_grad_(False)
    freeze_backbone(model, tune=False)
    return model.train()


def training_step(model: CMPC, batch: Batch, *, bf16: bool = False, compiled: bool = False) -> Callable[[], Tensor]:
    """Forward, backward and Adam with the published loss, again and again on one batch; each step gives its loss.

    Args:
        model: the network, on the batch's device; its weights change.
        batch: images with their expressions, which share a step.
        bf16: compute in bf16 where that is enough; weights stay in fp32.
        compiled: as with ``--compile``.
    """
    device = batch.squares.device
    let_published_parts_train(model)
    if channels_last_pays(device):
        model.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if compiled:
        compile_parts(model)
    at_once = expressions_at_once(model.config, device)
    objective = Objective(model, PaperLoss(), weight_decay=5e-4, device_count=1, expressions_at_once=at_once)
    objective.to(device).train()
    optimizer = paper_optimizer(model, learning_rate=2.5e-4)

    def step() -> Tensor:
        with autocast(device, bf16=bf16):
            loss = objective(batch)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return step


def autocast(device: torch.device, *, bf16: bool) -> AbstractContextManager[object]:
    """Has a device compute in bf16 where that is enough, or in the numbers of the weights."""
    return torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext()
