"""Lines of text in pictures."""

from __future__ import annotations

from bisect import bisect_left
from functools import cache

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

LONGEST = 500
"""Letters of a line that are looked at: no picture of ours has room for more."""


@cache
def font(size: float) -> Font:
    """The font that comes with Pillow: the same pictures everywhere."""
    return ImageFont.load_default(size)


def text_width(text: str, size: float) -> float:
    """Width of a line of text, in the unit of its font size."""
    return float(font(size).getlength(text))


def shorten(text: str, size: float, width: float) -> str:
    """The text on one line, cut with an ellipsis where it is wider than ``width``, or longer than ``LONGEST``."""
    text = " ".join(text.split())
    if len(text) <= LONGEST and text_width(text, size) <= width:
        return text
    kept = range(min(len(text), LONGEST))  # numbers of letters, each with its ellipsis wider than the one before
    fits = bisect_left(kept, True, key=lambda count: text_width(f"{text[: count + 1]}...", size) > width)
    return f"{text[:fits].rstrip()}..."
