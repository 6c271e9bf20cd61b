"""The network and its loss as one module: what a device computes in a step."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from cmpc.data.dataset import Batch
from cmpc.data.pixels import PixelNormalisation
from cmpc.models.network import ReferringNetwork, SegmentationOutput
from cmpc.training.losses import Loss, l2_kernels, l2_regularisation
from cmpc.training.pieces import summed_over_pieces


class Objective(nn.Module):
    """Gives the terms of a step's loss; each is this device's share, and the shares of all devices add up to the
    whole."""

    def __init__(
        self,
        model: ReferringNetwork,
        loss: Loss,
        *,
        weight_decay: float,
        device_count: int,
        expressions_at_once: int | None = None,
    ) -> None:
        """
        Args:
            model: the network.
            loss: compares its output with the masks.
            weight_decay: factor of the L2 regularisation that is part of the loss; 0 for none.
            device_count: how many devices share a step.
            expressions_at_once: more go through the network in pieces of equal size, one after the other, while it
                trains: the same loss and gradients with less memory; None for all together.
        """
        super().__init__()
        self.model = model
        self.normalise = PixelNormalisation(model.config.image)
        self.loss = loss
        self.weight_decay = weight_decay
        self.kernels = l2_kernels(model) if weight_decay else []
        self.device_count = device_count
        self.expressions_at_once = expressions_at_once

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
        return cast(SegmentationOutput, self.model(self.normalise(batch.squares), batch.tokens, batch.image_index))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """
        Returns:
            Scalars: ``loss``, which is to be minimised, its parts, and ``iou``, the mean IoU of the batch.
        """
        count, at_once = len(batch.tokens), self.expressions_at_once
        if at_once is None or count <= at_once or not torch.is_grad_enabled():
            terms = self._terms(self.predict(batch), batch)
        else:
            pieces = -(-count // at_once)
            terms = self._terms_in_pieces(batch, -(-count // pieces))
        if self.weight_decay:
            terms["regularisation"] = self.weight_decay * l2_regularisation(self.kernels) / self.device_count
            terms["loss"] = terms["loss"] + terms["regularisation"]
        return terms

    def _terms(self, output: SegmentationOutput, batch: Batch) -> dict[str, Tensor]:
        """Terms without the regularisation. Each is a sum over expressions, divided by their number in the step."""
        intersection, union = overlap(output.logits, batch.masks)
        iou = iou_of(intersection, union).sum() / batch.step_expressions
        return {**self.loss(output, batch, self.model), "iou": iou}

    def _terms_in_pieces(self, batch: Batch, at_once: int) -> dict[str, Tensor]:
        images = self.model.encode_image(self.normalise(batch.squares))

        def evaluate(rows: slice, copies: Sequence[Tensor]) -> dict[str, Tensor]:
            piece = batch.expressions(rows)
            words = self.model.encode_expression(piece.tokens)
            seen = dataclasses.replace(images, maps=dict(zip(images.maps, copies, strict=True)))
            return self._terms(self.model.comprehend(seen, words, piece.image_index), piece)

        backbone = set(self.model.backbone.parameters())
        parameters = [value for value in self.model.parameters() if value.requires_grad and value not in backbone]
        return summed_over_pieces(
            evaluate, rows=len(batch.tokens), at_once=at_once, shared=list(images.maps.values()), parameters=parameters
        )


def overlap(logits: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels of intersection and of union of each predicted mask (logit >= 0) with the true one: (E, H, W) -> (E,)
    twice."""
    predicted = logits.detach() >= 0
    return (predicted & masks).sum(dim=(1, 2)), (predicted | masks).sum(dim=(1, 2))


def iou_of(intersection: Tensor, union: Tensor) -> Tensor:
    """Intersection over union; 1 where both masks are empty, as where nothing fits and nothing is marked."""
    return torch.where(union > 0, intersection / union.clamp_min(1), 1.0)
