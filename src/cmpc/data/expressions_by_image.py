"""The expressions of a split, brought together by the image that they are about."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from cmpc.data.schema import ReferredObject


class ExpressionsByImage(Sequence[list[tuple[ReferredObject, int]]]):
    """For each image its expressions, as pairs of an object and the expression's position among those of the object.

    Images come in the order in which they first occur. Rows are read when they are asked for; what stays in memory are
    8 bytes for each row, each expression and each image.
    """

    def __init__(self, rows: Sequence[ReferredObject], keep: Callable[[str], bool] = lambda expression: True) -> None:
        """
        Args:
            rows: those of a split.
            keep: called with each expression, in their order; False leaves it out.
        """
        self.rows = rows
        images: dict[str, int] = {}
        image_of, kept, first = array("q"), array("q"), array("q", [0])
        for row in rows:
            for position, expression in enumerate(row.expressions):
                if keep(expression):
                    image_of.append(images.setdefault(row.image, len(images)))
                    kept.append(first[-1] + position)
            first.append(first[-1] + len(row.expressions))
        by_image = np.array(image_of)
        self._first = np.array(first[:-1])
        """The number of the first expression of each row."""
        self.order = np.array(kept)[np.argsort(by_image, kind="stable")]
        """Numbers of expressions, from 0 in the split, image by image."""
        self.starts = np.concatenate([[0], np.cumsum(np.bincount(by_image, minlength=len(images)))]).astype(np.int64)
        """Where those of each image begin, and the end."""

    def __len__(self) -> int:
        """Number of images."""
        return len(self.starts) - 1

    @overload
    def __getitem__(self, index: int) -> list[tuple[ReferredObject, int]]: ...
    @overload
    def __getitem__(self, index: slice) -> list[list[tuple[ReferredObject, int]]]: ...
    def __getitem__(
        self, index: int | slice
    ) -> list[tuple[ReferredObject, int]] | list[list[tuple[ReferredObject, int]]]:
        if isinstance(index, slice):
            return [self[image] for image in range(len(self))[index]]
        return self.questions(self.numbers(range(len(self))[index]))

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of expressions of each image."""
        return np.diff(self.starts)

    def numbers(self, image: int) -> NDArray[np.int64]:
        """Numbers of the expressions of an image in the split, from 0."""
        return self.order[self.starts[image] : self.starts[image + 1]]

    def questions(self, numbers: NDArray[np.int64]) -> list[tuple[ReferredObject, int]]:
        """The expressions of these numbers; each row is read once."""
        places = (np.searchsorted(self._first, numbers, side="right") - 1).tolist()
        rows = {place: self.rows[place] for place in dict.fromkeys(places)}
        return [(rows[place], int(number - self._first[place])) for place, number in zip(places, numbers, strict=True)]
