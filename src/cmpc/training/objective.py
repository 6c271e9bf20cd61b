"""The network and its loss as one module: what a device computes in a step."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from cmpc.data.dataset import Batch
from cmpc.data.pixels import PixelNormalisation
from cmpc.models import ReferringNetwork, SegmentationOutput
from cmpc.training.losses import Loss, l2_kernels, l2_regularisation


class Objective(nn.Module):
    """Gives the terms of a step's loss; each is this device's share, and the shares of all devices add up to the
    whole."""

    def __init__(self, model: ReferringNetwork, loss: Loss, *, weight_decay: float, device_count: int) -> None:
        """
        Args:
            model: the network.
            loss: compares its output with the masks.
            weight_decay: factor of the L2 regularisation that is part of the loss; 0 for none.
            device_count: how many devices share a step.
        """
        super().__init__()
        self.model = model
        self.normalise = PixelNormalisation(model.config.image)
        self.loss = loss
        self.weight_decay = weight_decay
        self.kernels = l2_kernels(model) if weight_decay else []
        self.device_count = device_count

    def train(self, mode: bool = True) -> Objective:
        """Switches to training or back; a frozen backbone keeps the statistics of its batch norms."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.model.backbone.parameters()):
            self.model.backbone.eval()
        return self

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of what ``forward`` gives."""
        regularisation = ("regularisation",) if self.weight_decay else ()
        return ("loss", *(term for term in self.loss.terms if term != "loss"), *regularisation, "iou")

    def predict(self, batch: Batch) -> SegmentationOutput:
        """The network's output for a batch."""
        return cast(SegmentationOutput, self.model(self.normalise(batch.images), batch.tokens, batch.image_index))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """
        Returns:
            Scalars: ``loss``, which is to be minimised, its parts, and ``iou``, the mean IoU of the batch.
        """
        output = self.predict(batch)
        terms = self.loss(output, batch)
        if self.weight_decay:
            terms["regularisation"] = self.weight_decay * l2_regularisation(self.kernels) / self.device_count
            terms["loss"] = terms["loss"] + terms["regularisation"]
        intersection, union = overlap(output.logits, batch.masks)
        return {**terms, "iou": (intersection / union.clamp_min(1)).sum() / batch.step_expressions}


def overlap(logits: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels of intersection and of union of each predicted mask (logit >= 0) with the true one: (E, H, W) -> (E,)
    twice."""
    predicted = logits.detach() >= 0
    return (predicted & masks).sum(dim=(1, 2)), (predicted | masks).sum(dim=(1, 2))
