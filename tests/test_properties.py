"""What holds for any input: words, letterboxes, masks, the order of training, metrics."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cmpc.data.masks import box_of, decode_mask, decode_runs, encode_mask, rle_from_box, rle_from_polygons
from cmpc.data.sampler import PassSampler, StepSampler, VisitOrder
from cmpc.data.transforms import Letterbox, letterbox_mask, undo_letterbox
from cmpc.data.vocabulary import Vocabulary
from cmpc.evaluation.metrics import WORD_BINS, Score, ScoreTable, overlap, word_bin

ASCII = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)
MASKS = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(lambda shape: arrays(bool, shape))
ORDERS = st.builds(
    VisitOrder,
    st.lists(st.integers(1, 9), min_size=1, max_size=12).map(tuple),
    st.integers(1, 4),
    seed=st.integers(0, 5),
)


# Words ---------------------------------------------------------------------------------------------------------------
@given(ASCII)
def test_vocabulary_knows_every_word_that_it_was_made_of(text: str) -> None:
    assert Vocabulary.from_expressions([text]).query(text, 1000).unknown == ()


@given(ASCII, st.integers(1, 20))
def test_words_are_cut_and_not_read_otherwise(text: str, most: int) -> None:
    vocabulary = Vocabulary.from_expressions(["the left man in a red shirt"])
    whole, cut = vocabulary.query(text, 1000), vocabulary.query(text, most)
    assert cut.ids == whole.ids[: len(cut.ids)]
    assert cut.words == whole.words[: len(cut.words)]
    assert len(cut.words) == min(most, len(whole.words))
    assert len(cut.word_of_token) == len(cut.ids)


@given(ASCII)
def test_capitals_mean_the_same(text: str) -> None:
    vocabulary = Vocabulary.from_expressions([text])
    assert vocabulary.query(text.upper(), 20).ids == vocabulary.query(text.lower(), 20).ids


# Letterboxes ---------------------------------------------------------------------------------------------------------
@given(st.integers(8, 90), st.integers(8, 90), st.integers(32, 96), st.data())
def test_rectangle_comes_back_from_the_letterbox_where_it_was(
    height: int, width: int, size: int, data: st.DataObject
) -> None:
    top, left = data.draw(st.integers(0, height - 4)), data.draw(st.integers(0, width - 4))
    bottom, right = data.draw(st.integers(top + 4, height)), data.draw(st.integers(left + 4, width))
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    square = letterbox_mask(mask, size, "area")
    back = undo_letterbox(square.astype(np.float32), height, width) >= 0.5
    off = 1 + 1 / Letterbox.of(height, width, size).scale  # a pixel of the photo, and one of the square
    for axis, (first, last) in enumerate([(top, bottom), (left, right)]):
        inside = np.flatnonzero(back.any(axis=1 - axis))
        if last - first > 2 * off:
            assert len(inside)
        if len(inside):
            assert abs(inside[0] - first) <= off
            assert abs(inside[-1] + 1 - last) <= off


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 600))
def test_letterbox_lies_inside_the_square(height: int, width: int, size: int) -> None:
    box = Letterbox.of(height, width, size)
    assert min(box.top, box.left) >= 0
    assert box.top + box.resized_height <= size
    assert box.left + box.resized_width <= size
    assert max(box.resized_height, box.resized_width) == size


# Masks ---------------------------------------------------------------------------------------------------------------
@given(MASKS)
def test_run_lengths_are_counted_down_the_columns(mask: np.ndarray) -> None:
    expected, inside = [0], False
    for value in mask.T.ravel().tolist():
        if value != inside:
            expected.append(0)
            inside = value
        expected[-1] += 1
    rle = encode_mask(mask)
    assert decode_runs(rle).tolist() == expected
    assert (decode_mask(rle, *mask.shape) == mask).all()


@given(MASKS)
def test_box_is_the_smallest_around_the_mask(mask: np.ndarray) -> None:
    if mask.any():
        rows, columns = np.nonzero(mask)
        expected = (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
        assert box_of(encode_mask(mask), *mask.shape) == expected


@given(st.integers(2, 40), st.integers(2, 40), st.data())
def test_rectangle_as_polygon_and_as_box_is_its_pixels(height: int, width: int, data: st.DataObject) -> None:
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    bottom, right = data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    polygon = [float(value) for value in (left, top, right, top, right, bottom, left, bottom)]
    for rle in (
        rle_from_polygons([polygon], height, width),
        rle_from_box([left, top, right - left, bottom - top], height, width),
    ):
        assert (decode_mask(rle, height, width) == mask).all()


# The order of training -----------------------------------------------------------------------------------------------
@given(ORDERS, st.integers(1, 3), st.integers(1, 5), st.integers(1, 3), st.integers(0, 15), st.integers(0, 10))
def test_any_number_of_devices_goes_on_from_any_step_as_one_that_never_stopped(
    order: VisitOrder, each: int, devices: int, micro_batches: int, start: int, steps: int
) -> None:
    batch, stop = each * devices * micro_batches, start + steps
    whole = list(StepSampler(order, batch=batch, start=0, stop=stop))[start:]
    samplers = [
        StepSampler(
            order,
            batch=batch,
            start=start,
            stop=stop,
            device_rank=rank,
            device_count=devices,
            micro_batches=micro_batches,
        )
        for rank in range(devices)
    ]
    shares = [list(sampler) for sampler in samplers]
    for number, together in enumerate(whole):
        micro = range(number * micro_batches, (number + 1) * micro_batches)
        parts = [share[place] for share in shares for place in micro]
        assert {len(part) for part in parts} == {each}
        assert Counter(visit for part in parts for visit in part) == Counter(together)
    assert {len(share) for share in shares} == {len(sampler) for sampler in samplers} == {steps * micro_batches}


@given(ORDERS, st.integers(1, 4), st.integers(1, 5))
def test_devices_see_every_visit_of_a_pass_once(order: VisitOrder, batch: int, devices: int) -> None:
    seen = Counter(
        (visit.image, visit.part)
        for rank in range(devices)
        for visits in PassSampler(order, batch=batch, device_rank=rank, device_count=devices)
        for visit in visits
        if visit.step_expressions
    )
    assert seen == Counter(order.visits(0))
    batches = {len(PassSampler(order, batch=batch, device_rank=rank, device_count=devices)) for rank in range(devices)}
    assert len(batches) == 1


# Metrics -------------------------------------------------------------------------------------------------------------
@given(st.lists(st.tuples(MASKS, st.integers(0, 99), st.integers(0, 12), st.sampled_from(["", "a", "b"])), max_size=6))
def test_measures_are_those_that_counting_pixel_by_pixel_gives(
    samples: list[tuple[np.ndarray, int, int, str]],
) -> None:
    table, counted = ScoreTable(), []
    for truth, seed, words, group in samples:
        prediction = np.random.default_rng(seed).random(truth.shape) < 0.5
        table.add(overlap(prediction, truth), words=words, group=group)
        pixels = list(zip(prediction.ravel().tolist(), truth.ravel().tolist(), strict=True))
        counted.append((sum(a and b for a, b in pixels), sum(a or b for a, b in pixels), words, group))

    def check(score: Score, some: list[tuple[int, int, int, str]]) -> None:
        ious = [common / either if either else 1.0 for common, either, *_ in some]
        common, either = sum(one[0] for one in some), sum(one[1] for one in some)
        assert score.expressions == len(some)
        assert score.overall_iou == (common / either if either else 1.0)
        assert abs(score.mean_iou - sum(ious) / len(ious)) < 1e-12
        assert score.precision == {t: sum(iou >= t for iou in ious) / len(ious) for t in score.precision}

    if counted:
        check(table.all, counted)
    for name in WORD_BINS:
        if some := [one for one in counted if word_bin(one[2]) == name]:
            check(table.by_words[name], some)
    for group in ("a", "b"):
        if some := [one for one in counted if one[3] == group]:
            check(table.by_group[group], some)
    assert sum(score.expressions for score in table.by_words.values()) == len(counted)
