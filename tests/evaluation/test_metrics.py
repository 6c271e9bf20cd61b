"""Counting of overlaps."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmpc.evaluation.metrics import THRESHOLDS, Overlap, Score, ScoreTable, count_words, overlap, word_bin

OVERLAPS = st.lists(
    st.tuples(st.integers(0, 10**7), st.integers(0, 10**7)).map(lambda pair: Overlap(min(pair), max(pair))),
    min_size=1,
    max_size=30,
)


def test_scores_equal_the_original() -> None:
    """Six pairs measured by the original program; one prediction holds 0.25, which it counts as foreground."""
    reference = np.load(Path(__file__).parent / "fixtures/metrics.npz")
    expected = json.loads(str(reference["expected"]))
    predictions = reference["prediction"] > 0
    masks = np.unpackbits(reference["mask"]).reshape(predictions.shape).astype(bool)

    overlaps = [overlap(prediction, mask) for prediction, mask in zip(predictions, masks, strict=True)]
    score = Score.total(map(Score.of, overlaps))

    assert [list(pair) for pair in overlaps] == expected["IU"]
    assert score.overall_iou == pytest.approx(expected["overall_IoU"], abs=1e-15)
    assert score.mean_iou == pytest.approx(expected["mean_IoU"], abs=1e-15)
    assert {str(threshold): rate for threshold, rate in score.precision.items()} == expected["precision"]


@given(OVERLAPS, st.randoms(use_true_random=False), st.integers(0, 30))
def test_scores_of_parts_in_any_order_add_up_exactly(overlaps: list[Overlap], random: object, cut: int) -> None:
    whole = Score.total(map(Score.of, overlaps))
    random.shuffle(overlaps)
    parts = Score.total(map(Score.of, overlaps[:cut])) + Score.total(map(Score.of, overlaps[cut:]))
    assert parts == whole


@given(OVERLAPS)
def test_measures_are_those_of_their_definitions(overlaps: list[Overlap]) -> None:
    score = Score.total(map(Score.of, overlaps))
    ious = [Fraction(*pair) if pair.union else Fraction(1) for pair in overlaps]
    assert score.mean_iou == pytest.approx(float(sum(ious) / len(ious)), abs=1e-15)
    assert score.intersection == sum(pair.intersection for pair in overlaps)
    for threshold, rate in score.precision.items():
        assert rate == sum(float(iou) >= threshold for iou in ious) / len(ious)


def test_an_iou_exactly_at_the_threshold_counts() -> None:
    assert Score.of(Overlap(7, 10)).hits == (1, 1, 1, 0, 0)
    assert Score.of(Overlap(9, 10)).hits == (1, 1, 1, 1, 1)


def test_an_empty_prediction_for_an_empty_mask_is_right_and_anything_else_is_wrong() -> None:
    nothing, something = np.zeros((4, 4), bool), np.eye(4, dtype=bool)
    assert overlap(nothing, nothing).iou == 1
    assert overlap(something, nothing).iou == 0
    assert overlap(nothing, something).iou == 0
    both = Score.of(overlap(nothing, nothing)) + Score.of(overlap(nothing, something))
    assert both.mean_iou == 0.5
    assert both.overall_iou == 0


def test_counters_hold_more_pixels_than_32_bits() -> None:
    score = Score.total(Score.of(Overlap(10**8, 2 * 10**8)) for _ in range(1000))
    assert score.intersection == 10**11
    assert score.overall_iou == 0.5


def test_no_expressions_have_no_score() -> None:
    with pytest.raises(ValueError, match="no expressions"):
        _ = Score().mean_iou


def test_masks_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="same size"):
        overlap(np.zeros((4, 4), bool), np.zeros((4, 5), bool))


def test_results_are_broken_down_by_length_and_group() -> None:
    table = ScoreTable()
    table.add(Overlap(1, 2), words=2, group="people")
    table.add(Overlap(2, 2), words=3)
    table.add(Overlap(0, 2), words=11, group="people")
    assert [(kind, name, score.expressions) for kind, name, score in table.rows()] == [
        ("all", "all", 3),
        ("words", "1-2", 1),
        ("words", "3", 1),
        ("words", "8+", 1),
        ("group", "people", 2),
    ]
    assert table.by_group["people"].mean_iou == 0.25
    assert (table + table).by_words["3"].expressions == 2


@pytest.mark.parametrize(
    ("expression", "words", "name"),
    [
        (".", 0, "1-2"),
        ("man", 1, "1-2"),
        ("left man", 2, "1-2"),
        ("the man's hat , left", 4, "4-5"),
        ("woman, in blue", 3, "3"),
        ("café table near two chairs", 5, "4-5"),
        ("a b c d e f", 6, "6-7"),
        ("a b c d e f g", 7, "6-7"),
        ("a b c d e f g h", 8, "8+"),
    ],
)
def test_words_are_what_stands_between_blanks(expression: str, words: int, name: str) -> None:
    assert count_words(expression) == words
    assert word_bin(words) == name


def test_thresholds_are_those_of_the_field() -> None:
    assert THRESHOLDS == (0.5, 0.6, 0.7, 0.8, 0.9)
    assert math.isclose(Score.of(Overlap(3, 5)).precision[0.6], 1)
