"""What a segmenter answers: the mask of one expression, in the forms that people need."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from cmpc.answers.outlines import has_holes, outlines
from cmpc.conventions import WORD_TYPES
from cmpc.data.query import Query


@dataclass(frozen=True)
class Prediction:
    """The answer to one expression about one image of H x W pixels."""

    query: Query
    """The referring expression that was asked, as the network read it."""
    probability: NDArray[np.float32]
    """For each pixel how likely it belongs to what the expression refers to, 0..1: (H, W)."""
    threshold: float
    """Pixels at least this likely form the mask."""
    word_types: NDArray[np.float32]
    """Probability of each word's type in the order of ``cmpc.conventions.WORD_TYPES``: (N, 4)."""

    @property
    def expression(self) -> str:
        """The referring expression that was asked."""
        return self.query.text

    @property
    def words(self) -> tuple[str, ...]:
        """The words that the network read: N, at most its maximum."""
        return self.query.words

    @property
    def unknown_words(self) -> tuple[str, ...]:
        """Words that the model's vocabulary lacks; it could not take them into account."""
        return self.query.unknown

    @property
    def cut_words(self) -> tuple[str, ...]:
        """Words at the end that the network did not read, because the expression is too long for it."""
        return self.query.cut

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """True where the image shows what the expression refers to: (H, W)."""
        return self.probability >= self.threshold

    @cached_property
    def score(self) -> float:
        """Mean probability inside the mask, 0..1; 0 when the mask is empty."""
        return float(self.probability[self.mask].mean()) if self.mask.any() else 0.0

    @cached_property
    def box(self) -> tuple[int, int, int, int] | None:
        """Smallest box around the mask: x, y, width, height in pixels; None when the mask is empty."""
        if not self.mask.any():
            return None
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        x, y = int(columns[0]), int(rows[0])
        return x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1

    @cached_property
    def has_holes(self) -> bool:
        """Whether the mask encloses something that is outside of it, which polygons say only in a roundabout way."""
        return has_holes(self.mask)

    def to_rle(self) -> dict[str, Any]:
        """The mask in COCO's compressed run-length form: ``{"size": [H, W], "counts": "..."}``."""
        encoded = coco_mask.encode(np.asfortranarray(self.mask, dtype=np.uint8))
        return {"size": list(self.mask.shape), "counts": encoded["counts"].decode("ascii")}

    def to_polygons(self) -> list[list[float]]:
        """The mask's parts as COCO polygons ``[x1, y1, x2, y2, ...]`` in pixels, along the borders of its pixels.

        Filled by pycocotools they are the mask, one pixel or a line included. A polygon has no holes: where the mask
        has some (``has_holes``), a line without area leads to each and back. Programs that do not take such polygons
        need ``to_rle``.
        """
        return outlines(self.mask)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the probabilities, as plain JSON values."""
        return {
            "expression": self.expression,
            "score": round(self.score, 4),
            "threshold": self.threshold,
            "box": None if self.box is None else list(self.box),
            "area": int(self.mask.sum()),
            "rle": self.to_rle(),
            "polygons": self.to_polygons(),
            "has_holes": self.has_holes,
            "words": [
                {"word": word, "types": {name: round(float(p), 4) for name, p in zip(WORD_TYPES, types, strict=True)}}
                for word, types in zip(self.words, self.word_types, strict=True)
            ],
            "unknown_words": list(self.unknown_words),
            "cut_words": list(self.cut_words),
        }
