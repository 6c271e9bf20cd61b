"""How good masks are, counted in integers: sums of parts, in any order, equal the sum of the whole exactly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmpc.data.query import holds_a_word

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""IoU from which on a mask counts as found, for precision@threshold."""

WORD_BINS = ("1-2", "3", "4-5", "6-7", "8+")
"""Lengths of expressions by which results are broken down."""

TARGETS = ("nothing", "one", "several")
"""The objects that expressions refer to, by which results are broken down."""
SOMETHING = "something"
"""Name of the row of all expressions that refer to one object or to several."""

_IOU_UNIT = 64  # an IoU is summed in steps of 2**-64, so that the mean does not depend on the order


class Overlap(NamedTuple):
    """What a predicted mask and the true one share, in pixels."""

    intersection: int
    """Pixels in both masks."""
    union: int
    """Pixels in either mask."""

    @property
    def iou(self) -> float:
        """Intersection over union, 0..1; 1 when both masks are empty.

        The original divides zero by zero there. Calling nothing right when nothing is there follows gRefCOCO.
        """
        return self.intersection / self.union if self.union else 1.0


def overlap(prediction: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Overlap:
    """Counts the pixels that two masks share.

    Args:
        prediction: bool, (H, W).
        truth: bool, (H, W).
    """
    if prediction.shape != truth.shape or prediction.dtype != np.bool_ or truth.dtype != np.bool_:
        raise ValueError(
            "prediction and truth must be bool (H, W) of the same size, "
            f"got {prediction.shape} {prediction.dtype} and {truth.shape} {truth.dtype}"
        )
    return Overlap(int(np.count_nonzero(prediction & truth)), int(np.count_nonzero(prediction | truth)))


@dataclass(frozen=True)
class Score:
    """The field's three measures over a set of expressions. ``a + b`` is exactly the score of both sets."""

    expressions: int = 0
    """Number of expressions."""
    intersection: int = 0
    """Sum of intersections in pixels."""
    union: int = 0
    """Sum of unions in pixels."""
    iou_sum: int = 0
    """Sum of the IoUs in units of 2**-64."""
    hits: tuple[int, ...] = (0,) * len(THRESHOLDS)
    """Expressions whose IoU reaches each of ``THRESHOLDS``."""
    absent: int = 0
    """Expressions that refer to nothing in their photo."""
    absent_told: int = 0
    """Of these, the ones whose mask is empty."""
    missed: int = 0
    """Expressions that refer to something, but whose mask is empty."""

    @staticmethod
    def of(overlap: Overlap, truth: int | None = None) -> Score:
        """The score of a single expression.

        Args:
            overlap: its masks' common pixels.
            truth: pixels of the true mask; None where it is known to have some, and empty predictions are not counted.
        """
        unit = 1 << _IOU_UNIT
        iou_sum = overlap.intersection * unit // overlap.union if overlap.union else unit
        hits = tuple(int(overlap.iou >= threshold) for threshold in THRESHOLDS)
        is_absent = truth == 0
        is_empty = truth is not None and overlap.union + overlap.intersection == truth  # the prediction has the rest
        return Score(
            1,
            overlap.intersection,
            overlap.union,
            iou_sum,
            hits,
            absent=int(is_absent),
            absent_told=int(is_absent and is_empty),
            missed=int(is_empty and not is_absent),
        )

    @staticmethod
    def total(scores: Iterable[Score]) -> Score:
        """The score of all sets together."""
        return reduce(Score.__add__, scores, Score())

    def __add__(self, other: Score) -> Score:
        return Score(
            self.expressions + other.expressions,
            self.intersection + other.intersection,
            self.union + other.union,
            self.iou_sum + other.iou_sum,
            tuple(mine + theirs for mine, theirs in zip(self.hits, other.hits, strict=True)),
            self.absent + other.absent,
            self.absent_told + other.absent_told,
            self.missed + other.missed,
        )

    @property
    def overall_iou(self) -> float:
        """Sum of intersections over sum of unions, 0..1: large objects weigh more. The published tables give this one.

        Raises:
            ValueError: there is no expression.
        """
        self._require_expressions()
        return Overlap(self.intersection, self.union).iou

    @property
    def mean_iou(self) -> float:
        """Mean of the expressions' IoUs, 0..1: every expression weighs alike.

        Raises:
            ValueError: there is no expression.
        """
        self._require_expressions()
        return self.iou_sum / (self.expressions << _IOU_UNIT)

    @property
    def precision(self) -> dict[float, float]:
        """Threshold -> part of the expressions whose IoU reaches it, 0..1.

        Raises:
            ValueError: there is no expression.
        """
        self._require_expressions()
        return {threshold: hits / self.expressions for threshold, hits in zip(THRESHOLDS, self.hits, strict=True)}

    @property
    def target_precision(self) -> dict[float, float]:
        """Threshold -> part of the expressions that refer to something whose IoU reaches it, 0..1, as gRefCOCO counts
        it; 0 where none does."""
        targets = self.expressions - self.absent
        found = (hits - self.absent_told for hits in self.hits)  # an empty mask that is right has an IoU of 1
        return {one: hits / targets if targets else 0.0 for one, hits in zip(THRESHOLDS, found, strict=True)}

    @property
    def no_target_accuracy(self) -> float | None:
        """gRefCOCO's N-acc: of the expressions that refer to nothing, the part with an empty mask, 0..1. None where
        there is no such expression."""
        return self.absent_told / self.absent if self.absent else None

    @property
    def target_accuracy(self) -> float | None:
        """gRefCOCO's T-acc: of the expressions that refer to something, the part whose mask is not empty, 0..1. None
        where there is no such expression."""
        targets = self.expressions - self.absent
        return 1 - self.missed / targets if targets else None

    def to_json(self) -> dict[str, Any]:
        """Counts and measures as plain JSON values; rates are 0..1. Those of expressions that refer to nothing stand
        there where some do.

        Raises:
            ValueError: there is no expression.
        """
        values: dict[str, Any] = {
            "expressions": self.expressions,
            "intersection": self.intersection,
            "union": self.union,
            "overall_iou": self.overall_iou,
            "mean_iou": self.mean_iou,
            "precision": {str(threshold): rate for threshold, rate in self.precision.items()},
        }
        if self.absent:
            values |= {
                "absent": self.absent,
                "no_target_accuracy": self.no_target_accuracy,
                "target_accuracy": self.target_accuracy,
                "target_precision": {str(threshold): rate for threshold, rate in self.target_precision.items()},
            }
        return values

    def _require_expressions(self) -> None:
        if self.expressions == 0:
            raise ValueError("a score of no expressions has no IoU: add some first")


@dataclass
class ScoreTable:
    """Scores of all expressions, by length and by group."""

    all: Score = field(default_factory=Score)
    """Every expression."""
    by_words: dict[str, Score] = field(default_factory=dict)
    """Name of ``WORD_BINS`` -> score; only lengths that occur."""
    by_group: dict[str, Score] = field(default_factory=dict)
    """Group given in the data -> score."""
    by_targets: dict[str, Score] = field(default_factory=dict)
    """Name of ``TARGETS`` -> score; only what occurs."""

    def add(self, overlap: Overlap, *, words: int, group: str = "", truth: int | None = None, targets: int = 1) -> None:
        """Counts one expression.

        Args:
            overlap: its masks' common pixels.
            words: its length (see ``count_words``).
            group: its group; empty where the data gives none.
            truth: pixels of the true mask, as for ``Score.of``.
            targets: objects that it refers to.
        """
        score = Score.of(overlap, truth)
        self.all += score
        number = TARGETS[min(targets, 2)]
        self.by_targets[number] = self.by_targets.get(number, Score()) + score
        length = word_bin(words)
        self.by_words[length] = self.by_words.get(length, Score()) + score
        if group:
            self.by_group[group] = self.by_group.get(group, Score()) + score

    def __add__(self, other: ScoreTable) -> ScoreTable:
        return ScoreTable(
            self.all + other.all,
            _merge(self.by_words, other.by_words),
            _merge(self.by_group, other.by_group),
            _merge(self.by_targets, other.by_targets),
        )

    def rows(self) -> list[tuple[str, str, Score]]:
        """(kind, name, score) of each row, kind being ``all``, ``targets``, ``words`` or ``group``, in the order to
        print them. Where all refer to one object there are no ``targets``."""
        targets = [(name, self.by_targets[name]) for name in TARGETS if name in self.by_targets]
        something = Score.total(score for name, score in targets if name != TARGETS[0])
        if 0 < something.expressions < self.all.expressions and len(targets) > 2:
            targets.insert(1, (SOMETHING, something))
        if set(self.by_targets) <= {TARGETS[1]}:
            targets = []
        return [
            ("all", "all", self.all),
            *(("targets", name, score) for name, score in targets),
            *(("words", name, self.by_words[name]) for name in WORD_BINS if name in self.by_words),
            *(("group", name, self.by_group[name]) for name in sorted(self.by_group)),
        ]


def count_words(expression: str) -> int:
    """Pieces between blanks that hold a letter or a digit: ``"the man's hat , left"`` has four."""
    return sum(map(holds_a_word, expression.split()))


def word_bin(words: int) -> str:
    """The length's name in ``WORD_BINS``; an expression of punctuation alone counts as short."""
    if words >= 8:
        return "8+"
    return ("1-2", "1-2", "1-2", "3", "4-5", "4-5", "6-7", "6-7")[words]


def _merge(left: dict[str, Score], right: dict[str, Score]) -> dict[str, Score]:
    return {name: left.get(name, Score()) + right.get(name, Score()) for name in left | right}
