"""The results of an evaluation, kept as numbers: 32 bytes each, and 16 more with the DenseCRF."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, MutableMapping, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from cmpc.evaluation.metrics import Overlap
from cmpc.evaluation.scoring import ScoredSample

MOST = 1_000_000_000
"""Samples that a split may have."""
_NONE = (-1, -1)


class Results(MutableMapping[int, ScoredSample]):
    """Sample number -> result, in the order in which they came; none is taken out."""

    def __init__(self) -> None:
        self._numbers = array("q")
        self._without_crf = array("q")
        self._with_crf = array("q")
        """Two for each result as far as there are any; ``_NONE`` for none."""
        self._places = np.zeros(1024, np.int64)
        """For each number where its result is, from 1; 0 for nowhere."""

    def __getitem__(self, number: int) -> ScoredSample:
        if number not in self:
            raise KeyError(number)
        place = 2 * int(self._places[number] - 1)
        with_crf = tuple(self._with_crf[place : place + 2])
        refined = Overlap(*with_crf) if with_crf not in ((), _NONE) else None
        return ScoredSample(number, Overlap(*self._without_crf[place : place + 2]), refined)

    def __setitem__(self, number: int, result: ScoredSample) -> None:
        if not 0 <= number < MOST:
            raise ValueError(f"a sample has a number from 0 to {MOST - 1:,}, got {number}")
        if number >= len(self._places):
            self._places = np.pad(self._places, (0, max(number + 1, 2 * len(self._places)) - len(self._places)))
        if not self._places[number]:
            self._numbers.append(number)
            self._without_crf.extend(_NONE)
            self._places[number] = len(self._numbers)
        place = 2 * int(self._places[number] - 1)
        self._without_crf[place : place + 2] = array("q", result.without_crf)
        if result.with_crf is not None or len(self._with_crf) > place:
            missing = len(self._numbers) - len(self._with_crf) // 2
            self._with_crf.extend(_NONE * missing)
            self._with_crf[place : place + 2] = array("q", result.with_crf or _NONE)

    def __delitem__(self, number: int) -> None:
        raise TypeError("results are not taken out")

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and 0 <= number < len(self._places) and bool(self._places[number])

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def of(self, numbers: NDArray[np.int64]) -> Sequence[ScoredSample]:
        """The results of these samples, in this order; all of them must be there."""
        return _Chosen(self, numbers)


class _Chosen(Sequence[ScoredSample]):
    """The results of some samples."""

    def __init__(self, results: Results, numbers: NDArray[np.int64]) -> None:
        self._results = results
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> ScoredSample: ...
    @overload
    def __getitem__(self, index: slice) -> list[ScoredSample]: ...
    def __getitem__(self, index: int | slice) -> ScoredSample | list[ScoredSample]:
        if isinstance(index, slice):
            return [self._results[int(number)] for number in self._numbers[index]]
        return self._results[int(self._numbers[index])]

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented
