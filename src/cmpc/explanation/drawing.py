"""A drawing as a list of shapes, which ``picture`` paints as pixels and ``vector`` writes as SVG.

Coordinates are in units from the upper left corner; a unit is about a pixel of a web page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cmpc.answers.lettering import shorten, text_width

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Text:
    """A line of text; ``y`` is the top of its capitals' line box."""

    x: float
    y: float
    text: str
    size: float
    colour: Colour = (32, 33, 36)
    anchor: Literal["start", "middle", "end"] = "start"
    """Which part of the line stands at ``x``."""


@dataclass(frozen=True)
class Box:
    """A filled rectangle with round corners."""

    x: float
    y: float
    width: float
    height: float
    fill: Colour
    radius: float = 0.0


@dataclass(frozen=True)
class Picture:
    """Pixels stretched over a rectangle. The same array drawn twice is stored once in an SVG file."""

    x: float
    y: float
    width: float
    height: float
    pixels: NDArray[np.uint8]
    """RGB (h, w, 3), or RGBA (h, w, 4) to lay over another picture."""
    title: str
    """What is to be seen, for those who cannot see it."""


@dataclass(frozen=True)
class Outline:
    """A closed line."""

    points: NDArray[np.float64]
    """(P, 2): x and y."""
    colour: Colour
    width: float
    dashed: bool = False


@dataclass(frozen=True)
class Arrow:
    """A bent arrow: a quadratic Bezier curve."""

    start: tuple[float, float]
    control: tuple[float, float]
    end: tuple[float, float]
    colour: Colour
    width: float
    title: str
    """What the arrow says, in words."""


Shape = Text | Box | Picture | Outline | Arrow


@dataclass
class Drawing:
    """Shapes in the order in which they are laid on a white sheet."""

    width: float
    height: float
    title: str
    """What the drawing shows, in a sentence."""
    shapes: list[Shape] = field(default_factory=list)

    def add(self, *shapes: Shape) -> None:
        """Lays shapes on top."""
        self.shapes.extend(shapes)


def wrap_text(text: str, size: float, width: float) -> list[str]:
    """The text on as many lines as it needs: none without text."""
    lines: list[str] = [""] if text.strip() else []
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return [shorten(line, size, width) for line in lines]


def bezier(arrow: Arrow, count: int = 24) -> NDArray[np.float64]:
    """Points along an arrow's curve, (count, 2)."""
    t = np.linspace(0, 1, count)[:, None]
    start, control, end = (np.array(point, np.float64) for point in (arrow.start, arrow.control, arrow.end))
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end


def arrow_head(arrow: Arrow) -> NDArray[np.float64]:
    """Tip and the two barbs of an arrow's head, (3, 2)."""
    end = np.array(arrow.end, np.float64)
    direction = end - np.array(arrow.control, np.float64)
    direction /= max(float(np.hypot(*direction)), 1e-9)
    across = np.array([-direction[1], direction[0]])
    length, breadth = 4.0 + 2.2 * arrow.width, 2.0 + 1.3 * arrow.width
    back = end - length * direction
    return np.stack([end + 0.5 * arrow.width * direction, back + breadth * across, back - breadth * across])


def dashes(points: NDArray[np.float64], length: float, gap: float) -> Sequence[NDArray[np.float64]]:
    """A closed line cut into dashes, each (2 or more, 2)."""
    closed = np.concatenate([points, points[:1]])
    steps = np.hypot(*np.diff(closed, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    pieces = []
    for start in np.arange(0.0, along[-1], length + gap):
        stop = min(start + length, along[-1])
        at = np.concatenate([[start], along[(along > start) & (along < stop)], [stop]])
        pieces.append(np.stack([np.interp(at, along, closed[:, axis]) for axis in (0, 1)], axis=1))
    return pieces
