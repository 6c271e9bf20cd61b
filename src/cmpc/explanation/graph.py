"""What relation-aware reasoning moves, summed up between the regions of a photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from cmpc.data.transforms import Letterbox
from cmpc.explanation.regions import OUTSIDE, find_regions

THING = 0.5
"""A thing is where a word is answered at least this part as strongly as anywhere."""
FAINTEST = 0.1
"""Answers below this are no things."""


@dataclass(frozen=True)
class Attention:
    """What one step of reasoning weighs messages by, for N words on a grid of h x w cells (paper, equations 4 to 6)."""

    cell_to_words: NDArray[np.float32]
    """Attention of each cell over the words, sums to 1 over N: (N, h, w)."""
    word_to_cells: NDArray[np.float32]
    """Attention of each word over the cells, sums to 1 over h x w: (N, h, w)."""


@dataclass(frozen=True)
class Message:
    """A strong connection of the graph: a region receives features of another one."""

    source: int
    """Label of the region whose features are sent."""
    target: int
    """Label of the region that receives them."""
    word: int
    """Position of the word that carries most of it."""
    share: float
    """Part of what the target's cells receive that comes from the source, 0..1."""
    excess: float
    """How much of that share is owed to the words: the share less what a graph without relation words sends, which is
    the source's part of all cells. -1..1; all that a region receives sums to 0."""


@dataclass(frozen=True)
class Graph:
    """Relation-aware reasoning (paper, equations 4 to 7) on a grid of h x w cells, for N words.

    A cell receives the mean of all cells' features, weighted by
    ``sum_t cell_to_words[t, cell] * word_to_cells[t, other]``. Regions and messages are found when they are asked for.
    """

    steps: tuple[Attention, ...]
    """The attention of one step, or of the same step on several levels, whose mean is taken."""
    entities: NDArray[np.float32]
    """Entity features of the cells, or their principal components, (C, h, w)."""
    inside: NDArray[np.bool_]
    """Cells of the photo, (h, w)."""
    thing_cells: NDArray[np.bool_]
    """Cells that show what some word alone names (``Stages.named`` at least half as strong as anywhere), (h, w)."""

    @cached_property
    def cell_to_words(self) -> NDArray[np.float32]:
        """Attention of each cell over the words: by which words it receives. Sums to 1 over N: (N, h, w).

        ``1 / N`` where no word is relational.
        """
        return np.mean([step.cell_to_words for step in self.steps], axis=0)

    @cached_property
    def word_to_cells(self) -> NDArray[np.float32]:
        """Attention of each word over the cells: from which it gathers. Sums to 1 over h x w: (N, h, w).

        ``1 / (h * w)`` for words that are not relational.
        """
        return np.mean([step.word_to_cells for step in self.steps], axis=0)

    @cached_property
    def regions(self) -> NDArray[np.int64]:
        """Between what messages are summed up: labels 0..R-1, -1 in the padding around the photo: (h, w).

        First the things that a word alone names, touching cells as one, then what is around them, where neighbouring
        cells with like entity features are joined by Ward's rule.
        """
        return find_regions(self.entities, self.inside, self.thing_cells)

    @property
    def things(self) -> int:
        """How many of the regions, the first ones, are such things."""
        return int(self.regions[self.thing_cells].max(initial=OUTSIDE)) + 1

    @cached_property
    def shares(self) -> NDArray[np.float32]:
        """Messages between regions by the word that carries them: (N, R, R).

        ``shares[t, r, q]`` is the part of what the cells of r receive that comes from the cells of q by word t. Summed
        over t and q: 1, less what the padding sends.
        """
        return np.mean([region_shares(step, self.regions) for step in self.steps], axis=0)

    @property
    def excess(self) -> NDArray[np.float32]:
        """``shares`` less what a graph without relation words would send by the same words: (N, R, R).

        Such a graph gathers from all cells alike, so a region sends its part of all cells.
        """
        part = _members(self.regions).sum(axis=1) / self.regions.size  # (R,)
        return (self.shares - _received(self.cell_to_words, self.regions)[:, :, None] * part).astype(np.float32)

    def strongest(self, count: int) -> list[Message]:
        """The ``count`` connections with the largest positive excess, strongest first.

        They go to things: what their surroundings receive decides little. Without things they go to any region.
        """
        excess, shares = self.excess, self.shares.sum(axis=0)
        total = excess.sum(axis=0)  # (R, R)
        receivers = self.things or len(total)
        messages = [
            Message(
                source=int(source),
                target=int(target),
                word=int(excess[:, target, source].argmax()),
                share=float(shares[target, source]),
                excess=float(total[target, source]),
            )
            for target, source in np.argwhere(total[:receivers] > 0)
            if target != source
        ]
        return sorted(messages, key=lambda message: -message.excess)[:count]


def make_graph(
    steps: Sequence[Attention], entities: NDArray[np.float32], named: NDArray[np.float32], letterbox: Letterbox
) -> Graph:
    """The graph of one step of reasoning, or of the same step on several levels.

    Args:
        steps: the attention of each.
        entities: as ``Graph.entities``, (C, h, w).
        named: ``Stages.named``, on a grid of its own over the network's square input.
        letterbox: where the photo lies in that.
    """
    height, width = entities.shape[1:]
    on_cells = cv2.resize(named, (width, height), interpolation=cv2.INTER_AREA)
    return Graph(
        steps=tuple(steps),
        entities=entities,
        inside=cells_of_photo(letterbox, height, width),
        thing_cells=on_cells >= max(THING * float(named.max()), FAINTEST),
    )


def region_shares(attention: Attention, regions: NDArray[np.int64]) -> NDArray[np.float32]:
    """Messages between regions, from the factors of the adjacency, which is never formed.

    Args:
        attention: of one step of reasoning.
        regions: labels 0..R-1, -1 outside, (h, w).

    Returns:
        ``Graph.shares``, (N, R, R).
    """
    sent = attention.word_to_cells[:, regions != OUTSIDE] @ _members(regions).T  # (N, R): sum over the cells
    return np.einsum("tr,tq->trq", _received(attention.cell_to_words, regions), sent).astype(np.float32)


def _received(cell_to_words: NDArray[np.float32], regions: NDArray[np.int64]) -> NDArray[np.float32]:
    """How much each region receives by each word, the mean over its cells: (N, h, w) -> (N, R)."""
    members = _members(regions)
    return np.asarray(cell_to_words[:, regions != OUTSIDE] @ members.T / members.sum(axis=1), np.float32)


def _members(regions: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the cells inside belong to each region: (h, w) -> (R, cells inside)."""
    return np.arange(regions.max() + 1)[:, None] == regions[regions != OUTSIDE]


def cells_of_photo(letterbox: Letterbox, height: int, width: int) -> NDArray[np.bool_]:
    """Which cells of a grid over the network's square have their centre in the photo, (height, width).

    A photo so thin that it holds no centre keeps the row or column next to its middle.
    """
    rows = _centres_within(letterbox.rows, height, letterbox.size)
    columns = _centres_within(letterbox.columns, width, letterbox.size)
    return rows[:, None] & columns[None, :]


def _centres_within(part: slice, cells: int, size: int) -> NDArray[np.bool_]:
    centres = (np.arange(cells) + 0.5) * size / cells
    within = (centres >= part.start) & (centres < part.stop)
    if not within.any():
        within[np.abs(centres - (part.start + part.stop) / 2).argmin()] = True
    return within
