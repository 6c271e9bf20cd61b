"""The expressions of a split, numbered, and brought together by the image they are about."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cmpc.data.masks import decode_runs
from cmpc.data.schema import ReferredObject
from cmpc.evaluation.metrics import count_words


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


def samples_by_image(rows: Sequence[ReferredObject]) -> list[list[Sample]]:
    """The samples of each image, images in the order in which they first occur in the split."""
    images: dict[str, list[Sample]] = {}
    number = 0
    for row in rows:
        for position in range(len(row.expressions)):
            images.setdefault(row.image, []).append(Sample(number, row, position))
            number += 1
    return list(images.values())


def keep_samples(images: Sequence[Sequence[Sample]], wanted: Callable[[Sample], bool]) -> list[list[Sample]]:
    """The wanted samples of each image; images of which none is wanted fall away."""
    kept = ([sample for sample in samples if wanted(sample)] for samples in images)
    return [samples for samples in kept if samples]


def fingerprint_rows(rows: Sequence[ReferredObject]) -> str:
    """SHA-256 over all that results depend on: images' names and sizes, masks, expressions (not the photos' pixels)."""
    digest = hashlib.sha256()
    for row in rows:
        content = (row.ref_id, row.image, row.height, row.width, row.rle, row.expressions, row.groups)
        digest.update(repr(content).encode())
    return digest.hexdigest()
