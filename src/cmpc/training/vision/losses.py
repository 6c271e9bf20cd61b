"""What learning to see minimises, and how well blocks are told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.conventions import LEVELS
from cmpc.models.grounded.objects import find_objects
from cmpc.training.vision.scenes import UNKNOWN_THING

GROUND_WEIGHT = 0.2
"""Of pixels that show no block: seven of eight."""
UNKNOWN = -100
"""Label of pixels that do not teach an attribute."""
TOLERANCES = (0.8, 0.8, 8.0, 8.0, 2.0)
"""Errors that count alike: middle in image widths, place and radius in units of the ground, in errors of middles."""
PLACE_WEIGHT, PRESENCE_WEIGHT = 0.2, 1.0
"""Weights of where blocks are and of whether there is one, beside 1 for the attributes."""
LEAST_CELLS = 4
"""Cells of a block that is small enough not to be told apart."""


class AttributeHeads(nn.Module):
    """On each level of the backbone a layer that tells the attributes of each cell; only the training has it."""

    def __init__(self, stages: Mapping[str, tuple[int, int]], classes: Mapping[str, int]) -> None:
        """
        Args:
            stages: channels and stride of each map of the backbone.
            classes: how many each attribute has.
        """
        super().__init__()
        self.sizes = list(classes.values())
        self.levels = nn.ModuleDict({level: nn.Conv2d(stages[level][0], sum(self.sizes), 1) for level in LEVELS})

    def forward(self, stages: Mapping[str, Tensor]) -> list[list[Tensor]]:
        """For each level the scores of each attribute, (B, classes, h, w), from what the backbone gave."""
        return [list(head(stages[level]).split(self.sizes, dim=1)) for level, head in self.levels.items()]


def attribute_loss(scores: Sequence[Tensor], labels: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy, summed over the attributes, and the share of the blocks' pixels whose attributes are told right.

    Args:
        scores: of each attribute, (B, classes, h, w).
        labels: class of each pixel for each attribute or ``UNKNOWN``, (B, attributes, H, W) int64.
    """
    losses, right = [], []
    for of_attribute, truth in zip(scores, labels.unbind(dim=1), strict=True):
        resized = F.interpolate(of_attribute, size=truth.shape[1:], mode="bilinear", align_corners=False)
        weight = torch.ones(resized.shape[1], device=resized.device)
        weight[0] = GROUND_WEIGHT
        losses.append(F.cross_entropy(resized.float(), truth, weight=weight, ignore_index=UNKNOWN))
        is_block = truth > 0
        right.append(((resized.argmax(dim=1) == truth) & is_block).sum() / is_block.sum().clamp_min(1))
    return torch.stack(losses).sum(), torch.stack(right).mean()


def object_loss(of_cells: Tensor, shown: Tensor, geometry: Tensor, *, middle_error: float) -> tuple[Tensor, Tensor]:
    """Loss of what the object head says of cells, and the mean error of the middle in image widths.

    A block counts as the root of its cells, or small and hidden ones, which are easily missed, would hardly count.

    Args:
        of_cells: what the head says, (B, 6, h, w).
        shown: number of the block in the middle of each cell from 1, 0 for none, ``UNKNOWN_THING`` where that is not
            known: (B, h, w) int64.
        geometry: of each block, (B, K + 1, 5), zero in the place of none.
        middle_error: as in ``GroundedConfig``.
    """
    known = shown != UNKNOWN_THING
    shown = shown * known
    is_block = shown > 0
    index = shown.flatten(1)[:, :, None].expand(-1, -1, geometry.shape[2])
    truth = geometry.gather(1, index).mT.view_as(of_cells[:, 1:])
    tolerance = of_cells.new_tensor(TOLERANCES)[:, None, None] * middle_error
    off = F.smooth_l1_loss(of_cells[:, 1:] / tolerance, truth / tolerance, reduction="none").sum(dim=1)
    cells = F.one_hot(shown.flatten(1), geometry.shape[1]).sum(dim=1)  # of each block
    weight = cells.gather(1, shown.flatten(1)).view_as(shown).float().rsqrt() * is_block
    presence = F.binary_cross_entropy_with_logits(of_cells[:, 0], is_block.float(), known.float())
    middle = (of_cells[:, 1:3] - truth[:, :2]).abs().mean(dim=1)
    error = (middle * is_block).sum() / is_block.sum().clamp_min(1)
    place = (off * weight).sum() / weight.sum().clamp_min(1e-6)
    return PLACE_WEIGHT * place + PRESENCE_WEIGHT * presence, error


def are_told_apart(of_cells: Tensor, shown: Tensor, *, middle_error: float) -> list[bool]:
    """Whether in each image every block has an object of its own, and there is no other object.

    Args:
        of_cells: what the object head says, (B, 6, h, w).
        shown: number of the block in the middle of each cell, (B, h, w) int64; blocks of less than ``LEAST_CELLS``
            cells do not count.
        middle_error: as in ``GroundedConfig``.
    """
    objects = find_objects(of_cells, (of_cells.shape[2], of_cells.shape[3]), middle_error=middle_error)
    answers = []
    for belonging, existence, numbers in zip(objects.belonging, objects.existence, shown, strict=True):
        cells = F.one_hot(numbers.flatten()).float()  # (S, K + 1)
        counts = cells.sum(dim=0) >= LEAST_CELLS
        counts[0] = False
        own = (belonging @ cells[:, counts]).argmax(dim=0)  # the object of each block
        answers.append(sorted(own.tolist()) == (existence > 0.5).nonzero()[:, 0].tolist())
    return answers
