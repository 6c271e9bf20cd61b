"""Order of the training samples."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmpc.data.sampler import PassSampler, StepSampler, VisitOrder

counts = st.lists(st.integers(1, 9), min_size=1, max_size=12).map(tuple)


@given(counts, st.integers(1, 5), st.integers(0, 3), st.booleans())
def test_every_expression_is_seen_once_an_epoch(
    expressions: tuple[int, ...], most: int, epoch: int, shuffle: bool
) -> None:
    order = VisitOrder(expressions, most, seed=7, shuffle=shuffle)
    visits = order.visits(epoch)
    assert len(visits) == len(order)
    seen = Counter((image, number) for image, part in visits for number in order.chosen(epoch, image, part))
    assert seen == Counter((image, number) for image, count in enumerate(expressions) for number in range(count))
    assert all(len(order.chosen(epoch, *visit)) == order.size(*visit) <= most for visit in visits)


@given(counts, st.integers(1, 7), st.integers(0, 20), st.integers(0, 20))
def test_order_continues_at_any_step(expressions: tuple[int, ...], batch: int, start: int, steps: int) -> None:
    order = VisitOrder(expressions, 2, seed=1)
    whole = list(StepSampler(order, batch=batch, start=0, stop=start + steps))
    assert list(StepSampler(order, batch=batch, start=start, stop=start + steps)) == whole[start:]
    assert all(len(visits) == batch for visits in whole)


@given(counts, st.integers(1, 4), st.integers(1, 4))
def test_devices_share_the_visits_of_a_step(expressions: tuple[int, ...], each: int, devices: int) -> None:
    absent = tuple(count % 3 for count in expressions)
    order = VisitOrder(expressions, 3, seed=5, absent=absent)
    whole = StepSampler(order, batch=each * devices, start=0, stop=6)
    shares = [
        StepSampler(order, batch=each * devices, start=0, stop=6, device_rank=rank, device_count=devices)
        for rank in range(devices)
    ]
    for together, *parts in zip(whole, *shares, strict=True):
        assert Counter(together) == Counter(visit for part in parts for visit in part)
        assert {len(part) for part in parts} == {each}
        assert {visit.step_expressions for visit in together} == {
            sum(order.size(visit.image, visit.part) + absent[visit.image] for visit in together)
        }


def test_expressions_of_other_images_are_for_each_image() -> None:
    with pytest.raises(ValueError, match="absent is for 1 images, expressions for 2"):
        VisitOrder((1, 2), 4, absent=(1,))


def test_order_differs_between_epochs_and_seeds() -> None:
    expressions = (3,) * 20
    assert VisitOrder(expressions, 2, seed=0).visits(0) != VisitOrder(expressions, 2, seed=0).visits(1)
    assert VisitOrder(expressions, 2, seed=0).visits(0) != VisitOrder(expressions, 2, seed=1).visits(0)


def test_validation_sees_everything_once_over_all_devices() -> None:
    order = VisitOrder((3, 1, 2, 5), 2, shuffle=False)
    visits = [
        (visit.image, visit.part)
        for rank in range(2)
        for batch in PassSampler(order, batch=2, device_rank=rank, device_count=2)
        for visit in batch
    ]
    assert sorted(visits) == order.visits(0)


def test_batch_that_devices_cannot_share_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of the 2 devices"):
        StepSampler(VisitOrder((1,), 1), batch=3, start=0, stop=1, device_count=2)


def test_step_that_micro_batches_cannot_share_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of the 2 devices times 3 micro batches, got 8"):
        StepSampler(VisitOrder((1,), 1), batch=8, start=0, stop=1, device_count=2, micro_batches=3)


def test_devices_without_visits_are_kept_busy_in_validation() -> None:
    """All devices compute at the same time where they share the weights."""
    order = VisitOrder((1, 2), 4, shuffle=False)
    shares = [list(PassSampler(order, batch=3, device_rank=rank, device_count=4)) for rank in range(4)]
    assert [[visit.step_expressions for visit in batch] for batch in shares[0]] == [[1]]
    assert [[visit.step_expressions for visit in batch] for batch in shares[3]] == [[0]]
    assert [sum(visit.step_expressions for batch in share for visit in batch) for share in shares] == [1, 2, 0, 0]
