"""What an explanation holds: each number of it is the network's own, and says how it was got."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from cmpc.data.transforms import Letterbox
from cmpc.models.config import WORD_TYPES
from cmpc.models.grid import upsample
from cmpc.prediction import Prediction

WordKind = Literal["entity", "attribute", "relation", "unnecessary", "described", "word"]
"""How a word is shown: by its likeliest type; ``described`` for entity or attribute where the model knows only their
sum; ``word`` where word types have no effect in the network."""


@dataclass(frozen=True)
class Typing:
    """What the model's word types mean."""

    supervised: bool
    """Whether they were trained with labels. Without, entity and attribute enter the network only as a sum: nothing
    tells one from the other, and only the sum is worth reading."""
    used: bool
    """Whether the network weighs words by their types at all (``ModelConfig.word_type_gating``)."""

    def kind(self, probabilities: NDArray[np.float32]) -> WordKind:
        """The kind of a word with these probabilities, (4,) in the order of ``WORD_TYPES``."""
        if not self.used:
            return "word"
        if self.supervised:
            return WORD_TYPES[int(probabilities.argmax())]  # type: ignore[return-value]
        entity, attribute, relation, unnecessary = probabilities.tolist()
        sums: dict[WordKind, float] = {
            "described": entity + attribute,
            "relation": relation,
            "unnecessary": unnecessary,
        }
        return max(sums, key=lambda kind: sums[kind])


@dataclass(frozen=True)
class Arrow:
    """A strong connection of the graph: a region listens to another one."""

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
    """One step of relation-aware reasoning (paper, equations 4 to 7) on a grid of h x w cells, for N words.

    A cell receives the mean of all cells' features, weighted by ``sum_t listening[t, cell] * speaking[t, other]``.
    """

    listening: NDArray[np.float32]
    """By which words each cell receives: the affinity of cell and word, softmax over the words; sums to 1 over N:
    (N, h, w). ``1 / N`` where no word is relational."""
    speaking: NDArray[np.float32]
    """From which cells each word gathers: the affinity, softmax over the cells; sums to 1 over h x w: (N, h, w).
    ``1 / (h * w)`` for words that are not relational."""
    regions: NDArray[np.int64]
    """Between what messages are summed up: labels 0..R-1, -1 in the padding around the photo: (h, w). First the things
    that a word alone finds (``Stages.named`` at least half as strong as anywhere), then what is around them, where
    neighbouring cells with like entity features are joined by Ward's rule."""
    things: int
    """How many of the regions, the first ones, are such things."""
    shares: NDArray[np.float32]
    """Messages between regions by the word that carries them: ``shares[t, r, q]`` is the part of what the cells of r
    receive that comes from the cells of q by word t: (N, R, R). Summed over t and q: 1, less what the padding sends."""

    @property
    def cells(self) -> NDArray[np.int64]:
        """Number of cells of each region, (R,)."""
        return np.bincount(self.regions[self.regions >= 0], minlength=self.shares.shape[1])

    @property
    def excess(self) -> NDArray[np.float32]:
        """``shares`` less what a graph without relation words would send by the same words: (N, R, R).

        Such a graph gathers from all cells alike, so a region sends its part of all cells.
        """
        heard = np.zeros(self.shares.shape[:2], np.float32)  # (N, R): how much each region receives by each word
        for region in range(self.shares.shape[1]):
            heard[:, region] = self.listening[:, self.regions == region].mean(axis=1)
        part = self.cells / self.regions.size  # (R,)
        return (self.shares - heard[:, :, None] * part).astype(np.float32)

    def strongest(self, count: int) -> list[Arrow]:
        """The ``count`` connections with the largest positive excess, strongest first.

        They go to things: what their surroundings receive decides little. Without things they go to any region.
        """
        excess, shares = self.excess, self.shares.sum(axis=0)
        total = excess.sum(axis=0)  # (R, R)
        receivers = self.things or len(total)
        arrows = [
            Arrow(
                source=int(source),
                target=int(target),
                word=int(excess[:, target, source].argmax()),
                share=float(shares[target, source]),
                excess=float(total[target, source]),
            )
            for target, source in np.argwhere(total[:receivers] > 0)
            if target != source
        ]
        return sorted(arrows, key=lambda arrow: -arrow.excess)[:count]


@dataclass(frozen=True)
class Stages:
    """The stages of the paper's first figure as one scorer sees them: the whole network, or one level alone.

    Responses are probabilities, 0..1, on the scorer's own grid of h x w cells over the network's square input. They are
    answers of the trained network to less than the whole expression, not decorations of its features.
    """

    words: dict[int, NDArray[np.float32]]
    """Response to one entity or attribute word alone, by the word's position: the network is asked this word and no
    other, and its graph hears no relation: (h, w) each."""
    entities: NDArray[np.float32]
    """Response to the entity and attribute words as the network itself puts them together: their sentence vector takes
    the place of both, and the graph hears no relation, so that every cell receives the same message: (h, w).

    The vector is made of the LSTM's outputs, and the LSTM has read the words before each: in "the cup behind the
    laptop" the output at "laptop" knows of "the cup behind". What the graph adds begins here."""
    result: NDArray[np.float32]
    """Response to the whole expression, after relation-aware reasoning: (h, w). The whole network's is its answer; a
    level's is its side score."""
    graph: Graph | None
    """What the graph moved; of the whole network: the mean over the levels. None when the model has no graph."""

    @property
    def named(self) -> NDArray[np.float32]:
        """What the entity and attribute words name, each by itself: the strongest of ``words`` in each cell, (h, w).

        Zero without such words.
        """
        return np.max([np.zeros_like(self.entities), *self.words.values()], axis=0)


@dataclass(frozen=True)
class Explanation:
    """How a model came to its answer, stage by stage."""

    image: NDArray[np.uint8]
    """The photo, upright: RGB, (H, W, 3)."""
    prediction: Prediction
    """The answer itself: words, their types, probabilities, mask."""
    typing: Typing
    """What the word types mean in this model."""
    network: Stages
    """The stages as the whole network sees them."""
    levels: dict[str, Stages]
    """The stages as each level alone sees them: ``c3``, ``c4``, ``c5``."""
    square: Letterbox
    """Where the photo lies in the network's square input, which all grids cover evenly."""
    upsampling: Literal["tensorflow", "bilinear"]
    """How the network takes a grid to the size of its input."""
    suggested_types: tuple[str, ...] = ()
    """The type of each word that its part of speech suggests, shown beside the learned ones; empty when not asked for.
    Not the model's: see ``cmpc.data.spacy_word_types``."""

    def on_photo(self, grid: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
        """A map of the grid at the photo's place, without the padding: (h, w) -> (height, width).

        Args:
            grid: a map over the network's square input, such as ``network.entities``.
            height: rows wanted; with ``width`` in the proportions of the photo.
            width: columns wanted.
        """
        size = (self.square.size, self.square.size)
        values = upsample(torch.from_numpy(np.asarray(grid, np.float32))[None], size, self.upsampling)[0].numpy()
        inside = np.ascontiguousarray(values[self.square.rows, self.square.columns])
        shrinks = height < inside.shape[0] and width < inside.shape[1]
        rule = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(inside, (width, height), interpolation=rule), np.float32)

    @property
    def kinds(self) -> tuple[WordKind, ...]:
        """How each word is shown."""
        return tuple(self.typing.kind(types) for types in self.prediction.word_types)

    @property
    def relational(self) -> tuple[int, ...]:
        """Positions of the words that may move messages."""
        return tuple(number for number, kind in enumerate(self.kinds) if kind in ("relation", "word"))
