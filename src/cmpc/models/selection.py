"""An expression refers to one thing: things compete for it, and every cell hears which one won. Not in the paper.

Scores of cells are given one by one, so that two things which answer about equally well are both in the mask, or
neither. Here each thing is scored as a whole, by the mean of its cells, and a cell learns which thing won, by how much,
and whether it is part of it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (0.03, 0.08)
"""Distances in image widths within which cells that tell such middles show one thing (standard deviations)."""
TOLD = len(WIDTHS) + 5
"""What a cell is told: how surely it shows the winner, in each width; its own score, its thing's, that to the winner's,
the winner's and the best rival's."""


class Selection(nn.Module):
    """Tells each cell of the fused map which thing answers the expression best and whether it shows that one."""

    def __init__(self, *, channels: int) -> None:
        """
        Args:
            channels: of the fused map.
        """
        super().__init__()
        self.answer = nn.Conv2d(channels, 1, 3, padding=1)
        self.listen = nn.Conv2d(channels + TOLD, channels, 1)
        self.update = nn.Conv2d(channels, channels, 1)

    def forward(self, fused: Tensor, things: Tensor, image_index: Tensor) -> tuple[Tensor, Tensor]:
        """
        Args:
            fused: map of E expressions, (E, F, h, w).
            things: whether each cell of B images shows a thing, and where it says that the middle of that is, in image
                widths, (B, 3, S).
            image_index: the image of each expression, (E,) int64.

        Returns:
            The fused map in which each cell knows of the winner, (E, F, h, w), and the scores by which it was found,
            logits, (E, h, w).
        """
        scores = self.answer(fused).float()  # (E, 1, h, w)
        cells = scores.flatten(2)  # (E, 1, S)
        shown, middles = things.split([1, 2], dim=1)  # (B, 1, S), (B, 2, S)
        same, alike = (kernel[image_index] for kernel in same_thing(middles))  # (E, S, S) each
        shown = shown[image_index]
        means = ((cells * shown) @ same) / (shown @ same).clamp_min(1e-6)  # (E, 1, S), over the cells of one's thing
        winner = (means + shown.clamp_min(1e-6).log()).detach().argmax(dim=2, keepdim=True)  # (E, 1, 1)
        best = means.gather(2, winner)
        row = winner.expand(-1, -1, cells.shape[2])
        same, alike = same.gather(1, row), alike.gather(1, row)  # (E, 1, S) each
        rival = (means.sigmoid() * shown * (1 - alike)).amax(dim=2, keepdim=True)
        chances = [cells.sigmoid(), means.sigmoid(), (means - best).clamp(max=0).exp(), best.sigmoid(), rival]
        told = [same, alike, *(chance.expand_as(cells) for chance in chances)]
        heard = torch.cat(told, dim=1).unflatten(2, fused.shape[2:]).to(fused.dtype)
        listened = F.relu(self.listen(torch.cat([fused, heard], dim=1)))
        return F.relu(fused + self.update(listened)), scores[:, 0]


def same_thing(middles: Tensor) -> list[Tensor]:
    """How surely two cells show one thing, by the middles that they tell, in each width: (B, 2, S) -> (B, S, S)."""
    apart = (middles[:, :, :, None] - middles[:, :, None, :]).square().sum(dim=1)
    return [(apart / (-2 * width**2)).exp() for width in WIDTHS]
