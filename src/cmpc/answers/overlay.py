"""Masks drawn over photos."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cmpc.answers.lettering import font, shorten

PALETTE: tuple[tuple[int, int, int], ...] = (
    (230, 80, 30),
    (40, 120, 220),
    (60, 170, 70),
    (170, 70, 190),
    (240, 180, 20),
    (20, 170, 180),
    (220, 60, 120),
    (120, 100, 80),
)
"""Colours of masks in their order, RGB; they begin again after the last."""
_ROWS = 256
"""Rows that are blended at once."""


def overlay(
    pixels: NDArray[np.uint8], masks: Iterable[NDArray[np.bool_]], *, opacity: float = 0.5
) -> NDArray[np.uint8]:
    """The photo with each mask in its colour of the palette, outlined.

    Args:
        pixels: RGB, uint8, (H, W, 3).
        masks: bool, (H, W) each; they are taken one after the other, and none of them is kept.
        opacity: how much of the photo a mask hides, 0..1.

    Returns:
        RGB, uint8, (H, W, 3).
    """
    drawn = np.array(pixels, np.uint8, order="C")
    draw_outlines(drawn, [blend(drawn, mask, number, opacity=opacity) for number, mask in enumerate(masks)])
    return drawn


def blend(
    pixels: NDArray[np.uint8], mask: NDArray[np.bool_], number: int, *, opacity: float = 0.5
) -> Sequence[NDArray[np.int32]]:
    """Blends a mask into the pixels themselves.

    Args:
        pixels: RGB, uint8, (H, W, 3), in one piece.
        mask: bool, (H, W).
        number: of the mask's colour in the palette, which begins again after the last.
        opacity: how much of the photo the mask hides, 0..1.

    Returns:
        The outlines of the mask, for ``draw_outlines`` when all masks are blended.
    """
    values = np.arange(256, dtype=np.float32)[:, None]
    colour = np.array(_colour(number), np.float32)
    table = np.rint((1 - opacity) * values + opacity * colour).astype(np.uint8)[None]  # (1, 256, 3)
    for start in range(0, len(pixels), _ROWS):
        rows = slice(start, start + _ROWS)
        inside = mask[rows]
        if inside.any():
            np.copyto(pixels[rows], cv2.LUT(pixels[rows], table), where=inside[:, :, None])
    outlines, _ = cv2.findContours(np.ascontiguousarray(mask).view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [np.asarray(outline, np.int32) for outline in outlines]


def draw_outlines(pixels: NDArray[np.uint8], outlines: Sequence[Sequence[NDArray[np.int32]]]) -> None:
    """Draws the outlines of masks, each in its colour of the palette, onto the pixels themselves.

    Args:
        pixels: RGB, uint8, (H, W, 3), in one piece.
        outlines: what ``blend`` gave for each mask, in their order.
    """
    thickness = max(1, round(max(pixels.shape[:2]) / 400))
    for number, some in enumerate(outlines):
        cv2.drawContours(pixels, some, -1, _colour(number), thickness)


def with_legend(image: NDArray[np.uint8], labels: Sequence[str]) -> NDArray[np.uint8]:
    """A picture with a line of text for each colour of the palette below it.

    Args:
        image: RGB, uint8, (H, W, 3).
        labels: what each colour means, in the palette's order.

    Returns:
        RGB, uint8, (H + height of the legend, W, 3).
    """
    return np.concatenate([image, legend(image.shape[1], labels)])


def legend(width: int, labels: Sequence[str]) -> NDArray[np.uint8]:
    """What ``with_legend`` puts below a picture: RGB, uint8, (``legend_height``, width, 3)."""
    size, line = _letters(width)
    canvas = Image.new("RGB", (width, legend_height(width, len(labels))), "white")
    draw = ImageDraw.Draw(canvas)
    for number, label in enumerate(labels):
        top = line * number + line // 4
        draw.rectangle((size // 2, top, size // 2 + size, top + size), fill=_colour(number))
        draw.text((2 * size, top), shorten(label, size, width - round(2.5 * size)), fill="black", font=font(size))
    return np.asarray(canvas)


def legend_height(width: int, count: int) -> int:
    """Rows of the legend of ``count`` colours below a picture of this width."""
    line = _letters(width)[1]
    return line * count + line // 3


def _letters(width: int) -> tuple[int, int]:
    """Size of the letters below a picture of this width, and the height of their lines, in pixels."""
    size = int(np.clip(width / 28, 12, 40))
    return size, round(size * 1.6)


def _colour(number: int) -> tuple[int, int, int]:
    return PALETTE[number % len(PALETTE)]
