"""A quick score of the model while it trains, at the size of the network's input."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric

from cmpc.data.dataset import Batch
from cmpc.data.device_transforms import PhotoBatch
from cmpc.training.fabric import over_devices
from cmpc.training.objective import Objective, iou_of, overlap


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


def validate(objective: Objective, batches: Iterable[Batch | PhotoBatch], fabric: Fabric) -> ValidationScores:
    """Scores the model on all batches; each device has its own share of them."""
    sums = torch.zeros(4, dtype=torch.float64)  # intersection, union, IoU, expressions
    objective.eval()
    with torch.no_grad():
        for loaded in batches:
            batch = loaded.to(fabric.device)
            with fabric.autocast():
                output = objective.predict(batch)
            intersection, union = (values.double().cpu() for values in overlap(output.logits, batch.masks))
            iou = iou_of(intersection, union)
            sums += torch.stack([intersection.sum(), union.sum(), iou.sum(), torch.tensor(float(len(iou)))])
    objective.train()
    total = over_devices(fabric, sums).cpu()
    intersection, union, iou, expressions = total.tolist()
    return ValidationScores(intersection / max(union, 1), iou / max(expressions, 1), int(expressions))
