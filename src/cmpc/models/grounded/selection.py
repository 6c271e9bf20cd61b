"""An expression refers to one thing: things compete for it, and every cell hears which one won. Not in the paper.

Scores of cells are given one by one, so that two things which answer about equally well are both in the mask, or
neither. Here each thing is scored as a whole, by the mean of its cells, and a cell learns which thing won, by how much,
and whether it is part of it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cmpc.models.cells import CellProduct, CellScore

WIDTHS = (1.2, 3.2)
"""Distances in errors of middles within which cells that tell such middles show one thing (standard deviations)."""
COMPARED = len(WIDTHS) + 5
"""What a cell hears of the competition: how surely it shows the winner, in each width; its own score, its thing's, that
to the winner's, the winner's and the best rival's."""


class Selection(nn.Module):
    """Tells each cell of the fused map which thing answers the expression best and whether it shows that one."""

    def __init__(self, *, channels: int, middle_error: float) -> None:
        """
        Args:
            channels: of the fused map.
            middle_error: as in ``GroundedConfig``.
        """
        super().__init__()
        self.middle_error = middle_error
        self.answer = CellScore(channels)
        self.listen = CellProduct(channels, COMPARED, outputs=channels)  # layers have the names of checkpoints
        self.update = CellProduct(channels, outputs=channels)

    def forward(self, fused: Tensor, things: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """
        Args:
            fused: map of E expressions, (E, S, F).
            things: whether each cell of their images shows a thing, and where it says that the middle of that is, in
                image widths, (E, 3, S).
            grid: rows and columns of the cells.

        Returns:
            The fused map in which each cell knows of the winner, (E, S, F), and the scores by which it was found,
            logits, (E, h, w).
        """
        scores = self.answer(fused, grid)  # (E, h, w)
        cells = scores.flatten(1)[:, None]  # (E, 1, S)
        shown, middles = things.split([1, 2], dim=1)  # (E, 1, S), (E, 2, S)
        same, alike = same_thing(middles / self.middle_error)  # (E, S, S) each
        means = ((cells * shown) @ same) / (shown @ same).clamp_min(1e-6)  # (E, 1, S), over the cells of one's thing
        winner = (means + shown.clamp_min(1e-6).log()).detach().argmax(dim=2, keepdim=True)  # (E, 1, 1)
        best = means.gather(2, winner)
        row = winner.expand(-1, -1, cells.shape[2])
        same, alike = same.gather(1, row), alike.gather(1, row)  # (E, 1, S) each
        rival = (means.sigmoid() * shown * (1 - alike)).amax(dim=2, keepdim=True)
        chances = [cells.sigmoid(), means.sigmoid(), (means - best).clamp(max=0).exp(), best.sigmoid(), rival]
        compared = torch.cat([same, alike, *(chance.expand_as(cells) for chance in chances)], dim=1).mT
        heard = self.listen(fused, compared.to(fused.dtype)).relu_()
        return (fused + self.update(heard)).relu_(), scores


def same_thing(middles: Tensor) -> list[Tensor]:
    """How surely two cells show one thing, by the middles that they tell, in their errors, in each width: (E, 2, S) ->
    (E, S, S)."""
    apart = (middles[:, :, :, None] - middles[:, :, None, :]).square().sum(dim=1)
    return [(apart / (-2 * width**2)).exp() for width in WIDTHS]
