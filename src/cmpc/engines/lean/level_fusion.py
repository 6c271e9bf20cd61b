"""Fusion of a level for inference: its parts are added up in place, the constant ones first."""

from __future__ import annotations

from torch import Tensor, nn

from cmpc.engines.lean.cells import CellProduct, matrix
from cmpc.engines.lean.convolution import frozen
from cmpc.models.grid import POSITION_CHANNELS, cell_positions
from cmpc.models.level_fusion import LevelFusion


class LeanLevelFusion(nn.Module):
    """``LevelFusion`` without the concatenation; what the position adds is computed once for all."""

    def __init__(self, part: LevelFusion, *, maps: int, grid: tuple[int, int]) -> None:
        super().__init__()
        weight = matrix(part.project)  # (inputs, F)
        sentence = len(weight) - part.cell_channels - POSITION_CHANNELS
        of_cells, of_sentence, of_position = weight.split([part.cell_channels, sentence, POSITION_CHANNELS])
        self.of_cells = nn.ModuleList([CellProduct(some.mT) for some in of_cells.chunk(maps)])
        self.of_sentence = frozen(of_sentence.clone())  # (D, F), apart from those of the cells, which may be let go
        position = cell_positions(*grid, device=weight.device).flatten(1).mT  # (S, 8)
        bias = part.project.bias
        assert bias is not None
        self.everywhere = frozen(position.to(weight.dtype) @ of_position + bias)  # (S, F)

    def forward(self, cells: list[Tensor], sentence: Tensor) -> Tensor:
        """Maps of the level, each (E, S, C), and sentences, (E, D) -> (E, S, F)."""
        return self._add(self.everywhere + self.of_sentences(sentence), cells).relu_()

    def of_image(self, cells: list[Tensor]) -> Tensor:
        """What maps of the image alone, each (B, S, C), and the position give before the ReLU: (B, S, F)."""
        return self._add(self.everywhere, cells)

    def of_sentences(self, sentence: Tensor) -> Tensor:
        """What sentences, (E, D), add to every cell: (E, 1, F)."""
        return (sentence @ self.of_sentence)[:, None]

    def _add(self, fused: Tensor, cells: list[Tensor]) -> Tensor:
        for some, product in zip(cells, self.of_cells, strict=True):
            fused = product(some).add_(fused)
        return fused
