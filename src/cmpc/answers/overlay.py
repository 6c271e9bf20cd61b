"""Masks drawn over photos."""

from __future__ import annotations

from collections.abc import Sequence

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


def overlay(
    pixels: NDArray[np.uint8], masks: Sequence[NDArray[np.bool_]], *, opacity: float = 0.5
) -> NDArray[np.uint8]:
    """The photo with each mask in its colour of the palette, outlined.

    Args:
        pixels: RGB, uint8, (H, W, 3).
        masks: bool, (H, W) each.
        opacity: how much of the photo a mask hides, 0..1.

    Returns:
        RGB, uint8, (H, W, 3).
    """
    drawn = pixels.astype(np.float32)
    for mask, colour in zip(masks, _colours(len(masks)), strict=True):
        drawn[mask] = (1 - opacity) * drawn[mask] + opacity * np.array(colour, np.float32)
    result = np.ascontiguousarray(drawn.round().astype(np.uint8))
    thickness = max(1, round(max(pixels.shape[:2]) / 400))
    for mask, colour in zip(masks, _colours(len(masks)), strict=True):
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(result, outlines, -1, colour, thickness)
    return result


def with_legend(image: NDArray[np.uint8], labels: Sequence[str]) -> NDArray[np.uint8]:
    """A picture with a line of text for each colour of the palette below it.

    Args:
        image: RGB, uint8, (H, W, 3).
        labels: what each colour means, in the palette's order.

    Returns:
        RGB, uint8, (H + height of the legend, W, 3).
    """
    height, width = image.shape[:2]
    size = int(np.clip(width / 28, 12, 40))
    line = round(size * 1.6)
    canvas = Image.new("RGB", (width, height + line * len(labels) + line // 3), "white")
    canvas.paste(Image.fromarray(image), (0, 0))
    draw = ImageDraw.Draw(canvas)
    for number, (label, colour) in enumerate(zip(labels, _colours(len(labels)), strict=True)):
        top = height + line * number + line // 4
        draw.rectangle((size // 2, top, size // 2 + size, top + size), fill=colour)
        draw.text((2 * size, top), shorten(label, size, width - round(2.5 * size)), fill="black", font=font(size))
    return np.asarray(canvas)


def _colours(count: int) -> list[tuple[int, int, int]]:
    return [PALETTE[number % len(PALETTE)] for number in range(count)]
