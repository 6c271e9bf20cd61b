"""What both data and networks keep to: names, sizes and how a photo becomes an input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from cmpc.bounds import Between, check_fields

LEVELS = ("c3", "c4", "c5")
"""The three levels of image features on which the paper's network works, finest first."""
WORD_TYPES = ("entity", "attribute", "relation", "unnecessary")
"""The types that a word of an expression can have (paper, section 3.1); this is their order everywhere."""
STRIDE = 8
"""Pixels of a cell of the grid along each axis: the stride of level c3 of every backbone."""
OBJECTS = "objects_"
"""Begins the names of what is kept of an image about the objects in it."""
PAD_ID = 0
"""Id of the token that fills expressions up to the length of the longest."""
PRESENCE_THRESHOLD = 0.6
"""Probability that something fits, 0..1, below which nothing is said to fit. A higher one tells more of what is absent,
and misses more of what is there. Chosen on ``val`` of the model for photos: the lowest, of tenths, that tells four of
five kinds of things that are not in a photo."""


@dataclass(frozen=True)
class ImageConfig:
    """How a photo becomes the network's input. It travels with the weights."""

    part: ClassVar[str] = "image"

    size: Annotated[int, Between(32, 4096)] = 320
    """Side of the square that an image is letterboxed to, in pixels."""
    channel_order: Literal["RGB", "BGR"] = "BGR"
    """Order of the colour channels of the network's input."""
    mean: Annotated[tuple[float, float, float], Between(-1e6, 1e6)] = (104.00698793, 116.66876762, 122.67891434)
    """Subtracted from each channel, in the channel order above, for values 0..255."""
    std: Annotated[tuple[float, float, float], Between(1e-6, 1e6)] = (1.0, 1.0, 1.0)
    """Divides each channel after the mean is subtracted."""
    resize: Literal["original", "area"] = "original"
    """``original``: the published program's bilinear rule without antialiasing; ``area``: averages when shrinking."""

    def __post_init__(self) -> None:
        check_fields(self)
