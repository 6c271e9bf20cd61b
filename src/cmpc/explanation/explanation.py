"""What an explanation holds: each number of it is the network's own, and says how it was got."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from cmpc.answers.prediction import Prediction
from cmpc.conventions import WORD_TYPES
from cmpc.data.transforms import Letterbox
from cmpc.explanation.graph import Graph
from cmpc.models.grid import upsample

WordKind = Literal["entity", "attribute", "relation", "unnecessary", "entity_or_attribute", "untyped"]
"""How a word is shown: by its likeliest type; ``entity_or_attribute`` where the model knows only the sum of both;
``untyped`` where word types have no effect in the network."""
NAMING: tuple[WordKind, ...] = ("entity", "attribute", "entity_or_attribute", "untyped")
"""Words that say what a thing is and how it looks."""
RELATING: tuple[WordKind, ...] = ("relation", "untyped")
"""Words that may move messages between cells."""


@dataclass(frozen=True)
class Typing:
    """What the model's word types mean."""

    supervised: bool
    """Whether they were trained with labels. Without, entity and attribute enter the network only as a sum: nothing
    tells one from the other, and only the sum is worth reading."""
    used: bool
    """Whether the network weighs words by their types at all (``CMPCConfig.word_type_gating``)."""

    def kind(self, probabilities: NDArray[np.float32]) -> WordKind:
        """The kind of a word with these probabilities, (4,) in the order of ``WORD_TYPES``."""
        if not self.used:
            return "untyped"
        if self.supervised:
            return WORD_TYPES[int(probabilities.argmax())]  # type: ignore[return-value]
        entity, attribute, relation, unnecessary = probabilities.tolist()
        sums: dict[WordKind, float] = {
            "entity_or_attribute": entity + attribute,
            "relation": relation,
            "unnecessary": unnecessary,
        }
        return max(sums, key=lambda kind: sums[kind])


@dataclass(frozen=True)
class Stages:
    """The stages of the paper's first figure as one scorer sees them: the whole network, or one level alone.

    Responses are probabilities, 0..1, on the scorer's own grid of h x w cells over the network's square input. They are
    answers of the trained network to less than the whole expression, not pictures of its features.
    """

    words: dict[int, NDArray[np.float32]]
    """Response to one entity or attribute word alone, by the word's position: the network is asked this word and no
    other, without relations in its graph: (h, w) each."""
    entities: NDArray[np.float32]
    """Response to the entity and attribute words as the network itself puts them together: their sentence vector takes
    the place of both, and no word of the graph is a relation, so that every cell receives the same message: (h, w).

    The vector is made of the LSTM's outputs, and the LSTM has read the words before each: in "the cup behind the
    laptop" the output at "laptop" knows of "the cup behind". What the graph adds begins here."""
    result: NDArray[np.float32]
    """Response to the whole expression, after relation-aware reasoning: (h, w). The whole network's is its answer; a
    level's is its side score."""
    graph: Graph | None
    """What the graph moved; of the whole network: the mean over the levels, or what a second look moved. None when the
    model has no graph."""

    @property
    def named(self) -> NDArray[np.float32]:
        """What the entity and attribute words name, each by itself: the strongest of ``words`` in each cell, (h, w).

        Zero without such words.
        """
        return np.max([np.zeros_like(self.entities), *self.words.values()], axis=0)


@dataclass(frozen=True)
class Explanation:
    """How a model came to its answer, stage by stage."""

    pixels: NDArray[np.uint8]
    """The photo, upright: RGB, (H, W, 3)."""
    prediction: Prediction
    """The answer itself: words, their types, probabilities, mask."""
    typing: Typing
    """What the word types mean in this model."""
    network: Stages
    """The stages as the whole network sees them."""
    levels: dict[str, Stages]
    """The stages as each level alone sees them: ``c3``, ``c4``, ``c5``."""
    letterbox: Letterbox
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
        size = (self.letterbox.size, self.letterbox.size)
        values = upsample(torch.from_numpy(np.asarray(grid, np.float32))[None], size, self.upsampling)[0].numpy()
        inside = np.ascontiguousarray(values[self.letterbox.rows, self.letterbox.columns])
        shrinks = height < inside.shape[0] and width < inside.shape[1]
        rule = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(inside, (width, height), interpolation=rule), np.float32)

    @property
    def kinds(self) -> tuple[WordKind, ...]:
        """How each word is shown."""
        return tuple(self.typing.kind(types) for types in self.prediction.word_types)

    @property
    def relation_words(self) -> tuple[int, ...]:
        """Positions of the words that may move messages."""
        return tuple(number for number, kind in enumerate(self.kinds) if kind in RELATING)

    def _repr_png_(self) -> bytes:
        """The staged picture, as notebooks show it."""
        from cmpc.explanation.files import png_bytes
        from cmpc.explanation.staged_picture import staged_picture

        return png_bytes(staged_picture(self))
