"""How cells become regions."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cmpc.explanation.regions import OUTSIDE, find_regions, grow_regions, principal_components


def test_cells_of_one_kind_become_one_region() -> None:
    pattern = np.zeros((6, 8), np.int64)
    pattern[:3, :4], pattern[3:, 5:] = 1, 2
    features = np.eye(3, dtype=np.float32)[pattern].transpose(2, 0, 1)
    features += np.random.default_rng(0).normal(0, 0.01, features.shape).astype(np.float32)
    labels = grow_regions(features, np.ones((6, 8), bool), 3)
    assert len({(int(kind), int(label)) for kind, label in zip(pattern.flat, labels.flat, strict=True)}) == 3
    assert labels[0, 0] == 0  # numbered in reading order


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 6), st.floats(0.3, 1.0), st.integers(0, 10_000))
def test_regions_are_connected_and_cover_the_photo(height: int, width: int, count: int, kept: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    inside = rng.random((height, width)) < kept
    labels = grow_regions(rng.normal(size=(4, height, width)).astype(np.float32), inside, count)
    np.testing.assert_array_equal(labels == OUTSIDE, ~inside)
    parts = cv2.connectedComponents(inside.astype(np.uint8), connectivity=4)[0] - 1
    regions = int(labels.max()) + 1
    assert regions == max(parts, min(count, int(inside.sum())))
    for label in range(regions):
        assert cv2.connectedComponents((labels == label).astype(np.uint8), connectivity=4)[0] == 2


def test_things_come_first_and_their_surroundings_after() -> None:
    things = np.zeros((8, 8), bool)
    things[1:3, 1:3] = things[5:7, 5:7] = things[0, 7] = True
    inside = np.ones((8, 8), bool)
    inside[0] = False
    features = np.random.default_rng(1).normal(size=(3, 8, 8)).astype(np.float32)
    labels = find_regions(features, inside, things)
    assert labels[things].max() == 1  # the third thing lies in the padding
    assert (labels[1:3, 1:3] == 0).all()
    assert (labels[5:7, 5:7] == 1).all()
    assert (labels[inside & ~things] >= 2).all()
    assert (labels[0] == OUTSIDE).all()


def test_photo_full_of_things_has_no_surroundings() -> None:
    labels = find_regions(np.zeros((2, 4, 4), np.float32), np.ones((4, 4), bool), np.ones((4, 4), bool))
    assert (labels == 0).all()


def test_principal_components_keep_distances() -> None:
    rng = np.random.default_rng(2)
    basis = np.linalg.qr(rng.normal(size=(20, 3)))[0]
    features = (basis @ rng.normal(size=(3, 30))).reshape(20, 5, 6).astype(np.float32)
    reduced = principal_components(features, 3)
    assert reduced.shape == (3, 5, 6)
    before = np.linalg.norm(features[:, 0, 0] - features[:, 4, 5])
    np.testing.assert_allclose(np.linalg.norm(reduced[:, 0, 0] - reduced[:, 4, 5]), before, rtol=1e-4)
