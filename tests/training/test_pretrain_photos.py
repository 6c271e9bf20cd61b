"""``cmpc pretrain`` on annotated photos: kinds of things, and which pixels show one thing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cmpc.cli import main
from cmpc.conventions import ImageConfig
from cmpc.data.sampler import Visit
from cmpc.models.config import PRESETS
from cmpc.training.vision.losses import UNKNOWN, object_loss
from cmpc.training.vision.photos import LabelledPhotos, geometry_of
from cmpc.training.vision.scenes import UNKNOWN_THING
from networks import tiny_config

REFER = Path(__file__).parents[1] / "data" / "refer"
INSTANCES = REFER / "refcoco" / "instances.json"
IMAGES = REFER / "train2014"
SIZE = 64


@pytest.fixture(autouse=True)
def tiny_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("small", "grounded"):
        monkeypatch.setitem(PRESETS, name, tiny_config(100, name))


def pretrain(data: Path, out: Path, *more: str) -> int:
    options = ["--steps", "2", "--batch-images", "4", "--workers", "0", "--log-every", "1", "--accelerator", "cpu"]
    return main(["pretrain", "--data", str(data), "--images", str(IMAGES), "--out", str(out), *options, *more])


def changed(tmp_path: Path, **fields: Any) -> Path:
    """The instances with fields of all images or of the first annotation changed."""
    content = json.loads(INSTANCES.read_text())
    for image in content["images"]:
        image |= {name: value for name, value in fields.items() if name == "annotated"}
    content["annotations"][0] |= {name: value for name, value in fields.items() if name != "annotated"}
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    return path


def test_it_learns_kinds_and_things_and_goes_on_bit_for_bit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pretrain(INSTANCES, tmp_path / "whole") == 0
    assert "(backbone, objects) learn from" in capsys.readouterr().err
    state = (tmp_path / "whole/last/model.safetensors").read_bytes()
    assert pretrain(INSTANCES, tmp_path / "again") == 0
    assert (tmp_path / "again/last/model.safetensors").read_bytes() == state
    assert pretrain(INSTANCES, tmp_path / "other", "--seed", "1") == 0
    assert (tmp_path / "other/last/model.safetensors").read_bytes() != state


def test_labels_are_where_the_things_are(tmp_path: Path) -> None:
    photos = LabelledPhotos(INSTANCES, IMAGES, ImageConfig(size=SIZE, resize="area"))
    assert photos.classes == {"kind": 1 + len(photos.kinds)}
    for number in range(len(photos)):
        batch = photos[Visit(0, number, 0, 1)]
        shown = batch.blocks[0].numpy()
        assert batch.images.shape == (1, SIZE, SIZE, 3)
        assert set(np.unique(shown)) <= {*range(len(batch.attributes[0])), UNKNOWN_THING}
        assert batch.attributes[0, 0, 0] == 0  # the background
        for thing in set(np.unique(shown)) - {0, UNKNOWN_THING}:
            rows, columns = np.nonzero(shown == thing)
            middle = batch.geometry[0, thing, :2] * SIZE
            np.testing.assert_allclose(middle, [columns.mean() + 0.5, rows.mean() + 0.5], atol=0.01)


def test_what_is_not_annotated_teaches_nothing(tmp_path: Path) -> None:
    whole = LabelledPhotos(INSTANCES, IMAGES, ImageConfig(size=SIZE, resize="area"))
    part = LabelledPhotos(changed(tmp_path, annotated="one object"), IMAGES, ImageConfig(size=SIZE, resize="area"))
    unknown = [(photos[Visit(0, 0, 0, 1)].blocks == UNKNOWN_THING).float().mean() for photos in (whole, part)]
    assert unknown[0] < unknown[1] < 1
    crowd = LabelledPhotos(changed(tmp_path, iscrowd=1), IMAGES, ImageConfig(size=SIZE, resize="area"))
    first = next(n for n, photo in enumerate(crowd.photos) if any(one.is_crowd for one in photo.annotations))
    assert (crowd[Visit(0, first, 0, 1)].blocks == UNKNOWN_THING).any()


def test_unknown_pixels_and_kinds_have_no_loss() -> None:
    shown = torch.zeros(1, 4, 4, dtype=torch.int64)
    shown[0, :2] = 1
    geometry = torch.zeros(1, 2, 5)
    readings = torch.randn(1, 6, 4, 4, generator=torch.Generator().manual_seed(0))
    shown[0, 3] = UNKNOWN_THING
    loss, _ = object_loss(readings, shown, geometry, middle_error=0.05)
    readings[0, :, 3] += 5
    again, _ = object_loss(readings, shown, geometry, middle_error=0.05)
    assert loss == again
    readings[0, :, 0] += 5
    assert object_loss(readings, shown, geometry, middle_error=0.05)[0] != loss
    assert UNKNOWN < 0


def test_geometry_says_where_things_stand() -> None:
    shown = np.zeros((100, 100), np.uint8)
    shown[20:40, 10:30], shown[60:100, 10:30] = 1, 2
    far, near = geometry_of(shown, 3)[1:3]
    np.testing.assert_allclose(far[:2], [0.2, 0.3], atol=1e-6)
    assert far[3] > near[3]  # what stands higher is farther away
    assert far[4] > near[4]  # and wider than it looks
    assert not geometry_of(shown, 3)[3].any()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--recolour",), "go with the scenes of Blocks"),
        (("--parts", "aspects"), "photos do not teach aspects"),
    ],
)
def test_wrong_use_is_answered_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], sentence: str
) -> None:
    assert pretrain(INSTANCES, tmp_path / "run", *more) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


def test_missing_photos_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--data", str(INSTANCES), "--images", str(tmp_path), "--out", str(tmp_path / "run")]
    assert main(["pretrain", *options]) == 1
    assert "photos are missing" in capsys.readouterr().err
