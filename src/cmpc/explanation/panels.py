"""The panels of the staged picture: photo, entities, relations, mask."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cmpc.explanation.drawing import Arrow, Colour, Outline, Picture, Shape
from cmpc.explanation.explanation import Explanation, Stages
from cmpc.explanation.graph import Graph, Message
from cmpc.explanation.layers import Layers, faded, middle, outlines, small_photo
from cmpc.explanation.words import GREEN, KIND_COLOURS, ORANGE, PURPLE

ARROWS = 4
"""Most arrows in a panel."""
FAINTEST_ARROW = 0.3
"""Arrows weaker than this part of the strongest one are left out."""
LEAST_EXCESS = 0.005
"""Messages that owe less than this to the words are not drawn."""


@dataclass(frozen=True)
class Frame:
    """A rectangle that a photo fills."""

    x: float
    y: float
    width: float
    height: float

    def place(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points with the photo's width and height as 1, (P, 2), in units of the drawing."""
        return points * (self.width, self.height) + (self.x, self.y)

    def picture(self, pixels: NDArray[np.uint8], title: str) -> Picture:
        """Pixels all over the frame."""
        return Picture(self.x, self.y, self.width, self.height, pixels, title)


@dataclass(frozen=True)
class Panels:
    """Draws the panels of one explanation into frames."""

    explanation: Explanation

    @cached_property
    def layers(self) -> Layers:
        """Its maps at the place of the photo."""
        return Layers(self.explanation)

    @cached_property
    def _photo(self) -> NDArray[np.uint8]:
        return small_photo(self.explanation.pixels)

    @cached_property
    def _ground(self) -> NDArray[np.uint8]:
        return faded(self._photo)

    def photo(self, frame: Frame) -> list[Shape]:
        """The photo as it is."""
        return [frame.picture(self._photo, "the photo")]

    def named(self, frame: Frame, stages: Stages) -> list[Shape]:
        """What the entity and attribute words name, each by itself."""
        title = f"strongest response to one entity or attribute word alone, at most {stages.named.max():.2f}"
        return self._response(frame, stages.named, ORANGE, title)

    def entities(self, frame: Frame, stages: Stages) -> list[Shape]:
        """Response to the entity and attribute words together."""
        title = f"response to the entity and attribute words together, at most {stages.entities.max():.2f}"
        return self._response(frame, stages.entities, ORANGE, title)

    def word(self, frame: Frame, stages: Stages, position: int) -> list[Shape]:
        """Response to one entity or attribute word alone."""
        word, values = self.explanation.prediction.words[position], stages.words[position]
        title = f"response to {word!r} alone, at most {values.max():.2f}"
        return self._response(frame, values, self._colour(position), title)

    def attention(self, frame: Frame, graph: Graph, position: int) -> list[Shape]:
        """How much each cell attends to a relation word."""
        values = graph.cell_to_words[position]
        word = self.explanation.prediction.words[position]
        title = f"attention of the cells to {word!r}, from {values.min():.2f} to {values.max():.2f}"
        layer = self.layers.spread(values, GREEN)
        return [frame.picture(self._ground, "the photo in grey"), frame.picture(layer, title)]

    def relations(self, frame: Frame, stages: Stages) -> list[Shape]:
        """Response after reasoning, what was suppressed, and the strongest messages between regions."""
        title = f"response after reasoning, at most {stages.result.max():.2f}"
        shapes = self._response(frame, stages.result, GREEN, title)
        for line in self.layers.suppressed(stages):
            shapes.append(Outline(frame.place(line), ORANGE, 1.8, dashed=True))
        if stages.graph is not None and (messages := self.messages(stages)):
            shapes += self._arrows(frame, stages.graph, messages)
        return shapes

    def answer(self, frame: Frame) -> list[Shape]:
        """The mask."""
        mask = self.explanation.prediction.mask
        return self._mask(frame, mask, f"the mask, {mask.mean():.1%} of the photo")

    def level_answer(self, frame: Frame, stages: Stages) -> list[Shape]:
        """The mask as one level alone sees it."""
        mask = self.layers.values(stages.result) >= self.explanation.prediction.threshold
        return self._mask(frame, mask, f"the mask of this level alone, {mask.mean():.1%} of the photo")

    def _response(self, frame: Frame, grid: NDArray[np.float32], colour: Colour, title: str) -> list[Shape]:
        layer = self.layers.response(grid, colour)
        return [frame.picture(self._ground, "the photo in grey"), frame.picture(layer, title)]

    def _mask(self, frame: Frame, mask: NDArray[np.bool_], title: str) -> list[Shape]:
        layer = self.layers.area(mask, PURPLE, 0.55)
        lines = [Outline(frame.place(line), PURPLE, 1.8) for line in outlines(layer[:, :, 3] >= 70)]
        return [frame.picture(self._photo, "the photo"), frame.picture(layer, title), *lines]

    def messages(self, stages: Stages) -> list[Message]:
        """The messages that are drawn: the strongest that owe something to the words."""
        graph = stages.graph
        if graph is None or not self.explanation.relation_words:
            return []
        strongest = graph.strongest(ARROWS)
        least = max(LEAST_EXCESS, FAINTEST_ARROW * strongest[0].excess) if strongest else 0.0
        return [message for message in strongest if message.excess >= least]

    def _arrows(self, frame: Frame, graph: Graph, messages: list[Message]) -> list[Shape]:
        shapes: list[Shape] = []
        ends = sorted({end for message in messages for end in (message.source, message.target)})
        regions = {label: self.layers.region(graph.regions, label) for label in ends}
        for label in ends:
            if label >= graph.things:  # a thing is seen by its colour
                shapes += [Outline(frame.place(line), GREEN, 0.9) for line in outlines(regions[label])]
        centres = {label: frame.place(np.array([middle(region)]))[0] for label, region in regions.items()}
        for message in reversed(messages):
            source, target = centres[message.source], centres[message.target]
            way = target - source
            bend = 0.18 * np.array([-way[1], way[0]])
            word = self.explanation.prediction.words[message.word]
            control = (source + target) / 2 + bend
            shapes.append(
                Arrow(
                    start=(float(source[0]), float(source[1])),
                    control=(float(control[0]), float(control[1])),
                    end=(float(target[0]), float(target[1])),
                    colour=GREEN,
                    width=1.0 + 2.5 * message.excess / messages[0].excess,
                    title=f"by {word!r}: {message.share:.1%} of what the region at the arrow's head receives comes "
                    f"from the one at its tail, {100 * message.excess:+.1f} points more than without relation words",
                )
            )
        return shapes

    def _colour(self, position: int) -> Colour:
        kind = self.explanation.kinds[position]
        return ORANGE if kind == "untyped" else KIND_COLOURS[kind]
