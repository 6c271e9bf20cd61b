"""Letterbox and augmentation on the device: the same as on the CPU."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from cmpc.conventions import ImageConfig
from cmpc.data.augmentation import Augmentation
from cmpc.data.dataset import Batch, PhotoView, ReferringImages, collate, prepare_worker
from cmpc.data.device_transforms import CollatePhotos, PhotoBatch, render_on_device
from cmpc.data.sampler import StepSampler
from cmpc.data.schema import PreparedDataset
from cmpc.data.transforms import Resize
from cmpc.data.vocabulary import Vocabulary
from cmpc.models.config import preset
from cmpc.training.options import TrainingOptions
from cmpc.training.recipe import train

RULES: tuple[Resize, ...] = ("area", "original")
WORDS = Vocabulary.from_expressions(["the red blue box on left right one"])


def photo_of(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def levels_apart(photo: np.ndarray, view: PhotoView, image: ImageConfig) -> np.ndarray:
    """Grey levels between the square that the device makes and the CPU's, (S, S, 3)."""
    on_device = render_on_device(torch.from_numpy(photo), view, image)
    assert on_device.dtype == torch.uint8
    assert on_device.is_contiguous()
    return np.abs(on_device.numpy().astype(int) - view.render(photo, image))


@given(
    st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**32), st.sampled_from(RULES), st.booleans(), st.booleans()
)
def test_square_is_that_of_the_cpu_within_a_grey_level(
    height: int, width: int, seed: int, resize: Resize, mirrored: bool, cut: bool
) -> None:
    random = np.random.default_rng(seed)
    window = None
    if cut:  # also beyond the photo
        top, left = (int(random.integers(-5, side)) for side in (height, width))
        window = (top, left, int(random.integers(6, height + 9)), int(random.integers(6, width + 9)))
    view = PhotoView(window, mirrored)
    assert levels_apart(photo_of(height, width, seed), view, ImageConfig(size=32, resize=resize)).max() <= 1


@pytest.mark.parametrize("resize", RULES)
def test_nothing_waits_for_the_device(resize: Resize) -> None:
    """Meta tensors have a shape and no content: reading a number of the photo's would fail."""
    colours = Augmentation().draw_colours(np.random.default_rng(0))
    view = PhotoView((-10, 20, 150, 150), True, colours)  # a part that is enlarged, and reaches beyond the photo
    photo = torch.empty(300, 400, 3, dtype=torch.uint8, device="meta")
    square = render_on_device(photo, view, ImageConfig(size=320, resize=resize))
    assert (square.device.type, tuple(square.shape)) == ("meta", (320, 320, 3))


@pytest.mark.parametrize("resize", RULES)
@pytest.mark.parametrize(("height", "width"), [(480, 640), (427, 640), (375, 500)])
def test_only_values_halfway_between_two_levels_differ(height: int, width: int, resize: Resize) -> None:
    photo, image = photo_of(height, width, 1), ImageConfig(size=320, resize=resize)
    assert (levels_apart(photo, PhotoView(), image) > 0).mean() < 0.01
    window = PhotoView((-9, 7, height - 40, width), mirrored=True)
    assert (levels_apart(photo, window, image) > 0).mean() < 0.01


@pytest.mark.parametrize("resize", RULES)
def test_colours_change_as_on_the_cpu(resize: Resize) -> None:
    image = ImageConfig(size=64, resize=resize)
    for seed in range(20):
        view = PhotoView(colours=Augmentation().draw_colours(np.random.default_rng(seed)))
        values = levels_apart(photo_of(90, 120, seed), view, image)
        assert values.max() <= 2
        assert (values > 0).mean() < 0.2  # with half the size every fourth value is halfway
        assert not render_on_device(torch.zeros(9, 9, 3, dtype=torch.uint8), view, image).any()


@pytest.mark.parametrize("resize", RULES)
def test_device_is_not_waited_for(resize: Resize) -> None:
    """A meta tensor has no content: whatever asked for some would fail."""
    view = PhotoView((-3, 5, 30, 70), mirrored=True, colours=Augmentation().draw_colours(np.random.default_rng(0)))
    square = render_on_device(
        torch.empty(20, 60, 3, dtype=torch.uint8, device="meta"), view, ImageConfig(32, resize=resize)
    )
    assert square.shape == (32, 32, 3)


@pytest.mark.slow
def test_batches_differ_in_nothing_but_rounding(scenes: Path) -> None:
    def batches(on_device: bool, workers: int) -> list[Batch]:
        image = ImageConfig(size=48, resize="area")
        data = ReferringImages(
            PreparedDataset.open(scenes),
            "train",
            WORDS,
            image,
            max_words=20,
            expressions_per_image=3,
            augmentation=Augmentation(),
            render=not on_device,
        )
        loader = DataLoader(
            data,
            batch_sampler=StepSampler(data.order, batch=2, start=0, stop=5),
            collate_fn=CollatePhotos(image) if on_device else collate,
            num_workers=workers,
            worker_init_fn=prepare_worker if workers else None,
        )
        loaded = list(loader)
        assert all(isinstance(batch, PhotoBatch) == on_device for batch in loaded)
        return [batch.to("cpu") for batch in loaded]

    for expected, batch in zip(batches(False, 0), batches(True, 1), strict=True):
        assert (expected.squares.int() - batch.squares.int()).abs().max() <= 2
        for one, other in zip(expected[1:], batch[1:], strict=True):
            assert one is other is None or torch.equal(torch.as_tensor(one), torch.as_tensor(other))


def test_training_with_squares_of_the_device(scenes: Path, tmp_path: Path, tiny_network: None) -> None:
    network = preset("small", image={"size": 32})
    options = TrainingOptions(data=scenes, out=tmp_path / "cpu", model=network, steps=2, workers=0, accelerator="cpu")
    options = dataclasses.replace(options, precision="32", log_every=1)
    train(options)
    train(dataclasses.replace(options, out=tmp_path / "device", render_on="device"))

    def losses(run: str) -> list[float]:
        lines = (tmp_path / run / "training.csv").read_text().splitlines()
        place = lines[0].split(",").index("loss")
        return [float(line.split(",")[place]) for line in lines[1:]]

    assert losses("device") == pytest.approx(losses("cpu"), rel=0.02)
