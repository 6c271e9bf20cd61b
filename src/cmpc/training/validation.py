"""A quick score of the model while it trains, at the size of the network's input."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from torch import nn

from cmpc.data.dataset import Batch
from cmpc.data.device_transforms import PhotoBatch
from cmpc.training.fabric import over_devices

UNIT = 1 << 36
"""An IoU is summed in steps of 2**-36, so that the mean depends neither on the order nor on the number of devices."""


@dataclass(frozen=True)
class ValidationScores:
    """Scores of a split, measured on letterboxed photos and masks.

    They decide which model is the best one. Numbers to report come from ``cmpc evaluate``, which measures on the
    photos.
    """

    overall_iou: float
    """Sum of the intersections / sum of the unions."""
    mean_iou: float
    """Mean over the expressions of intersection / union."""
    expressions: int
    """How many there were."""


def validate(objective: nn.Module, batches: Iterable[Batch | PhotoBatch], fabric: Fabric) -> ValidationScores:
    """Scores the model on all batches.

    Args:
        objective: an ``Objective``, as Fabric wraps it.
        batches: this device's share of the split (``PassSampler``), as many as every device has.
        fabric: the devices.
    """
    sums = torch.zeros(4, dtype=torch.int64)  # intersection, union, IoU, expressions
    objective.eval()
    with torch.no_grad():
        for loaded in batches:
            batch = loaded.to(fabric.device)
            overlaps = objective(batch, overlaps=True)
            if batch.step_expressions == 0:  # it is there for the other devices
                continue
            intersection, union = overlaps["intersection"].cpu(), overlaps["union"].cpu()
            iou = torch.where(union > 0, intersection * UNIT // union.clamp_min(1), UNIT)  # both empty: right
            sums += torch.stack([intersection.sum(), union.sum(), iou.sum(), torch.tensor(len(iou))])
    objective.train()
    intersection, union, iou, expressions = over_devices(fabric, sums).tolist()
    return ValidationScores(intersection / max(union, 1), iou / (UNIT * max(expressions, 1)), expressions)
