"""Names for the colours of things, where they are clear.

Colours are compared in CIE L*a*b*, where equal distances look about equally different. Each name has some typical
colours; a pixel has the name of the nearest one, and where others are nearly as near it may have their names too. A
thing has a colour when most of its pixels surely do and none of another name are many.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

_TYPICAL: dict[str, tuple[tuple[float, float, float], ...]] = {
    "white": ((98, 0, 0), (90, 2, 90), (88, 4, 250), (92, 7, 95)),
    "grey/white": ((68, 0, 0), (76, 3, 250), (76, 4, 80), (68, 6, 80), (66, 6, 260), (80, 8, 80), (80, 8, 270)),
    "grey": ((40, 0, 0), (50, 2, 250), (50, 4, 80), (57, 0, 0), (45, 5, 260), (38, 4, 80)),
    "black": ((4, 0, 0), (13, 3, 60), (13, 4, 270), (20, 2, 0)),
    "black/brown": ((14, 9, 60), (18, 6, 70), (20, 10, 55)),
    "black/blue": ((10, 10, 285), (16, 8, 275), (22, 9, 275)),
    "grey/brown": ((40, 9, 70), (50, 10, 72), (30, 9, 65), (58, 12, 75)),
    "brown/beige": ((56, 24, 72), (60, 30, 68), (54, 18, 78)),
    "brown/orange": ((54, 46, 62), (48, 46, 58)),
    "brown/red": ((30, 32, 38), (38, 42, 42)),
    "brown": ((22, 14, 55), (32, 22, 55), (40, 30, 58), (46, 36, 62), (38, 34, 52), (34, 15, 62), (44, 22, 66)),
    "beige": ((72, 20, 82), (80, 16, 85), (66, 22, 75), (82, 22, 88), (76, 14, 70)),
    "orange": ((66, 80, 58), (60, 68, 52), (72, 64, 66), (58, 55, 58), (66, 48, 66)),
    "orange/yellow": ((77, 78, 76), (70, 60, 76)),
    "red": ((52, 98, 38), (42, 70, 34), (32, 50, 30), (46, 62, 24), (24, 36, 28), (52, 66, 30)),
    "pink": ((78, 30, 0), (66, 56, 0), (84, 18, 10), (58, 66, 352), (72, 38, 20), (76, 40, 340)),
    "yellow": ((88, 84, 96), (78, 68, 88), (92, 50, 102), (82, 46, 92), (95, 70, 104)),
    "green": ((50, 60, 136), (34, 34, 134), (68, 66, 130), (46, 26, 150), (74, 46, 122), (24, 18, 140), (54, 30, 112),
              (80, 60, 125), (62, 28, 140), (38, 22, 118), (88, 110, 136)),
    "turquoise": ((72, 36, 196), (60, 30, 190), (50, 28, 200), (86, 46, 190), (82, 24, 200)),
    "blue": ((32, 110, 306), (32, 66, 292), (46, 54, 280), (56, 42, 262), (68, 30, 254), (24, 32, 284), (16, 18, 282),
             (38, 26, 270), (50, 22, 262), (78, 20, 250)),
    "purple": ((36, 62, 318), (46, 56, 316), (60, 38, 312), (26, 32, 320), (36, 30, 322), (60, 90, 328), (72, 26, 312)),
}  # fmt: skip
"""Name: typical lightness (0..100), chroma and hue (degrees) in L*a*b*. What has two names is surely neither: a white
thing in the shade is as grey as a grey one in the sun."""

COLOUR_NAMES = tuple(name for name in _TYPICAL if "/" not in name)
PAIRS = (("black", "white"), ("brown", "white"), ("orange", "white"))
"""Coats of two colours that have a name, "black and white"."""

SURE = 2.5
"""A pixel surely has the name whose typical colours are nearer by this than those of any other name."""
MAYBE = 6.0
"""It may have each name whose typical colours are farther by no more than this than the nearest."""
MOST, ALL_BUT = 0.45, 0.8
"""Least shares of the pixels that surely have, and that may have, the colour of a thing."""
FEW = 0.1
"""Greatest share of the pixels that surely have any other name."""
NEARLY_NONE = 0.2
"""A thing may have each colour that more than this share of its pixels may have."""
EACH, MOST_OF_BOTH = 0.2, 0.65
"""Least shares of the pixels that surely have each of two colours, and either."""
GREYSCALE = 4.0
"""A photo whose chroma is below this nearly everywhere is taken to have no colours."""
LEAST_PIXELS = 60
_STEP = 8
"""Pixels are named by a table of 32 x 32 x 32 colours."""


@dataclass(frozen=True, slots=True)
class Colour:
    """What is known of a thing's colour."""

    certain: str | None = None
    """One of ``COLOUR_NAMES``, or two of them as "black and white"; None: unclear."""
    possible: frozenset[str] = frozenset(COLOUR_NAMES)
    """A name that is not among these is clearly wrong."""


UNKNOWN = Colour()


def colour_of(pixels: np.ndarray) -> Colour:
    """The colour of a thing, from the pixels inside it.

    Args:
        pixels: uint8 (N, 3), RGB.
    """
    if len(pixels) < LEAST_PIXELS:
        return UNKNOWN
    cells = pixels // _STEP
    counts = np.bincount((cells[:, 0].astype(np.intp) * 32 + cells[:, 1]) * 32 + cells[:, 2], minlength=32**3)
    surely, maybe = _tables()
    sure, wide = counts @ surely / len(pixels), counts @ maybe / len(pixels)
    possible = frozenset(name for name, share in zip(COLOUR_NAMES, wide, strict=True) if share > NEARLY_NONE)
    best = int(sure.argmax())
    if sure[best] >= MOST and wide[best] >= ALL_BUT and np.delete(sure, best).max() <= FEW:
        return Colour(COLOUR_NAMES[best], possible | {COLOUR_NAMES[best]})
    for pair in PAIRS:
        first, second = map(COLOUR_NAMES.index, pair)
        both = sure[[first, second]]
        if both.min() >= EACH and both.sum() >= MOST_OF_BOTH and np.delete(sure, [first, second]).max() <= FEW:
            return Colour(" and ".join(pair), possible | set(pair))
    return Colour(None, possible)


def is_greyscale(image: np.ndarray) -> bool:
    """Whether a photo, uint8 (H, W, 3), has no colours, or only one as old photos do."""
    small = cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 1:].reshape(-1, 2)
    spread = np.linalg.norm(lab - lab.mean(axis=0), axis=1)
    return bool(np.quantile(spread, 0.9) < GREYSCALE and np.ptp(small) > GREYSCALE)


@cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Which colours, (32^3,), surely have a name and which may have it: both float32 (32^3, names)."""
    levels = (np.arange(32, dtype=np.float32) * _STEP + _STEP / 2 - 0.5) / 255
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    lab = cv2.cvtColor(grid, cv2.COLOR_RGB2LAB).reshape(-1, 1, 3)
    distances = {name: _distance(lab, typical) for name, typical in _TYPICAL.items()}
    nearest = np.min(list(distances.values()), axis=0)
    surely, maybe = [], []
    for name in COLOUR_NAMES:
        others = np.min([distance for other, distance in distances.items() if other != name], axis=0)
        surely.append(others - distances[name] >= SURE)
        named = np.min([distance for other, distance in distances.items() if name in other.split("/")], axis=0)
        maybe.append(named <= nearest + MAYBE)
    return np.stack(surely, axis=1).astype(np.float32), np.stack(maybe, axis=1).astype(np.float32)


def _distance(lab: np.ndarray, typical: tuple[tuple[float, float, float], ...]) -> np.ndarray:
    """Distance to the nearest of some typical colours, (N,)."""
    lightness, chroma, hue = np.array(typical, np.float32).T
    points = np.stack([lightness, chroma * np.cos(np.radians(hue)), chroma * np.sin(np.radians(hue))], axis=1)
    nearest: np.ndarray = np.linalg.norm(lab - points, axis=2).min(axis=1)
    return nearest
