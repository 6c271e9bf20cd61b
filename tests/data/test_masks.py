from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from cmpc.data.masks import (
    box_of,
    decode_mask,
    decode_runs,
    encode_mask,
    rle_from_box,
    rle_from_coco,
    rle_from_counts,
    rle_from_polygons,
)

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40))


@given(MASKS)
def test_mask_survives_encoding(mask: np.ndarray) -> None:
    assert (decode_mask(encode_mask(mask), *mask.shape) == mask).all()


@given(MASKS)
def test_lists_of_runs_and_text_give_the_same_mask(mask: np.ndarray) -> None:
    rle = encode_mask(mask)
    assert rle_from_counts(decode_runs(rle).tolist(), *mask.shape) == rle
    assert rle_from_counts(rle, *mask.shape) == rle


def test_long_runs_are_decoded_like_pycocotools() -> None:
    mask = np.zeros((3000, 4000), bool)
    mask[7:, 11:] = True
    rle = encode_mask(mask)
    expected = coco_mask.decode({"size": [3000, 4000], "counts": rle.encode()}).astype(bool)
    assert (decode_mask(rle, 3000, 4000) == expected).all()


@given(st.text(max_size=30))
def test_malformed_text_is_refused_or_covers_the_mask(rle: str) -> None:
    try:
        mask = decode_mask(rle, 10, 10)
    except ValueError:
        return
    assert mask.shape == (10, 10)


@pytest.mark.parametrize("rle", ["", "0", "o", "PPPP", "1" * 50, "\x01\x02", "é"])
def test_malformed_text_is_refused(rle: str) -> None:
    with pytest.raises(ValueError, match="run"):
        decode_mask(rle, 10, 10)


def test_several_polygons_are_joined() -> None:
    polygons = [[1.0, 1.0, 5.0, 1.0, 5.0, 5.0, 1.0, 5.0], [10, 10, 14, 10, 14, 14, 10, 14]]
    mask = decode_mask(rle_from_polygons(polygons, 20, 30), 20, 30)
    assert mask[3, 3]
    assert mask[12, 12]
    assert not mask[8, 8]


def test_parts_of_two_points_are_passed_over_in_coco() -> None:
    square = [1, 1, 5, 1, 5, 5, 1, 5]
    assert rle_from_coco([[2, 2, 9, 9], square], 20, 30) == rle_from_polygons([square], 20, 30)
    with pytest.raises(ValueError, match="three points"):
        rle_from_coco([[2, 2, 9, 9]], 20, 30)


@pytest.mark.parametrize(
    ("polygons", "message"),
    [
        ([], "no polygon"),
        ([[1, 1, 2, 2]], "three points"),
        ([[1, 1, 2, 2, 3]], "three points"),
        ([[1, 1, 2, 2, float("nan"), 3]], "three points"),
        ([[1, 1, 2, 2, "3", 3]], "three points"),
        ([[1, 1, 2, 2, 1e12, 3]], "outside the image"),
        ([[1, 1, 2, -30, 3, 3]], "outside the image"),
    ],
)
def test_wrong_polygons_are_refused(polygons: list[list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rle_from_polygons(polygons, 20, 30)


@pytest.mark.parametrize("counts", [[], [10], [100, 501], [-1, 601], [True, 599], ["600"], "garbage"])
def test_wrong_runs_are_refused(counts: list[int] | str) -> None:
    with pytest.raises(ValueError, match="run"):
        rle_from_counts(counts, 20, 30)


@pytest.mark.parametrize("segmentation", [None, 5, "text", {"counts": 5}, [5], {"size": [1, 1], "counts": [600]}])
def test_what_is_no_segmentation_is_refused(segmentation: object) -> None:
    with pytest.raises(ValueError, match=r"neither|size|three points"):
        rle_from_coco(segmentation, 20, 30)


def test_box_becomes_a_filled_mask_and_back() -> None:
    assert box_of(rle_from_box([3, 4, 10, 5], 20, 30), 20, 30) == (3.0, 4.0, 10.0, 5.0)


@pytest.mark.parametrize(
    "polygons", [[[0.1, 0.1, 0.9, 0.1, 0.9, 0.9]], [[0, 0, 1, 0, 1, 1], [0.2, 0.2, 0.4, 0.2, 0.4, 1.02]]]
)
def test_fractions_of_the_image_are_no_pixels(polygons: list[list[float]]) -> None:
    with pytest.raises(
        ValueError, match="fractions of the image do: multiply x by its width, 30, and y by its height, 20"
    ):
        rle_from_polygons(polygons, 20, 30)


def test_small_parts_beside_large_ones_are_pixels() -> None:
    rle = rle_from_polygons([[0, 0, 1, 0, 1, 1, 0, 1], [5, 5, 9, 5, 9, 9, 5, 9]], 20, 30)
    assert decode_mask(rle, 20, 30).sum() == 17


def test_whole_numbers_with_a_point_are_runs() -> None:
    assert rle_from_counts([100.0, 20.0, 480], 20, 30) == rle_from_counts([100, 20, 480], 20, 30)
    with pytest.raises(ValueError, match="run"):
        rle_from_counts([100.5, 19.5, 480], 20, 30)


@pytest.mark.parametrize("polygon", [[5, 5, 9, 5, 9, 9], [[5, 5, 9, 5, 9, 9]], [[5, 5], [9, 5], [9, 9]]])
def test_three_ways_to_write_a_polygon_agree(polygon: list[object]) -> None:
    assert rle_from_coco(polygon, 20, 30) == rle_from_polygons([[5, 5, 9, 5, 9, 9]], 20, 30)


@pytest.mark.parametrize("box", [[0.1, 0.1, 0.5, 0.5], [1, 2, 3], [1, 2, 0, 4], [1, 2, "3", 4], [25, 2, 20, 4]])
def test_wrong_box_is_refused(box: list[float]) -> None:
    with pytest.raises(ValueError, match="box"):
        rle_from_box(box, 20, 30)


def test_empty_mask_has_no_box() -> None:
    with pytest.raises(ValueError, match="empty"):
        box_of(encode_mask(np.zeros((4, 5))), 4, 5)
