"""Classes of cells by which grounded reasoning compares them: one set for each aspect, such as colour or shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmpc.models.cells import on_grid

ASPECTS, CLASSES = 6, 12
"""Sets of classes, and classes in each."""


class Aspects(nn.Module):
    """Sorts each cell into classes, once in each aspect, from all stages of the backbone.

    Like the backbone, from which alone it reads, it can be taught before there are words: ``cmpc train
    --backbone-weights`` takes it with the backbone, and ``--freeze-backbone`` keeps it too. Untaught it learns from the
    masks what the comparisons of the expressions need.
    """

    def __init__(self, channels: Mapping[str, int]) -> None:
        """
        Args:
            channels: of each stage that is read, by its name.
        """
        super().__init__()
        self.stages = nn.ModuleDict({name: nn.Conv2d(count, ASPECTS * CLASSES, 1) for name, count in channels.items()})

    def scores(self, stages: Mapping[str, Tensor]) -> Tensor:
        """Scores of the classes on the finest grid that is read: (B, C, h', w') each -> (B, aspects, classes, h, w)."""
        scores = on_finest_grid([score(stages[name]) for name, score in self.stages.items()])
        return scores.unflatten(1, (ASPECTS, CLASSES))

    def forward(self, stages: Mapping[str, Tensor], grid: tuple[int, int]) -> Tensor:
        """Shares of the classes, which sum to 1 in each aspect, on the grid of the cells: (B, C, h', w') each -> (B,
        aspects, classes, S)."""
        scores = on_grid(self.scores(stages).flatten(1, 2), grid)
        return scores.unflatten(1, (ASPECTS, CLASSES)).softmax(dim=2).flatten(3)


def on_finest_grid(maps: Sequence[Tensor]) -> Tensor:
    """Sum of maps of several resolutions, on the grid of the finest: (B, C, h', w') each -> (B, C, h, w)."""
    height, width = max((scores.shape[2], scores.shape[3]) for scores in maps)
    on_grid = [
        scores
        if scores.shape[2:] == (height, width)
        else F.interpolate(scores, size=(height, width), mode="bilinear", align_corners=False)
        for scores in maps
    ]
    return torch.stack(on_grid).sum(dim=0)
