"""Lines of text in pictures."""

from __future__ import annotations

from functools import cache

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@cache
def font(size: float) -> Font:
    """The font that comes with Pillow: the same pictures everywhere."""
    return ImageFont.load_default(size)


def text_width(text: str, size: float) -> float:
    """Width of a line of text, in the unit of its font size."""
    return float(font(size).getlength(text))


def shorten(text: str, size: float, width: float) -> str:
    """The text on one line, cut with an ellipsis where it is wider than ``width``."""
    text = " ".join(text.split())
    if text_width(text, size) <= width:
        return text
    while text and text_width(f"{text}...", size) > width:
        text = text[:-1]
    return f"{text.rstrip()}..."
