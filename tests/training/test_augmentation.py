"""Random changes of training samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmpc.data.augmentation import Augmentation, cut_window, mirror_expression


@pytest.mark.parametrize(
    ("expression", "mirrored"),
    [
        ("left man", "right man"),
        ("Right dog, LEFT cat", "Left dog, RIGHT cat"),
        ("leftmost one", "rightmost one"),
        ("the right-most chair", "the left-most chair"),
        ("lefthand girl, right-hand boy", "righthand girl, left-hand boy"),
        ("second from left (not right)", "second from right (not left)"),
        ("bottomleft corner", "bottomright corner"),
        ("guy on rt", "guy on lt"),
        ("lefty batter", "righty batter"),
        ("on the right behind the tree", "on the left behind the tree"),
        ("the man's left's edge", "the man's right's edge"),
        ("bright leftovers upright", "bright leftovers upright"),
        ("copyright sign", "copyright sign"),
        ("woman in blue", "woman in blue"),
    ],
)
def test_sides_are_swapped_in_all_their_forms(expression: str, mirrored: str) -> None:
    assert mirror_expression(expression) == mirrored


@pytest.mark.parametrize(
    "expression", ["window right above the door", "the only slice left", "man right next to the bus", "food left over"]
)
def test_words_that_may_not_mean_a_side_are_not_mirrored(expression: str) -> None:
    assert mirror_expression(expression) is None


words = st.sampled_from(
    ["left", "right", "Leftmost", "RIGHT", "the", "on", "top", "bright", "man", "lft", "left-hand", ","]
)


@given(st.lists(words, max_size=8).map(" ".join))
def test_mirroring_twice_gives_the_expression_back(expression: str) -> None:
    mirrored = mirror_expression(expression)
    if mirrored is not None:
        assert mirror_expression(mirrored) in (expression, None)
        assert len(mirrored.split()) == len(expression.split())


@given(st.integers(20, 300), st.integers(20, 300), st.integers(0, 2**32), st.data())
def test_window_shows_the_objects(height: int, width: int, seed: int, data: st.DataObject) -> None:
    x = data.draw(st.integers(0, width - 2))
    y = data.draw(st.integers(0, height - 2))
    box = (x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y)))
    window = Augmentation().window(height, width, np.array([box], float), np.random.default_rng(seed))
    mask = np.zeros((height, width), bool)
    mask[box[1] : box[1] + box[3], box[0] : box[0] + box[2]] = True
    assert cut_window(mask, window).sum() == mask.sum()
    assert 0.75 <= window[2] / height <= 1.3
    assert 0.75 <= window[3] / width <= 1.3


def test_colours_change_but_the_border_stays_black() -> None:
    image = np.random.default_rng(0).integers(1, 255, (20, 20, 3)).astype(np.uint8)
    image[:5] = 0
    changed = Augmentation().draw_colours(np.random.default_rng(1)).apply(image)
    assert not changed[:5].any()
    assert (changed[5:] != image[5:]).mean() > 0.5
    assert np.abs(changed.astype(int) - image).mean() < 60


def test_black_image_stays_black() -> None:
    assert not Augmentation().draw_colours(np.random.default_rng(0)).apply(np.zeros((4, 4, 3), np.uint8)).any()
