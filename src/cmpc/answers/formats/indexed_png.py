"""Indexed PNG, as PASCAL VOC keeps its masks: the number of the expression at each pixel, 0 where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cmpc.answers.formats.results_format import AnsweredPhoto, write_json
from cmpc.answers.overlay import PALETTE
from cmpc.answers.prediction import Prediction
from cmpc.errors import UserError
from cmpc.files import atomic_file

SUFFIX = ".indexed.png"
MOST_EXPRESSIONS = 255


class IndexedPNGFormat:
    """``NAME.indexed.png`` for each photo, and ``index.json``, which says what the numbers mean."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def write(self, answered: AnsweredPhoto) -> list[str]:
        """As ``ResultsFormat``."""
        image, overlapping = indexed_image(answered.predictions, answered.pixels.shape[:2])
        with atomic_file(self.out / f"{answered.name}{SUFFIX}") as file:
            image.save(file, format="PNG")
        if not overlapping:
            return []
        return [
            f"an indexed PNG holds one expression at a pixel: {overlapping:,} pixels have several, "
            "of which the likeliest stands; --format coco keeps all."
        ]

    def finish(self, records: Sequence[dict[str, Any]]) -> None:
        """As ``ResultsFormat``."""
        about = [
            {
                "photo": record["photo"],
                "png": f"{record['name']}{SUFFIX}",
                "expressions": {
                    str(number): prediction["expression"]
                    for number, prediction in enumerate(record["predictions"], start=1)
                },
            }
            for record in records
        ]
        write_json(self.out / "index.json", about, indent=2)


def indexed_image(predictions: Sequence[Prediction], size: tuple[int, ...]) -> tuple[Image.Image, int]:
    """The number of the likeliest expression whose mask holds a pixel, from 1, in the colours of the palette.

    Args:
        predictions: at most ``MOST_EXPRESSIONS``.
        size: height and width of the photo.

    Returns:
        An image of mode P, and how many pixels lie in several masks.

    Raises:
        UserError: there are too many expressions.
    """
    if len(predictions) > MOST_EXPRESSIONS:
        raise UserError(
            f"an indexed PNG holds at most {MOST_EXPRESSIONS} expressions, not {len(predictions)}: ask fewer at once, "
            "or take --format coco."
        )
    numbers = np.zeros(size, np.uint8)
    highest = np.full(size, -1, np.float32)
    masks = np.zeros(size, np.uint8)
    for number, prediction in enumerate(predictions, start=1):
        here = prediction.mask & (prediction.probability > highest)
        numbers[here], highest[here] = number, prediction.probability[here]
        masks += prediction.mask
    image = Image.frombytes("P", (size[1], size[0]), numbers.tobytes())
    colours = [PALETTE[number % len(PALETTE)] for number in range(MOST_EXPRESSIONS)]
    image.putpalette([0, 0, 0, *(part for colour in colours for part in colour)])
    return image, int((masks > 1).sum())
