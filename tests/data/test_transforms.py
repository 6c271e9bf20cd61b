"""Letterboxing and its way back, against numbers of the original program (tests/evaluation/fixtures/README.md,
tests/data/ATTRIBUTION.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cmpc.conventions import ImageConfig
from cmpc.data.images import read_image
from cmpc.data.pixels import PixelNormalisation
from cmpc.data.transforms import (
    Letterbox,
    letterbox_image,
    letterbox_mask,
    resize_and_crop,
    undo_letterbox,
    undo_letterbox_in_bands,
)
from cmpc.models.config import preset

REFERENCE = np.load(Path(__file__).parents[1] / "evaluation/fixtures/preprocess.npz")
IMAGES = sorted({key.split("/")[1] for key in REFERENCE if key.startswith("image/")})
MASKS = sorted({key.split("/")[1] for key in REFERENCE if key.startswith("mask/")})
HALVED = np.load(Path(__file__).with_name("halved_photo.npz"))
CROPS = sorted(key.split("/")[1] for key in REFERENCE if key.startswith("crop/"))

ROUNDING_RIMS = {
    "mask/320x240_rect": 23,
    "crop/320x320": 181,
    "crop/320x240": 141,
    "crop/448x300": 56,
    "crop/576x400": 28,
}
"""Pixels that the original counts as foreground for values around 1e-16: rounding errors of its transform where samples
fall on pixels exactly. They differ between machines and are not copied."""

SIDES = st.integers(1, 90)


def size_of(name: str) -> tuple[int, int]:
    height, width = name.split("_")[0].split("x")
    return int(height), int(width)


def unpack(key: str, height: int, width: int) -> np.ndarray:
    return np.unpackbits(REFERENCE[key])[: height * width].reshape(height, width).astype(bool)


def assert_equal_but_for_rounding_rims(key: str, result: np.ndarray, reference: np.ndarray) -> None:
    assert not (result & ~reference).any()
    assert (reference & ~result).sum() == ROUNDING_RIMS.get(key, 0)


@pytest.mark.parametrize("name", [*(f"image/{name}" for name in IMAGES), "grey/333x500"])
def test_letterboxed_photo_equals_the_original(name: str) -> None:
    photo = read_image(REFERENCE[f"{name}/in"].tobytes())
    reference = read_image(REFERENCE[f"{name}/out"].tobytes())
    assert photo.shape[:2] == size_of(name.split("/")[1])

    difference = np.abs(letterbox_image(photo, 320, "original").astype(int) - reference)

    assert difference.max() <= 1
    assert (difference > 0).mean() <= 0.008


def test_halved_photo_differs_from_the_original_in_ties_of_rounding_alone() -> None:
    """Of a photo of 640 x 480 a quarter of the values lie halfway between two levels: the original's own rounding
    errors choose, ours go to the even one. Rows 288 to 319 are at hand; a halved row depends on no other."""
    photo = np.zeros((640, 480, 3), np.uint8)
    photo[288:320] = read_image(HALVED["in"].tobytes())
    reference = read_image(HALVED["out"].tobytes()).astype(int)  # (16, 240, 3)
    exact = photo[288:320].reshape(16, 2, 240, 2, 3).mean(axis=(1, 3))

    difference = np.abs(letterbox_image(photo, 320, "original")[144:160, 40:280] - reference)

    assert difference.max() == 1
    assert (exact[difference > 0] % 1 == 0.5).all()
    assert (difference > 0).mean() == pytest.approx(0.125, abs=0.001)  # 9.4 % of these rows of the square


@pytest.mark.parametrize("name", MASKS)
def test_letterboxed_mask_equals_the_original(name: str) -> None:
    mask = unpack(f"mask/{name}/in", *size_of(name))
    result = letterbox_mask(mask, 320, "original")
    assert_equal_but_for_rounding_rims(f"mask/{name}", result, unpack(f"mask/{name}/out", 320, 320))


@pytest.mark.parametrize("name", CROPS)
def test_prediction_taken_back_to_the_photo_equals_the_original(name: str) -> None:
    result = resize_and_crop(unpack("prediction", 320, 320), *size_of(name))
    assert_equal_but_for_rounding_rims(f"crop/{name}", result, unpack(f"crop/{name}", *size_of(name)))


def published_resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """scikit-image 0.13's bilinear ``resize`` as it is written down: float64, zero outside, (H, W, C)."""

    def mixed(values: np.ndarray, count: int) -> np.ndarray:
        numerator = (2 * np.arange(count) + 1) * len(values) - count
        lower, weight = numerator // (2 * count), (numerator % (2 * count)) / (2 * count)
        bordered = np.pad(values.astype(np.float64), [(1, 1), (0, 0), (0, 0)])
        weight = weight[:, None, None]
        return bordered[lower + 1] * (1 - weight) + bordered[lower + 2] * weight

    rows = mixed(image, height)
    both = mixed(rows.transpose(1, 0, 2), width).transpose(1, 0, 2)
    return np.clip(both, image.min(), image.max())


def assert_original_rule_is_the_published_one(photo: np.ndarray, size: int) -> None:
    box = Letterbox.of(*photo.shape[:2], size)
    expected = np.zeros((size, size, 3), np.uint8)
    expected[box.rows, box.columns] = np.rint(published_resize(photo, box.resized_height, box.resized_width))
    np.testing.assert_array_equal(letterbox_image(photo, size, "original"), expected)

    mask = photo[:, :, 0] > 250
    touched = np.zeros((size, size), bool)
    touched[box.rows, box.columns] = (
        published_resize(mask[:, :, None], box.resized_height, box.resized_width)[:, :, 0] > 0
    )
    np.testing.assert_array_equal(letterbox_mask(mask, size, "original"), touched)


@given(SIDES, SIDES, st.integers(0, 2**32), st.sampled_from([1, 2, 255]))
def test_original_rule_is_computed_fast_to_the_same_bytes(height: int, width: int, seed: int, step: int) -> None:
    """Photos of few grey levels have the most values halfway between two."""
    levels = np.random.default_rng(seed).integers(0, 255 // step + 1, (height, width, 3))
    assert_original_rule_is_the_published_one((levels * step).astype(np.uint8), 32)


@pytest.mark.parametrize(("height", "width"), [(480, 640), (427, 640), (375, 500), (1365, 2048)])
def test_original_rule_is_computed_fast_to_the_same_bytes_for_usual_photos(height: int, width: int) -> None:
    photo = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert_original_rule_is_the_published_one(photo, 320)


def test_large_photos_keep_the_bytes_of_the_original_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cmpc.data.transforms.LARGE_PHOTO", 1)
    photo = np.random.default_rng(5).integers(0, 256, (427, 640, 3), dtype=np.uint8)
    assert_original_rule_is_the_published_one(photo, 320)


@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 20), st.integers(0, 2**32))
def test_bands_are_the_rows_of_the_whole(height: int, width: int, size: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(0, 9, (size, size)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cmpc.data.transforms.VALUES_OF_A_BAND", 1000)
        bands = list(undo_letterbox_in_bands(values, height, width))
    expected = undo_letterbox(values, height, width)
    assert [rows.start for rows, _ in bands[1:]] == [rows.stop for rows, _ in bands[:-1]]
    assert bands[-1][0].stop == height
    assert max(band.size for _, band in bands) <= max(1000, width)
    np.testing.assert_allclose(np.concatenate([band for _, band in bands]), expected, atol=2e-4)


@given(SIDES, SIDES, st.sampled_from(["original", "area"]))
def test_photo_fills_one_side_of_the_square_and_zeros_surround_it(height: int, width: int, resize: str) -> None:
    box = Letterbox.of(height, width, 32)
    square = letterbox_image(np.full((height, width, 3), 200, np.uint8), 32, resize)

    assert max(box.resized_height, box.resized_width) == 32
    assert (square[box.rows, box.columns] == 200).all()
    assert np.count_nonzero(square) == 3 * box.resized_height * box.resized_width
    assert abs(box.top - (32 - box.top - box.resized_height)) <= 1


@pytest.mark.parametrize(("height", "width"), [(1, 1000), (1000, 1)])
def test_a_very_thin_photo_keeps_a_pixel(height: int, width: int) -> None:
    square = letterbox_image(np.full((height, width, 3), 9, np.uint8), 64, "area")
    assert np.count_nonzero(square) == 3 * 64
    assert undo_letterbox(np.ones((64, 64), np.float32), height, width).shape == (height, width)
    assert resize_and_crop(np.ones((64, 64), bool), height, width).all()


def test_area_rule_averages_when_it_shrinks() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 100
    assert (letterbox_image(stripes, 32, "area") == 50).all()


def test_area_rule_keeps_pixels_that_the_mask_half_covers() -> None:
    mask = np.zeros((8, 8), bool)
    mask[:, :3] = True
    assert letterbox_mask(mask, 4, "area")[:, :2].all()
    assert not letterbox_mask(mask, 4, "area")[:, 2:].any()


@given(SIDES, SIDES)
def test_undoing_the_letterbox_ignores_what_surrounds_the_photo(height: int, width: int) -> None:
    box = Letterbox.of(height, width, 32)
    logits = np.full((32, 32), -5, np.float32)
    logits[box.rows, box.columns] = 3
    restored = undo_letterbox(logits, height, width)
    assert restored.shape == (height, width)
    assert restored.dtype == np.float32
    assert np.allclose(restored, 3)


def test_mask_survives_the_way_there_and_back() -> None:
    mask = np.zeros((44, 64), bool)
    mask[10:40, 30:52] = True  # on even pixels: exact at half the size
    square = letterbox_mask(mask, 32, "area").astype(np.float32)
    assert ((undo_letterbox(square, 44, 64) >= 0.5) == mask).all()


def test_network_input_of_the_paper_is_bgr_minus_the_mean() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 1] = (10, 20, 30)
    tensor = PixelNormalisation(ImageConfig())(torch.from_numpy(np.stack([image, image])))
    blue, green, red = ImageConfig().mean
    assert tensor.shape == (2, 3, 2, 2)
    assert tensor.dtype == torch.float32
    assert torch.allclose(tensor[1, :, 0, 1], torch.tensor([30 - blue, 20 - green, 10 - red]))
    assert torch.allclose(tensor[1, :, 1, 0], -torch.tensor([blue, green, red]))


def test_network_input_of_the_small_preset_is_normalised_rgb() -> None:
    config = preset("small").image
    tensor = PixelNormalisation(config)(torch.from_numpy(np.full((1, 4, 4, 3), (10, 20, 30), np.uint8)))
    expected = (np.array([10, 20, 30]) - config.mean) / config.std
    assert np.allclose(tensor[0, :, 2, 3].numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    "image", [np.zeros((3, 8, 8), np.uint8), np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32)]
)
def test_a_photo_of_another_layout_is_refused_with_the_expected_one(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"\(H, W, 3\) uint8"):
        letterbox_image(image, 32, "area")
