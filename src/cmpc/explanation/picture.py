"""A drawing as pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cmpc.answers.lettering import font
from cmpc.explanation.drawing import Arrow, Box, Drawing, Outline, Picture, Shape, Text, arrow_head, bezier, dashes

PIXELS_PER_UNIT = 1.5
"""Sharp where a page shows the picture smaller than it is."""
_OVERSAMPLING = 2
_ANCHORS = {"start": "la", "middle": "ma", "end": "ra"}
_WHITE = (255, 255, 255)


def paint(drawing: Drawing, pixels_per_unit: float = PIXELS_PER_UNIT) -> NDArray[np.uint8]:
    """The drawing as RGB, uint8, (H, W, 3). Everything is painted larger and averaged, which smooths the edges."""
    painter = _Painter(drawing, pixels_per_unit * _OVERSAMPLING)
    for shape in drawing.shapes:
        painter.paint(shape)
    return np.asarray(painter.canvas.reduce(_OVERSAMPLING))


class _Painter:
    def __init__(self, drawing: Drawing, scale: float) -> None:
        self.scale = scale
        self.canvas = Image.new("RGB", (round(drawing.width * scale), round(drawing.height * scale)), "white")
        self.draw = ImageDraw.Draw(self.canvas)

    def paint(self, shape: Shape) -> None:
        if isinstance(shape, Text):
            place = (shape.x * self.scale, shape.y * self.scale)
            anchor = _ANCHORS[shape.anchor]
            self.draw.text(place, shape.text, shape.colour, font(shape.size * self.scale), anchor)
        elif isinstance(shape, Box):
            left, top, right, bottom = self._corners(shape)
            corners = (left, top, max(right - 1, left), max(bottom - 1, top))
            self.draw.rounded_rectangle(corners, shape.radius * self.scale, fill=shape.fill)
        elif isinstance(shape, Picture):
            self._picture(shape)
        elif isinstance(shape, Outline):
            self._outline(shape)
        else:
            self._arrow(shape)

    def _corners(self, shape: Box | Picture) -> tuple[int, int, int, int]:
        left, top = round(shape.x * self.scale), round(shape.y * self.scale)
        right, bottom = round((shape.x + shape.width) * self.scale), round((shape.y + shape.height) * self.scale)
        return left, top, max(right, left + 1), max(bottom, top + 1)

    def _picture(self, shape: Picture) -> None:
        left, top, right, bottom = self._corners(shape)
        picture = Image.fromarray(shape.pixels).resize((right - left, bottom - top), Image.Resampling.BICUBIC)
        mask = picture.getchannel("A") if picture.mode == "RGBA" else None
        self.canvas.paste(picture.convert("RGB"), (left, top), mask)

    def _outline(self, shape: Outline) -> None:
        points = shape.points * self.scale
        lines = [np.concatenate([points, points[:2]])]
        if shape.dashed:
            lines = [*dashes(points, 5 * self.scale, 4 * self.scale)]
        for line in lines:
            self._line(line, shape.colour, shape.width)

    def _arrow(self, shape: Arrow) -> None:
        head = arrow_head(shape)
        # The line ends where the head begins.
        curve = np.concatenate([bezier(shape)[:-1], head[1:].mean(axis=0, keepdims=True)])
        self._line(curve * self.scale, _WHITE, shape.width + 2)
        self._line(np.concatenate([head, head[:2]]) * self.scale, _WHITE, 2)
        self._line(curve * self.scale, shape.colour, shape.width)
        self.draw.polygon([(x, y) for x, y in head * self.scale], fill=shape.colour)

    def _line(self, points: NDArray[np.float64], colour: tuple[int, int, int], width: float) -> None:
        self.draw.line([(x, y) for x, y in points], fill=colour, width=max(1, round(width * self.scale)), joint="curve")
