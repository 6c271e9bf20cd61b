"""A drawing as SVG: text stays text, pictures are embedded, every picture and arrow says what it shows."""

from __future__ import annotations

import base64
import io
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmpc.answers.lettering import text_width
from cmpc.explanation.drawing import Arrow, Box, Colour, Drawing, Outline, Picture, Shape, Text, arrow_head

_BASELINE = 0.8
"""From the top of a line of text to its baseline, in font sizes."""
_JPEG_QUALITY = 90


def to_svg(drawing: Drawing) -> str:
    """The drawing as the text of an SVG file that needs nothing else."""
    names: dict[int, str] = {}
    definitions: list[str] = []
    for shape in drawing.shapes:
        if isinstance(shape, Picture) and id(shape.pixels) not in names:
            names[id(shape.pixels)] = name = f"picture{len(names) + 1}"
            definitions.append(_embedded(shape.pixels, name))
    body = [_element(shape, names) for shape in drawing.shapes]
    width, height = _number(drawing.width), _number(drawing.height)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-labelledby="title" font-family="Helvetica, Arial, sans-serif">',
        f'<title id="title">{_text(drawing.title)}</title>',
        "<defs>",
        *definitions,
        "</defs>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
        *body,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _element(shape: Shape, names: dict[int, str]) -> str:
    if isinstance(shape, Text):
        baseline = _number(shape.y + _BASELINE * shape.size)
        length = _number(text_width(shape.text, shape.size))  # other fonts are wider: without it lines would collide
        return (
            f'<text x="{_number(shape.x)}" y="{baseline}" font-size="{_number(shape.size)}" '
            f'textLength="{length}" lengthAdjust="spacingAndGlyphs" '
            f'fill="{_colour(shape.colour)}" text-anchor="{shape.anchor}">{_text(shape.text)}</text>'
        )
    if isinstance(shape, Box):
        return (
            f'<rect x="{_number(shape.x)}" y="{_number(shape.y)}" width="{_number(shape.width)}" '
            f'height="{_number(shape.height)}" rx="{_number(shape.radius)}" fill="{_colour(shape.fill)}"/>'
        )
    if isinstance(shape, Picture):
        height, width = shape.pixels.shape[:2]
        scale = f"{shape.width / width:.6g} {shape.height / height:.6g}"
        return (
            f'<use href="#{names[id(shape.pixels)]}" transform="translate({_number(shape.x)} {_number(shape.y)}) '
            f'scale({scale})" role="img" aria-label={quoteattr(_clean(shape.title))}>'
            f"<title>{_text(shape.title)}</title></use>"
        )
    if isinstance(shape, Outline):
        dashed = ' stroke-dasharray="5 4"' if shape.dashed else ""
        return (
            f'<polygon points="{_points(shape.points)}" fill="none" stroke="{_colour(shape.colour)}" '
            f'stroke-width="{_number(shape.width)}" stroke-linejoin="round"{dashed}/>'
        )
    return _arrow(shape)


def _arrow(shape: Arrow) -> str:
    head = arrow_head(shape)
    base = head[1:].mean(axis=0)
    (x, y), (control_x, control_y) = shape.start, shape.control
    path = (
        f"M{_number(x)} {_number(y)} Q{_number(control_x)} {_number(control_y)} {_number(base[0])} {_number(base[1])}"
    )
    colour, points = _colour(shape.colour), _points(head)
    line = f'<path d="{path}" fill="none" stroke-linecap="round"'
    return (
        f'<g role="img" aria-label={quoteattr(_clean(shape.title))}><title>{_text(shape.title)}</title>'
        f'{line} stroke="white" stroke-width="{_number(shape.width + 2)}"/>'
        f'<polygon points="{points}" fill="white" stroke="white" stroke-width="2"/>'
        f'{line} stroke="{colour}" stroke-width="{_number(shape.width)}"/>'
        f'<polygon points="{points}" fill="{colour}"/></g>'
    )


def _embedded(pixels: NDArray[np.uint8], name: str) -> str:
    """An image element with the file inside: JPEG for photos, PNG for layers with transparency."""
    stored = io.BytesIO()
    if pixels.shape[2] == 4:
        kind = "png"
        Image.fromarray(pixels).save(stored, format="PNG", optimize=True)
    else:
        kind = "jpeg"
        Image.fromarray(pixels).save(stored, format="JPEG", quality=_JPEG_QUALITY)
    data = base64.b64encode(stored.getvalue()).decode("ascii")
    height, width = pixels.shape[:2]
    return f'<image id="{name}" width="{width}" height="{height}" href="data:image/{kind};base64,{data}"/>'


def _points(points: NDArray[np.float64]) -> str:
    return " ".join(f"{_number(x)},{_number(y)}" for x, y in points)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _colour(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _text(text: str) -> str:
    return escape(_clean(text))


def _clean(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return "".join(character if character.isprintable() else " " for character in text)
