"""Random changes of a training sample that leave the meaning of its expressions alone.

A mirrored photo swaps "left" and "right" in the words. Colours move little, for "the red car" must stay red.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness of a pixel."""

_PAIRS = {"left": "right", "lefty": "righty", "lft": "rgt", "lt": "rt"}
_SWAP = _PAIRS | {right: left for left, right in _PAIRS.items()}
_ENDINGS = "most|hand|handed|side|ward|wards|ish|er|est|corner"
_STARTS = "top|bottom|upper|lower|far"

# A side word, alone or grown together with another: left, LEFTMOST, right-hand, bottomleft, rt. Not leftover, bright.
_SIDE_WORD = re.compile(
    rf"(?<![^\W_])(?P<start>{_STARTS})?(?P<side>left|right)(?P<end>{_ENDINGS})?(?![^\W_])"
    r"|(?<![^\W_])(?P<short>lefty|righty|lft|rgt|lt|rt)(?![^\W_])",
    re.IGNORECASE,
)
# "one slice left", "left over": not a side, or not surely.
_NO_SIDE = re.compile(
    r"\b(?:all|one|ones|was|is|being)\s+(?:left|right)\s*$|\bonly\b.*\bleft\s*$|\bleft\s+overs?\b|\bright\s+angles?\b",
    re.IGNORECASE,
)
# "right above the door": here the word may only lend weight to the next one, as its mirror image cannot.
_MAYBE_NO_SIDE = re.compile(
    r"\b(?:left|right)\s+(?:next|behind|beside|besides|above|below|under|underneath|beneath|over|inside|against|before|after"
    r"|in\s+front|in\s+the\s+(?:middle|center|centre)|by|near|at|on|to|now|there|here|away)\b",
    re.IGNORECASE,
)
# Words in front of which a side word is a side, whatever follows: "on the right behind the tree".
_SURELY_SIDE = re.compile(
    r"\b(?:on|to|at|in|from|of|the|far|farthest|furthest|very|top|bottom|upper|lower|middle|center|front|back|his|her|its|their"
    r"|your|our|my)\s+$",
    re.IGNORECASE,
)


def mirror_expression(expression: str) -> str | None:
    """The expression that fits the mirrored photo: left and right swapped in all their forms, case kept.

    Returns:
        None where a word may mean something else than a side ("right above the door", "the slice left on the plate"):
        such a sample is better not mirrored.
    """
    if _NO_SIDE.search(expression):
        return None
    for match in _MAYBE_NO_SIDE.finditer(expression):
        if not _SURELY_SIDE.search(expression[: match.start()]):
            return None
    return _SIDE_WORD.sub(_mirrored, expression)


def _mirrored(match: re.Match[str]) -> str:
    if match["short"]:
        return _with_case_of(match["short"], _SWAP[match["short"].lower()])
    side = _with_case_of(match["side"], _SWAP[match["side"].lower()])
    return (match["start"] or "") + side + (match["end"] or "")


def _with_case_of(original: str, word: str) -> str:
    if original.isupper():
        return word.upper()
    return word.capitalize() if original[0].isupper() else word


@dataclass(frozen=True, slots=True)
class ColourChange:
    """A change of colours: one 3 x 3 matrix and a shift. Black (the border of a letterbox) stays black.

    Saturation mixes with grey, contrast moves away from the middle, gains come last.
    """

    saturation: float
    """1 keeps the colours, 0 would leave grey."""
    contrast: float
    """1 keeps the contrast."""
    gains: NDArray[np.float32]
    """Factor of each channel, (3,): brightness and tint."""

    def apply(self, square: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """
        Args:
            square: RGB, uint8, (S, S, 3).
        """
        red, green, blue = cv2.split(square)
        content = cv2.bitwise_or(cv2.bitwise_or(red, green), blue) > 0  # (H, W)
        if not content.any():
            return square
        grey = square.astype(np.float32) @ np.array(GREY, np.float32)
        middle = float(grey[content].mean())
        grey *= 1 - self.saturation
        changed: list[NDArray[np.uint8]] = []
        for plane, gain in zip((red, green, blue), self.gains, strict=True):  # in place: far faster than (H, W, 3)
            values = plane.astype(np.float32)
            values *= self.saturation
            values += grey
            values *= self.contrast
            values += (1 - self.contrast) * middle
            values *= gain
            np.rint(values, out=values)
            np.clip(values, 0, 255, out=values)
            values *= content
            changed.append(values.astype(np.uint8))
        return np.asarray(cv2.merge(changed), np.uint8)


@dataclass(frozen=True)
class Augmentation:
    """How strongly training samples are changed; zeros change nothing."""

    mirror: float = 0.5
    """Probability of mirroring a photo (with its words)."""
    zoom: float = 0.25
    """Photos are scaled by up to this much, up or down; the objects that are asked for stay in the picture."""
    brightness: float = 0.25
    """Largest relative change of brightness."""
    contrast: float = 0.25
    """Largest relative change of contrast."""
    saturation: float = 0.25
    """Largest relative change of saturation."""
    tint: float = 0.05
    """Largest relative change of a single colour channel."""

    def window(
        self, height: int, width: int, boxes: NDArray[np.float64], random: np.random.Generator
    ) -> tuple[int, int, int, int]:
        """A part of the photo, or more than the photo, to be seen instead of it.

        Args:
            height: of the photo in pixels.
            width: of the photo in pixels.
            boxes: x, y, width, height of the objects that are asked for, (K, 4); they lie inside the window.
            random: where chance comes from.

        Returns:
            Top, left, height and width of the window in pixels; it may reach beyond the photo.
        """
        scale = (1 + self.zoom) ** random.uniform(-1, 1)
        corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
        x0, y0 = np.floor(corners[:, :2].min(axis=0))
        x1, y1 = np.ceil(corners[:, 2:].max(axis=0))
        scale = min(scale, height / max(y1 - y0, 1), width / max(x1 - x0, 1)) if scale > 1 else scale
        new_height, new_width = max(round(height / scale), int(y1 - y0)), max(round(width / scale), int(x1 - x0))
        top = _offset(height, new_height, y0, y1, random.uniform())
        left = _offset(width, new_width, x0, x1, random.uniform())
        return top, left, new_height, new_width

    def draw_colours(self, random: np.random.Generator) -> ColourChange:
        """How the colours of a sample are changed this time."""
        brightness, contrast, saturation = (
            1 + random.uniform(-most, most) for most in (self.brightness, self.contrast, self.saturation)
        )
        gains = (brightness * (1 + random.uniform(-self.tint, self.tint, 3))).astype(np.float32)
        return ColourChange(saturation, contrast, gains)

    def mirrored(self, expressions: Sequence[str], random: np.random.Generator) -> list[str] | None:
        """The words for the mirrored photo, or None when it is not to be mirrored this time."""
        if random.uniform() >= self.mirror:
            return None
        words = [mirror_expression(expression) for expression in expressions]
        known = [word for word in words if word is not None]
        return known if len(known) == len(words) else None


def cut_window(values: NDArray, window: tuple[int, int, int, int]) -> NDArray:
    """The window of pixels or of a mask, (H, W, C) or (H, W); zero beyond its border."""
    top, left, height, width = window
    result = np.zeros((height, width, *values.shape[2:]), values.dtype)
    rows = slice(max(top, 0), min(top + height, values.shape[0]))
    columns = slice(max(left, 0), min(left + width, values.shape[1]))
    result[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = values[rows, columns]
    return result


def _offset(length: int, window: int, first: float, last: float, position: float) -> int:
    """Start of a window on one axis that shows ``first`` to ``last`` and otherwise as much of the photo as it can."""
    lowest, highest = sorted((0, length - window))
    lowest, highest = max(lowest, int(last) - window), min(highest, int(first))
    return lowest + round(position * (highest - lowest))
