"""What training minimises: the paper's loss, and the usual mixture of today.

Both give sums over this device's expressions divided by the expressions of the whole step on all devices, so that the
sum over the devices is the mean over the step, whatever each of them holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.conventions import LEVELS
from cmpc.data.dataset import NO_TYPE, Batch
from cmpc.models.network import ReferringNetwork, SegmentationOutput

SIDE_STRIDE = 4
"""Pixels along an axis, of which the side losses of the modern recipe judge the mean: the cells that they score are
larger."""


class Loss(Protocol):
    """A loss names its terms; ``loss`` is their weighted sum."""

    @property
    def terms(self) -> Sequence[str]:
        """Names of what ``__call__`` gives."""

    def __call__(self, output: SegmentationOutput, batch: Batch, network: ReferringNetwork) -> dict[str, Tensor]: ...


@dataclass(frozen=True)
class PaperLoss:
    """Sigmoid cross entropy, summed over the pixels and averaged over the expressions (the original's
    ``cls_loss_all``).

    It is a sum: with a mean over the 102,400 pixels, the weight decay that goes with it would be that much too strong.
    """

    sides: Sequence[str] = LEVELS
    """What has a side loss: levels, and ``selection`` where there is one; the recurrent refinement network has none."""
    side_weight: float = 0.1
    """Weight of each side loss; the final one has the rest, 0.7 with three levels."""

    @property
    def terms(self) -> Sequence[str]:
        """Names of what a call gives."""
        return ("loss", "final", *self.sides)

    def __call__(self, output: SegmentationOutput, batch: Batch, network: ReferringNetwork) -> dict[str, Tensor]:
        """
        Args:
            output: of the network, for the batch.
            batch: only its masks are used.
            network: gives the side logits of the output.

        Returns:
            Scalars: ``loss`` and its parts before weighting.
        """
        targets = batch.masks.float()

        def cross_entropy(logits: Tensor) -> Tensor:
            return F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="sum") / batch.step_expressions

        final = cross_entropy(output.logits)
        sides = {name: cross_entropy(logits) for name, logits in network.side_logits(output).items()}
        loss = (1 - self.side_weight * len(sides)) * final
        for side in sides.values():
            loss = loss + self.side_weight * side
        return {"loss": loss, "final": final, **sides}


@dataclass(frozen=True)
class ModernLoss:
    """Cross entropy (mean over pixels) and Dice, for the final map and, more lightly, for each side loss.

    Dice weighs small and large objects alike, where cross entropy sees mostly background; of an expression that refers
    to nothing it would say no more than cross entropy does, and is left out. Where the data give word types, the
    classifier of word types learns from them too, and where the network tells whether anything fits, it learns that.
    """

    sides: Sequence[str] = LEVELS
    """What has a side loss: levels, and ``selection`` where there is one; the recurrent refinement network has none."""
    side_weight: float = 0.2
    """Weight of each side loss, beside 1 for the final one."""
    word_type_weight: float = 0.1
    """Weight of the loss on the word types."""
    grounding_weight: float = 0.0
    """Weight of the loss on where words attend to, in each look; 0 for a network that does not ground words."""
    presence_weight: float = 0.0
    """Weight of the loss on whether anything fits; 0 for a network that does not tell."""

    @property
    def terms(self) -> Sequence[str]:
        """Names of what a call gives."""
        optional = {"grounding": self.grounding_weight, "presence": self.presence_weight}
        return ("loss", "final", *self.sides, "word_types", *(name for name, weight in optional.items() if weight))

    def __call__(self, output: SegmentationOutput, batch: Batch, network: ReferringNetwork) -> dict[str, Tensor]:
        """
        Args:
            output: of the network, for the batch.
            batch: masks, and word types and grounding where the data give them.
            network: gives the side logits and the attentions of the output.

        Returns:
            Scalars: ``loss`` and its parts before weighting.
        """
        targets, step_expressions = batch.masks.float(), batch.step_expressions
        final = _cross_entropy_and_dice(output.logits.float(), targets).sum() / step_expressions
        coarse = F.avg_pool2d(targets[:, None], SIDE_STRIDE, ceil_mode=True)[:, 0]
        sides = {
            name: _cross_entropy_and_dice(logits.float(), coarse).sum() / step_expressions
            for name, logits in network.side_logits(output, SIDE_STRIDE).items()
        }
        loss = final
        for side in sides.values():
            loss = loss + self.side_weight * side
        types = torch.zeros_like(loss)
        if batch.word_types is not None:
            logits = output.word_type_logits.float()
            types = _word_type_cross_entropy(logits, batch.word_types).sum() / step_expressions
            loss = loss + self.word_type_weight * types
        terms = {"final": final, **sides, "word_types": types}
        if self.grounding_weight:
            grounding = torch.zeros_like(loss)
            if batch.grounding_masks is not None and batch.grounding_index is not None:
                looks = [
                    _missed_grounding(attention, output.grid, batch.grounding_masks, batch.grounding_index)
                    for attention in network.attentions(output)
                ]
                grounding = torch.stack(looks).sum() / step_expressions
            loss = loss + self.grounding_weight * grounding
            terms["grounding"] = grounding
        if self.presence_weight and output.presence is not None:
            fits = batch.masks.flatten(1).any(dim=1).float()
            presence = F.binary_cross_entropy_with_logits(output.presence.float(), fits, reduction="sum")
            presence = presence / step_expressions
            loss = loss + self.presence_weight * presence
            terms["presence"] = presence
        return {"loss": loss, **terms}


def l2_kernels(model: ReferringNetwork) -> list[Tensor]:
    """The kernels that the original regularises: those named ``DW``, and the backbone's where they train.

    Layers outside the backbone but the recurrent ones; no biases, embeddings, norms or peepholes.
    """
    recurrent = set() if model.conv_lstm is None else set(model.conv_lstm.modules())
    return [
        module.weight
        for module in model.modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and module not in recurrent and module.weight.requires_grad
    ]


def l2_regularisation(kernels: Iterable[Tensor]) -> Tensor:
    """Half the sum of the squares of all kernels (``reg_loss`` of the original, before its factor 0.0005)."""
    return torch.stack([kernel.square().sum() for kernel in kernels]).sum() / 2


def _cross_entropy_and_dice(logits: Tensor, targets: Tensor) -> Tensor:
    """(E, H, W) twice -> (E,): mean cross entropy of the pixels plus ``1 - Dice``, which is 0 of an empty target."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=(1, 2))
    probabilities = logits.sigmoid()
    overlap = (probabilities * targets).sum(dim=(1, 2))
    total = probabilities.sum(dim=(1, 2)) + targets.sum(dim=(1, 2))
    missed = 1 - (2 * overlap + 1) / (total + 1)
    return cross_entropy + missed * targets.flatten(1).any(dim=1)


def _word_type_cross_entropy(logits: Tensor, word_types: Tensor) -> Tensor:
    """(E, N, 4), (E, N) -> (E,): mean over the words whose type is given, 0 where none is."""
    losses = F.cross_entropy(logits.mT, word_types, ignore_index=NO_TYPE, reduction="none")  # (E, N)
    return losses.sum(dim=1) / (word_types != NO_TYPE).sum(dim=1).clamp_min(1)


def _missed_grounding(attention: Tensor, grid: tuple[int, int], masks: Tensor, index: Tensor) -> Tensor:
    """(E, N, S), (M, h, w), (E, N) -> (E,): mean over words of the cross entropy between their attention and an even
    spread over what they speak about. Even, since ranks count what a word attends to."""
    cells = F.adaptive_avg_pool2d(masks, grid).flatten(1)  # (M, S)
    spread = cells / cells.sum(dim=1, keepdim=True).clamp_min(1e-6)
    known = (index > 0) & (cells.sum(dim=1) > 0)[index]
    losses = -((attention + 1e-6).log() * spread[index]).sum(dim=2) * known
    return losses.sum(dim=1) / known.sum(dim=1).clamp_min(1)
