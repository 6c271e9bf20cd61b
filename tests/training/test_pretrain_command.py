"""``cmpc pretrain`` as a user runs it, and what it makes of the scenes of Blocks."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from cmpc.blocks.dataset import Settings, make_blocks
from cmpc.blocks.scene import ATTRIBUTES
from cmpc.cli import main
from cmpc.data.sampler import Visit
from cmpc.models.build import build_network
from cmpc.models.config import PRESETS
from cmpc.training.interruption import Interruption
from cmpc.training.vision.losses import LEAST_CELLS, are_told_apart
from cmpc.training.vision.objective import VisionObjective, cells_of, labels_of, recoloured
from cmpc.training.vision.scenes import LabelledScenes, SceneBatch, collate_scenes
from networks import tiny_config

FILES = ("last/model.safetensors", "last/training_state.safetensors")


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretrain") / "blocks"
    make_blocks(folder, Settings(seed=1, size=64, splits={"train": 12, "val": 3}))
    return folder


@pytest.fixture(autouse=True)
def tiny_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("small", "grounded"):
        monkeypatch.setitem(PRESETS, name, tiny_config(100, name))


def pretrain(blocks: Path, out: Path, *extra: str | Path) -> int:
    options = ("--steps", "4", "--batch-images", "4", "--workers", "0", "--log-every", "1", "--accelerator", "cpu")
    return main(["pretrain", "--data", str(blocks), "--out", str(out), *options, *map(str, extra)])


def batch_of(blocks: Path, images: int) -> SceneBatch:
    scenes = LabelledScenes(blocks, "train")
    return collate_scenes([scenes[Visit(0, image, 0, 1)] for image in range(images)])


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "last" / "model.safetensors")


def test_it_learns_what_it_is_asked_to_and_goes_on_from_there(
    blocks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pretrain(blocks, tmp_path / "all", "--recolour", "--second-size", "96") == 0
    error = capsys.readouterr().err
    assert "(aspects, backbone, objects) learn from 12 images" in error
    assert "of 3 images of val every block is one object" in error
    with (tmp_path / "all" / "training.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert all(0 <= float(row["right"]) <= 1 for row in rows)
    begin = ("--initial-model", tmp_path / "all" / "last")
    assert pretrain(blocks, tmp_path / "objects", *begin, "--parts", "objects", "--image.size", "96") == 0
    before, after = weights_of(tmp_path / "all"), weights_of(tmp_path / "objects")
    changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"object_reader"}  # statistics of the batch norms stay as well


def test_network_without_aspects_learns_with_its_backbone_alone(
    blocks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pretrain(blocks, tmp_path / "run", "--preset", "small") == 0
    assert "(backbone) learn" in capsys.readouterr().err
    assert pretrain(blocks, tmp_path / "other", "--preset", "small", "--parts", "objects") == 2
    assert "the network has no objects to learn: take --preset grounded" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_stopped_run_continues_bit_for_bit(blocks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = ("--recolour", "--second-size", "96")
    assert pretrain(blocks, tmp_path / "whole", *extra) == 0
    stops = iter([False, True])
    with monkeypatch.context() as stopping:
        stopping.setattr(Interruption, "wanted", lambda *_, **__: next(stops))
        assert pretrain(blocks, tmp_path / "stopped", *extra) == 130
    assert pretrain(blocks, tmp_path / "stopped", *extra, "--resume") == 0
    for file in FILES:
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "stopped" / file).read_bytes(), file


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (("--second-size", "16"), "--second-size must be from 32 to 4,096, got 16"),
        (("--batch-images", "0"), "--batch-images must be positive, got 0"),
        (("--backbone", "efficientnet_lite"), "it needs --backbone-weights"),
        (("--resume",), "there is no run to resume"),
    ],
)
def test_wrong_use_exits_with_2_and_leaves_nothing(
    extra: tuple[str, ...], message: str, blocks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pretrain(blocks, tmp_path / "run", *extra) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


def test_resume_with_other_options_names_them(blocks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pretrain(blocks, tmp_path / "run") == 0
    assert pretrain(blocks, tmp_path / "run", "--resume", "--recolour", "--image.size", "96") == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "--recolour was False and is True" in error
    assert "--image.size was 64 and is 96" in error


def test_data_that_are_not_blocks_are_refused(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pretrain(scenes, tmp_path / "run") == 1
    assert "make a Blocks dataset with cmpc blocks" in " ".join(capsys.readouterr().err.split())


def test_labels_lie_where_the_blocks_are(blocks: Path) -> None:
    batch = batch_of(blocks, 3)
    shown = cells_of(batch.blocks, (16, 16))
    labels = labels_of(batch.attributes, shown)
    assert labels.shape == (3, len(ATTRIBUTES), 16, 16)
    assert torch.equal(labels > 0, (shown > 0)[:, None].expand_as(labels))
    assert torch.equal(shown[:, 5, 7], batch.blocks[:, 22, 30].long())  # the middle of the cell
    for image, numbers in zip(batch.geometry, batch.blocks, strict=True):
        for number in range(1, int(numbers.max()) + 1):
            rows, columns = (numbers == number).nonzero().float().T
            if len(rows) > 60:  # not much of it is hidden
                middle = torch.stack([columns.mean(), rows.mean()]) / 64
                assert (middle - image[number, :2]).abs().max() < 0.08


def test_mirrored_step_is_a_step_of_the_mirrored_scene(blocks: Path) -> None:
    torch.manual_seed(0)
    model = build_network(tiny_config(4, "grounded"))
    objective = VisionObjective(
        model, None, ("objects",), attributes=len(ATTRIBUTES), sizes=(64,), recolour=False
    ).eval()
    batch = batch_of(blocks, 4)
    views = []
    for seed in range(8):
        torch.manual_seed(seed)
        images, numbers, _, geometry = objective.view(batch)
        views.append(bool((images != batch.images).any()))
        across = geometry[..., 0] if not views[-1] else 1 - geometry[..., 0]
        torch.testing.assert_close(across, batch.geometry[..., 0])
        assert torch.equal(numbers.flip(2) if views[-1] else numbers, batch.blocks)
    assert set(views) == {False, True}


def test_blocks_are_told_apart_when_each_cell_tells_the_middle_of_its_block(blocks: Path) -> None:
    batch = batch_of(blocks, 4)
    shown = cells_of(batch.blocks, (32, 32))
    places = batch.geometry.gather(1, shown.flatten(1)[:, :, None].expand(-1, -1, 5)).mT.unflatten(2, (32, 32))
    cells = F.one_hot(shown.flatten(1)).sum(dim=1)  # of each block
    is_seen = (shown > 0) & (cells.gather(1, shown.flatten(1)).view_as(shown) >= LEAST_CELLS)
    presence = torch.where(is_seen, 20.0, -20.0)[:, None]
    assert all(are_told_apart(torch.cat([presence, places], dim=1), shown, middle_error=0.025))
    nothing = torch.cat([torch.full_like(presence, -20.0), places], dim=1)
    assert not any(are_told_apart(nothing, shown, middle_error=0.025))
    one_place = places.mean(dim=(2, 3), keepdim=True).expand_as(places)
    assert not any(are_told_apart(torch.cat([presence, one_place], dim=1), shown, middle_error=0.025))


def test_recoloured_images_keep_what_is_grey_and_where_edges_are() -> None:
    torch.manual_seed(0)
    images = torch.full((16, 4, 4, 3), 120, dtype=torch.uint8)
    images[:, :, 2:] = torch.tensor([200, 60, 40], dtype=torch.uint8)
    changed = recoloured(images)
    assert changed.shape == images.shape
    assert changed.dtype == torch.uint8
    grey, red = changed[:, :, :2].int(), changed[:, :, 2:].int()
    assert bool((grey == grey[..., :1]).all())
    assert bool((red == red[:, :1, :1]).all())
    assert len({tuple(one[0, 0].tolist()) for one in red}) > 12  # each image in its own colour
    assert bool((images[:, :, :2] == 120).all())
