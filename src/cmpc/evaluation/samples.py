"""The expressions of a split, numbered, and brought together by the image they are about."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from cmpc.data.expressions_by_image import ExpressionsByImage
from cmpc.data.masks import decode_runs
from cmpc.data.schema import ReferredObject
from cmpc.evaluation.metrics import count_words

_SAMPLES_AT_ONCE = 500


@dataclass(frozen=True)
class Sample:
    """One expression with what it refers to."""

    number: int
    """Position among the expressions of the split, from 0."""
    row: ReferredObject
    """The object."""
    position: int
    """Which of the object's expressions."""

    @property
    def expression(self) -> str:
        """The expression as written."""
        return self.row.expressions[self.position]

    @property
    def group(self) -> str:
        """The group that the data gives; empty where it gives none."""
        return self.row.groups[self.position] if self.row.groups else ""

    @property
    def targets(self) -> int:
        """Objects that the expression refers to: 0 where nothing in the image fits."""
        return 0 if self.row.is_empty else max(len(self.row.instances), 1)

    @property
    def truth(self) -> int:
        """Pixels of the true mask."""
        return 0 if self.row.is_empty else int(decode_runs(self.row.rle)[1::2].sum())

    @property
    def words(self) -> int:
        """Length of the expression."""
        return count_words(self.expression)


class Samples(Sequence[Sample]):
    """Samples in the order of their numbers, each made when it is asked for."""

    def __init__(self, expressions: ExpressionsByImage, numbers: NDArray[np.int64]) -> None:
        """
        Args:
            expressions: those of the split.
            numbers: of the samples.
        """
        self.expressions = expressions
        self.numbers = np.sort(numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return samples_of(self.expressions, self.numbers[index])
        return samples_of(self.expressions, self.numbers[[index]])[0]

    def __iter__(self) -> Iterator[Sample]:
        for start in range(0, len(self), _SAMPLES_AT_ONCE):
            yield from self[start : start + _SAMPLES_AT_ONCE]


class SamplesByImage(Sequence[list[Sample]]):
    """The samples of each of some images, made when they are asked for."""

    def __init__(self, expressions: ExpressionsByImage, numbers: NDArray[np.int64], starts: NDArray[np.int64]) -> None:
        """
        Args:
            expressions: those of the split.
            numbers: of the samples, image by image.
            starts: where those of each image begin, and the end.
        """
        self.expressions = expressions
        self._numbers = numbers
        self._starts = starts

    def __len__(self) -> int:
        """Number of images."""
        return len(self._starts) - 1

    @overload
    def __getitem__(self, index: int) -> list[Sample]: ...
    @overload
    def __getitem__(self, index: slice) -> SamplesByImage: ...
    def __getitem__(self, index: int | slice) -> list[Sample] | SamplesByImage:
        if isinstance(index, slice):
            images = range(len(self))[index]
            if images.step != 1:
                raise ValueError(f"a slice of images has the step 1, got {images.step}")
            return SamplesByImage(self.expressions, self._numbers, self._starts[images.start : images.stop + 1])
        image = range(len(self))[index]
        return samples_of(self.expressions, self._numbers[self._starts[image] : self._starts[image + 1]])

    @property
    def samples(self) -> Samples:
        """The samples of all of these images."""
        return Samples(self.expressions, self._numbers[self._starts[0] : self._starts[-1]])

    def without(self, numbers: Container[int]) -> SamplesByImage:
        """What is left without the samples of these numbers; images of which nothing is left fall away."""
        mine = self._numbers[self._starts[0] : self._starts[-1]]
        kept = np.fromiter((int(number) not in numbers for number in mine), np.bool_, len(mine))
        starts = np.concatenate([[0], np.cumsum(kept)])[self._starts - self._starts[0]]
        return SamplesByImage(self.expressions, mine[kept], np.unique(starts))


def samples_by_image(
    rows: Sequence[ReferredObject], keep: Callable[[str], bool] = lambda expression: True
) -> SamplesByImage:
    """The samples of each image, images in the order in which they first occur in the split.

    Args:
        rows: those of the split.
        keep: called with each expression; False leaves it out.
    """
    expressions = ExpressionsByImage(rows, keep)
    return SamplesByImage(expressions, expressions.order, expressions.starts)


def samples_of(expressions: ExpressionsByImage, numbers: NDArray[np.int64]) -> list[Sample]:
    """The samples of these numbers."""
    questions = expressions.questions(numbers)
    return [Sample(number, *question) for number, question in zip(numbers.tolist(), questions, strict=True)]


def fingerprint_rows(rows: Sequence[ReferredObject]) -> str:
    """SHA-256 over all that results depend on: images' names and sizes, masks, expressions (not the photos' pixels)."""
    digest = hashlib.sha256()
    for row in rows:
        content = (row.ref_id, row.image, row.height, row.width, row.rle, row.expressions, row.groups)
        digest.update(repr(content).encode())
    return digest.hexdigest()
